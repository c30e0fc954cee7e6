use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{SOON, fairlead, wait_until};

/// The real agent, as a process of its own. Its log is shown where the test fails.
pub struct Agent {
    child: Arc<Mutex<Child>>,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    pid: u32,
}

/// The remotes of tests are folders, and servers on this machine.
const GIT: [&str; 3] = ["--git-folders", "--git-address", "127.0.0.0/8"];

fn arguments(command: &mut Command, kubeconfig: &Path, cache: &Path, environments: &[&str], instance: &str) {
    bare_arguments(command, kubeconfig, cache, environments, instance);
    command.args(GIT);
}

fn bare_arguments(
    command: &mut Command,
    kubeconfig: &Path,
    cache: &Path,
    environments: &[&str],
    instance: &str,
) {
    command.arg("agent").arg("--kubeconfig").arg(kubeconfig).arg("--cache").arg(cache);
    command.args(["--listen", "127.0.0.1:0", "--poll-interval", "1s", "--namespace", "fairlead"]);
    command.args(["--instance", instance]);
    command.args(["--log-format", "json", "--log", "info,fairlead=debug"]);
    for name in environments {
        command.args(["--env", name]);
    }
}

impl Agent {
    pub fn start(kubeconfig: &Path, cache: &Path, environments: &[&str]) -> Self {
        Self::replica(kubeconfig, cache, environments, "bed")
    }

    /// One of several, each with a name and a cache of its own.
    pub fn replica(kubeconfig: &Path, cache: &Path, environments: &[&str], instance: &str) -> Self {
        let mut command = fairlead();
        arguments(&mut command, kubeconfig, cache, environments, instance);
        Self::run(command)
    }

    /// As it is started where nothing is said of git remotes.
    pub fn without_git_flags(kubeconfig: &Path, cache: &Path, environment: &str) -> Self {
        let mut command = fairlead();
        bare_arguments(&mut command, kubeconfig, cache, &[environment], "bed");
        Self::run(command)
    }

    /// With more in its process environment.
    pub fn with(kubeconfig: &Path, cache: &Path, environment: &str, more: &[(&str, &str)]) -> Self {
        let mut command = fairlead();
        arguments(&mut command, kubeconfig, cache, &[environment], "bed");
        command.envs(more.iter().copied());
        Self::run(command)
    }

    /// Of all environments that there are.
    pub fn of_all(kubeconfig: &Path, cache: &Path, more: &[(&str, &str)]) -> Self {
        let mut command = fairlead();
        arguments(&mut command, kubeconfig, cache, &[], "bed");
        command.envs(more.iter().copied());
        Self::run(command)
    }

    /// With another helm than that of the tests.
    pub fn with_helm(kubeconfig: &Path, cache: &Path, environments: &[&str], helm: &Path) -> Self {
        let mut command = fairlead();
        arguments(&mut command, kubeconfig, cache, environments, "bed");
        command.env_remove("FAIRLEAD_HELM").arg("--helm").arg(helm);
        Self::run(command)
    }

    /// Its cache is a disk of 1 MB, in a mount namespace of its own.
    pub fn on_a_small_disk(kubeconfig: &Path, cache: &Path, environment: &str) -> Self {
        std::fs::create_dir_all(cache).expect("the folder is made");
        let mut command = Command::new("unshare");
        let script = format!("mount -t tmpfs -o size=1m none {} && exec \"$0\" \"$@\"", cache.display());
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        command.arg(fairlead().get_program());
        arguments(&mut command, kubeconfig, cache, &[environment], "bed");
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = BufReader::new(child.stderr.take().expect("stderr is a pipe")).lines();
        let into = log.clone();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                into.lock().expect("no test panics while it holds this").push(line);
            }
        });
        let pid = child.id();
        Self { child: Arc::new(Mutex::new(child)), log, reader: Some(reader), pid }
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no test panics while it holds this").clone()
    }

    pub fn has_logged(&self, text: &str) -> bool {
        self.log().iter().any(|line| line.contains(text))
    }

    /// Where its port is.
    #[track_caller]
    pub fn address(&self) -> String {
        let find = || {
            let lines = self.log();
            let found = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            found.filter_map(|line| line["address"].as_str().map(str::to_owned)).next()
        };
        wait_until(SOON, "the agent is up", || find().is_some());
        find().expect("it was there a moment ago")
    }

    /// Status code and body of one of its pages.
    pub fn page(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).expect("the agent listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (code, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// SIGTERM, as Kubernetes ends a pod.
    pub fn id(&self) -> u32 {
        self.pid
    }

    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Any signal, by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status();
        assert!(status.is_ok_and(|status| status.success()), "the agent runs");
    }

    /// Waits for its own end.
    #[track_caller]
    pub fn wait(&self, limit: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.lock().expect("a lock").try_wait().expect("it is our child") {
                return status;
            }
            assert!(began.elapsed() < limit, "the agent did not end within {limit:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn has_ended(&self) -> bool {
        self.child.lock().expect("a lock").try_wait().is_ok_and(|status| status.is_some())
    }

    /// What tells it to end, as Kubernetes ends a pod, for those who choose the moment.
    pub fn terminator(&self) -> impl Fn() + Send + Sync + 'static {
        let pid = self.pid;
        move || {
            let _ = Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status();
        }
    }

    /// What kills it with SIGKILL, for those who choose the moment.
    pub fn killer(&self) -> impl Fn() + Send + Sync + 'static {
        let child = self.child.clone();
        move || {
            let _ = child.lock().expect("a lock").kill();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        {
            let mut child = self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("the agent's log:");
            for line in self.log() {
                eprintln!("  {line}");
            }
        }
    }
}
