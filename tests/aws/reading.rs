//! What is read, and in how many calls.

use std::collections::BTreeSet;
use std::time::Duration;

use fairlead::aws::{Identity, Patience, Role};
use fairlead::object::secret::SecretId;
use fairlead::secrets::{Cause, Read};
use serde_json::json;

use crate::bed::{Bed, bed, id};
use crate::proxy::Fault;

/// The value, of what is no secret.
fn text(read: &Read) -> &str {
    read.value.expose_text().expect("text")
}

async fn make(bed: &Bed, count: usize) -> Vec<SecretId> {
    let mut ids = Vec::new();
    for n in 0..count {
        bed.create(&format!("s{n}"), &format!("value {n}")).await;
        ids.push(bed.secret(&format!("s{n}")));
    }
    ids
}

#[tokio::test]
async fn a_thousand_references_to_two_hundred_secrets_are_ten_calls() {
    let bed = bed().await;
    let secrets = make(&bed, 200).await;
    let aws = bed.aws_with(Patience::default()).await;
    // Five environments of one identity begin at once, and each refers to all of them.
    let reader = aws.reader(&Identity::default());
    let all = (0..5).map(|_| {
        let reader = aws.reader(&Identity::default());
        let secrets = secrets.clone();
        tokio::spawn(async move { reader.read(&secrets, Duration::from_secs(60)).await })
    });
    let mut held = Vec::new();
    for answers in futures::future::join_all(all).await {
        let answers = answers.expect("it ends");
        assert_eq!(answers.len(), 200);
        for (n, secret) in secrets.iter().enumerate() {
            assert_eq!(text(answers[secret].as_ref().expect("it is read")), format!("value {n}"));
        }
        held.push(answers);
    }
    assert_eq!(bed.proxy.asked().len(), 10, "cold");
    assert_eq!(aws.calls().0.of("BatchGetSecretValue"), 10);
    // A late one is given what the others hold.
    let late = reader.read(&secrets, Duration::from_secs(60)).await;
    assert_eq!(bed.proxy.asked().len(), 10, "late");
    let shared = |n: usize| {
        let value = |answers: &std::collections::BTreeMap<_, Result<Read, _>>| {
            std::sync::Arc::as_ptr(&answers[&secrets[n]].as_ref().expect("it is read").value)
        };
        value(&late) == value(&held[0])
    };
    assert!(shared(0) && shared(199), "one value for all");
    // When nobody holds them any more, they are gone.
    drop((late, held));
    reader.read(&secrets[..1], Duration::from_secs(60)).await;
    assert_eq!(bed.proxy.asked().len(), 11);
    // The sweep costs ten calls, too.
    bed.proxy.forget();
    let seen = reader.look(&secrets).await;
    assert!(seen.values().all(Result::is_ok) && seen.len() == 200);
    assert_eq!(bed.proxy.asked().len(), 10, "sweep");
}

#[tokio::test]
async fn every_way_to_pick_a_version_reads_that_version() {
    let bed = bed().await;
    let arn = bed.create("db", "first").await;
    let first =
        bed.call("secretsmanager.GetSecretValue", json!({"SecretId": arn})).await["VersionId"].clone();
    let second = bed.put("db", "second").await;
    let first = first.as_str().expect("a version");
    let name = bed.name("db");
    let partial = arn.rsplit_once('-').expect("six characters").0;
    let reader = bed.aws().await.reader(&Identity::default());
    for (reference, value, version) in [
        (format!("aws-sm:{name}"), "second", second.as_str()),
        (format!("aws-sm:{arn}"), "second", &second),
        (format!("aws-sm:{partial}"), "second", &second),
        (format!("aws-sm:{name}@AWSPREVIOUS"), "first", first),
        (format!("aws-sm:{name}@{first}"), "first", first),
        (format!("aws-sm:{arn}@{second}"), "second", &second),
    ] {
        let secret = id(&reference);
        let answers = reader.read(std::slice::from_ref(&secret), Duration::ZERO).await;
        let read = answers[&secret].as_ref().unwrap_or_else(|trouble| panic!("{reference}: {trouble}"));
        assert_eq!((text(read), &*read.version.id), (value, version), "{reference}");
        assert_eq!(read.version.arn.as_deref(), Some(arn.as_str()), "{reference}");
        assert!(read.version.created.is_some(), "{reference}");
        let seen = reader.look(std::slice::from_ref(&secret)).await;
        assert_eq!(&*seen[&secret].as_ref().expect("it is seen").id, version, "{reference}");
    }
}

#[tokio::test]
async fn a_name_and_its_arn_in_one_batch_are_both_answered() {
    let bed = bed().await;
    let arn = bed.create("db", "value").await;
    let secrets = [bed.secret("db"), id(&format!("aws-sm:{arn}"))];
    let reader = bed.aws().await.reader(&Identity::default());
    let answers = reader.read(&secrets, Duration::ZERO).await;
    assert!(secrets.iter().all(|secret| text(answers[secret].as_ref().expect("read")) == "value"));
    assert_eq!(bed.proxy.asked().len(), 1);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_read_as_they_are() {
    let bed = bed().await;
    // base64 of ff 00 fe.
    let input = json!({"Name": bed.name("binary"), "SecretBinary": "/wD+"});
    bed.call("secretsmanager.CreateSecret", input).await;
    let secret = bed.secret("binary");
    let reader = bed.aws().await.reader(&Identity::default());
    let answers = reader.read(std::slice::from_ref(&secret), Duration::ZERO).await;
    assert_eq!(answers[&secret].as_ref().expect("read").value.expose(), [0xff, 0, 0xfe]);
}

#[tokio::test]
async fn what_a_rotation_has_not_finished_with_is_never_read() {
    let bed = bed().await;
    bed.create("db", "current").await;
    let version = "11111111-2222-3333-4444-555555555555";
    let input = json!({"SecretId": bed.name("db"), "SecretString": "pending", "ClientRequestToken": version,
                       "VersionStages": ["AWSPENDING"]});
    bed.call("secretsmanager.PutSecretValue", input).await;
    let reader = bed.aws().await.reader(&Identity::default());
    let current = bed.secret("db");
    let pinned = id(&format!("aws-sm:{}@{version}", bed.name("db")));
    let mut label = current.clone();
    label.pick = fairlead::object::secret::Pick::Stage("AWSPENDING".into());
    let answers = reader.read(&[current.clone(), pinned.clone(), label.clone()], Duration::ZERO).await;
    assert_eq!(text(answers[&current].as_ref().expect("read")), "current");
    for secret in [&pinned, &label] {
        assert_eq!(answers[secret].as_ref().expect_err("not yet").cause, Cause::Pending);
    }
    assert_eq!(
        reader.look(std::slice::from_ref(&label)).await[&label].as_ref().expect_err("not yet").cause,
        Cause::Pending
    );
}

#[tokio::test]
async fn a_replica_is_read_in_its_own_region() {
    let bed = bed().await;
    let input = json!({"Name": bed.name("db"), "SecretString": "value", "AddReplicaRegions": [{"Region": "eu-central-1"}]});
    let made = bed.call("secretsmanager.CreateSecret", input).await;
    let arn = made["ARN"].as_str().expect("an ARN");
    let replica = arn.replace(crate::bed::REGION, "eu-central-1");
    let secrets = [id(&format!("aws-sm:{arn}")), id(&format!("aws-sm:{replica}"))];
    let reader = bed.aws().await.reader(&Identity::default());
    let answers = reader.read(&secrets, Duration::ZERO).await;
    assert!(answers.values().all(|answer| text(answer.as_ref().expect("read")) == "value"), "{answers:?}");
    let regions: BTreeSet<String> = bed.proxy.asked().into_iter().map(|asked| asked.region).collect();
    assert_eq!(regions, BTreeSet::from(["eu-central-1".into(), crate::bed::REGION.into()]));
    // By name it is read where the identity is.
    let there = Identity { region: Some("eu-central-1".into()), role: None };
    bed.proxy.forget();
    let secret = bed.secret("db");
    // moto finds a replica by its ARN alone, so what matters is where it was asked for.
    let _ = bed.aws().await.reader(&there).read(std::slice::from_ref(&secret), Duration::ZERO).await;
    assert!(bed.proxy.asked().iter().all(|asked| asked.region == "eu-central-1"));
}

#[tokio::test]
async fn parameters_are_read_ten_a_call_and_by_version_and_label() {
    let bed = bed().await;
    let mut secrets = Vec::new();
    for n in 0..25 {
        bed.put_parameter(&format!("p{n}"), "SecureString", &format!("value {n}")).await;
        secrets.push(bed.parameter(&format!("p{n}")));
    }
    bed.put_parameter("p0", "SecureString", "newer").await;
    let name = format!("/{}", bed.name("p0"));
    let label = json!({"Name": name, "ParameterVersion": 1, "Labels": ["blue"]});
    bed.call("AmazonSSM.LabelParameterVersion", label).await;
    let reader = bed.aws().await.reader(&Identity::default());
    let answers = reader.read(&secrets, Duration::ZERO).await;
    assert_eq!(bed.proxy.count("GetParameters"), 3);
    assert_eq!(text(answers[&secrets[0]].as_ref().expect("read")), "newer");
    assert_eq!(&*answers[&secrets[0]].as_ref().expect("read").version.id, "2");
    assert_eq!(text(answers[&secrets[24]].as_ref().expect("read")), "value 24");
    let (first, blue) = (id(&format!("aws-ps:{name}@1")), id(&format!("aws-ps:{name}@blue")));
    let missing = [id(&format!("aws-ps:{name}@9")), id(&format!("aws-ps:{name}@red")), bed.parameter("none")];
    let asked = [&[first.clone(), blue.clone()][..], &missing[..]].concat();
    let answers = reader.read(&asked, Duration::ZERO).await;
    for secret in [&first, &blue] {
        let read = answers[secret].as_ref().unwrap_or_else(|trouble| panic!("{trouble}"));
        assert_eq!((text(read), &*read.version.id), ("value 0", "1"));
    }
    let causes: Vec<&Cause> =
        missing.iter().map(|secret| &answers[secret].as_ref().expect_err("none").cause).collect();
    assert_eq!(causes, [&Cause::NoVersion, &Cause::NoVersion, &Cause::NotFound]);
    // Looking at them decrypts nothing.
    bed.proxy.forget();
    let seen = reader.look(&secrets).await;
    assert_eq!(&*seen[&secrets[0]].as_ref().expect("seen").id, "2");
    assert!(bed.proxy.asked().iter().all(|asked| asked.input["WithDecryption"] == false));
}

#[tokio::test]
async fn an_environment_reads_as_its_role_with_its_tags_and_shares_nothing() {
    let bed = bed().await;
    bed.create("db", "value").await;
    let aws = bed.aws().await;
    let role = |environment: &str| Identity {
        role: Some(Role::of_environment(
            "arn:aws:iam::123456789012:role/fairlead",
            Some("outside"),
            environment,
            "eu-1",
        )),
        region: None,
    };
    let secret = bed.secret("db");
    let read = |identity: Identity| {
        let (reader, secret) = (aws.reader(&identity), secret.clone());
        async move {
            let answers = reader.read(std::slice::from_ref(&secret), Duration::from_secs(60)).await;
            answers[&secret].as_ref().expect("read").clone()
        }
    };
    let held = [read(role("staging")).await, read(role("production")).await, read(Identity::default()).await];
    let values: BTreeSet<_> = held.iter().map(|read| std::sync::Arc::as_ptr(&read.value).addr()).collect();
    assert_eq!(values.len(), 3, "each has its own");
    // An equal identity has the same, and asks for no credentials again.
    read(role("staging")).await;
    let asked = bed.proxy.asked();
    let assumed: Vec<_> = asked.iter().filter(|asked| asked.operation == "AssumeRole").collect();
    assert_eq!(assumed.len(), 2);
    for (assumed, environment) in assumed.iter().zip(["staging", "production"]) {
        assert_eq!(
            assumed.input,
            json!({
                "RoleArn": "arn:aws:iam::123456789012:role/fairlead",
                "RoleSessionName": format!("fairlead-{environment}"),
                "ExternalId": "outside",
                "Tags": [{"Key": "fairlead:cluster", "Value": "eu-1"}, {"Key": "fairlead:environment", "Value": environment}],
            })
        );
    }
    let keys: BTreeSet<&str> =
        asked.iter().filter(|asked| asked.service != "sts").map(|asked| asked.key.as_str()).collect();
    assert_eq!(keys.len(), 3, "each asks with its own credentials");
}

#[tokio::test]
async fn the_examples_that_aws_publishes_are_read() {
    let bed = bed().await;
    let examples = crate::bed::moto().await.models.0["secretsmanager"]["examples"].clone();
    let output = |operation: &str| examples[operation][0]["output"].clone();
    let (mut described, value) = (output("DescribeSecret"), output("GetSecretValue"));
    // It is a string there, and a number in the description of the service.
    described["LastAccessedDate"] = json!(1523923200);
    bed.proxy.rule(move |asked| match asked.operation.as_str() {
        "GetSecretValue" => Some(Fault::Answer(200, value.to_string())),
        "DescribeSecret" => Some(Fault::Answer(200, described.to_string())),
        _ => Some(Fault::Refuse(
            400,
            "AccessDeniedException",
            "not authorized to perform: secretsmanager:BatchGetSecretValue",
        )),
    });
    let secret = id("aws-sm:MyTestDatabaseSecret");
    let reader = bed.aws().await.reader(&Identity::default());
    let answers = reader.read(std::slice::from_ref(&secret), Duration::ZERO).await;
    let read = answers[&secret].as_ref().expect("read");
    assert_eq!(text(read), "{\n  \"username\":\"david\",\n  \"password\":\"EXAMPLE-PASSWORD\"\n}\n");
    assert_eq!(&*read.version.id, "EXAMPLE1-90ab-cdef-fedc-ba987SECRET1");
    assert_eq!(read.version.created.expect("a time").as_second(), 1523477145);
    let seen = reader.look(std::slice::from_ref(&secret)).await;
    let seen = seen[&secret].as_ref().expect("seen");
    assert_eq!(&*seen.id, "EXAMPLE2-90ab-cdef-fedc-ba987EXAMPLE");
    assert_eq!(seen.rotated.expect("a time").as_second(), 1525747253);
}
