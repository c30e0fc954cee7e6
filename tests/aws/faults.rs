//! What goes wrong, and what is said of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fairlead::aws::{Aws, Identity, Role};
use fairlead::object::secret::SecretId;
use fairlead::secrets::{CallOutcome, Cause, Trouble};
use serde_json::{Value, json};

use crate::bed::{Bed, bed, hasty, id};
use crate::proxy::{Asked, Fault};

const BATCH: &str = "BatchGetSecretValue";

/// Reads one secret, newly.
async fn read(aws: &Aws, secret: &SecretId) -> Result<String, Trouble> {
    let answers = aws.reader(&Identity::default()).read(std::slice::from_ref(secret), Duration::ZERO).await;
    assert_eq!(answers.len(), 1);
    let read = answers.into_values().next().expect("an answer")?;
    Ok(read.value.expose_text().expect("text").to_owned())
}

/// A secret of which every request is refused in this way.
async fn refused(status: u16, code: &'static str, message: &'static str) -> (Bed, Trouble) {
    let bed = bed().await;
    bed.create("db", "value").await;
    bed.proxy.rule(move |_| Some(Fault::Refuse(status, code, message)));
    let trouble = read(&bed.aws().await, &bed.secret("db")).await.expect_err("it is refused");
    (bed, trouble)
}

#[tokio::test]
async fn each_refusal_has_a_cause_and_a_cure() {
    for (status, code, message, cause, cure) in [
        (400, "ThrottlingException", "Rate exceeded", Cause::Throttled, "quota"),
        (400, "AccessDeniedException", "Access to KMS is not allowed", Cause::KmsDenied, "allow kms:Decrypt"),
        (
            400,
            "InvalidRequestException",
            "You can't perform this operation on the secret because it was marked for deletion.",
            Cause::ScheduledForDeletion,
            "restore-secret",
        ),
        (
            400,
            "InvalidSignatureException",
            "Signature expired: 20260101 is now earlier than",
            Cause::ClockOff,
            "NTP",
        ),
    ] {
        let (bed, trouble) = refused(status, code, message).await;
        assert_eq!(trouble.cause, cause, "{code}");
        let said = trouble.to_string();
        assert!(said.contains(cure) && said.contains(&bed.name("db")), "{said}");
        assert!(said.contains("the agent's own identity"), "{said}");
    }
    let (_bed, trouble) = refused(403, "UnrecognizedClientException", "The security token is invalid").await;
    assert!(matches!(trouble.cause, Cause::Credentials { .. }), "{trouble}");
    let (bed, trouble) = refused(500, "InternalServiceError", "").await;
    assert!(matches!(trouble.cause, Cause::Unreachable { .. }) && trouble.passes_by_itself(), "{trouble}");
    assert_eq!(bed.proxy.count(BATCH), 3, "it was tried again, and no more than is allowed");
    assert_eq!(bed.proxy.count("GetSecretValue"), 0, "where nobody answers, nobody is asked singly");
}

#[tokio::test]
async fn a_denied_secret_names_the_action_and_the_resource() {
    let message = "User: arn:aws:sts::123456789012:assumed-role/x is not authorized to perform";
    let (bed, trouble) = refused(400, "AccessDeniedException", message).await;
    let said = trouble.to_string();
    let wanted = format!(
        "allow secretsmanager:GetSecretValue on arn:aws:secretsmanager:eu-west-1:*:secret:{}-??????",
        bed.name("db")
    );
    assert!(said.contains(&wanted), "{said}");
    assert!(!said.contains("assumed-role"), "what AWS says is not passed on: {said}");
    assert!(!trouble.passes_by_itself());
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    type Make = fn() -> Fault;
    let faults: [Make; 5] = [
        || Fault::Refuse(400, "ThrottlingException", "Rate exceeded"),
        || Fault::Refuse(503, "ServiceUnavailable", ""),
        || Fault::Reset,
        || Fault::Answer(200, "{\"SecretValues\": [{\"Name\": ".into()),
        || Fault::Answer(502, "<html>bad gateway</html>".into()),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let bed = bed().await;
        bed.create("db", "value").await;
        let failures = AtomicUsize::new(0);
        bed.proxy.rule(move |_| (failures.fetch_add(1, Ordering::Relaxed) < 1).then(fault));
        let aws = bed.aws().await;
        assert_eq!(read(&aws, &bed.secret("db")).await.as_deref(), Ok("value"), "fault {n}");
        assert_eq!(bed.proxy.count(BATCH), 2, "fault {n}");
        let (calls, _) = aws.calls();
        let failed = calls
            .iter()
            .filter(|(call, _)| call.outcome != CallOutcome::Ok)
            .map(|(_, count)| count)
            .sum::<u64>();
        assert_eq!(failed, 1, "fault {n}: every try is counted: {calls:?}");
    }
}

#[tokio::test]
async fn waiting_ends_in_time() {
    let bed = bed().await;
    bed.create("db", "value").await;
    bed.proxy.rule(|_| Some(Fault::Slow(Duration::from_secs(30))));
    let aws = bed.aws_with(hasty()).await;
    let began = Instant::now();
    let trouble = read(&aws, &bed.secret("db")).await.expect_err("nobody answers");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert!(trouble.to_string().contains("timed out"), "{trouble}");
    assert!(bed.proxy.count(BATCH) > 1, "one try does not use up all the time");
    bed.proxy.forget_rules();
    assert_eq!(read(&aws, &bed.secret("db")).await.as_deref(), Ok("value"), "and then it answers");
}

#[tokio::test]
async fn without_the_right_to_batches_each_is_read_by_itself_and_that_is_remembered() {
    let bed = bed().await;
    bed.create("a", "value a").await;
    bed.create("b", "value b").await;
    bed.proxy.rule(|asked| {
        let message = "not authorized to perform: secretsmanager:BatchGetSecretValue";
        (asked.operation == BATCH).then_some(Fault::Refuse(400, "AccessDeniedException", message))
    });
    let aws = bed.aws().await;
    let reader = aws.reader(&Identity::default());
    let secrets = [bed.secret("a"), bed.secret("b"), bed.secret("none")];
    for round in 1..=2 {
        let answers = reader.read(&secrets, Duration::ZERO).await;
        assert!(answers[&secrets[0]].is_ok() && answers[&secrets[1]].is_ok(), "{answers:?}");
        assert_eq!(answers[&secrets[2]].as_ref().expect_err("none").cause, Cause::NotFound);
        assert_eq!((bed.proxy.count(BATCH), bed.proxy.count("GetSecretValue")), (1, 3 * round));
    }
    // The sweep needs no values then.
    bed.proxy.forget();
    let seen = reader.look(&secrets[..2]).await;
    assert!(seen.values().all(Result::is_ok), "{seen:?}");
    assert_eq!((bed.proxy.count(BATCH), bed.proxy.count("DescribeSecret")), (0, 2));
    // And where that is denied, too, it is done with the right to read.
    bed.proxy.rule(|asked| {
        (asked.operation == "DescribeSecret").then_some(Fault::Refuse(400, "AccessDeniedException", "no"))
    });
    let seen = reader.look(&secrets[..2]).await;
    assert!(seen.values().all(Result::is_ok), "{seen:?}");
    assert_eq!(bed.proxy.count("GetSecretValue"), 2);
}

#[tokio::test]
async fn one_bad_secret_of_a_batch_harms_only_itself() {
    let bed = bed().await;
    for name in ["good", "denied", "kms", "deleted"] {
        bed.create(name, "value").await;
    }
    let input = json!({"SecretId": bed.name("deleted"), "RecoveryWindowInDays": 7});
    bed.call("secretsmanager.DeleteSecret", input).await;
    let (denied, kms) = (bed.name("denied"), bed.name("kms"));
    bed.proxy.rule(move |asked| {
        let (denied, kms) = (denied.clone(), kms.clone());
        let change = move |answer: &mut Value| {
            let values = answer["SecretValues"].as_array_mut().expect("values");
            values.retain(|value| value["Name"] != denied && value["Name"] != kms);
            let errors = answer["Errors"].as_array_mut().expect("errors");
            errors.push(json!({"SecretId": denied, "ErrorCode": "AccessDeniedException", "Message": "not authorized"}));
            errors.push(json!({"SecretId": kms, "ErrorCode": "AccessDeniedException",
                               "Message": "Access to KMS is not allowed"}));
        };
        (asked.operation == BATCH).then(|| Fault::Change(Box::new(change)))
    });
    let names = ["good", "denied", "kms", "deleted", "none"];
    let secrets = names.map(|name| bed.secret(name));
    let answers = bed.aws().await.reader(&Identity::default()).read(&secrets, Duration::ZERO).await;
    assert!(answers[&secrets[0]].is_ok());
    let cause = |n: usize| answers[&secrets[n]].as_ref().expect_err("it cannot be read").cause.clone();
    assert!(matches!(cause(1), Cause::Denied(right) if right.action == "secretsmanager:GetSecretValue"));
    assert_eq!(
        (cause(2), cause(3), cause(4)),
        (Cause::KmsDenied, Cause::ScheduledForDeletion, Cause::NotFound)
    );
    assert_eq!(bed.proxy.asked().len(), 1, "the batch said it all");
}

#[tokio::test]
async fn what_a_batch_leaves_out_is_asked_for_by_itself() {
    let bed = bed().await;
    bed.create("a", "value a").await;
    bed.create("b", "value b").await;
    let b = bed.name("b");
    bed.proxy.rule(move |asked| {
        let b = b.clone();
        let change = move |answer: &mut Value| {
            answer["SecretValues"].as_array_mut().expect("values").retain(|value| value["Name"] != b);
        };
        (asked.operation == BATCH).then(|| Fault::Change(Box::new(change)))
    });
    let secrets = [bed.secret("a"), bed.secret("b")];
    let answers = bed.aws().await.reader(&Identity::default()).read(&secrets, Duration::ZERO).await;
    assert!(answers.values().all(Result::is_ok), "{answers:?}");
    assert_eq!((bed.proxy.count(BATCH), bed.proxy.count("GetSecretValue")), (1, 1));
}

#[tokio::test]
async fn pages_are_followed_and_answers_about_others_are_not_taken() {
    let bed = bed().await;
    bed.create("a", "value a").await;
    bed.create("b", "value b").await;
    let (a, b) = (bed.name("a"), bed.name("b"));
    let only = |name: String, token: Value| -> Fault {
        Fault::Change(Box::new(move |answer: &mut Value| {
            let values = answer["SecretValues"].as_array_mut().expect("values");
            values.retain(|value| value["Name"] == name);
            values.push(
                json!({"Name": "another", "ARN": "arn:another", "VersionId": "1", "SecretString": "hidden",
                               "VersionStages": ["AWSCURRENT"]}),
            );
            answer["NextToken"] = token.clone();
        }))
    };
    // moto takes no token with a list of secrets.
    bed.proxy.rule(move |asked: &Asked| match asked.input.get("NextToken") {
        _ if asked.operation != BATCH => None,
        None => Some(only(a.clone(), json!("more"))),
        Some(_) => {
            let value = json!({"Name": b, "ARN": "arn:b", "VersionId": "v", "SecretString": "value b"});
            Some(Fault::Answer(200, json!({"SecretValues": [value], "Errors": []}).to_string()))
        }
    });
    let secrets = [bed.secret("a"), bed.secret("b")];
    let answers = bed.aws().await.reader(&Identity::default()).read(&secrets, Duration::ZERO).await;
    let value = |n: usize| answers[&secrets[n]].as_ref().expect("read").value.expose_text().expect("text");
    assert_eq!((answers.len(), value(0), value(1)), (2, "value a", "value b"));
    assert_eq!((bed.proxy.count(BATCH), bed.proxy.asked().len()), (2, 2));
}

#[tokio::test]
async fn an_answer_about_another_secret_is_no_answer() {
    let bed = bed().await;
    bed.create("other", "hidden").await;
    let other =
        json!({"Name": bed.name("other"), "ARN": "arn:x", "VersionId": "v", "SecretString": "hidden"});
    bed.proxy.rule(move |asked| match asked.operation.as_str() {
        BATCH => Some(Fault::Answer(200, json!({"SecretValues": [other]}).to_string())),
        _ => Some(Fault::Answer(200, other.to_string())),
    });
    let trouble = read(&bed.aws().await, &bed.secret("db")).await.expect_err("that is another");
    assert!(matches!(trouble.cause, Cause::Unreachable { .. }), "{trouble}");
}

#[tokio::test]
async fn a_secret_without_a_value_has_no_version() {
    let bed = bed().await;
    let name = bed.name("empty");
    bed.proxy.rule(move |asked| {
        let error = json!({"SecretId": name, "ErrorCode": "ResourceNotFoundException",
            "Message": "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT"});
        (asked.operation == BATCH).then(|| Fault::Answer(200, json!({"SecretValues": [], "Errors": [error]}).to_string()))
    });
    let trouble = read(&bed.aws().await, &bed.secret("empty")).await.expect_err("it has none");
    assert_eq!(trouble.cause, Cause::NoVersion);
    assert!(trouble.to_string().contains("has no version AWSCURRENT"), "{trouble}");
}

#[tokio::test]
async fn one_bad_parameter_of_a_call_harms_only_itself() {
    let bed = bed().await;
    for name in ["good", "bad"] {
        bed.put_parameter(name, "SecureString", "value").await;
    }
    let bad = bed.name("bad");
    bed.proxy.rule(move |asked| {
        let message = "not authorized to perform: kms:Decrypt";
        asked.names(&bad).then_some(Fault::Refuse(400, "AccessDeniedException", message))
    });
    let secrets = [bed.parameter("good"), bed.parameter("bad")];
    let answers = bed.aws().await.reader(&Identity::default()).read(&secrets, Duration::ZERO).await;
    assert!(answers[&secrets[0]].is_ok(), "{answers:?}");
    assert_eq!(answers[&secrets[1]].as_ref().expect_err("denied").cause, Cause::KmsDenied);
}

#[tokio::test]
async fn a_role_that_is_not_given_says_which_and_why() {
    let bed = bed().await;
    bed.proxy.rule(|asked| {
        (asked.operation == "AssumeRole").then_some(Fault::Refuse(403, "AccessDenied", "not authorized"))
    });
    let arn = "arn:aws:iam::123456789012:role/production";
    let identity = Identity { role: Some(Role::of_environment(arn, None, "production", "")), region: None };
    let secret = bed.secret("db");
    let answers = bed.aws().await.reader(&identity).read(std::slice::from_ref(&secret), Duration::ZERO).await;
    let trouble = answers[&secret].as_ref().expect_err("no role");
    let said = trouble.to_string();
    assert!(said.contains(arn) && said.contains("sts:AssumeRole and sts:TagSession"), "{said}");
    assert!(!trouble.passes_by_itself());
}

#[tokio::test]
async fn many_readers_of_a_role_do_not_wait_for_each_other() {
    let bed = bed().await;
    let identity = Identity {
        role: Some(Role::of_environment("arn:aws:iam::123456789012:role/x", None, "x", "")),
        region: None,
    };
    let mut secrets = Vec::new();
    for n in 0..30 {
        bed.create(&format!("s{n}"), "value").await;
        // Labels are read one by one: more at once than calls are allowed at once, all of them before there are credentials.
        secrets.push(id(&format!("aws-sm:{}@AWSCURRENT", bed.name(&format!("s{n}")))));
        secrets.last_mut().expect("one").pick = fairlead::object::secret::Pick::Stage("AWSCURRENT".into());
    }
    let aws = Arc::new(bed.aws().await);
    let answers = aws.reader(&identity).read(&secrets, Duration::ZERO).await;
    assert!(answers.values().all(Result::is_ok), "{answers:?}");
    assert_eq!(bed.proxy.count("AssumeRole"), 1);
}

#[tokio::test]
async fn nobody_at_the_other_end_is_a_trouble_that_passes() {
    let bed = bed().await;
    let secret = bed.secret("db");
    let aws = bed.aws().await;
    drop(bed);
    let trouble = read(&aws, &secret).await.expect_err("nobody is there");
    assert!(matches!(trouble.cause, Cause::Unreachable { .. }) && trouble.passes_by_itself(), "{trouble}");
}

#[tokio::test]
async fn a_page_of_a_proxy_is_no_answer() {
    let bed = bed().await;
    bed.proxy.rule(|_| Some(Fault::Answer(200, "<html>please sign in</html>".into())));
    let trouble = read(&bed.aws().await, &bed.secret("db")).await.expect_err("that is no secret");
    assert!(matches!(trouble.cause, Cause::Unreachable { .. }), "{trouble}");
}
