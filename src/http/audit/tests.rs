use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tempfile::TempDir;

use super::*;

const TOKEN: &str = "a-token-of-some-length";

/// An authority, a server's certificate and a client's, and one that another authority signed.
struct Keys(TempDir);

impl Keys {
    fn make() -> Self {
        let keys = Self(TempDir::new().unwrap());
        for authority in ["ca", "other-ca"] {
            let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj";
            keys.openssl(&format!("{new} /CN={authority} -keyout {authority}.key -out {authority}.crt"));
        }
        keys.sign("server", "ca", "subjectAltName=IP:127.0.0.1");
        keys.sign("client", "ca", "extendedKeyUsage=clientAuth");
        keys.sign("stranger", "other-ca", "extendedKeyUsage=clientAuth");
        std::fs::write(keys.path("token"), format!("{TOKEN}\n")).unwrap();
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let done = Command::new("openssl").current_dir(self.0.path()).args(arguments.split(' ')).output();
        let done = done.expect("openssl is installed");
        assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn sign(&self, name: &str, authority: &str, extension: &str) {
        std::fs::write(self.path("extension"), extension).unwrap();
        let new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj";
        self.openssl(&format!("{new} /CN={name} -keyout {name}.key -out {name}.csr"));
        let sign = "x509 -req -days 2 -CAcreateserial -extfile extension";
        self.openssl(&format!(
            "{sign} -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -out {name}.crt"
        ));
    }

    fn config(&self, has_ca: bool, has_token: bool) -> AuditConfig {
        AuditConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            certificate: self.path("server.crt"),
            key: self.path("server.key"),
            client_ca: has_ca.then(|| self.path("ca.crt")),
            token: has_token.then(|| self.path("token")),
        }
    }

    /// Sends a request over TLS, with this certificate; answers the status, and nothing where the server hung up.
    fn send(&self, to: SocketAddr, certificate: Option<&str>, request: &[u8]) -> Option<u16> {
        let mut roots = RootCertStore::empty();
        roots.add(certificates(&self.path("ca.crt")).unwrap().remove(0)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = certificates(&self.path(&format!("{name}.crt"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect(to).unwrap());
        stream.sock.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // Where the server refuses before all is sent, its answer is there all the same.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            answer.extend(&buffer[..count]);
            if answer.windows(4).any(|four| four == b"\r\n\r\n") {
                break;
            }
        }
        String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
    }
}

/// A port that takes `good` and nothing else, and what it took.
async fn serve(config: AuditConfig) -> (SocketAddr, Arc<AuditPort>, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let take: Take = Box::new({
        let taken = taken.clone();
        move |body| match body {
            b"good" => {
                taken.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            _ => Err("this is no list".to_owned()),
        }
    });
    let listener = TcpListener::bind(config.listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = Arc::new(AuditPort::new(config, take).unwrap());
    tokio::spawn(serve_audit(listener, port.clone(), CancellationToken::new()));
    (address, port, taken)
}

fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{token}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

type Case = (&'static str, Option<&'static str>, Option<&'static str>, Option<u16>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sends_lists_who_cannot_show_who_they_are() {
    let keys = Arc::new(Keys::make());
    let table: &[(bool, bool, &[Case])] = &[
        (
            false,
            true,
            &[
                ("the token", None, Some(TOKEN), Some(200)),
                ("no token", None, None, Some(401)),
                ("another token", None, Some("a-token-of-some-lengtH"), Some(401)),
                ("the beginning of it", None, Some("a-token-of-some"), Some(401)),
                ("more than it", None, Some("a-token-of-some-length-and-more"), Some(401)),
                ("a certificate that nobody asked for", Some("client"), None, Some(401)),
            ],
        ),
        (
            true,
            false,
            &[
                ("a certificate", Some("client"), None, Some(200)),
                ("no certificate", None, None, None),
                ("a token that is none", None, Some(TOKEN), None),
                ("a certificate of another authority", Some("stranger"), None, None),
            ],
        ),
        (
            true,
            true,
            &[
                ("a certificate", Some("client"), None, Some(200)),
                ("the token", None, Some(TOKEN), Some(200)),
                ("neither", None, None, Some(401)),
                ("a certificate of another authority", Some("stranger"), Some(TOKEN), None),
            ],
        ),
    ];
    for (has_ca, has_token, cases) in table {
        let (address, port, taken) = serve(keys.config(*has_ca, *has_token)).await;
        for (what, certificate, token, expected) in *cases {
            let (keys, before) = (keys.clone(), taken.load(Ordering::Relaxed));
            let sent = tokio::task::spawn_blocking(move || {
                keys.send(address, *certificate, &request("POST", "/audit", *token, "good"))
            });
            assert_eq!(sent.await.unwrap(), *expected, "{what} (CA {has_ca}, token {has_token})");
            let is_taken = taken.load(Ordering::Relaxed) > before;
            assert_eq!(is_taken, *expected == Some(200), "{what}");
        }
        assert!(port.refused() > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_list_is_refused_and_the_next_is_taken() {
    let keys = Arc::new(Keys::make());
    let (address, _port, taken) = serve(keys.config(false, true)).await;
    let announced = format!(
        "POST /audit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        LARGEST + 1
    );
    let chunks = {
        let head = format!(
            "POST /audit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
        head + &chunk.repeat(9) + "0\r\n\r\n"
    };
    for (what, request, expected) in [
        ("another body", request("POST", "/audit", Some(TOKEN), "bad"), Some(400)),
        ("an empty body", request("POST", "/audit", Some(TOKEN), ""), Some(400)),
        ("a body that is too large", announced.into_bytes(), Some(413)),
        ("a body that grows too large", chunks.into_bytes(), Some(413)),
        ("another method", request("GET", "/audit", Some(TOKEN), ""), Some(405)),
        ("another path", request("POST", "/metrics", Some(TOKEN), "good"), Some(404)),
        ("no HTTP", b"\x00\x01\x02\r\n\r\n".to_vec(), Some(400)),
        ("a list", request("POST", "/", Some(TOKEN), "good"), Some(200)),
    ] {
        let keys = keys.clone();
        let sent = tokio::task::spawn_blocking(move || keys.send(address, None, &request));
        assert_eq!(sent.await.unwrap(), expected, "{what}");
    }
    assert_eq!(taken.load(Ordering::Relaxed), 1);
    // What does not even speak TLS costs nothing but its connection.
    let plain = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&request("POST", "/audit", Some(TOKEN), "good")).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).contains("200")
    });
    assert!(!plain.await.unwrap());
    assert_eq!(taken.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_and_a_certificate_are_read_anew_when_they_change() {
    let keys = Arc::new(Keys::make());
    let (address, _port, _) = serve(keys.config(false, true)).await;
    let send = |token: &'static str| {
        let keys = keys.clone();
        tokio::task::spawn_blocking(move || {
            keys.send(address, None, &request("POST", "/", Some(token), "good"))
        })
    };
    std::fs::write(keys.path("token"), "another-token-of-some-length").unwrap();
    assert_eq!(send(TOKEN).await.unwrap(), Some(401));
    assert_eq!(send("another-token-of-some-length").await.unwrap(), Some(200));
    // What cannot be read, as in the middle of a change, leaves what was.
    std::fs::write(keys.path("server.crt"), "nothing").unwrap();
    assert_eq!(send("another-token-of-some-length").await.unwrap(), Some(200));
    keys.sign("server", "other-ca", "subjectAltName=IP:127.0.0.1");
    assert_eq!(send("another-token-of-some-length").await.unwrap(), None, "it shows the new one");
}

#[test]
fn what_is_wrong_with_a_file_is_said_at_the_start() {
    let keys = Keys::make();
    let said = |config| match AuditPort::new(config, Box::new(|_| Ok(()))) {
        Ok(_) => "it is served".to_owned(),
        Err(error) => error.to_string(),
    };
    let mut config = keys.config(true, true);
    config.certificate = keys.path("none.crt");
    assert!(said(config).contains("none.crt"));
    let mut config = keys.config(true, true);
    config.client_ca = Some(keys.path("token"));
    assert!(said(config).contains("it holds no certificate"));
    let mut config = keys.config(true, true);
    config.key = keys.path("client.key");
    assert!(said(config).contains("cannot be used"));
    std::fs::write(keys.path("token"), "short\n").unwrap();
    assert!(said(keys.config(false, true)).contains("no token of at least 16"));
}
