//! Keeps what environments remember, as Secrets of a namespace that is the agents' alone: for each environment one small
//! Secret that is replaced by compare-and-swap, and pieces that never change, named by what they hold.
//!
//! Written with the agent's own identity, and behind the fence: a replica that was replaced changes nothing here.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::{Call, CallError, Cluster, JSON, METADATA};
use crate::object::{Digest, EnvironmentName};
use crate::state::{Contents, Damage, Piece};

/// Says whose state a Secret is. Not the label of what environments write: nothing here is ever pruned.
const OF: &str = "fairlead.dev/state-of";
/// Says to which Environment of that name it belongs, for people and for whoever clears away what is left.
const OF_UID: &str = "fairlead.dev/state-uid";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const DOCUMENT: &str = "document";
const JOURNAL: &str = "journal";
const PIECE: &str = "piece";
/// Digits of a digest that go into a name: enough that no two pieces ever share one.
const DIGITS: usize = 40;

/// A document's version, for the swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentVersion(String);

/// A document as it was read.
pub struct StoredDocument {
    pub contents: Contents,
    pub version: DocumentVersion,
    /// When the Secret was made, by the server's clock.
    pub made: Option<Timestamp>,
}

/// A document that is there, by its metadata.
#[derive(Clone, Debug)]
pub struct KnownDocument {
    pub environment: EnvironmentName,
    pub version: DocumentVersion,
}

#[derive(Debug, thiserror::Error)]
pub enum StateSecretsError {
    /// Someone else wrote in between.
    #[error("the Secret {0} was changed by someone else")]
    Moved(String),
    #[error("the Secret {0} holds no {1}")]
    Hollow(String, &'static str),
    #[error("the Secret {name} cannot be {what}")]
    Call { name: String, what: &'static str, source: CallError },
}

impl StateSecretsError {
    /// Says whether trying again later may succeed although nobody repairs anything.
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::Hollow(..))
    }

    /// Says whether the server refused this request in particular, and may accept another.
    pub fn is_refusal(&self) -> bool {
        let Self::Call { source, .. } = self else { return false };
        source.status().is_some_and(|status| {
            status.is_client_error()
                && status != StatusCode::TOO_MANY_REQUESTS
                && status != StatusCode::REQUEST_TIMEOUT
        })
    }
}

#[derive(Clone)]
pub struct StateSecrets {
    cluster: Cluster,
    namespace: String,
}

impl StateSecrets {
    pub fn new(cluster: &Cluster, namespace: &str) -> Self {
        Self { cluster: cluster.clone(), namespace: namespace.to_owned() }
    }

    /// The namespace that is the agents' alone.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Secret that holds an environment's document, for people.
    pub fn document_name(&self, environment: &EnvironmentName) -> String {
        format!("{}/state-{environment}", self.namespace)
    }

    /// The Secret that holds a piece, for people.
    pub fn piece_name(&self, environment: &EnvironmentName, piece: &Digest) -> String {
        format!("{}/{}", self.namespace, name_of(environment, piece))
    }

    pub async fn read(
        &self,
        environment: &EnvironmentName,
    ) -> Result<Option<StoredDocument>, StateSecretsError> {
        let path = self.path(&format!("state-{environment}"));
        let name = self.document_name(environment);
        let object = match self.get(path, &name).await? {
            Some(object) => object,
            None => return Ok(None),
        };
        let document = field(&object, DOCUMENT).ok_or(StateSecretsError::Hollow(name.clone(), DOCUMENT))?;
        // The first form has none.
        let journal = field(&object, JOURNAL).unwrap_or_default();
        let version = object["metadata"]["resourceVersion"].as_str();
        let version = version.ok_or(StateSecretsError::Hollow(name, "resourceVersion"))?;
        let made = object["metadata"]["creationTimestamp"].as_str().and_then(|text| text.parse().ok());
        let (contents, version) = (Contents { document, journal }, DocumentVersion(version.to_owned()));
        Ok(Some(StoredDocument { contents, version, made }))
    }

    /// Replaces the document that bears `base`, or makes it where there was none.
    pub async fn swap(
        &self,
        environment: &EnvironmentName,
        uid: &str,
        contents: &Contents,
        base: Option<&DocumentVersion>,
    ) -> Result<DocumentVersion, StateSecretsError> {
        let name = self.document_name(environment);
        let fields = [(DOCUMENT, &*contents.document), (JOURNAL, &*contents.journal)];
        let mut body = self.secret(environment, &format!("state-{environment}"), &fields);
        body["metadata"]["labels"][OF_UID] = uid.into();
        let (method, path) = match base {
            Some(DocumentVersion(version)) => {
                body["metadata"]["resourceVersion"] = version.as_str().into();
                (Method::PUT, self.path(&format!("state-{environment}")))
            }
            None => (Method::POST, self.path("")),
        };
        match self.send(method, path, &body).await {
            Ok(object) => {
                let version = object["metadata"]["resourceVersion"].as_str();
                let version = version.ok_or(StateSecretsError::Hollow(name, "resourceVersion"))?;
                Ok(DocumentVersion(version.to_owned()))
            }
            Err(error) if matches!(error.status(), Some(StatusCode::CONFLICT | StatusCode::NOT_FOUND)) => {
                // Perhaps by ourselves: a request whose answer was lost is sent again.
                match self.read(environment).await? {
                    Some(found) if found.contents == *contents => Ok(found.version),
                    _ => Err(StateSecretsError::Moved(name)),
                }
            }
            Err(source) => Err(StateSecretsError::Call { name, what: "written", source }),
        }
    }

    /// Writes a piece; one that is there already is the same.
    pub async fn put(&self, environment: &EnvironmentName, piece: &Piece) -> Result<(), StateSecretsError> {
        let name = name_of(environment, &piece.name);
        let mut body = self.secret(environment, &name, &[(PIECE, &*piece.bytes)]);
        body["immutable"] = true.into();
        match self.send(Method::POST, self.path(""), &body).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_already_there() => Ok(()),
            Err(source) => {
                let name = self.piece_name(environment, &piece.name);
                Err(StateSecretsError::Call { name, what: "written", source })
            }
        }
    }

    /// A piece, or what is wrong with it.
    pub async fn piece(
        &self,
        environment: &EnvironmentName,
        piece: &Digest,
    ) -> Result<Result<Piece, Damage>, StateSecretsError> {
        let name = self.piece_name(environment, piece);
        let object = self.get(self.path(&name_of(environment, piece)), &name).await?;
        Ok(match object {
            None => Err(Damage::Missing(piece.clone())),
            Some(object) => match field(&object, PIECE) {
                Some(bytes) => Piece::check(piece, bytes),
                None => Err(Damage::Altered(piece.clone())),
            },
        })
    }

    /// The names of all Secrets that hold pieces, as [`Self::drop_named`] takes them.
    pub async fn names(&self, environment: &EnvironmentName) -> Result<Vec<String>, StateSecretsError> {
        let list = self.list(&format!("{OF}%3D{environment}")).await?;
        let names = list["items"].as_array().into_iter().flatten();
        let names = names.filter_map(|item| item["metadata"]["name"].as_str());
        Ok(names.filter(|name| name.starts_with("piece-")).map(str::to_owned).collect())
    }

    async fn list(&self, selector: &str) -> Result<Value, StateSecretsError> {
        let path = format!("{}?labelSelector={selector}", self.path(""));
        let failed = |source| StateSecretsError::Call {
            name: format!("{}/*", self.namespace),
            what: "listed",
            source,
        };
        let reply = self.cluster.send(&Call::get(path).accept(METADATA_LIST)).await.map_err(failed)?;
        reply.json().map_err(failed)
    }

    /// How [`Self::names`] calls a piece.
    pub fn short_name(environment: &EnvironmentName, piece: &Digest) -> String {
        name_of(environment, piece)
    }

    pub async fn drop_named(&self, name: &str) -> Result<(), StateSecretsError> {
        match self.send(Method::DELETE, self.path(name), &json!({})).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(source) => Err(StateSecretsError::Call {
                name: format!("{}/{name}", self.namespace),
                what: "deleted",
                source,
            }),
        }
    }

    /// Forgets an environment.
    pub async fn forget(&self, environment: &EnvironmentName) -> Result<(), StateSecretsError> {
        self.drop_named(&format!("state-{environment}")).await?;
        for name in self.names(environment).await? {
            self.drop_named(&name).await?;
        }
        Ok(())
    }

    /// Lists the documents that there are.
    pub async fn documents(&self) -> Result<Vec<KnownDocument>, StateSecretsError> {
        let list = self.list(OF).await?;
        let items = list["items"].as_array().into_iter().flatten();
        let known = items.filter_map(|item| {
            let metadata = &item["metadata"];
            let name = metadata["name"].as_str()?.strip_prefix("state-")?;
            let version = DocumentVersion(metadata["resourceVersion"].as_str()?.to_owned());
            Some(KnownDocument { environment: EnvironmentName::new(name).ok()?, version })
        });
        Ok(known.collect())
    }

    /// Forgets what an Environment that is no more remembered; false where somebody wrote the document since it was listed,
    /// and then all of it stays.
    pub async fn bury(&self, document: &KnownDocument) -> Result<bool, StateSecretsError> {
        let environment = &document.environment;
        // What another Environment of that name writes from here on is not among these.
        let pieces = self.names(environment).await?;
        let DocumentVersion(version) = &document.version;
        let bound = json!({"preconditions": {"resourceVersion": version}});
        match self.send(Method::DELETE, self.path(&format!("state-{environment}")), &bound).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) if error.status() == Some(StatusCode::CONFLICT) => return Ok(false),
            Err(source) => {
                let name = self.document_name(environment);
                return Err(StateSecretsError::Call { name, what: "deleted", source });
            }
        }
        for piece in pieces {
            self.drop_named(&piece).await?;
        }
        Ok(true)
    }

    fn path(&self, name: &str) -> String {
        let slash = if name.is_empty() { "" } else { "/" };
        format!("/api/v1/namespaces/{}/secrets{slash}{name}", self.namespace)
    }

    fn secret(&self, environment: &EnvironmentName, name: &str, fields: &[(&str, &[u8])]) -> Value {
        let labels = BTreeMap::from([(OF, environment.as_str())]);
        let data: BTreeMap<&str, String> =
            fields.iter().map(|(field, bytes)| (*field, STANDARD.encode(bytes))).collect();
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "fairlead.dev/state",
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            "data": data,
        })
    }

    async fn get(&self, path: String, name: &str) -> Result<Option<Value>, StateSecretsError> {
        let failed = |source| StateSecretsError::Call { name: name.to_owned(), what: "read", source };
        match self.cluster.send(&Call::get(path)).await {
            Ok(reply) => Ok(Some(reply.json().map_err(failed)?)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    async fn send(&self, method: Method, path: String, body: &Value) -> Result<Value, CallError> {
        let call = Call {
            method,
            path,
            body: Some(Bytes::from(body.to_string())),
            content_type: JSON,
            // What was sent need not come back.
            accept: METADATA,
            identity: None,
            person: None,
        };
        self.cluster.send(&call).await?.json()
    }
}

fn name_of(environment: &EnvironmentName, piece: &Digest) -> String {
    let digits = piece.as_str();
    format!("piece-{environment}-{}", &digits[..digits.len().min(DIGITS)])
}

fn field(secret: &Value, name: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret["data"][name].as_str()?).ok()
}
