//! TLS: a private CA is trusted where it is given, and nobody else then.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;

use fairlead::forge::{Keys, Kind, Place, open};
use fairlead::pull_requests::Failure;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate for 127.0.0.1 that signs itself, and its key.
fn certificate() -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=forge -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    let ran = Command::new("openssl")
        .current_dir(folder.path())
        .args(arguments.split(' '))
        .output()
        .expect("openssl");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("it was made");
    (read("cert.pem"), read("key.pem"))
}

/// Answers who we are, for as long as the test runs.
fn serve(cert: &[u8], key: &[u8]) -> String {
    let certs = vec![CertificateDer::from_pem_slice(cert).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS");
    let config = Arc::new(config.with_no_client_auth().with_single_cert(certs, key).expect("a certificate"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(connection) = rustls::ServerConnection::new(config.clone()) else { continue };
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut asked = Vec::new();
            let mut piece = [0; 1024];
            while !asked.ends_with(b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(n) => asked.extend(&piece[..n]),
                }
            }
            let body = "{\"login\": \"fairlead\"}";
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    url
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_given() {
    let (cert, key) = certificate();
    let url = serve(&cert, &key);
    let place =
        |kind| Place { kind, url: Some(url.clone()), repository: "ada/infra".to_owned(), folder: None };
    for kind in [Kind::Github, Kind::Gitea] {
        let ask = async |ca: Option<&[u8]>| {
            let mut keys = Keys([("token".to_owned(), b"x".to_vec())].into());
            ca.map(|ca| keys.0.insert("ca.crt".to_owned(), ca.to_vec()));
            open(&place(kind), &keys, false).expect("a forge").author().await
        };
        assert_eq!(ask(Some(&cert)).await.as_deref(), Ok("fairlead"));
        assert!(matches!(ask(None).await, Err(Failure::Away(_))), "this machine does not know that CA");
        assert!(matches!(ask(Some(&certificate().0)).await, Err(Failure::Away(_))), "another CA");
    }
    let keys = Keys([("token".to_owned(), b"x".to_vec()), ("ca.crt".to_owned(), b"no PEM".to_vec())].into());
    assert!(open(&place(Kind::Github), &keys, false).is_err());
}
