//! AWS as moto has it: one server for all tests of this process, each of which has secrets of its own names.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

pub const REGION: &str = "eu-west-1";

pub struct Moto {
    port: u16,
    /// Ends when its standard input does, and so with this process.
    _child: Child,
}

/// The one moto of this process. Fails where it cannot be had: a test that skips itself proves nothing.
pub fn moto() -> &'static Moto {
    static MOTO: OnceLock<Moto> = OnceLock::new();
    MOTO.get_or_init(|| {
        let python = std::env::var_os("FAIRLEAD_MOTO").expect(
            "FAIRLEAD_MOTO is not set: `source make/tools.sh; need moto` installs moto and says where it is",
        );
        let mut child = Command::new(&python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws/serve_moto.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("it says where it is");
        let said: Value = serde_json::from_str(&line).expect("it says where it is");
        let port = said["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        Moto { port, _child: child }
    })
}

impl Moto {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What an agent is told of AWS.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIAFAIRLEADTESTS".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "for-tests-only".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// Makes a secret, or gives it a newer value; answers the version.
    pub fn put(&self, name: &str, value: &str) -> String {
        let made =
            self.try_call("secretsmanager.CreateSecret", &json!({"Name": name, "SecretString": value}));
        let answer = made.unwrap_or_else(|_| {
            self.call("secretsmanager.PutSecretValue", &json!({"SecretId": name, "SecretString": value}))
        });
        answer["VersionId"].as_str().expect("a version").to_owned()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes a table of DynamoDB in which regions meet.
    pub fn table(&self, name: &str) {
        self.call(
            "DynamoDB_20120810.CreateTable",
            &json!({
                "TableName": name, "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "environment", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "environment", "KeyType": "HASH"}],
            }),
        );
    }

    /// What stands in such a table of an environment.
    pub fn record(&self, table: &str, environment: &str) -> Option<Value> {
        let key = json!({"environment": {"S": environment}});
        let input = json!({"TableName": table, "Key": key, "ConsistentRead": true});
        let answer = self.call("DynamoDB_20120810.GetItem", &input);
        serde_json::from_str(answer["Item"]["record"]["S"].as_str()?).ok()
    }

    pub fn call(&self, target: &str, input: &Value) -> Value {
        self.try_call(target, input).unwrap_or_else(|answer| panic!("{target}: {answer}"))
    }

    fn try_call(&self, target: &str, input: &Value) -> Result<Value, String> {
        let service = match target.split('.').next() {
            Some("AmazonSSM") => "ssm",
            Some("AmazonSQS") => "sqs",
            Some("DynamoDB_20120810") => "dynamodb",
            _ => "secretsmanager",
        };
        let body = input.to_string();
        let version = if matches!(service, "sqs" | "dynamodb") { "1.0" } else { "1.1" };
        let request = format!(
            "POST / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nX-Amz-Target: {target}\r\nContent-Type: application/x-amz-json-{version}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=AKIATEST/20261130/{REGION}/{service}/aws4_request, SignedHeaders=host, \
             Signature=0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("moto listens");
        stream.write_all(request.as_bytes()).expect("moto reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("moto answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        if !head.starts_with("HTTP/1.1 200") {
            return Err(body.to_owned());
        }
        Ok(serde_json::from_str(body).unwrap_or_default())
    }
}
