//! Signatures of commits and tags. Git is the judge: what `git verify-commit` refuses is refused, and what it takes is taken.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fairlead::git::{GitError, SignedBy, Signers};
use fairlead::object::Revision;
use tempfile::TempDir;

use crate::bed::*;
use crate::web::{Manners, Web};

/// Keys, and a remote whose commits they sign.
struct Desk {
    origin: Origin,
    keys: TempDir,
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("it is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Desk {
    fn new() -> Self {
        Self { origin: Origin::with_one_commit().0, keys: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.keys.path().join(name)
    }

    fn ssh_key(&self, name: &str, kind: &str, bits: &str) -> String {
        let file = self.path(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", "", "-C", "a key", "-t", kind, "-f"]).arg(&file);
        if !bits.is_empty() {
            command.args(["-b", bits]);
        }
        run(&mut command);
        let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
        public.trim().to_owned()
    }

    /// Makes a commit that a key signs, and gives its id.
    fn ssh_commit(&self, key: &str) -> Revision {
        let key = format!("user.signingkey={}", self.path(key).display());
        let work = self.origin.work();
        git(
            &work,
            &["-c", "gpg.format=ssh", "-c", &key, "commit", "-q", "-S", "--allow-empty", "-m", "Signed"],
        );
        self.push()
    }

    fn push(&self) -> Revision {
        git(&self.origin.work(), &["push", "--quiet", "--force", "origin", "HEAD:refs/heads/main"]);
        self.origin.head()
    }

    /// What git says of the newest commit.
    fn git_takes(&self, allowed: &str) -> bool {
        std::fs::write(self.path("allowed_signers"), allowed).unwrap();
        let file = format!("gpg.ssh.allowedSignersFile={}", self.path("allowed_signers").display());
        let mut command = git_command(&self.origin.work());
        command.args(["-c", &file, "verify-commit", "HEAD"]).stderr(Stdio::null()).stdout(Stdio::null());
        command.status().unwrap().success()
    }

    /// Puts a changed copy of the newest commit in its place.
    fn forge(&self, change: impl Fn(&str) -> String) -> Revision {
        let work = self.origin.work();
        let commit = git(&work, &["cat-file", "commit", "HEAD"]);
        std::fs::write(self.path("forged"), change(&commit) + "\n").unwrap();
        let file = self.path("forged").display().to_string();
        let id = git(&work, &["hash-object", "-t", "commit", "-w", &file]);
        git(&work, &["update-ref", "HEAD", &id]);
        self.push()
    }
}

fn signers(text: &str) -> Signers {
    let mut signers = Signers::default();
    signers.add(text).unwrap();
    signers
}

/// Who signed the newest commit, by our own word.
fn judged(
    cache: &Cache,
    url: &str,
    wanted: &Revision,
    by: SignedBy,
    signers: &Signers,
) -> Result<String, String> {
    let mirror = cache.mirror(url);
    assert_eq!(revision(&mirror, "main"), *wanted);
    match mirror.signer(wanted, by, signers, soon()) {
        Ok(signer) => Ok(signer.to_string()),
        Err(error @ GitError::NotSigned { .. }) => Err(error.to_string()),
        Err(error) => panic!("{}", chain(&error)),
    }
}

#[test]
fn ssh_signatures_are_judged_as_git_judges_them() {
    let (desk, cache) = (Desk::new(), Cache::new());
    let ada = desk.ssh_key("ada", "ed25519", "");
    let others: Vec<(&str, String)> = [
        ("p256", "ecdsa", "256"),
        ("p384", "ecdsa", "384"),
        ("p521", "ecdsa", "521"),
        ("rsa", "rsa", "2048"),
    ]
    .into_iter()
    .map(|(name, kind, bits)| (name, desk.ssh_key(name, kind, bits)))
    .collect();
    let mut cases: Vec<(&str, String, bool)> = vec![
        ("ada", format!("ada@example.org {ada}"), true),
        ("ada", format!("# keys\n\n  \nada@example.org,\"ada lovelace\" {ada}\n"), true),
        ("ada", format!("\"ada lovelace\" {ada}"), true),
        ("ada", format!("* namespaces=\"git\" {ada}"), true),
        ("ada", format!("* namespaces=\"file,git\" {ada}"), true),
        ("ada", format!("* namespaces=\"file\" {ada}"), false),
        ("ada", format!("* valid-before=\"20200101\" {ada}"), false),
        ("ada", format!("* valid-after=\"20990101\" {ada}"), false),
        (
            "ada",
            format!("* valid-after=\"20200101Z\",valid-before=\"209901010000Z\",namespaces=\"git\" {ada}"),
            true,
        ),
        ("ada", format!("* VALID-AFTER=\"20200101120000\" {ada}"), true),
        // One line does not take it, another does.
        ("ada", format!("* valid-before=\"20200101\" {ada}\nada {ada}"), true),
        ("ada", format!("other {}", others[0].1), false),
        ("ada", String::new(), false),
    ];
    cases.extend(others.iter().map(|(name, key)| (*name, format!("* {key}"), true)));
    cases.extend(others.iter().map(|(name, _)| (*name, format!("* {ada}"), false)));
    let mut before = "";
    let mut commit = desk.origin.head();
    for (key, allowed, wanted) in &cases {
        if *key != before {
            (before, commit) = (*key, desk.ssh_commit(key));
        }
        let ours = judged(&cache, &desk.origin.url(), &commit, SignedBy::Commit, &signers(allowed));
        assert_eq!(desk.git_takes(allowed), *wanted, "git: {key}: {allowed}");
        assert_eq!(ours.is_ok(), *wanted, "{key}: {allowed}: {ours:?}");
        if !wanted && !allowed.is_empty() {
            assert!(ours.as_ref().unwrap_err().contains("SHA256:"), "the key is named: {ours:?}");
        }
    }
    // Another list names its key.
    let said = judged(&cache, &desk.origin.url(), &commit, SignedBy::Commit, &signers(&format!("* {ada}")))
        .unwrap_err();
    assert!(said.contains("none of the signers'"), "{said}");
}

#[test]
fn a_commit_that_is_not_what_was_signed_is_refused() {
    let (desk, cache) = (Desk::new(), Cache::new());
    let allowed = format!("* {}", desk.ssh_key("ada", "ed25519", ""));
    let refused = |commit: Revision, about: &str| {
        assert!(!desk.git_takes(&allowed), "git: {about}");
        let ours = judged(&cache, &desk.origin.url(), &commit, SignedBy::Commit, &signers(&allowed));
        let said = ours.expect_err(about);
        assert!(said.contains(about), "{said}");
    };
    refused(desk.origin.head(), "it is not signed");
    desk.ssh_commit("ada");
    refused(desk.forge(|commit| commit.replace("Signed", "Forged")), "does not fit");
    desk.ssh_commit("ada");
    refused(desk.forge(|commit| commit.replacen("author Ada", "author Eve", 1)), "does not fit");
    desk.ssh_commit("ada");
    refused(
        desk.forge(|commit| commit.replace("-----BEGIN SSH SIGNATURE-----", "-----BEGIN NOTHING-----")),
        "neither an SSH nor",
    );
    // Made for another purpose: a file that somebody had signed.
    desk.ssh_commit("ada");
    let body = git(&desk.origin.work(), &["cat-file", "commit", "HEAD"]);
    let (headers, message) = body.split_once("\n\n").unwrap();
    let kept: Vec<&str> = headers
        .lines()
        .scan(false, |inside, line| {
            *inside = line.starts_with("gpgsig ") || (*inside && line.starts_with(' '));
            Some((!*inside).then_some(line))
        })
        .flatten()
        .collect();
    let payload = format!("{}\n\n{message}\n", kept.join("\n"));
    std::fs::write(desk.path("payload"), &payload).unwrap();
    run(Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", "file", "-f"])
        .arg(desk.path("ada"))
        .arg(desk.path("payload")));
    let signature = std::fs::read_to_string(desk.path("payload.sig")).unwrap();
    let header = format!("gpgsig {}", signature.trim().replace('\n', "\n "));
    let forged = desk.forge(|_| format!("{}\n{header}\n\n{message}", kept.join("\n")));
    refused(forged, "does not fit");
}

#[test]
fn lists_that_cannot_be_read_name_the_line() {
    let desk = Desk::new();
    let key = desk.ssh_key("ada", "ed25519", "");
    for (text, says) in [
        (format!("* {key}\nada@example.org"), "line 2"),
        (format!("ada nonsense=1 {key}"), "no option"),
        (format!("ada cert-authority {key}"), "certificates"),
        (format!("ada valid-after=\"tomorrow\" {key}"), "is no time"),
        (format!("ada valid-after=\"20261332\" {key}"), "is no time"),
        ("ada ssh-ed25519 AAAA".to_owned(), "line 1"),
        ("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nnothing\n".to_owned(), "line 1"),
    ] {
        let error = Signers::default().add(&text).expect_err(&text);
        assert!(error.contains(says), "{text}: {error}");
    }
}

/// A home of gpg. Its agent ends with it.
struct Gpg(TempDir);

impl Gpg {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        Self(home)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]);
        command.env("GNUPGHOME", self.0.path());
        command
    }

    fn make(&self, name: &str, algorithm: &str, expires: &str, more: &[&str]) {
        run(self.command().args(more).args(["--quick-gen-key", name, algorithm, "sign", expires]));
    }

    fn export(&self, name: &str) -> String {
        run(self.command().args(["--armor", "--export", name]))
    }

    fn fingerprint(&self, name: &str) -> String {
        let listed = run(self.command().args(["--with-colons", "--list-keys", name]));
        let line = listed.lines().find(|line| line.starts_with("fpr:")).expect("it has one");
        line.split(':').nth(9).unwrap().to_owned()
    }

    /// Signs the newest commit of a desk anew.
    fn commit(&self, desk: &Desk, name: &str, program: Option<&Path>) -> Revision {
        let key = format!("user.signingkey={}!", self.signing_key(name));
        let mut command = git_command(&desk.origin.work());
        command.env("GNUPGHOME", self.0.path());
        if let Some(program) = program {
            command.args(["-c", &format!("gpg.program={}", program.display())]);
        }
        run(command.args(["-c", &key, "commit", "-q", "-S", "--allow-empty", "-m", "Signed"]));
        desk.push()
    }

    /// The newest key of a name that signs.
    fn signing_key(&self, name: &str) -> String {
        let listed = run(self.command().args(["--with-colons", "--list-secret-keys", name]));
        let mut found = None;
        let mut signs = false;
        for line in listed.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            match fields[0] {
                "sec" | "ssb" => signs = fields[11].contains('s'),
                "fpr" if signs => found = Some(fields[9].to_owned()),
                _ => {}
            }
        }
        found.expect("one signs")
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.0.path()).args(["--kill", "all"]).status();
    }
}

/// What git says of the newest commit where these keys are known and no others.
fn git_takes_by(desk: &Desk, keys: &str) -> bool {
    let verifier = Gpg::new();
    std::fs::write(desk.path("keys.asc"), keys).unwrap();
    run(verifier.command().arg("--import").arg(desk.path("keys.asc")));
    let mut command = git_command(&desk.origin.work());
    command.env("GNUPGHOME", verifier.0.path()).args(["verify-commit", "HEAD"]);
    command.stderr(Stdio::null()).stdout(Stdio::null()).status().unwrap().success()
}

/// A gpg for which it is another time.
fn gpg_at(desk: &Desk, time: &str) -> PathBuf {
    let file = desk.path(&format!("gpg-{time}"));
    script(&file, &format!("exec gpg --batch --faked-system-time {time}! \"$@\""));
    file
}

fn script(file: &Path, line: &str) {
    std::fs::write(file, format!("#!/bin/sh\n{line}\n")).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn openpgp_signatures_are_judged_as_git_judges_them() {
    let (desk, cache, gpg) = (Desk::new(), Cache::new(), Gpg::new());
    let check = |about: &str, commit: &Revision, keys: &str, wanted: bool| {
        let ours = judged(&cache, &desk.origin.url(), commit, SignedBy::Commit, &signers(keys));
        assert_eq!(git_takes_by(&desk, keys), wanted, "git: {about}");
        assert_eq!(ours.is_ok(), wanted, "{about}: {ours:?}");
        ours.unwrap_or_else(|why| why)
    };
    for (name, algorithm) in [("ada", "ed25519"), ("rsa", "rsa2048"), ("curve", "nistp256")] {
        gpg.make(name, algorithm, "never", &[]);
        let commit = gpg.commit(&desk, name, None);
        let said = check(algorithm, &commit, &gpg.export(name), true);
        assert!(said.contains(&gpg.fingerprint(name)) && said.contains(name), "{said}");
    }
    let (ada, rsa) = (gpg.export("ada"), gpg.export("rsa"));
    let commit = gpg.commit(&desk, "ada", None);
    let said = check("the key of somebody else", &commit, &rsa, false);
    assert!(said.contains(&gpg.fingerprint("ada")) && said.contains("none of the signers'"), "{said}");
    check("one of two in one text", &commit, &format!("{rsa}\n{ada}"), true);
    check("one of two in one block", &commit, &run(gpg.command().args(["--armor", "--export"])), true);

    // By a subkey that signs; then that is revoked.
    gpg.make("sub", "ed25519", "never", &[]);
    let primary = gpg.fingerprint("sub");
    run(gpg.command().args(["--quick-add-key", &primary, "ed25519", "sign", "never"]));
    let commit = gpg.commit(&desk, "sub", None);
    let with_subkey = gpg.export("sub");
    check("a subkey", &commit, &with_subkey, true);
    let mut edit = gpg.command();
    edit.args(["--command-fd", "0", "--no-tty", "--edit-key", &primary])
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = edit.stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"key 1\nrevkey\ny\n0\n\ny\nsave\n").unwrap();
    assert!(child.wait().unwrap().success());
    let revoked = gpg.export("sub");
    assert_ne!(revoked, with_subkey, "it is revoked");
    let said = check("a subkey that is revoked", &commit, &revoked, false);
    assert!(said.contains("revoked"), "{said}");

    // A key that is revoked altogether.
    let commit = gpg.commit(&desk, "rsa", None);
    check("before it is revoked", &commit, &rsa, true);
    let file = gpg.0.path().join("openpgp-revocs.d").join(format!("{}.rev", gpg.fingerprint("rsa")));
    let certificate = std::fs::read_to_string(file).unwrap().replace(":-----BEGIN", "-----BEGIN");
    std::fs::write(desk.path("revocation"), certificate).unwrap();
    run(gpg.command().arg("--import").arg(desk.path("revocation")));
    let said = check("a key that is revoked", &commit, &gpg.export("rsa"), false);
    assert!(said.contains("revoked"), "{said}");

    // A key that has run out, and signed in its time.
    gpg.make("old", "ed25519", "20200201T000000", &["--faked-system-time", "20200101T000000!"]);
    let commit = gpg.commit(&desk, "old", Some(&gpg_at(&desk, "20200102T000000")));
    let said = check("a key that has run out", &commit, &gpg.export("old"), false);
    assert!(said.contains("run out"), "{said}");

    // Stricter than git: a hash that can be forged, and two signatures in one.
    let weak = desk.path("gpg-weak");
    script(&weak, "exec gpg --digest-algo SHA1 --allow-weak-digest-algos \"$@\"");
    let commit = gpg.commit(&desk, "ada", Some(&weak));
    let ours = judged(&cache, &desk.origin.url(), &commit, SignedBy::Commit, &signers(&ada));
    assert!(ours.as_ref().is_err_and(|said| said.contains("SHA1")), "{ours:?}");
    let twice = desk.path("gpg-twice");
    script(&twice, "exec gpg --local-user ada --local-user sub \"$@\"");
    let commit = gpg.commit(&desk, "ada", Some(&twice));
    let ours = judged(
        &cache,
        &desk.origin.url(),
        &commit,
        SignedBy::Commit,
        &signers(&format!("{ada}\n{with_subkey}")),
    );
    assert!(ours.as_ref().is_err_and(|said| said.contains("more than one")), "{ours:?}");

    let commit = gpg.commit(&desk, "ada", None);
    check("as it was signed", &commit, &ada, true);
    let forged = desk.forge(|commit| commit.replace("Signed", "Forged"));
    assert_ne!(forged, commit);
    let said = check("other than it was signed", &forged, &ada, false);
    assert!(said.contains("does not fit"), "{said}");
}

#[test]
fn a_commit_is_followed_once_a_signed_tag_points_at_it() {
    let desk = Desk::new();
    let allowed = signers(&format!("* {}", desk.ssh_key("ada", "ed25519", "")));
    let web = Web::start(desk.origin.folder.path(), Manners::default());
    let (work, key) = (desk.origin.work(), format!("user.signingkey={}", desk.path("ada").display()));
    let tag = |name: &str, signed: bool, at: &str| {
        let sign = if signed { "-s" } else { "-a" };
        git(&work, &["-c", "gpg.format=ssh", "-c", &key, "tag", sign, "-m", "A release", name, at]);
        git(&work, &["push", "--quiet", "origin", &format!("refs/tags/{name}")]);
    };
    for url in [desk.origin.url(), web.url()] {
        let cache = Cache::new();
        let head = desk.origin.push("main");
        let judge = |head: &Revision| judged(&cache, &url, head, SignedBy::Tag, &allowed);
        assert!(judge(&head).unwrap_err().contains("no signed tag"), "{url}");
        let n = head.short();
        git(&work, &["tag", &format!("light-{n}"), "HEAD"]);
        git(&work, &["push", "--quiet", "origin", &format!("refs/tags/light-{n}")]);
        tag(&format!("plain-{n}"), false, "HEAD");
        tag(&format!("older-{n}"), true, "HEAD~1");
        assert!(judge(&head).unwrap_err().contains("no signed tag"), "{url}");
        tag(&format!("v-{n}"), true, "HEAD");
        assert!(judge(&head).unwrap().contains("SHA256:"), "{url}");
        // The tag is of that commit, and of no newer one.
        let newer = desk.origin.push("main");
        assert!(judge(&newer).is_err(), "{url}");
    }
}

#[test]
fn a_branch_that_was_rewritten_does_not_go_on() {
    let (origin, first) = Origin::with_one_commit();
    let web = Web::start(origin.folder.path(), Manners::default());
    for url in [origin.url(), web.url()] {
        git(&origin.work(), &["reset", "--quiet", "--hard", first.as_str()]);
        origin.push("main");
        let (cache, start) = (Cache::new(), origin.head());
        let mirror = cache.mirror(&url);
        let goes_on = |newest: &Revision, before: &[&Revision]| {
            let before: Vec<Revision> = before.iter().map(|revision| (*revision).clone()).collect();
            assert_eq!(revision(&mirror, "main"), *newest);
            mirror.goes_on("main", newest, &before, soon())
        };
        assert_eq!(goes_on(&start, &[&start]), Ok(()));
        origin.push("main");
        let second = origin.push("main");
        assert_eq!(goes_on(&second, &[&start, &second]), Ok(()), "{url}");
        // Back to an older one is no way on, and neither is another commit in its place.
        git(&origin.work(), &["reset", "--quiet", "--hard", start.as_str()]);
        git(&origin.work(), &["push", "--quiet", "--force", "origin", "HEAD:refs/heads/main"]);
        let error = goes_on(&start, &[&second]).unwrap_err();
        assert!(matches!(&error, GitError::Rewritten { before, .. } if *before == second), "{url}: {error}");
        let other = origin.push("main");
        let error = goes_on(&other, &[&start, &second]).unwrap_err();
        assert!(matches!(&error, GitError::Rewritten { before, .. } if *before == second), "{url}: {error}");
        // Put back, it goes on.
        git(&origin.work(), &["reset", "--quiet", "--hard", second.as_str()]);
        let third = origin.push("main");
        assert_eq!(goes_on(&third, &[&second]), Ok(()), "{url}");
        assert_eq!(goes_on(&third, &[&start]), Ok(()), "{url}");
    }
}
