//! Judges requests by botocore's description of the services: that the operation exists, that what it requires is there, and
//! that nothing else is.

use serde_json::{Map, Value};

/// The descriptions, by service.
pub struct Models(pub Value);

impl Models {
    /// Tells everything that is wrong with a request.
    pub fn judge(&self, service: &str, target: &str, input: &Value) -> Vec<String> {
        let model = &self.0[service];
        let operation = match model["metadata"]["targetPrefix"].as_str() {
            Some(prefix) => match target.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) {
                Some(operation) => operation,
                None => return vec![format!("{target} does not begin with {prefix}.")],
            },
            None => target,
        };
        let Some(found) = model["operations"].get(operation) else {
            return vec![format!("{service} has no operation {operation:?}")];
        };
        let mut wrong = Vec::new();
        if let Some(shape) = found["input"]["shape"].as_str() {
            shape_of(model, shape, input, operation, &mut wrong);
        }
        wrong
    }
}

fn shape_of(model: &Value, name: &str, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let shape = &model["shapes"][name];
    let mut say = |what: String| wrong.push(format!("{at}: {what}"));
    let within = |length: usize| {
        shape["min"].as_u64().is_none_or(|min| length as u64 >= min)
            && shape["max"].as_u64().is_none_or(|max| length as u64 <= max)
    };
    match (shape["type"].as_str().unwrap_or_default(), value) {
        ("structure", Value::Object(members)) => {
            let known = shape["members"].as_object().cloned().unwrap_or_default();
            for required in shape["required"].as_array().into_iter().flatten() {
                if !members.contains_key(required.as_str().unwrap_or_default()) {
                    say(format!("{required} is required"));
                }
            }
            for (member, value) in members {
                match known.get(member).and_then(|known| known["shape"].as_str()) {
                    Some(inner) => shape_of(model, inner, value, &format!("{at}.{member}"), wrong),
                    None => wrong.push(format!("{at}: there is no member {member}")),
                }
            }
        }
        ("list", Value::Array(items)) => {
            if !within(items.len()) {
                say(format!("{} items", items.len()));
            }
            let inner = shape["member"]["shape"].as_str().unwrap_or_default();
            for (n, item) in items.iter().enumerate() {
                shape_of(model, inner, item, &format!("{at}[{n}]"), wrong);
            }
        }
        ("map", Value::Object(entries)) => {
            let inner = shape["value"]["shape"].as_str().unwrap_or_default();
            for (key, value) in entries {
                shape_of(model, inner, value, &format!("{at}.{key}"), wrong);
            }
        }
        ("string", Value::String(text)) => {
            if !within(text.chars().count()) {
                say(format!("{} characters", text.len()));
            }
            let pattern =
                shape["pattern"].as_str().map(|pattern| regex::Regex::new(&format!("^(?:{pattern})$")));
            // A pattern of another dialect is not ours to judge by.
            if let Some(Ok(pattern)) = pattern
                && !pattern.is_match(text)
            {
                say(format!("{text:?} does not match {pattern}"));
            }
            if let Some(words) = shape["enum"].as_array()
                && !words.iter().any(|word| word == text)
            {
                say(format!("{text:?} is none of {words:?}"));
            }
        }
        ("integer" | "long", Value::Number(number)) => {
            let number = number.as_i64();
            let fits = number.is_some_and(|number| {
                shape["min"].as_i64().is_none_or(|min| number >= min)
                    && shape["max"].as_i64().is_none_or(|max| number <= max)
            });
            if !fits {
                say(format!("{number:?}"));
            }
        }
        ("boolean", Value::Bool(_)) | ("blob", Value::String(_)) | ("timestamp", Value::Number(_)) => {}
        (wanted, found) => say(format!("{wanted} is wanted, and {found} is none")),
    }
}

/// Makes of a form, as STS takes it, the input that it stands for, and the name of the operation.
pub fn form(body: &str) -> (String, Value) {
    let mut operation = String::new();
    let mut input = Map::new();
    for pair in body.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decoded(key), decoded(value));
        match key.as_str() {
            "Action" => operation = value,
            "Version" => {}
            _ => {
                let parts: Vec<&str> = key.split('.').filter(|part| *part != "member").collect();
                put(&mut input, &parts, value);
            }
        }
    }
    (operation, lists(Value::Object(input)))
}

fn put(into: &mut Map<String, Value>, way: &[&str], value: String) {
    match way {
        [] => {}
        [last] => {
            let value = value.parse::<i64>().map(Value::from).unwrap_or(Value::from(value));
            into.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let inner = into.entry(*first).or_insert_with(|| Value::Object(Map::new()));
            put(inner.as_object_mut().expect("a form has no value where it has members"), rest, value);
        }
    }
}

/// `{"1": a, "2": b}` stands for a list.
fn lists(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let is_list = !map.is_empty() && map.keys().all(|key| key.parse::<u32>().is_ok());
    let inner = map.into_iter().map(|(key, value)| (key, lists(value)));
    if is_list {
        Value::Array(inner.map(|(_, value)| value).collect())
    } else {
        Value::Object(inner.collect())
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&hex, 16).expect("two hexadecimal digits"));
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

#[tokio::test]
async fn the_judge_finds_what_is_wrong() {
    let models = &crate::bed::moto().await.models;
    let judge = |target: &str, input: Value| models.judge("secretsmanager", target, &input);
    use serde_json::json;
    assert_eq!(judge("secretsmanager.GetSecretValue", json!({"SecretId": "a"})), Vec::<String>::new());
    for (target, input, wrong) in [
        ("secretsmanager.GetSecretValue", json!({}), "required"),
        ("secretsmanager.GetSecretValue", json!({"SecretId": 1}), "string is wanted"),
        ("secretsmanager.GetSecretValue", json!({"SecretId": "a", "Other": 1}), "no member Other"),
        ("secretsmanager.GetSecretValue", json!({"SecretId": "a", "VersionId": "short"}), "5 characters"),
        ("secretsmanager.BatchGetSecretValue", json!({"SecretIdList": vec!["a"; 21]}), "21 items"),
        ("secretsmanager.Nothing", json!({}), "no operation"),
        ("other.GetSecretValue", json!({}), "does not begin"),
    ] {
        let found = judge(target, input);
        assert!(found.iter().any(|found| found.contains(wrong)), "{target}: {found:?}");
    }
    let (operation, input) =
        form("Action=AssumeRole&Version=1&Tags.member.1.Key=a%2Fb&Tags.member.1.Value=c");
    assert_eq!(
        (operation.as_str(), &input),
        ("AssumeRole", &json!({"Tags": [{"Key": "a/b", "Value": "c"}]}))
    );
}
