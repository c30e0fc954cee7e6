use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use http::Method;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::{Api, RUNTIME, Said, rbac, wait_until};

/// A real control plane with simulated pods. It ends when its stdin does, and so with this process, however that ends.
pub struct ControlPlane {
    pub api: Api,
    /// Of an administrator.
    pub kubeconfig: PathBuf,
    /// Of the agent's service account.
    pub agent_kubeconfig: PathBuf,
    pub agent_token: String,
    server: String,
    ca: Option<String>,
    binary: PathBuf,
    child: Child,
    stdin: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl ControlPlane {
    /// The one that most tests share, each in namespaces of its own.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<ControlPlane> = LazyLock::new(|| ControlPlane::own(&[]));
        &SHARED
    }

    pub fn own(arguments: &[&str]) -> Self {
        let binary = binary();
        let mut child = Command::new(&binary)
            .args(["serve", "--stop-on-stdin-eof"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the control plane starts");
        let stdin = child.stdin.take().expect("stdin is a pipe");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the control plane says that it is ready");
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("no control plane: {error}: {line:?}"));
        let kubeconfig = PathBuf::from(ready["kubeconfig"].as_str().expect("a path"));
        let api = Api::new(config(&kubeconfig));
        for crd in fairlead::api::crds() {
            api.apply(&serde_json::to_value(crd).expect("a CRD is JSON"));
        }
        wait_until(
            Duration::from_secs(20),
            "Environments, their pages and reports, and Requests are served",
            || {
                // A definition that is new is at first not found, and then "initializing".
                ["environments", "environmentpages", "driftreports", "requests"].iter().all(|plural| {
                    let path = format!("/apis/fairlead.dev/v1alpha1/{plural}");
                    api.request(Method::GET, &path, "application/json", None).0 == 200
                })
            },
        );
        let agent_token = rbac::install(&api);
        let agent_kubeconfig = kubeconfig.with_file_name("agent.kubeconfig");
        write_kubeconfig(
            &agent_kubeconfig,
            ready["server"].as_str().expect("a URL"),
            ready["ca"].as_str(),
            &agent_token,
        );
        Self {
            api,
            kubeconfig,
            agent_kubeconfig,
            agent_token,
            server: ready["server"].as_str().expect("a URL").to_owned(),
            ca: ready["ca"].as_str().map(str::to_owned),
            binary,
            child,
            stdin: Mutex::new((stdin, stdout)),
        }
    }

    /// Says a line to the program, such as `restart-etcd`, and waits for its answer.
    pub fn tell(&self, command: &str) -> Value {
        let mut pipes = self.stdin.lock().expect("no test panics while it holds this");
        writeln!(pipes.0, "{command}").expect("it listens");
        let mut line = String::new();
        pipes.1.read_line(&mut line).expect("it answers");
        let answer: Value = serde_json::from_str(&line).expect("the answer is JSON");
        assert_eq!(answer["ok"], true, "{answer}");
        answer
    }

    /// Writes a kubeconfig of somebody with a token.
    pub fn write_kubeconfig(&self, path: &Path, token: &str) {
        write_kubeconfig(path, &self.server, self.ca.as_deref(), token);
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(self.binary.with_file_name("kubectl"));
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments);
        command.output().expect("kubectl runs").into()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // Its own stop takes long only where it hangs; nothing of it is worth keeping.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = self.kubeconfig.parent() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// How clients find and trust the API server.
pub fn config(kubeconfig: &Path) -> kube::Config {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    RUNTIME
        .block_on(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()))
        .expect("the kubeconfig is whole")
}

pub fn write_kubeconfig(path: &Path, server: &str, ca: Option<&str>, token: &str) {
    let mut cluster = json!({"server": server});
    if let Some(ca) = ca {
        cluster["certificate-authority"] = ca.into();
    }
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bed",
        "clusters": [{"name": "bed", "cluster": cluster}],
        "users": [{"name": "bed", "user": {"token": token}}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "bed"}}],
    });
    std::fs::write(path, kubeconfig.to_string()).expect("the kubeconfig is written");
}

fn binary() -> PathBuf {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(given) = std::env::var_os("FAIRLEAD_CONTROLPLANE") {
            return given.into();
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/controlplane/build.sh");
        let output = Command::new(script).stderr(Stdio::inherit()).output().expect("the build script runs");
        assert!(output.status.success(), "{script} failed");
        String::from_utf8_lossy(&output.stdout).trim().into()
    });
    BINARY.clone()
}
