//! That values are in no log, no error, and no memory that nobody holds.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use fairlead::aws::Identity;
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt;

use crate::bed::{bed, id, moto};
use crate::children::Running;
use crate::proxy::Fault;

/// Everything that was logged in this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn holds(&self, canary: &str) -> bool {
        let log = self.0.lock().unwrap();
        let log = String::from_utf8_lossy(&log);
        let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
        let list: Vec<String> = canary.bytes().map(|byte| byte.to_string()).collect();
        // Without its ends, which hang on what stands beside it.
        let base64 = |skip: usize| {
            let text = base64::engine::general_purpose::STANDARD.encode(&canary.as_bytes()[skip..]);
            text[..text.len() - 4].to_owned()
        };
        let forms = [canary.to_owned(), hex, list.join(", "), base64(0), base64(1), base64(2)];
        forms.iter().any(|form| log.contains(form))
    }
}

/// With the switch thrown by which the SDK logs what it knows to be secret.
#[tokio::test]
async fn nothing_of_a_value_is_logged_at_trace_level() {
    let log = Log::default();
    let writer = log.clone();
    let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
    let filter = tracing_subscriber::filter::LevelFilter::TRACE;
    let subscriber = tracing_subscriber::registry().with(filter).with(layer);
    tracing::subscriber::set_global_default(subscriber).expect("no other test logs");
    let bed = bed().await;
    let canary = "kanari-5f0c1e77";
    for (name, text) in [("plain", canary.to_owned()), ("json", json!({"password": canary}).to_string())] {
        bed.create(name, &text).await;
        bed.put_parameter(name, "SecureString", &text).await;
    }
    let broken = bed.name("broken");
    let half = format!("{{\"SecretString\": \"{canary}");
    bed.proxy.rule(move |asked| asked.names(&broken).then(|| Fault::Answer(200, half.clone())));
    let quoted = bed.name("quoted");
    bed.proxy.rule(move |asked| {
        let message = "the value kanari-5f0c1e77 is not to my liking";
        asked.names(&quoted).then_some(Fault::Refuse(400, "InvalidParameterException", message))
    });
    let aws = bed.aws().await;
    let reader = aws.reader(&Identity::default());
    let mut said = String::new();
    for name in ["plain", "json", "broken", "quoted"] {
        let (secret, parameter) = (bed.secret(name), bed.parameter(name));
        let pinned = id(&format!("aws-sm:{}@AWSPREVIOUS", bed.name(name)));
        let secrets = [secret, parameter, pinned];
        let answers = reader.read(&secrets, Duration::ZERO).await;
        said += &format!("{answers:?} {:?}", reader.look(&secrets).await);
        for trouble in answers.values().filter_map(|answer| answer.as_ref().err()) {
            said += &format!("{trouble}");
        }
    }
    assert!(said.contains("InvalidParameterException"), "{said}");
    assert!(!said.contains(canary), "{said}");
    assert!(!log.holds(canary), "it was logged");
    // The same without our thread, to see that this would have been seen.
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .endpoint_url(bed.proxy.url())
        .region(aws_config::Region::new(crate::bed::REGION))
        .load()
        .await;
    let client = aws_sdk_secretsmanager::Client::new(&config);
    client.get_secret_value().secret_id(bed.name("plain")).send().await.expect("it is read");
    assert!(log.holds(canary), "this test sees nothing");
}

/// How often a text is in the memory of a process.
fn in_memory(process: u32, text: &[u8]) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).expect("maps");
    let memory = std::fs::File::open(format!("/proc/{process}/mem")).expect("memory");
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (begin, end) =
            line.split_once(' ').and_then(|(range, _)| range.split_once('-')).expect("a range");
        let [begin, end] = [begin, end].map(|at| u64::from_str_radix(at, 16).expect("an address"));
        let mut bytes = vec![0; usize::try_from(end - begin).expect("a size")];
        // What was given back to the system since has nothing to be read.
        if memory.read_exact_at(&mut bytes, begin).is_ok() {
            found += bytes.windows(text.len()).filter(|window| *window == text).count();
        }
    }
    found
}

#[tokio::test]
async fn nothing_of_a_value_is_in_memory_when_nobody_holds_it() {
    let bed = bed().await;
    // Never in one piece anywhere but in what is read.
    let canary = ["kan", "ari-", "9d2b", "-in-memory"].concat();
    bed.create("db", &json!({"password": canary, "filler": "x".repeat(3000)}).to_string()).await;
    bed.put_parameter("db", "SecureString", &canary).await;
    let (url, certificate) = (moto().await.tls_url.clone(), moto().await.certificate.clone());
    for reference in [format!("aws-sm:{}", bed.name("db")), format!("aws-ps:/{}", bed.name("db"))] {
        let (url, certificate, canary) = (url.clone(), certificate.clone(), canary.clone());
        let (held, dropped) = tokio::task::spawn_blocking(move || {
            let environment = [
                // Past the proxy, and so with TLS: its buffers are among what has to be wiped.
                ("AWS_ENDPOINT_URL", url.as_str()),
                ("SSL_CERT_FILE", certificate.as_str()),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_ACCESS_KEY_ID", "AKIASTATIC"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
            ];
            let mut running = Running::start(&reference, &environment);
            running.line(&["read "]);
            let process = running.child.id();
            let held = in_memory(process, canary.as_bytes());
            running.go_on();
            running.line(&["dropped"]);
            (held, in_memory(process, canary.as_bytes()))
        })
        .await
        .expect("it ends");
        assert!(held > 0, "this test sees nothing");
        assert_eq!(dropped, 0, "copies are left, of {held}");
    }
}

#[tokio::test]
async fn a_connection_that_carried_values_is_not_kept() {
    let bed = bed().await;
    bed.create("db", "value").await;
    let reader = bed.aws().await.reader(&Identity::default());
    let secret = bed.secret("db");
    for pause in [Duration::ZERO, Duration::from_secs(1), Duration::ZERO] {
        tokio::time::sleep(pause).await;
        reader.read(std::slice::from_ref(&secret), Duration::ZERO).await;
    }
    let peers: Vec<_> = bed.proxy.asked().iter().map(|asked| asked.peer).collect();
    assert_eq!(peers.len(), 3);
    assert_ne!(peers[0], peers[1], "it was idle");
    assert_eq!(peers[1], peers[2], "and one is enough for what comes at once");
}
