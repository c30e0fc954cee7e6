//! The agent as a process, and what it says of itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::process::{Usage, usage};
use crate::subject::kubectl_apply;

pub struct Agent {
    child: Child,
    port: u16,
}

impl Agent {
    /// Its Leases and what its environments remember are in `namespace`.
    pub fn start(plane: &ControlPlane, namespace: &str, cache: &Path, instance: &str) -> Self {
        kubectl_apply(
            plane,
            &[json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})],
        );
        let mut child = Command::new(env!("CARGO_BIN_EXE_fairlead"))
            .args([
                "agent",
                "--listen",
                "127.0.0.1:0",
                "--poll-interval",
                "100ms",
                "--git-folders",
                "--log-format",
                "json",
            ])
            .args(["--namespace", namespace, "--state-namespace", namespace, "--instance", instance])
            .arg("--kubeconfig")
            .arg(&plane.kubeconfig)
            .arg("--cache")
            .arg(cache)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let port = loop {
            let line = lines.next().expect("the agent says its address").expect("a line");
            let value: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some((_, port)) = value["address"].as_str().and_then(|address| address.rsplit_once(':')) {
                break port.parse().expect("a port");
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port }
    }

    pub async fn metrics(&self) -> String {
        let port = self.port;
        tokio::task::spawn_blocking(move || http_get(port, "/metrics")).await.expect("a thread")
    }

    /// The value of the metric whose line begins so.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or(" 0");
        line.trim().parse().unwrap_or(0.0)
    }

    pub fn usage(&self) -> Usage {
        usage(self.child.id())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

fn http_get(port: u16, path: &str) -> String {
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}
