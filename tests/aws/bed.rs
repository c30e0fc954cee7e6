//! Starts moto once for all tests, and makes for each a proxy of its own in front of it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fairlead::aws::{Aws, Options, Patience};
use fairlead::object::secret::{Reference, SecretId};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::judge::Models;
use crate::proxy::Proxy;

pub const REGION: &str = "eu-west-1";

pub struct Moto {
    pub port: u16,
    /// The same with TLS, and the certificate to trust for it.
    pub tls_url: String,
    pub certificate: String,
    pub models: Arc<Models>,
    /// Ends when its standard input does, and so with this process.
    _child: Child,
}

static MOTO: OnceCell<Moto> = OnceCell::const_new();

/// The one moto of this process. Fails where it cannot be had: a test that skips itself proves nothing.
pub async fn moto() -> &'static Moto {
    MOTO.get_or_init(|| async {
        // What the SDK reads of the process environment. Every test begins here, before it has made anything that reads it.
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", "AKIAFAIRLEADTESTS"),
            ("AWS_SECRET_ACCESS_KEY", "for-tests-only"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            // The worst case for what may be logged.
            ("LOG_SENSITIVE_BODIES", "true"),
        ] {
            // SAFETY: this runs once, and no other thread is past the line that waits for it.
            unsafe { std::env::set_var(name, value) };
        }
        tokio::task::spawn_blocking(start).await.expect("moto starts")
    })
    .await
}

fn start() -> Moto {
    let python = std::env::var_os("FAIRLEAD_MOTO").expect(
        "FAIRLEAD_MOTO is not set: `source make/tools.sh; need moto` installs moto and says where it is",
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws/serve_moto.py");
    let mut child = Command::new(&python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be started: {error}", python.display()));
    let mut line = String::new();
    let output = child.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("moto says where it is");
    let said: Value = serde_json::from_str(&line).expect("moto says where it is");
    let folder = said["folder"].as_str().expect("a folder");
    let models = std::fs::read(format!("{folder}/models.json")).expect("the models");
    let models = serde_json::from_slice(&models).expect("the models");
    let port = said["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
    Moto {
        port,
        tls_url: format!("https://127.0.0.1:{}", said["tls_port"]),
        certificate: format!("{folder}/certificate.pem"),
        models: Arc::new(Models(models)),
        _child: child,
    }
}

/// What a test has to itself: a proxy, and a part of moto's names.
pub struct Bed {
    pub proxy: Proxy,
    pub prefix: String,
    port: u16,
}

pub async fn bed() -> Bed {
    static BEDS: AtomicUsize = AtomicUsize::new(0);
    let moto = moto().await;
    let prefix = format!("t{}", BEDS.fetch_add(1, Ordering::Relaxed));
    Bed { proxy: Proxy::start(moto.port, moto.models.clone()).await, prefix, port: moto.port }
}

/// Short pauses, and time enough for one try on a machine that is busy.
fn patience() -> Patience {
    Patience {
        tries: 3,
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(50),
        ..Patience::default()
    }
}

/// For tests that wait for the end of it.
pub fn hasty() -> Patience {
    Patience { attempt: Duration::from_secs(2), call: Duration::from_secs(5), ..patience() }
}

impl Bed {
    pub async fn aws(&self) -> Aws {
        self.aws_with(patience()).await
    }

    pub async fn aws_with(&self, patience: Patience) -> Aws {
        let options = Options {
            region: Some(REGION.into()),
            endpoint: Some(self.proxy.url().into()),
            patience,
            poll: Some(Duration::from_secs(1)),
        };
        Aws::start(options).await.expect("it starts")
    }

    /// The name of something that no other test has.
    pub fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    pub fn secret(&self, name: &str) -> SecretId {
        id(&format!("aws-sm:{}", self.name(name)))
    }

    pub fn parameter(&self, name: &str) -> SecretId {
        id(&format!("aws-ps:/{}", self.name(name)))
    }

    /// Asks moto itself, past the proxy.
    pub async fn call(&self, target: &str, input: Value) -> Value {
        self.call_in(REGION, target, input).await
    }

    pub async fn call_in(&self, region: &str, target: &str, input: Value) -> Value {
        let service = match target.split('.').next() {
            Some("AmazonSSM") => "ssm",
            Some("AmazonSQS") => "sqs",
            _ => "secretsmanager",
        };
        let credential =
            format!("AWS4-HMAC-SHA256 Credential=AKIATEST/20261130/{region}/{service}/aws4_request");
        let version = if service == "sqs" { "1.0" } else { "1.1" };
        let request = http::Request::post(format!("http://127.0.0.1:{}/", self.port))
            .header("x-amz-target", target)
            .header("content-type", format!("application/x-amz-json-{version}"))
            .header("authorization", format!("{credential}, SignedHeaders=host, Signature=0"))
            .body(Full::new(bytes::Bytes::from(input.to_string())))
            .expect("a request");
        let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.expect("moto answers");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        assert!(status.is_success(), "{target}: {status} {}", String::from_utf8_lossy(&body));
        if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") }
    }

    /// Makes a secret, and tells its ARN.
    pub async fn create(&self, name: &str, value: &str) -> String {
        let input = json!({"Name": self.name(name), "SecretString": value});
        let made = self.call("secretsmanager.CreateSecret", input).await;
        made["ARN"].as_str().expect("an ARN").to_owned()
    }

    /// Gives a secret another value, and tells the version.
    pub async fn put(&self, name: &str, value: &str) -> String {
        let input = json!({"SecretId": self.name(name), "SecretString": value});
        let made = self.call("secretsmanager.PutSecretValue", input).await;
        made["VersionId"].as_str().expect("a version").to_owned()
    }

    pub async fn put_parameter(&self, name: &str, kind: &str, value: &str) {
        let name = format!("/{}", self.name(name));
        let input = json!({"Name": name, "Value": value, "Type": kind, "Overwrite": true});
        self.call("AmazonSSM.PutParameter", input).await;
    }
}

pub fn id(text: &str) -> SecretId {
    Reference::parse(text).expect("a reference").secret
}
