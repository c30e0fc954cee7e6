//! GitHub's description of its API: judges requests and answers by it, and makes answers that have all that it promises.

use serde_json::{Map, Value, json};

pub struct Description(Value);

impl Description {
    /// What `make test` extracts from the published description.
    pub fn read() -> Self {
        let file = std::env::var("FAIRLEAD_GITHUB_API")
            .expect("FAIRLEAD_GITHUB_API names GitHub's description: make test sets it");
        Self(serde_json::from_slice(&std::fs::read(file).expect("it can be read")).expect("it is JSON"))
    }

    fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                self.follow(self.0.pointer(reference.trim_start_matches('#')).expect("it is there"))
            }
            None => value,
        }
    }

    /// The operation that a request is for.
    pub fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let wanted: Vec<&str> = template.split('/').collect();
            wanted.len() == parts.len()
                && wanted.iter().zip(&parts).all(|(wanted, part)| wanted.starts_with('{') || wanted == part)
        };
        let paths = self.0["paths"].as_object()?;
        // Words before parameters: `comments/7` is one comment, and no issue called so.
        let mut found: Vec<(&String, &Value)> = paths.iter().filter(|(template, _)| fits(template)).collect();
        found.sort_by_key(|(template, _)| template.matches('{').count());
        found.first().map(|(_, item)| &item[method.to_lowercase()]).filter(|operation| operation.is_object())
    }

    pub fn judge_request(&self, method: &str, path: &str, query: &str, body: &Value) -> Vec<String> {
        let Some(operation) = self.operation(method, path) else {
            return vec![format!("there is no {method} {path}")];
        };
        let mut found = Vec::new();
        let empty = Vec::new();
        let parameters: Vec<&Value> =
            operation["parameters"].as_array().unwrap_or(&empty).iter().map(|one| self.follow(one)).collect();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match parameters.iter().find(|one| one["in"] == "query" && one["name"] == name) {
                None => found.push(format!("{method} {path} takes no {name}")),
                Some(parameter) => {
                    let value = value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
                    self.check(&parameter["schema"], &value, &format!("?{name}"), &mut found);
                }
            }
        }
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        match (schema.is_null(), body.is_null()) {
            (true, true) => {}
            (true, false) => found.push(format!("{method} {path} takes no body")),
            (false, _) => {
                self.check(schema, body, "body", &mut found);
                let known = self.follow(schema)["properties"].as_object().cloned().unwrap_or_default();
                let sent = body.as_object().into_iter().flatten();
                found.extend(
                    sent.filter(|(name, _)| !known.contains_key(*name))
                        .map(|(name, _)| format!("it knows no {name}")),
                );
            }
        }
        found
    }

    pub fn judge_answer(&self, method: &str, path: &str, code: u16, body: &Value) -> Vec<String> {
        let Some(operation) = self.operation(method, path) else { return Vec::new() };
        let answer = self.follow(&operation["responses"][code.to_string()]);
        if answer.is_null() {
            // What its description leaves out: a comment that is gone, or a gateway.
            return if code >= 400 {
                Vec::new()
            } else {
                vec![format!("{method} {path} is not answered with {code}")]
            };
        }
        let mut found = Vec::new();
        let schema = &answer["content"]["application/json"]["schema"];
        if !schema.is_null() && code < 300 {
            self.check(schema, body, "answer", &mut found);
        }
        found
    }

    /// An answer with all that is promised, in its plainest form.
    pub fn answer(&self, method: &str, path: &str, code: u16) -> Value {
        let operation = self.operation(method, path).expect("it is described");
        let schema =
            &self.follow(&operation["responses"][code.to_string()])["content"]["application/json"]["schema"];
        let schema = self.follow(schema);
        // Of a list, one item.
        self.plain(if schema["type"] == "array" { &schema["items"] } else { schema })
    }

    fn plain(&self, schema: &Value) -> Value {
        let schema = self.follow(schema);
        if schema["nullable"] == true && schema["properties"].is_null() {
            return Value::Null;
        }
        for many in ["oneOf", "anyOf"] {
            if let Some(first) = schema[many].as_array().and_then(|all| all.first()) {
                return self.plain(first);
            }
        }
        if let Some(all) = schema["allOf"].as_array() {
            let mut merged = Map::new();
            all.iter()
                .for_each(|one| merged.extend(self.plain(one).as_object().cloned().unwrap_or_default()));
            return Value::Object(merged);
        }
        if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
            return first.clone();
        }
        match schema["type"].as_str() {
            Some("array") => json!([]),
            Some("integer" | "number") => json!(1),
            Some("boolean") => json!(false),
            Some("string") => json!(match schema["format"].as_str() {
                Some("date-time") => "2026-01-01T00:00:00Z",
                Some("uri") => "https://forge.example/x",
                _ => "text",
            }),
            _ => {
                let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let field = |name: &str| (name.to_owned(), self.plain(&schema["properties"][name]));
                Value::Object(required.map(field).collect())
            }
        }
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let schema = self.follow(schema);
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        for many in ["oneOf", "anyOf"] {
            if let Some(all) = schema[many].as_array() {
                let fits = |one: &Value| {
                    let mut wrong = Vec::new();
                    self.check(one, value, at, &mut wrong);
                    wrong.is_empty()
                };
                if !all.iter().any(fits) {
                    found.push(format!("{at} is none of what it may be"));
                }
            }
        }
        schema["allOf"].as_array().into_iter().flatten().for_each(|one| self.check(one, value, at, found));
        if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
            found.push(format!("{at} is {value}, and not one of {}", schema["enum"]));
        }
        let fits = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            _ => true,
        };
        if !fits {
            found.push(format!("{at} is {value}, and no {}", schema["type"]));
            return;
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.get(name).is_none() {
                found.push(format!("{at} has no {name}"));
            }
        }
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = value.get(name) {
                self.check(inner, value, &format!("{at}.{name}"), found);
            }
        }
        for (n, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check(&schema["items"], item, &format!("{at}[{n}]"), found);
        }
    }
}

#[test]
fn what_is_not_described_is_found() {
    let github = Description::read();
    let repo = "/repos/ada/infra";
    let judge = |method, path: &str, query, body| {
        github.judge_request(method, &format!("{repo}/{path}"), query, &body)
    };
    assert!(judge("POST", "issues/7/comments", "", json!({"body": "x"})).is_empty());
    assert!(judge("GET", "pulls", "state=open&per_page=100", Value::Null).is_empty());
    assert!(!judge("POST", "issues/7/comments", "", json!({"text": "x"})).is_empty());
    assert!(!judge("POST", "issues/7/comments", "", json!({"body": {}})).is_empty());
    assert!(!judge("POST", "statuses/abc", "", json!({"state": "fine"})).is_empty());
    assert!(!judge("GET", "pulls", "states=open", Value::Null).is_empty());
    assert!(!judge("GET", "pulls", "state=merged", Value::Null).is_empty());
    assert!(!judge("GET", "notes", "", Value::Null).is_empty());
    let answer = github.answer("GET", &format!("{repo}/pulls"), 200);
    assert!(
        github.judge_answer("GET", &format!("{repo}/pulls"), 200, &json!([answer.clone()])).is_empty(),
        "{answer}"
    );
    let mut wrong = answer;
    wrong["head"]["sha"] = json!(7);
    assert!(!github.judge_answer("GET", &format!("{repo}/pulls"), 200, &json!([wrong])).is_empty());
}
