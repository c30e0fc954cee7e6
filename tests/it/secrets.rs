//! Secrets: references in git, values in the Secret alone, and rotations that roll by themselves.

mod consumers;
mod leaks;

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::bed::manifests::deployment;
use crate::bed::moto::{Moto, moto};
use crate::bed::{Agent, Bed, SECOND, SOON, Setup, holds_for, wait_until};

const CANARY: &str = "c4n4ry-7f3a9e";

struct Secrets {
    bed: Bed,
    moto: &'static Moto,
}

impl Secrets {
    fn new(name: &str) -> Self {
        Self::of(Setup::new(name))
    }

    fn of(setup: Setup) -> Self {
        let secrets = Self { bed: setup.make(), moto: moto() };
        let name = &secrets.bed.name;
        secrets.bed.patch_environment(
            &json!({"spec": {"secrets": [format!("{name}/*"), format!("aws-ps:/{name}/*")]}}),
        );
        secrets
    }

    fn agent(&self) -> Agent {
        self.agent_with(&[("FAIRLEAD_SECRETS_INTERVAL", "1s")])
    }

    fn agent_with(&self, more: &[(&str, &str)]) -> Agent {
        let aws = self.moto.environment();
        let mut all: Vec<(&str, &str)> = aws.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.extend(more);
        self.bed.agent_with(&all)
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.bed.name)
    }

    fn put(&self, name: &str, value: &str) -> String {
        self.moto.put(&self.name(name), value)
    }

    /// Commits one app whose pods read a Secret of these strings.
    fn commit(&self, strings: &str) -> String {
        self.commit_with(strings, "rollout: {timeout: 30s}", &[])
    }

    fn commit_with(&self, strings: &str, more: &str, pod: &[(&str, &str)]) -> String {
        let (path, config) = self.bed.config("{name: web, path: web}", more);
        let manifests = format!("{}{}", self.secret(strings), reading("web", pod));
        self.bed.commit(&[(&path, &config), ("web/all.yaml", &manifests)])
    }

    fn secret(&self, strings: &str) -> String {
        let strings = strings.replace("NAME", &self.bed.name);
        format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\nstringData: {{{strings}}}\n")
    }

    /// What a key of the live Secret holds.
    fn value(&self, key: &str) -> String {
        let secret = self.bed.get("v1", "secrets", "db").unwrap_or_default();
        let decoded = STANDARD.decode(secret["data"][key].as_str().unwrap_or_default()).unwrap_or_default();
        String::from_utf8(decoded).unwrap_or_default()
    }

    /// The row of a secret in the status.
    fn row(&self, name: &str) -> Value {
        let wanted = format!("aws-sm:{}", self.name(name));
        let rows = self.bed.status()["secrets"].clone();
        rows.as_array()
            .into_iter()
            .flatten()
            .find(|row| row["name"] == wanted.as_str())
            .cloned()
            .unwrap_or_default()
    }
}

/// A Deployment whose pods read the Secret `db`.
fn reading(name: &str, pod: &[(&str, &str)]) -> String {
    let image = "image: \"registry.example/web:1\"";
    deployment(name, pod).replace(image, &format!("{image}, envFrom: [{{secretRef: {{name: db}}}}]"))
}

fn generation(bed: &Bed) -> Value {
    bed.deployment("web").unwrap_or_default()["metadata"]["generation"].clone()
}

/// All forms in which a value may be quoted.
fn forms(value: &str) -> Vec<String> {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    vec![value.to_owned(), STANDARD.encode(value).trim_end_matches('=').to_owned(), hex]
}

#[track_caller]
fn is_clean(what: &str, text: &str) {
    for form in forms(CANARY) {
        assert!(!text.contains(&form), "{what} holds the value as {form}");
    }
}

#[test]
fn a_value_reaches_its_secret_and_nothing_else_shows_it() {
    let secrets = Secrets::new("sec");
    let value = json!({"user": "app", "password": CANARY, "port": 5432}).to_string();
    let version = secrets.put("db", &value);
    let agent = secrets.agent_with(&[("FAIRLEAD_SECRETS_INTERVAL", "1s"), ("FAIRLEAD_LOG", "trace")]);
    let url = "\"postgres://${aws-sm:NAME/db#user}:${aws-sm:NAME/db#password}@db:${aws-sm:NAME/db#port}/$${aws-sm:x}\"";
    let revision = secrets.commit(&format!("URL: {url}"));
    let bed = &secrets.bed;
    bed.wait_ready(&revision);
    assert_eq!(secrets.value("URL"), format!("postgres://app:{CANARY}@db:5432/${{aws-sm:x}}"));
    let secret = bed.get("v1", "secrets", "db").unwrap();
    let versions = secret["metadata"]["annotations"]["fairlead.dev/secret-versions"].as_str().unwrap();
    assert!(versions.contains(&version), "{versions}");
    assert_eq!(secret.get("stringData"), None);

    // A Secret that the server refuses is quoted in its answer.
    let typed =
        secrets.secret("a: \"${aws-sm:NAME/db#password}\"").replace("stringData", "type: x/\nstringData");
    let (path, config) =
        bed.config("{name: web, path: web}, {name: bad, path: bad}", "rollout: {timeout: 30s}");
    let bad = typed.replace("name: db", "name: -bad-");
    bed.commit(&[(&path, &config), ("bad/all.yaml", &bad)]);
    bed.wait_app("bad", "Refused");

    is_clean("the Environment", &bed.environment().to_string());
    is_clean("the events", &bed.events().join("\n"));
    is_clean("the log at trace", &agent.log().join("\n"));
    is_clean("the metrics", &agent.page("/metrics").1);
    for arguments in
        [&["status", bed.name.as_str()][..], &["plan", "--env", &bed.name], &["history", "--env", &bed.name]]
    {
        let said = bed.fairlead_here(arguments);
        is_clean(&format!("{arguments:?}"), &(said.stdout + &said.stderr));
    }
    is_clean("the pod template", &bed.deployment("web").unwrap().to_string());
    // What it remembers.
    let all = bed.api().get("/api/v1/namespaces/fairlead-state/secrets").unwrap();
    for item in all["items"].as_array().unwrap() {
        for (key, value) in item["data"].as_object().into_iter().flatten() {
            let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
            let plain = zstd::decode_all(bytes.as_slice()).unwrap_or(bytes);
            is_clean(&format!("{} {key}", item["metadata"]["name"]), &String::from_utf8_lossy(&plain));
        }
    }
    drop(agent);
    for file in files(&bed.cache()) {
        is_clean(
            &file.display().to_string(),
            &String::from_utf8_lossy(&std::fs::read(&file).unwrap_or_default()),
        );
    }
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path()] })
        .collect()
}

#[test]
fn a_newer_version_rolls_who_reads_it_and_a_commit_rolls_once_with_it() {
    let secrets = Secrets::new("rot");
    let first = secrets.put("db", "one");
    let _agent = secrets.agent();
    let revision = secrets.commit("password: \"${aws-sm:NAME/db}\"");
    secrets.bed.wait_ready(&revision);
    assert_eq!(secrets.value("password"), "one");
    let before = generation(&secrets.bed);
    wait_until(SOON, "it is known to run", || secrets.row("db")["apps"][0]["state"] == "Current");
    assert_eq!(secrets.row("db")["version"], first.as_str());

    let second = secrets.put("db", "two");
    wait_until(SOON, "the Secret has it", || secrets.value("password") == "two");
    wait_until(SOON, "the pods are rolled", || generation(&secrets.bed) != before);
    wait_until(SOON, "it runs with it", || {
        let row = secrets.row("db");
        row["version"] == second.as_str()
            && row["apps"][0]["state"] == "Current"
            && row["apps"][0]["old"] == Value::Null
    });
    secrets.bed.wait_ready(&revision);
    let rolled = generation(&secrets.bed);
    holds_for(3 * SECOND, "it rolls once", || generation(&secrets.bed) == rolled);
    let said = secrets.bed.fairlead(&["secrets", &secrets.bed.name]).ok().stdout;
    assert!(said.contains(&secrets.name("db")) && said.contains(&second[..8]), "{said}");
}

#[test]
fn a_queue_tells_of_a_newer_version_within_seconds() {
    let secrets = Secrets::new("queue");
    secrets.put("db", "one");
    let queue = secrets.moto.call("AmazonSQS.CreateQueue", &json!({"QueueName": secrets.bed.name}));
    let url = queue["QueueUrl"].as_str().unwrap().to_owned();
    let _agent = secrets.agent_with(&[("FAIRLEAD_SECRETS_INTERVAL", "1h"), ("FAIRLEAD_SECRETS_QUEUE", &url)]);
    let revision = secrets.commit("password: \"${aws-sm:NAME/db}\"");
    secrets.bed.wait_ready(&revision);
    let send = |body: &str| {
        secrets.moto.call("AmazonSQS.SendMessage", &json!({"QueueUrl": url, "MessageBody": body}));
    };
    send("this is no event");
    secrets.put("db", "two");
    holds_for(3 * SECOND, "nobody looks unasked", || secrets.value("password") == "one");
    let event = json!({
        "version": "0", "source": "aws.secretsmanager", "detail-type": "Secret Label Updated", "resources": [],
        "detail": {"name": secrets.name("db"), "versionId": "x"},
    });
    let began = Instant::now();
    (0..3).for_each(|_| send(&event.to_string()));
    wait_until(SOON, "the Secret has it", || secrets.value("password") == "two");
    println!("from the event to the Secret: {:?}", began.elapsed());
}

#[test]
fn what_cannot_be_read_is_told_with_its_cure_and_nothing_is_emptied() {
    let secrets = Secrets::new("unread");
    secrets.put("db", r#"{"password": "one"}"#);
    let _agent = secrets.agent();
    let bed = &secrets.bed;
    let revision = secrets.commit("password: \"${aws-sm:NAME/db#password}\"");
    bed.wait_ready(&revision);

    // A version that lacks the key is not used.
    secrets.put("db", r#"{"other": "two"}"#);
    wait_until(SOON, "it is told", || {
        secrets.row("db")["trouble"].as_str().is_some_and(|why| why.contains("no key password"))
    });
    assert_eq!(bed.condition("SecretsReady")["status"], "False");
    assert_eq!(secrets.value("password"), "one");
    assert_eq!(bed.app("web")["phase"], "Ready");

    // Nor is anything done when the secret goes.
    let gone = json!({"SecretId": secrets.name("db"), "ForceDeleteWithoutRecovery": true});
    secrets.moto.call("secretsmanager.DeleteSecret", &gone);
    wait_until(SOON, "it is told", || {
        secrets.row("db")["trouble"].as_str().is_some_and(|why| why.contains("no such secret"))
    });
    assert_eq!(
        (secrets.value("password").as_str(), bed.app("web")["phase"].as_str()),
        ("one", Some("Ready"))
    );

    // A commit that refers to what is not there waits for it, and the rest goes on.
    secrets.commit("password: \"${aws-sm:NAME/none}\"");
    wait_until(SOON, "it is told", || {
        bed.app("web")["message"]
            .as_str()
            .is_some_and(|why| why.contains("no such secret") && why.contains("web/all.yaml"))
    });
    assert_eq!(secrets.value("password"), "one");
    secrets.put("none", "three");
    wait_until(SOON, "it goes on by itself", || secrets.value("password") == "three");
    wait_until(SOON, "it is ready", || bed.app("web")["phase"] == "Ready");
}

#[test]
fn what_the_environment_may_not_read_is_refused_before_anybody_asks() {
    let secrets = Secrets::new("deny");
    secrets.moto.put(&format!("other-{}", secrets.bed.name), "hidden");
    let agent = secrets.agent_with(&[("FAIRLEAD_LOG", "debug")]);
    secrets.commit("password: \"${aws-sm:other-NAME}\"");
    let bed = &secrets.bed;
    wait_until(SOON, "it is refused", || {
        bed.app("web")["message"]
            .as_str()
            .is_some_and(|why| why.contains("may not read") && why.contains("web/all.yaml:"))
    });
    assert_eq!(bed.get("v1", "secrets", "db"), None);
    assert!(secrets.bed.status()["secrets"].is_null());
    drop(agent);
    // A person hears of the same offline, but for what is granted; and of what stands where no reference may.
    let said = bed.fairlead_here(&["validate"]);
    assert_eq!(said.code, 0, "{said:?}");
    bed.commit(&[(
        "web/map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: \"${aws-sm:db}\"}\n",
    )]);
    let said = bed.fairlead_here(&["validate"]);
    assert!(said.code != 0 && (said.stdout + &said.stderr).contains("web/map.yaml:1"), "it is told");
}

#[test]
fn a_rotation_that_fails_goes_back_where_the_old_version_still_works() {
    for (strategy, goes_back) in [("alternating", true), ("single", false)] {
        let secrets = Secrets::of(Setup::new("fail").alone());
        let bed = &secrets.bed;
        secrets.put("db", "one");
        let _agent = secrets.agent();
        let more = format!("rollout: {{timeout: 6s}}\n  secrets: [{{name: \"*\", strategy: {strategy}}}]");
        let revision = secrets.commit_with("password: \"${aws-sm:NAME/db}\"", &more, &[]);
        bed.wait_ready(&revision);
        wait_until(SOON, "it is known to run", || secrets.row("db")["apps"][0]["state"] == "Current");
        // While it goes on to the new version no pod can be started.
        schedule(bed, false);
        secrets.put("db", "two");
        wait_until(SOON, "the Secret has it", || secrets.value("password") == "two");
        if goes_back {
            bed.wait_app("web", "Restoring");
            schedule(bed, true);
            bed.wait_app("web", "Restored");
            wait_until(SOON, "it runs with the old version", || secrets.value("password") == "one");
            wait_until(SOON, "it is told", || secrets.row("db")["apps"][0]["state"] == "Paused");
        } else {
            bed.wait_app("web", "Halted");
            assert_eq!(bed.condition("Ready")["status"], "False");
            holds_for(2 * SECOND, "the new one stays", || secrets.value("password") == "two");
        }
    }
}

#[test]
fn a_whole_secret_stays_whole_over_restarts_and_rotations() {
    let secrets = Secrets::new("whole");
    secrets.put("db", r#"{"user": "app", "password": "one"}"#);
    let (path, config) = secrets.bed.config("{name: web, path: web}", "rollout: {timeout: 30s}");
    let from = format!("annotations: {{fairlead.dev/from: \"aws-sm:{}/db\"}}", secrets.bed.name);
    let manifests =
        secrets.secret("fixed: git").replace("name: db", &format!("name: db, {from}")) + &reading("web", &[]);
    let revision = secrets.bed.commit(&[(&path, &config), ("web/all.yaml", &manifests)]);
    let mut agent = Some(secrets.agent());
    let holds = |password: &str| {
        let found = ["user", "password", "fixed"].map(|key| secrets.value(key));
        found == ["app", password, "git"]
    };
    secrets.bed.wait_ready(&revision);
    assert!(holds("one"));
    wait_until(SOON, "it is known to run", || secrets.row("db")["apps"][0]["state"] == "Current");
    // A restart, and one while which the secret changes, never take a key away.
    for password in ["one", "two"] {
        drop(agent.take());
        secrets.put("db", &format!(r#"{{"user": "app", "password": "{password}"}}"#));
        agent = Some(secrets.agent());
        wait_until(SOON, "it has the newest", || {
            assert!(!secrets.value("user").is_empty() && !secrets.value("password").is_empty());
            holds(password) && secrets.row("db")["apps"][0]["state"] == "Current"
        });
        holds_for(2 * SECOND, "it stays", || holds(password));
    }
    drop(agent);
}

fn schedule(bed: &Bed, may: bool) {
    let nodes = bed.api().get("/api/v1/nodes").unwrap();
    for node in nodes["items"].as_array().unwrap() {
        let name = node["metadata"]["name"].as_str().unwrap();
        bed.api().merge(&format!("/api/v1/nodes/{name}"), &json!({"spec": {"unschedulable": !may}}));
    }
}

#[test]
fn what_an_application_prints_of_its_secrets_is_not_repeated() {
    let secrets = Secrets::new("words");
    secrets.put("db", &json!({"password": CANARY}).to_string());
    let agent = secrets.agent();
    let said = format!("env: DATABASE_URL=postgres://app:{CANARY}@db, in base64 {}", STANDARD.encode(CANARY));
    let pod = [("crash", "always"), ("log", said.as_str())];
    secrets.commit_with("password: \"${aws-sm:NAME/db#password}\"", "rollout: {timeout: 6s}", &pod);
    let bed = &secrets.bed;
    let app = bed.wait_app("web", "Halted");
    let message = app["message"].as_str().unwrap();
    assert!(message.contains("postgres://app:(hidden)@db"), "{message}");
    bed.wait_events("Halted", 1);
    is_clean("the status", &bed.status().to_string());
    is_clean("the events", &bed.events().join("\n"));
    is_clean("the log", &agent.log().join("\n"));
    is_clean("the history", &bed.fairlead(&["history", "--env", &bed.name]).stdout);
}

#[test]
fn once_nothing_refers_to_a_value_it_is_gone_from_the_agents_memory() {
    let secrets = Secrets::new("core");
    let value = format!("{CANARY}-{}", secrets.bed.name);
    secrets.put("db", &json!({"password": value}).to_string());
    let agent = secrets.agent();
    let revision = secrets.commit("password: \"${aws-sm:NAME/db#password}\"");
    secrets.bed.wait_ready(&revision);
    assert_eq!(secrets.value("password"), value);
    assert!(copies(agent.id(), &value) > 0, "while it may have to be written again it is at hand");
    let revision = secrets.commit("password: plain");
    secrets.bed.wait_ready(&revision);
    wait_until(SOON, "it is gone", || copies(agent.id(), &value) == 0);
}

/// How often the memory of a process holds a value, as it is or in base64.
fn copies(process: u32, value: &str) -> usize {
    use std::os::unix::fs::FileExt;
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).expect("its memory can be listed");
    let memory = std::fs::File::open(format!("/proc/{process}/mem")).expect("its memory can be read");
    let encoded = STANDARD.encode(value);
    let forms = [value.as_bytes(), &encoded.as_bytes()[..encoded.len() - 4]];
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains("rw")) {
        let (begin, end) = line.split_once(' ').expect("a range").0.split_once('-').expect("a range");
        let at = |text: &str| u64::from_str_radix(text, 16).expect("an address");
        let (begin, end) = (at(begin), at(end));
        let mut bytes = vec![0; usize::try_from(end - begin).expect("it fits")];
        // Some of what is listed cannot be read.
        if memory.read_exact_at(&mut bytes, begin).is_ok() {
            found += forms.iter().map(|form| memchr::memmem::find_iter(&bytes, form).count()).sum::<usize>();
        }
    }
    found
}

#[test]
fn parameters_are_read_like_secrets() {
    let secrets = Secrets::new("param");
    let name = format!("/{}/level", secrets.bed.name);
    let put = |value: &str| {
        let input = json!({"Name": name, "Value": value, "Type": "SecureString", "Overwrite": true});
        secrets.moto.call("AmazonSSM.PutParameter", &input);
    };
    put("debug");
    let _agent = secrets.agent();
    let revision = secrets.commit("level: \"${aws-ps:/NAME/level}\"");
    secrets.bed.wait_ready(&revision);
    assert_eq!(secrets.value("level"), "debug");
    put("info");
    wait_until(SOON, "it is followed", || secrets.value("level") == "info");
}

#[test]
fn killed_in_the_middle_of_a_rotation_it_goes_on() {
    let secrets = Secrets::new("kill");
    secrets.put("db", "one");
    let mut agent = Some(secrets.agent());
    let revision = secrets.commit_with(
        "password: \"${aws-sm:NAME/db}\"",
        "rollout: {timeout: 60s}",
        &[("ready-after", "3s")],
    );
    secrets.bed.wait_ready(&revision);
    secrets.put("db", "two");
    wait_until(SOON, "the Secret has it", || secrets.value("password") == "two");
    drop(agent.take()); // It is killed while the pods are rolled.
    std::thread::sleep(Duration::from_secs(1));
    let _agent = secrets.agent();
    wait_until(SOON, "it runs with it", || secrets.row("db")["apps"][0]["state"] == "Current");
    secrets.bed.wait_ready(&revision);
    assert_eq!(secrets.value("password"), "two");
}
