//! Remotes over ssh: a real sshd on a free port, keys in memory, hosts by known_hosts only.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fairlead::git::{Credentials, GitError, Remote};
use tempfile::TempDir;

use crate::bed::*;

/// Stopped, by its id, when dropped.
struct Sshd {
    folder: TempDir,
    child: Child,
    port: u16,
}

impl Sshd {
    /// Starts a server with one host key of each kind.
    fn start(kinds: &[&str]) -> Self {
        let program = Path::new("/usr/sbin/sshd");
        assert!(program.exists(), "these tests need {}: install openssh-server", program.display());
        let folder = TempDir::new().unwrap();
        keygen(folder.path(), "user", "ed25519", "");
        keygen(folder.path(), "locked", "ed25519", "pass phrase");
        let mut config = String::from("StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n");
        for kind in kinds {
            keygen(folder.path(), kind, kind, "");
            config.push_str(&format!("HostKey {}/{kind}\n", folder.path().display()));
        }
        let keys =
            ["user.pub", "locked.pub"].map(|file| std::fs::read_to_string(folder.path().join(file)).unwrap());
        std::fs::write(folder.path().join("authorized"), keys.concat()).unwrap();
        config.push_str(&format!("AuthorizedKeysFile {}/authorized\n", folder.path().display()));
        std::fs::write(folder.path().join("config"), config).unwrap();
        // Debian's sshd wants this folder when root starts it; the service makes it at boot.
        let _ = std::fs::create_dir_all("/run/sshd");
        // The port is free when it is chosen, and taken a moment later; another try makes that certain enough.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut child = Command::new(program)
                .args(["-D", "-e", "-o", "ListenAddress=127.0.0.1", "-p", &port.to_string(), "-f"])
                .arg(folder.path().join("config"))
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(5) && child.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { folder, child, port };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("sshd did not start");
    }

    fn url(&self, origin: &Origin) -> String {
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        format!("ssh://{}@127.0.0.1:{}{}", user.trim(), self.port, origin.bare().display())
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// A line of known_hosts, with the key in a file of ours.
    fn line(&self, key: &str) -> String {
        format!("[127.0.0.1]:{} {}", self.port, self.file(&format!("{key}.pub")))
    }

    fn login(&self, known_hosts: String) -> Credentials {
        Credentials::Ssh { private_key: self.file("user"), passphrase: None, known_hosts }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keygen(folder: &Path, name: &str, kind: &str, passphrase: &str) {
    let output = Command::new("ssh-keygen")
        .current_dir(folder)
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", name])
        .output()
        .expect("ssh-keygen is installed with openssh-client");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_commit_is_fetched_with_a_key_from_a_host_that_is_known() {
    let (origin, first) = Origin::with_one_commit();
    let sshd = Sshd::start(&["ed25519"]);
    let cache = Cache::new();
    let mirror = cache.mirror_as(&sshd.url(&origin), sshd.login(sshd.line("ed25519")));
    assert_eq!(revision(&mirror, "main"), first);
    origin.write("x", "1");
    let second = origin.push("main");
    assert_eq!(revision(&mirror, "main"), second);
    assert_eq!(read(&mirror.tree(&second).unwrap(), "x"), "1");
}

#[test]
fn a_key_with_a_passphrase_opens_and_a_wrong_one_does_not() {
    let (origin, first) = Origin::with_one_commit();
    let sshd = Sshd::start(&["ed25519"]);
    let cache = Cache::new();
    let login = |passphrase: &str| Credentials::Ssh {
        private_key: sshd.file("locked"),
        passphrase: Some(passphrase.to_owned()),
        known_hosts: sshd.line("ed25519"),
    };
    assert_eq!(revision(&cache.mirror_as(&sshd.url(&origin), login("pass phrase")), "main"), first);
    let error = fetch(&cache.mirror_as(&sshd.url(&origin), login("wr0ng")), "main").unwrap_err();
    assert!(matches!(error, GitError::Auth { .. }), "{}", chain(&error));
    assert!(!chain(&error).contains("wr0ng"));
}

#[test]
fn a_host_that_is_not_known_is_refused() {
    let (origin, _) = Origin::with_one_commit();
    let sshd = Sshd::start(&["ed25519"]);
    let cache = Cache::new();
    let key = sshd.file("ed25519.pub");
    for known_hosts in [
        String::new(),
        format!("127.0.0.1 {key}"),
        format!("other.example {key}"),
        format!("@revoked {}", sshd.line("ed25519")),
    ] {
        let error = fetch(&cache.mirror_as(&sshd.url(&origin), sshd.login(known_hosts)), "main").unwrap_err();
        assert!(matches!(error, GitError::HostKey { .. }), "{}", chain(&error));
    }
    let error = fetch(&cache.mirror(&sshd.url(&origin)), "main").unwrap_err();
    assert!(matches!(error, GitError::HostKey { .. }), "{}", chain(&error));
}

#[test]
fn a_host_that_shows_another_key_is_refused() {
    let (origin, _) = Origin::with_one_commit();
    let sshd = Sshd::start(&["ed25519"]);
    let cache = Cache::new();
    // The user's key stands in for the host's: a key of the same kind, but not this host's.
    let error =
        fetch(&cache.mirror_as(&sshd.url(&origin), sshd.login(sshd.line("user"))), "main").unwrap_err();
    assert!(chain(&error).contains("another ssh-ed25519 key"), "{}", chain(&error));
}

#[test]
fn a_hashed_name_is_known() {
    let (origin, first) = Origin::with_one_commit();
    let sshd = Sshd::start(&["ed25519"]);
    let file = sshd.folder.path().join("known");
    std::fs::write(&file, sshd.line("ed25519")).unwrap();
    let hashed = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file).output().unwrap();
    assert!(hashed.status.success());
    let known_hosts = std::fs::read_to_string(&file).unwrap();
    assert!(known_hosts.starts_with("|1|"));
    assert_eq!(revision(&Cache::new().mirror_as(&sshd.url(&origin), sshd.login(known_hosts)), "main"), first);
}

#[test]
fn a_key_that_the_server_does_not_take_is_an_auth_error() {
    let (origin, _) = Origin::with_one_commit();
    let sshd = Sshd::start(&["ed25519"]);
    let cache = Cache::new();
    for private_key in [sshd.file("ed25519"), "rubbish".to_owned()] {
        let login = Credentials::Ssh { private_key, passphrase: None, known_hosts: sshd.line("ed25519") };
        let error = fetch(&cache.mirror_as(&sshd.url(&origin), login), "main").unwrap_err();
        assert!(matches!(error, GitError::Auth { .. }), "{}", chain(&error));
    }
    let token = Credentials::Token { username: "bot".to_owned(), token: "t0ken".to_owned() };
    let error = fetch(&cache.mirror_as(&sshd.url(&origin), token), "main").unwrap_err();
    assert!(matches!(error, GitError::HostKey { .. }), "{}", chain(&error));
}

#[test]
fn a_folder_that_is_no_repository_is_an_error() {
    let (origin, _) = Origin::with_one_commit();
    let sshd = Sshd::start(&["ed25519"]);
    let url = sshd.url(&origin).replace("infra.git", "none.git");
    let error = fetch(&Cache::new().mirror_as(&url, sshd.login(sshd.line("ed25519"))), "main").unwrap_err();
    assert!(matches!(error, GitError::Transfer { .. } | GitError::NoRepository { .. }), "{}", chain(&error));
}

/// Where libgit2 looks for the kinds of keys to ask for is set once for a process, so this test runs in its own.
#[test]
fn a_server_is_asked_for_the_kind_of_key_that_is_known() {
    const NAME: &str = "ssh::a_server_is_asked_for_the_kind_of_key_that_is_known";
    if std::env::var_os("FAIRLEAD_TEST_ALONE").is_none() {
        let own = std::env::current_exe().unwrap();
        let output = Command::new(own)
            .args([NAME, "--exact", "--nocapture"])
            .env("FAIRLEAD_TEST_ALONE", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let (origin, first) = Origin::with_one_commit();
    let sshd = Sshd::start(&["rsa", "ecdsa", "ed25519"]);
    let cache = Cache::new();
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let remote = Remote::new(&sshd.url(&origin), sshd.login(sshd.line(kind))).unwrap();
        let fetched = fetch(&cache.remotes.get(&remote).unwrap(), "main");
        assert_eq!(
            fetched.unwrap_or_else(|error| panic!("{kind}: {}", chain(&error))).revisions["main"],
            first
        );
    }
}
