//! A helm that was replaced by a program that tries to get out.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::process::{Bounds, Ended, Run, Stop};

/// A folder with a scratch folder in it, and things beside that which a chart must not see.
struct Bed {
    _root: tempfile::TempDir,
    outside: PathBuf,
    scratch: PathBuf,
}

fn bed() -> Bed {
    let root = tempfile::tempdir().expect("a folder");
    let (outside, scratch) = (root.path().join("outside"), root.path().join("scratch"));
    for folder in [&outside.join("serviceaccount"), &outside.join("mirror.git"), &scratch] {
        fs::create_dir_all(folder).expect("a folder");
    }
    fs::write(outside.join("serviceaccount/token"), "canary-token").expect("a file");
    fs::write(outside.join("mirror.git/HEAD"), "canary-mirror").expect("a file");
    Bed { _root: root, outside, scratch }
}

impl Bed {
    /// What a script says that is run in the place of helm.
    fn run(&self, script: &str, confined: bool) -> String {
        let program = self.outside.join("helm");
        fs::write(&program, format!("#!/bin/bash\n{script}\n")).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a file of ours");
        let bounds = Bounds { confined, ..Bounds::default() };
        let run = Run {
            program: &program,
            folder: &self.scratch,
            far_away: false,
            bounds: &bounds,
            stop: &Stop::default(),
        };
        match run.run(&[], Instant::now() + Duration::from_secs(20)) {
            Ended::Done { text, .. } => text.trim().to_owned(),
            Ended::Refused { said } => format!("refused: {said}"),
            Ended::NotStarted(error) => panic!("not started: {error}"),
            Ended::Killed { how } => panic!("killed: {how}"),
            _ => panic!("it did not end by itself"),
        }
    }

    fn path(&self, name: &str) -> String {
        self.outside.join(name).display().to_string()
    }
}

/// Says `open` where a command can be done.
fn tried(command: &str) -> String {
    format!("if {{ {command}; }} >/dev/null 2>&1; then echo open; else echo closed; fi")
}

#[test]
fn a_program_in_the_place_of_helm_gets_nothing_out_and_reaches_nobody() {
    let bed = bed();
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = tcp.local_addr().expect("an address").port();
    let socket = bed.outside.join("socket");
    let _unix = UnixListener::bind(&socket).expect("a socket");
    let me = std::process::id();
    // A way out that a link in the scratch folder would be.
    std::os::unix::fs::symlink(&bed.outside, bed.scratch.join("link")).expect("a link");
    let attempts = [
        ("a service account's token", format!("cat {}", bed.path("serviceaccount/token"))),
        ("a mirror", format!("cat {}", bed.path("mirror.git/HEAD"))),
        ("the names in a folder", format!("ls {}", bed.path("serviceaccount"))),
        ("the same by a link in its own folder", "cat link/serviceaccount/token".to_owned()),
        ("the agent's environment", format!("cat /proc/{me}/environ")),
        ("the agent's memory", format!("head -c 1 /proc/{me}/mem")),
        ("the agent's files", format!("ls /proc/{me}/fd/")),
        ("who there is", "cat /etc/passwd".to_owned()),
        ("a file outside", format!("echo x > {}", bed.path("written"))),
        ("another helm", format!("echo x > {}", bed.path("helm"))),
        ("a folder for all", "echo x > /tmp/fairlead-was-here".to_owned()),
        ("a file of the system", "echo x > /usr/fairlead-was-here".to_owned()),
        ("a port", format!("exec 3<>/dev/tcp/127.0.0.1/{port}")),
        ("metadata of the machine", "exec 3<>/dev/tcp/169.254.169.254/80".to_owned()),
        (
            "a socket in a file",
            format!(
                "perl -MIO::Socket::UNIX -e 'exit !IO::Socket::UNIX->new(Peer=>\"{}\")'",
                socket.display()
            ),
        ),
        ("any socket", "perl -MSocket -e 'exit !socket(my $s, AF_INET, SOCK_DGRAM, 0)'".to_owned()),
        ("namespaces of its own", "unshare --user --mount true".to_owned()),
    ];
    let script: Vec<String> = attempts.iter().map(|(_, attempt)| tried(attempt)).collect();
    let said = bed.run(&script.join("\n"), true);
    for ((what, attempt), said) in attempts.iter().zip(said.lines()) {
        assert_eq!(said, "closed", "{what}: {attempt}");
    }
    assert_eq!(said.lines().count(), attempts.len());
    // The same can be done by who is not confined, or this test would show nothing.
    for (what, attempt) in attempts.iter().filter(|(what, _)| {
        ["a service account's token", "a mirror", "who there is", "a file outside", "any socket"]
            .contains(what)
    }) {
        assert_eq!(bed.run(&tried(attempt), false), "open", "{what}: {attempt}");
    }
}

#[test]
fn nothing_of_the_agents_environment_is_handed_on() {
    let bed = bed();
    let said = bed.run("env", true);
    let names: Vec<&str> = said.lines().filter_map(|line| line.split('=').next()).collect();
    for name in
        ["PATH", "AWS_SECRET_ACCESS_KEY", "KUBERNETES_SERVICE_HOST", "CARGO_MANIFEST_DIR", "FAIRLEAD_HELM"]
    {
        assert!(!names.contains(&name) || name == "PATH" && !said.contains("cargo"), "{said}");
    }
    assert!(
        names.contains(&"HELM_PLUGINS") && said.contains(&format!("HOME={}", bed.scratch.display())),
        "{said}"
    );
}

#[test]
fn what_it_needs_for_its_work_is_there() {
    let bed = bed();
    fs::write(bed.scratch.join("values.yaml"), "a: 1\n").expect("a file");
    let said = bed.run(
        "cat values.yaml; echo b > home/cache; cat home/cache; mkdir home/d; rm home/cache; head -c 4 /dev/urandom >/dev/null && echo random; echo gone > /dev/null && echo null",
        true,
    );
    assert_eq!(said, "a: 1\nb\nrandom\nnull");
}

/// Nobody but the one who gave them their program and their folder is in the way of two runs.
#[test]
fn a_signal_reaches_nobody_outside() {
    let bed = bed();
    let mut other = std::process::Command::new("sleep").arg("30").spawn().expect("a process");
    let said = bed.run(&tried(&format!("kill -0 {}", other.id())), true);
    let unconfined = bed.run(&tried(&format!("kill -0 {}", other.id())), false);
    other.kill().and_then(|()| other.wait()).expect("it is ours");
    // A user namespace of its own has no right to it either, where one can be had.
    assert_eq!(said, "closed", "and {unconfined} without");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let bed = bed();
    let gone = Path::new("/nowhere/helm");
    let run = Run {
        program: gone,
        folder: &bed.scratch,
        far_away: false,
        bounds: &Bounds::default(),
        stop: &Stop::default(),
    };
    assert!(matches!(run.run(&[], Instant::now()), Ended::NotStarted(_)));
}
