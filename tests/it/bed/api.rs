use bytes::Bytes;
use http::{Method, Request, header};
use kube::client::Body;
use serde_json::Value;

use super::RUNTIME;

/// The API server, asked in plain words and waited for.
#[derive(Clone)]
pub struct Api {
    client: kube::Client,
}

impl Api {
    pub fn new(mut config: kube::Config) -> Self {
        config.default_retry = false;
        let client = RUNTIME.block_on(async { kube::Client::try_from(config) }).expect("a client");
        Self { client }
    }

    /// As whom a kubeconfig says.
    pub fn of(kubeconfig: &std::path::Path) -> Self {
        Self::new(super::controlplane::config(kubeconfig))
    }

    /// Status and body of the answer.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        self.request_with(method, path, content_type, body, &[])
    }

    /// The same with further headers, such as those that say as whom.
    pub fn request_with(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let bytes = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let mut request =
            Request::builder().method(method.clone()).uri(path).header(header::CONTENT_TYPE, content_type);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(bytes)).expect("a request");
        RUNTIME.block_on(async {
            let response =
                self.client.send(request).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
            let status = response.status().as_u16();
            let bytes = response.into_body().collect_bytes().await.expect("a whole answer");
            (status, serde_json::from_slice(&bytes).unwrap_or_default())
        })
    }

    #[track_caller]
    fn done(&self, method: Method, path: &str, content_type: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.request(method.clone(), path, content_type, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {}", answer["message"]);
        answer
    }

    /// `None` where there is nothing of that name.
    #[track_caller]
    pub fn get(&self, path: &str) -> Option<Value> {
        match self.request(Method::GET, path, "application/json", None) {
            (404, _) => None,
            (200, value) => Some(value),
            (status, answer) => panic!("GET {path}: {status} {}", answer["message"]),
        }
    }

    /// Server-side apply, as the tests' own field manager.
    #[track_caller]
    pub fn apply(&self, object: &Value) -> Value {
        self.apply_as("bed", object)
    }

    /// The same, as any field manager.
    #[track_caller]
    pub fn apply_as(&self, manager: &str, object: &Value) -> Value {
        let path = format!("{}?fieldManager={manager}&force=true", path_of(object));
        self.done(Method::PATCH, &path, "application/apply-patch+yaml", Some(object))
    }

    #[track_caller]
    pub fn create(&self, object: &Value) -> Value {
        let path = path_of(object);
        let collection = path.rsplit_once('/').expect("a path has a name").0;
        let path = format!("{collection}?fieldManager=somebody");
        self.done(Method::POST, &path, "application/json", Some(object))
    }

    #[track_caller]
    pub fn merge(&self, path: &str, patch: &Value) -> Value {
        let path = format!("{path}?fieldManager=somebody");
        self.done(Method::PATCH, &path, "application/merge-patch+json", Some(patch))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) {
        self.done(Method::DELETE, path, "application/json", None);
    }

    /// For whom the server takes us.
    pub fn whoami(&self) -> String {
        let review =
            serde_json::json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let answer = self.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review);
        answer["status"]["userInfo"]["username"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.done(Method::POST, path, "application/json", Some(body))
    }
}

pub fn path(group_version: &str, namespace: Option<&str>, plural: &str, name: &str) -> String {
    let root = if group_version.contains('/') { "/apis" } else { "/api" };
    let within = namespace.map_or(String::new(), |namespace| format!("/namespaces/{namespace}"));
    format!("{root}/{group_version}{within}/{plural}/{name}")
}

/// Where an object belongs. Plurals as English makes them, which all kinds here follow.
pub fn path_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&object["kind"]).to_lowercase();
    let plural = match kind.as_bytes().last() {
        Some(b'y') => format!("{}ies", &kind[..kind.len() - 1]),
        Some(b's') => format!("{kind}es"),
        _ => format!("{kind}s"),
    };
    let metadata = &object["metadata"];
    path(&text(&object["apiVersion"]), metadata["namespace"].as_str(), &plural, &text(&metadata["name"]))
}
