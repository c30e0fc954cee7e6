//! Which kinds the server serves, and where.

use std::sync::{Arc, RwLock};

use serde_json::Value;

use super::call::{Call, CallError, Cluster, JSON};
use super::filling::Filling;
use crate::object::{Gvk, KindInfo, KindScope, Kinds, ObjectKey};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A cluster and what is known of it: the kinds are asked for once, and again when one is missing.
#[derive(Clone)]
pub struct Session {
    pub cluster: Cluster,
    kinds: Arc<RwLock<Arc<Kinds>>>,
    /// What is sent where Secrets refer to secrets.
    pub(super) filling: Filling,
}

impl Session {
    pub async fn open(cluster: Cluster) -> Result<Self, CallError> {
        let session = Self { cluster, kinds: Arc::default(), filling: Filling::Nothing };
        session.refresh().await?;
        Ok(session)
    }

    /// The same cluster, for whom Secrets are filled like this.
    #[must_use]
    pub fn filling(&self, filling: Filling) -> Self {
        Self { filling, ..self.clone() }
    }

    /// Takes the values of secrets out of what others said.
    pub fn scrub(&self, text: &str) -> String {
        match &self.filling {
            Filling::Values(values) => values.scrub(text),
            Filling::Nothing | Filling::Placeholders => text.to_owned(),
        }
    }

    pub fn kinds(&self) -> Arc<Kinds> {
        self.kinds.read().expect("no one panics while holding this lock").clone()
    }

    /// Asks anew: two requests, however many groups there are.
    pub async fn refresh(&self) -> Result<Arc<Kinds>, CallError> {
        let mut kinds = Kinds::default();
        for path in ["/api", "/apis"] {
            let reply = self.cluster.send(&Call::get(path).accept(AGGREGATED)).await?;
            read_groups(&reply.json()?, &mut kinds);
        }
        let kinds = Arc::new(kinds);
        *self.kinds.write().expect("no one panics while holding this lock") = kinds.clone();
        Ok(kinds)
    }

    /// The version of the server, such as `1.36`.
    pub async fn version(&self) -> Result<String, CallError> {
        let version = self.cluster.send(&Call::get("/version").accept(JSON)).await?.json()?;
        Ok(version["gitVersion"].as_str().unwrap_or_default().to_owned())
    }

    /// Where an object is, or `None` where its kind is not served.
    pub fn path(&self, gvk: &Gvk, key: &ObjectKey) -> Option<String> {
        path(&self.kinds(), gvk, key)
    }
}

pub fn path(kinds: &Kinds, gvk: &Gvk, key: &ObjectKey) -> Option<String> {
    let info = kinds.get(&gvk.group, &gvk.kind)?;
    if !kinds.serves(gvk) {
        return None;
    }
    let root = collection(gvk, info, key.namespace.as_deref());
    Some(format!("{root}/{}", escape(&key.name)))
}

/// The path of a kind's objects, in one namespace or in all.
pub fn collection(gvk: &Gvk, info: &KindInfo, namespace: Option<&str>) -> String {
    let root = match &*gvk.group {
        "" => format!("/api/{}", gvk.version),
        group => format!("/apis/{group}/{}", gvk.version),
    };
    match (info.scope, namespace) {
        (KindScope::Namespaced, Some(namespace)) => {
            format!("{root}/namespaces/{}/{}", escape(namespace), info.plural)
        }
        _ => format!("{root}/{}", info.plural),
    }
}

/// Names of some kinds hold colons (RBAC) and worse; nothing in a name may become a path or a query.
pub(super) fn escape(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                text.push(char::from(byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn read_groups(list: &Value, kinds: &mut Kinds) {
    for group in list["items"].as_array().into_iter().flatten() {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        // The versions come in the server's order of preference.
        for version in group["versions"].as_array().into_iter().flatten() {
            let Some(version_name) = version["version"].as_str() else { continue };
            for resource in version["resources"].as_array().into_iter().flatten() {
                let Some(kind) = resource["responseKind"]["kind"].as_str() else { continue };
                let Some(plural) = resource["resource"].as_str() else { continue };
                let can = |verb: &str| resource["verbs"].as_array().into_iter().flatten().any(|v| v == verb);
                if !can("patch") {
                    continue; // TokenReviews and their like are questions, not objects.
                }
                let scope =
                    if resource["scope"] == "Cluster" { KindScope::Cluster } else { KindScope::Namespaced };
                let mut versions =
                    kinds.get(name, kind).map(|info| info.versions.clone()).unwrap_or_default();
                versions.push(version_name.to_owned());
                kinds.insert(name, kind, KindInfo { plural: plural.to_owned(), scope, versions });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kinds() -> Kinds {
        let mut kinds = Kinds::default();
        read_groups(
            &json!({"items": [{"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [
                {"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced",
                 "verbs": ["get", "patch"]}]}]},
                {"metadata": {"name": "authorization.k8s.io"}, "versions": [{"version": "v1", "resources": [
                {"resource": "subjectaccessreviews", "responseKind": {"kind": "SubjectAccessReview"},
                 "scope": "Cluster", "verbs": ["create"]}]}]}]}),
            &mut kinds,
        );
        kinds
    }

    #[test]
    fn a_path_is_made_of_the_kind_and_the_key() {
        let gvk = Gvk::new("apps", "v1", "Deployment");
        let key = ObjectKey::new("apps", "Deployment", Some("web"), "a");
        assert_eq!(path(&kinds(), &gvk, &key).as_deref(), Some("/apis/apps/v1/namespaces/web/deployments/a"));
        assert_eq!(path(&kinds(), &Gvk::new("apps", "v1beta1", "Deployment"), &key), None);
    }

    #[test]
    fn nothing_in_a_name_becomes_a_path() {
        assert_eq!(escape("system:a/../b?x"), "system:a%2F..%2Fb%3Fx");
    }

    #[test]
    fn what_cannot_be_applied_is_not_a_kind_of_ours() {
        assert!(kinds().get("authorization.k8s.io", "SubjectAccessReview").is_none());
    }
}
