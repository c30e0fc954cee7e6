//! Remotes over http and https: tokens, redirects, certificates, servers that cut, hang or refuse.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead::git::{Credentials, GitError, Limits, News, Remote};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::bed::*;
use crate::web::{Manners, Web};

fn token(token: &str) -> Credentials {
    Credentials::Token { username: "bot".to_owned(), token: token.to_owned() }
}

fn wants(login: &str) -> Manners {
    Manners { login: Some(login.to_owned()), ..Manners::default() }
}

#[test]
fn a_commit_is_fetched_without_history_and_read() {
    let (origin, first) = Origin::with_one_commit();
    origin.write("base/web.yaml", "kind: Deployment\n");
    let second = origin.push("main");
    let web = Web::start(origin.folder.path(), Manners::default());
    let cache = Cache::new();
    let mirror = cache.mirror(&web.url());
    assert_eq!(revision(&mirror, "main"), second);
    assert_eq!(read(&mirror.tree(&second).unwrap(), "base/web.yaml"), "kind: Deployment\n");
    assert!(matches!(mirror.tree(&first), Err(GitError::RevisionGone { .. })), "history came too");
}

#[test]
fn a_commit_of_long_ago_is_read_and_one_of_another_branch_is_not() {
    let (origin, first) = Origin::with_one_commit();
    for n in 1..4 {
        origin.write("base/web.yaml", &format!("kind: Deployment # {n}\n"));
        origin.push("main");
    }
    origin.write("base/web.yaml", "kind: Elsewhere\n");
    let elsewhere = origin.push("other");
    let web = Web::start(origin.folder.path(), Manners::default());
    let (cache, deadline) = (Cache::new(), Instant::now() + Duration::from_secs(30));
    for url in [web.url(), origin.url()] {
        let mirror = cache.mirror(&url);
        revision(&mirror, "main");
        let past = mirror.past("main", &first.as_str()[..8], deadline).unwrap();
        assert_eq!((&past.revision, past.info.author.as_str()), (&first, "Ada"));
        assert_eq!(read(&past.tree, "base/web.yaml"), "kind: Service\n");
        assert!(matches!(mirror.tree(&first), Err(GitError::RevisionGone { .. })), "the cache stays small");
        drop(past);
        for unknown in [elsewhere.as_str(), "0123456789", "HEAD", "main", ""] {
            let error = mirror.past("main", unknown, deadline).err().expect("it is refused");
            assert!(matches!(error, GitError::NotInBranch { .. }), "{unknown}: {}", chain(&error));
        }
        let error = mirror.past("gone", first.as_str(), deadline).err().expect("it is refused");
        assert!(matches!(error, GitError::BranchGone { .. }), "{}", chain(&error));
    }
    assert_eq!(cache.generations().len(), 2, "what was fetched for it is gone");
}

#[test]
fn a_poll_without_news_is_one_request() {
    let (origin, _) = Origin::with_one_commit();
    let web = Web::start(origin.folder.path(), Manners::default());
    let cache = Cache::new();
    let mirror = cache.mirror(&web.url());
    revision(&mirror, "main");
    web.reset();
    assert_eq!(fetch(&mirror, "main").unwrap().news, News::Unchanged);
    assert_eq!(web.requests().len(), 1, "{:?}", web.requests());
    origin.write("x", "1");
    let pushed = origin.push("main");
    assert_eq!(revision(&mirror, "main"), pushed);
    assert_eq!(read(&mirror.tree(&pushed).unwrap(), "base/web.yaml"), "kind: Service\n");
}

#[test]
fn a_token_is_sent_when_the_server_asks_and_only_then() {
    let (origin, first) = Origin::with_one_commit();
    let open = Web::start(origin.folder.path(), Manners::default());
    let closed = Web::start(origin.folder.path(), wants("bot:t0ken"));
    let cache = Cache::new();
    assert_eq!(revision(&cache.mirror_as(&open.url(), token("t0ken")), "main"), first);
    assert!(open.requests().iter().all(|request| request.authorization.is_none()));
    assert_eq!(revision(&cache.mirror_as(&closed.url(), token("t0ken")), "main"), first);
    let in_the_url = closed.url().replace("http://", "http://bot:t0ken@");
    assert_eq!(revision(&cache.mirror(&in_the_url), "main"), first);
}

#[test]
fn refused_credentials_are_offered_once_and_never_shown() {
    let (origin, _) = Origin::with_one_commit();
    let web = Web::start(origin.folder.path(), wants("bot:right"));
    let cache = Cache::new();
    let error = fetch(&cache.mirror_as(&web.url(), token("wr0ng")), "main").unwrap_err();
    assert!(matches!(error, GitError::Auth { .. }), "{}", chain(&error));
    assert!(!chain(&error).contains("wr0ng"));
    assert_eq!(web.requests().iter().filter(|request| request.authorization.is_some()).count(), 1);
    let error = fetch(&cache.mirror(&web.url()), "main").unwrap_err();
    assert!(chain(&error).contains("none are given"), "{}", chain(&error));
    let ssh = Credentials::Ssh { private_key: "k".into(), passphrase: None, known_hosts: String::new() };
    let error = fetch(&cache.mirror_as(&web.url(), ssh), "main").unwrap_err();
    assert!(matches!(error, GitError::Auth { .. }), "{}", chain(&error));
}

#[test]
fn other_credentials_do_not_read_what_these_fetched() {
    let (origin, first) = Origin::with_one_commit();
    let web = Web::start(origin.folder.path(), wants("bot:right"));
    let cache = Cache::new();
    let good = cache.mirror_as(&web.url(), token("right"));
    assert_eq!(revision(&good, "main"), first);
    let bad = cache.mirror_as(&web.url(), token("wrong"));
    assert!(matches!(fetch(&bad, "main"), Err(GitError::Auth { .. })));
    assert!(matches!(bad.tree(&first), Err(GitError::RevisionGone { .. })));
}

#[test]
fn a_redirect_on_the_same_host_is_followed() {
    let (origin, first) = Origin::with_one_commit();
    std::fs::rename(origin.bare(), origin.folder.path().join("renamed.git")).unwrap();
    let renamed = Some("renamed.git");
    let web = Web::start(origin.folder.path(), Manners { renamed, ..wants("bot:t0ken") });
    let cache = Cache::new();
    assert_eq!(revision(&cache.mirror_as(&web.url(), token("t0ken")), "main"), first);
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host() {
    let (origin, _) = Origin::with_one_commit();
    for after_login in [false, true] {
        let thief = Web::start(origin.folder.path(), wants("bot:t0ken"));
        let elsewhere = format!("http://localhost:{}", thief.port());
        let web = Web::start(
            origin.folder.path(),
            Manners { redirect: Some(elsewhere), redirect_after_login: after_login, ..wants("bot:t0ken") },
        );
        let cache = Cache::new();
        let error = fetch(&cache.mirror_as(&web.url(), token("t0ken")), "main").unwrap_err();
        assert!(matches!(error, GitError::Redirected { .. }), "{}", chain(&error));
        assert!(thief.requests().is_empty(), "{:?}", thief.requests());
    }
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_port() {
    let (origin, _) = Origin::with_one_commit();
    for after_login in [false, true] {
        let thief = Web::start(origin.folder.path(), wants("bot:t0ken"));
        let elsewhere = format!("http://127.0.0.1:{}", thief.port());
        let web = Web::start(
            origin.folder.path(),
            Manners { redirect: Some(elsewhere), redirect_after_login: after_login, ..wants("bot:t0ken") },
        );
        let cache = Cache::new();
        let error = fetch(&cache.mirror_as(&web.url(), token("t0ken")), "main").unwrap_err();
        assert!(matches!(error, GitError::Redirected { .. }), "{}", chain(&error));
        assert!(
            thief.requests().iter().all(|request| request.authorization.is_none()),
            "{:?}",
            thief.requests()
        );
    }
}

#[test]
fn what_a_server_answers_is_named() {
    let (origin, _) = Origin::with_one_commit();
    let web = Web::start(origin.folder.path(), Manners::default());
    let cache = Cache::new();
    let mirror = cache.mirror(&web.url());
    for (status, reason) in [
        ("403 Forbidden", "AuthFailed"),
        ("404 Not Found", "NoRepository"),
        ("503 Service Unavailable", "Unreachable"),
        ("429 Too Many Requests", "Unreachable"),
        ("200 OK", "Unreachable"),
    ] {
        web.change(|manners| manners.status = Some(status));
        let error = fetch(&mirror, "main").unwrap_err();
        assert_eq!(error.reason(), reason, "{status}: {}", chain(&error));
    }
    web.change(|manners| manners.status = None);
    fetch(&mirror, "main").unwrap();
}

#[test]
fn a_pack_that_is_cut_short_changes_nothing() {
    let (origin, first) = Origin::with_one_commit();
    let web = Web::start(origin.folder.path(), Manners::default());
    let cache = Cache::new();
    let mirror = cache.mirror(&web.url());
    revision(&mirror, "main");
    let noise: String = (0..20_000).map(|_| fastrand::alphanumeric()).collect();
    origin.write("noise", &noise);
    let second = origin.push("main");
    for cut in [0, 1, 10, 100, 5_000] {
        web.change(|manners| manners.cut = Some(cut));
        let error = fetch(&mirror, "main").unwrap_err();
        assert!(matches!(error, GitError::Transfer { .. }), "cut after {cut}: {}", chain(&error));
        assert_eq!(read(&mirror.tree(&first).unwrap(), "base/web.yaml"), "kind: Service\n");
    }
    web.change(|manners| manners.cut = None);
    assert_eq!(revision(&mirror, "main"), second);
    assert_eq!(read(&mirror.tree(&second).unwrap(), "noise"), noise);
    assert_eq!(cache.generations().len(), 1, "attempts that failed left nothing behind");
}

#[test]
fn a_silent_server_costs_the_deadline_and_no_more() {
    let (origin, first) = Origin::with_one_commit();
    let silence = Some(Duration::from_secs(3));
    let web = Web::start(origin.folder.path(), Manners { silence, ..Manners::default() });
    let cache = Cache::new();
    let mirror = cache.mirror(&web.url());
    let start = Instant::now();
    let error = mirror.fetch(&["main"], start + Duration::from_millis(300)).unwrap_err();
    assert!(matches!(error, GitError::Timeout { .. }), "{}", chain(&error));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    web.change(|manners| manners.silence = None);
    assert_eq!(revision(&mirror, "main"), first, "the next one waits for the slow one to end, and works");
}

#[test]
fn a_fetch_that_hangs_is_left_to_itself_and_another_takes_its_place() {
    let (origin, first) = Origin::with_one_commit();
    let silence = Some(Duration::from_secs(5));
    let web = Web::start(origin.folder.path(), Manners { silence, ..Manners::default() });
    let cache = Cache::with(Limits { overrun: Duration::from_millis(100), ..Limits::default() });
    let mirror = cache.mirror(&web.url());
    let start = Instant::now();
    assert!(mirror.fetch(&["main"], start + Duration::from_millis(100)).is_err());
    std::thread::sleep(Duration::from_millis(150));
    web.change(|manners| manners.silence = None);
    assert_eq!(revision(&mirror, "main"), first);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    std::thread::sleep(Duration::from_secs(6).saturating_sub(start.elapsed()));
    assert_eq!(fetch(&mirror, "main").unwrap().news, News::Unchanged, "the late one changed nothing");
    assert_eq!(cache.generations().len(), 1);
}

#[test]
fn a_fetch_over_the_limit_is_ended_and_the_next_small_one_is_not() {
    let (origin, first) = Origin::with_one_commit();
    let noise: String = (0..2_000_000).map(|_| fastrand::alphanumeric()).collect();
    origin.write("noise", &noise);
    origin.push("main");
    let web = Web::start(origin.folder.path(), Manners::default());
    for url in [web.url(), origin.url()] {
        let cache = Cache::with(Limits { fetch_bytes: 100_000, ..Limits::default() });
        let error = fetch(&cache.mirror(&url), "main").unwrap_err();
        assert!(matches!(error, GitError::TooLarge { .. }), "{}", chain(&error));
        assert!(cache.generations().is_empty());
    }
    // What was fetched before stays readable, and what is small enough again is fetched.
    for url in [web.url(), origin.url()] {
        git(&origin.work(), &["reset", "--quiet", "--hard", first.as_str()]);
        git(&origin.work(), &["push", "--quiet", "--force", "origin", "HEAD:main"]);
        let cache = Cache::with(Limits { fetch_bytes: 100_000, ..Limits::default() });
        let mirror = cache.mirror(&url);
        assert_eq!(revision(&mirror, "main"), first);
        origin.write("noise", &noise);
        origin.push("main");
        let error = fetch(&mirror, "main").unwrap_err();
        assert!(matches!(error, GitError::TooLarge { .. }), "{}", chain(&error));
        assert_eq!(read(&mirror.tree(&first).unwrap(), "base/web.yaml"), "kind: Service\n");
        git(&origin.work(), &["reset", "--quiet", "--hard", first.as_str()]);
        origin.write("small", "1");
        let small = origin.push("main");
        assert_eq!(revision(&mirror, "main"), small);
    }
}

#[test]
fn requests_that_come_while_a_fetch_runs_share_the_next_one() {
    let (origin, _) = Origin::with_one_commit();
    for n in 0..20 {
        origin.push(&format!("env{n}"));
    }
    let silence = Some(Duration::from_millis(300));
    let web = Web::start(origin.folder.path(), Manners { silence, ..Manners::default() });
    let cache = Cache::new();
    let mirror = cache.mirror(&web.url());
    std::thread::scope(|scope| {
        for n in 0..20 {
            let mirror = mirror.clone();
            scope.spawn(move || revision(&mirror, &format!("env{n}")));
        }
    });
    let looks = web.requests().iter().filter(|request| request.line.starts_with("GET")).count();
    assert!(looks <= 3, "{looks} looks at the remote for 20 environments");
}

/// A CA, and a certificate of 127.0.0.1 that it signed.
struct Tls {
    folder: tempfile::TempDir,
}

impl Tls {
    fn new() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        let steps = [
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 9 -subj /CN=ca",
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out leaf.csr -subj /CN=git",
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out leaf.pem -days 9 -extfile ext",
        ];
        for step in steps {
            let output = Command::new("openssl").current_dir(&folder).args(step.split(' ')).output();
            let output = output.expect("openssl is installed");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Self { folder }
    }

    fn server(&self) -> Arc<rustls::ServerConfig> {
        let chain = vec![CertificateDer::from_pem_file(self.folder.path().join("leaf.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.folder.path().join("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Arc::new(config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap())
    }

    fn ca(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("ca.pem")).unwrap()
    }
}

#[test]
fn a_certificate_is_trusted_by_the_remotes_own_ca_only() {
    let (origin, first) = Origin::with_one_commit();
    let (tls, other) = (Tls::new(), Tls::new());
    let web = Web::start(origin.folder.path(), Manners { tls: Some(tls.server()), ..Manners::default() });
    let cache = Cache::new();
    let remote = Remote::new(&web.url(), Credentials::None).unwrap();
    let trusting = cache.remotes.get(&remote.clone().ca(tls.ca())).unwrap();
    assert_eq!(revision(&trusting, "main"), first);
    for remote in [remote.clone(), remote.clone().ca(other.ca()), remote.ca("rubbish")] {
        let error = fetch(&cache.remotes.get(&remote).unwrap(), "main").unwrap_err();
        assert!(matches!(error, GitError::Certificate { .. }), "{}", chain(&error));
    }
}

/// An object as it stands in a pack.
fn entry(kind: u8, before: &[u8], content: &[u8]) -> Vec<u8> {
    let mut size = content.len();
    let mut bytes = vec![kind << 4 | (size & 15) as u8];
    size >>= 4;
    while size > 0 {
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push((size & 0x7f) as u8);
        size >>= 7;
    }
    bytes.extend(before);
    let mut encoder = flate2::write::ZlibEncoder::new(bytes, flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_small_pack_that_stands_for_gigabytes_is_refused_before_it_is_taken_apart() {
    let (origin, _) = Origin::with_one_commit();
    // 65,536 bytes, and 65,536 copies of them: 4 GiB. Sizes stand in pieces of seven bits.
    let base = entry(3, &[], &[0; 65_536]);
    let bomb = [b"\x80\x80\x04\x80\x80\x80\x80\x10".to_vec(), [0xc0, 0x01].repeat(65_536)].concat();
    assert!(base.len() < 128, "how far away it begins is one byte");
    let away = [base.len() as u8];
    let pack = [b"PACK\0\0\0\x02\0\0\0\x02".to_vec(), base, entry(6, &away, &bomb), vec![0; 20]].concat();
    assert!(pack.len() < 4096);
    let web = Web::start(origin.folder.path(), Manners { pack: Some(pack), ..Manners::default() });
    let cache = Cache::new();
    let mirror = cache.mirror(&web.url());
    let error = fetch(&mirror, "main").unwrap_err();
    assert!(matches!(error, GitError::BadPack { .. }), "{}", chain(&error));
    let told = "it sends an object of 4294967296 bytes, and the limit is 104857600";
    assert!(chain(&error).contains(told), "{}", chain(&error));
    web.change(|manners| manners.pack = None);
    origin.write("base/web.yaml", "kind: Deployment\n");
    let next = origin.push("main");
    assert_eq!(revision(&mirror, "main"), next, "what is sent next is taken");
}
