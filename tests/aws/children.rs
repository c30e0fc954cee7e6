//! What depends on the process environment, each in a process of its own: this test's own program, started again.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use fairlead::aws::{Aws, Identity, Options};
use serde_json::json;

use crate::bed::{Bed, bed, id};

/// Reads a secret as whatever the environment says, tells what came of it, and goes on line by line of standard input.
#[test]
#[ignore = "other tests start it"]
fn child() {
    let Ok(reference) = std::env::var("FAIRLEAD_CHILD") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut go_on = std::io::stdin().lines();
    runtime.block_on(async {
        let aws = Aws::start(Options::default()).await.expect("it starts");
        let secret = id(&reference);
        let answers =
            aws.reader(&Identity::default()).read(std::slice::from_ref(&secret), Duration::ZERO).await;
        match answers.values().next().expect("an answer") {
            Ok(read) => println!("\nread {}", read.version.id),
            Err(trouble) => println!("\n{trouble}"),
        }
        go_on.next();
        drop(answers);
        // Until the connection has been idle for long enough.
        tokio::time::sleep(Duration::from_secs(1)).await;
        println!("dropped");
        go_on.next();
    });
}

pub struct Running {
    pub child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts it with these variables, and no other of AWS's.
    pub fn start(reference: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(["--exact", "children::child", "--ignored", "--nocapture", "--test-threads=1"])
            .envs(environment.iter().copied())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", "/nonexistent")
            .env("FAIRLEAD_CHILD", reference)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, lines }
    }

    /// Its next line that begins in one of these ways.
    pub fn line(&mut self, begins: &[&str]) -> String {
        for line in self.lines.by_ref() {
            let line = line.expect("text");
            if begins.iter().any(|begin| line.starts_with(begin)) {
                return line;
            }
        }
        panic!("it ended without a word");
    }

    pub fn go_on(&mut self) {
        writeln!(self.child.stdin.as_mut().expect("it is piped")).expect("it listens");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn told(bed: &Bed, environment: &[(&str, &str)]) -> String {
    let reference = format!("aws-sm:{}", bed.name("db"));
    let environment: Vec<(String, String)> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    tokio::task::spawn_blocking(move || {
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Running::start(&reference, &environment).line(&["read ", "aws-sm:"])
    })
    .await
    .expect("it ends")
}

#[tokio::test]
async fn credentials_are_found_wherever_aws_has_them() {
    let bed = bed().await;
    bed.create("db", "value").await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it is written");
        path.to_str().expect("text").to_owned()
    };
    let url = bed.proxy.url();
    let token = file("token", "a-token-of-the-cluster");
    let given = json!({"AccessKeyId": "AKIAPODIDENTITY", "SecretAccessKey": "s", "Token": "t",
                       "Expiration": "2099-01-01T00:00:00Z"});
    let agent = axum::Router::new().fallback(move |headers: http::HeaderMap| async move {
        assert_eq!(headers["authorization"], "a-token-of-the-cluster");
        given.to_string()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let pod_identity = format!("http://{}/v1/credentials", listener.local_addr().expect("an address"));
    let agent = tokio::spawn(async move { axum::serve(listener, agent).await });
    let config = file("config", "[profile other]\nregion = eu-west-1\n");
    let keys = file("credentials", "[other]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = s\n");
    let (everywhere, region) = (("AWS_ENDPOINT_URL", url.as_str()), ("AWS_REGION", "eu-west-1"));
    for (environment, key) in [
        (
            &[everywhere, region, ("AWS_ACCESS_KEY_ID", "AKIASTATIC"), ("AWS_SECRET_ACCESS_KEY", "s")][..],
            "AKIASTATIC",
        ),
        (
            &[
                ("AWS_ENDPOINT_URL_SECRETS_MANAGER", url.as_str()),
                region,
                ("AWS_ACCESS_KEY_ID", "AKIAONESERVICE"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
            ],
            "AKIAONESERVICE",
        ),
        (
            &[
                everywhere,
                ("AWS_PROFILE", "other"),
                ("AWS_CONFIG_FILE", config.as_str()),
                ("AWS_SHARED_CREDENTIALS_FILE", keys.as_str()),
            ],
            "AKIAPROFILE",
        ),
        // IRSA.
        (
            &[
                everywhere,
                region,
                ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/irsa"),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
            ],
            // STS of moto makes these up.
            "ASIA",
        ),
        (
            &[
                everywhere,
                region,
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", pod_identity.as_str()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_str()),
            ],
            "AKIAPODIDENTITY",
        ),
    ] {
        bed.proxy.forget();
        let said = told(&bed, environment).await;
        assert!(said.starts_with("read "), "{key}: {said}");
        let asked = bed.proxy.asked();
        assert!(asked.last().is_some_and(|asked| asked.key.starts_with(key)), "{key}: {asked:?}");
        let is_irsa = asked.iter().any(|asked| asked.operation == "AssumeRoleWithWebIdentity");
        assert_eq!(is_irsa, key == "ASIA");
    }
    agent.abort();
    let said = told(&bed, &[everywhere, region]).await;
    assert!(
        said.contains("the credentials do not work: there are none; give the agent's service account"),
        "{said}"
    );
    let said = told(&bed, &[everywhere, ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")]).await;
    assert!(said.contains("no region is set; set AWS_REGION"), "{said}");
}
