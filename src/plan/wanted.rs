//! An object as it will be sent.

use std::cell::RefCell;

use serde_json::Value;

use super::readers::{self, ConfigDigests};
use crate::object::field_path::{FieldPath, remove_field};
use crate::object::secret::{Sealed, VERSIONS};
use crate::object::{APPLIED, CONFIG, Digest, Gvk, ObjectKey, Place, SHARED_CONFIG};

/// What git says about an object's replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GitReplicas {
    /// Nothing.
    #[default]
    Absent,
    /// How many, and that is sent.
    Said,
    /// How many; but an autoscaler of the same app sets them.
    Ignored,
    /// Nothing, and an autoscaler of the same app sets them.
    Autoscaled,
}

/// An object as it will be sent: labelled as ours, with its own digest, as bytes.
///
/// Compressed bytes and not a tree of values: ten thousand objects of 3 KiB are 10 MB this way and 150 MB the other, and
/// each is looked into only when it is sent or differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub key: ObjectKey,
    pub gvk: Gvk,
    pub place: Place,
    pub digest: Digest,
    /// `fairlead.dev/wave`.
    pub wave: i32,
    /// `config.kubernetes.io/depends-on`.
    pub depends_on: Vec<ObjectKey>,
    /// Whether git says how many replicas it has.
    pub replicas: GitReplicas,
    /// The digest of what its pods read of the app's configuration, where they read any.
    pub config: Option<Box<str>>,
    /// The same of Secrets of other apps.
    pub shared: Option<Box<str>>,
    pub(super) body: Body,
}

/// The JSON that is sent, compressed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Body {
    frame: Box<[u8]>,
    size: usize,
}

/// Of zstd, the fastest: a first plan of ten thousand objects waits for it.
const LEVEL: i32 = 1;

thread_local! {
    /// To make one for each object would take longer than to compress it.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

impl Body {
    pub(super) fn new(json: &[u8]) -> Self {
        let frame = COMPRESSOR.with_borrow_mut(|kept| {
            let new = || zstd::bulk::Compressor::new(LEVEL).expect("zstd has this level");
            kept.get_or_insert_with(new).compress(json).expect("compressing in memory cannot fail")
        });
        Self { frame: frame.into(), size: json.len() }
    }

    fn json(&self) -> Vec<u8> {
        DECOMPRESSOR.with_borrow_mut(|kept| {
            let new = || zstd::bulk::Decompressor::new().expect("there is memory for it");
            kept.get_or_insert_with(new)
                .decompress(&self.frame, self.size)
                .expect("we compressed this ourselves")
        })
    }
}

impl Wanted {
    /// What was wanted once and stored: `body` is what [`Self::value`] said then.
    pub fn stored(
        key: ObjectKey,
        gvk: Gvk,
        place: Place,
        digest: Digest,
        wave: i32,
        depends_on: Vec<ObjectKey>,
        body: Value,
    ) -> Option<Self> {
        // What has no metadata was not written by us.
        body.get("metadata").filter(|metadata| metadata.is_object())?;
        let replicas = match body["spec"].get("replicas") {
            Some(_) => GitReplicas::Said,
            None => GitReplicas::Absent,
        };
        let annotation = |name: &str| body["metadata"]["annotations"][name].as_str().map(Into::into);
        let (config, shared) = (annotation(CONFIG), annotation(SHARED_CONFIG));
        let body = Body::new(&write_body(body));
        Some(Self { key, gvk, place, digest, wave, depends_on, replicas, config, shared, body })
    }

    pub fn is_secret(&self) -> bool {
        self.key.group.is_empty() && &*self.key.kind == "Secret"
    }

    /// The references that it holds, where it is a Secret with some: what is sent has values in their places.
    pub fn sealed(&self) -> Option<Sealed> {
        if self.is_secret() { Sealed::read(&self.value()) } else { None }
    }

    /// The same with other versions of its secrets, and other digests of what its pods read.
    pub(super) fn with(&self, versions: &Option<String>, configs: ConfigDigests) -> Self {
        let ConfigDigests { own: config, shared } = configs;
        let mut value = self.value();
        let annotations = &mut value["metadata"]["annotations"];
        if let Some(versions) = versions {
            annotations[VERSIONS] = versions.as_str().into();
        }
        for (name, digest) in [(CONFIG, &config), (SHARED_CONFIG, &shared)] {
            if let (Some(digest), Value::Object(annotations)) = (digest, &mut *annotations) {
                annotations.insert(name.into(), (**digest).into());
            }
        }
        if let Value::Object(annotations) = annotations {
            annotations.remove(APPLIED);
        }
        let digest = Digest::of_json(&value);
        value["metadata"]["annotations"][APPLIED] = digest.as_str().into();
        Self { digest, config, shared, body: Body::new(&write_body(value)), ..self.clone() }
    }

    /// The JSON that is sent where the object is not there yet.
    pub fn body(&self) -> Vec<u8> {
        self.body.json()
    }

    /// Its bytes.
    pub fn size(&self) -> usize {
        self.body.size
    }

    /// The same, for the object that bears this uid and no other: the server refuses it for any that bears another.
    pub fn body_for(&self, uid: &str) -> Vec<u8> {
        self.body_with(&format!("\"uid\":{},", Value::from(uid)))
    }

    /// The same, and for no other version of it: the server refuses it once anyone wrote the object since.
    pub fn body_for_version(&self, uid: &str, version: &str) -> Vec<u8> {
        self.body_with(&format!("\"uid\":{},\"resourceVersion\":{},", Value::from(uid), Value::from(version)))
    }

    fn body_with(&self, metadata: &str) -> Vec<u8> {
        let json = self.body.json();
        let mut body = Vec::with_capacity(json.len() + metadata.len());
        body.extend_from_slice(BODY_START);
        body.extend_from_slice(metadata.as_bytes());
        body.extend_from_slice(&json[BODY_START.len()..]);
        body
    }

    /// The same without some fields, which somebody else sets, and with the digests of configuration in the pod template that
    /// belong there.
    pub fn body_but(
        &self,
        withheld: &[&FieldPath],
        in_template: &[(&str, &str)],
        uid: Option<&str>,
        version: Option<&str>,
    ) -> Vec<u8> {
        let mut value = self.value();
        withheld.iter().for_each(|field| remove_field(&mut value, field));
        if !in_template.is_empty() {
            readers::put(&mut value, in_template);
        }
        for (name, bound) in [("uid", uid), ("resourceVersion", version)] {
            if let Some(bound) = bound {
                value["metadata"][name] = bound.into();
            }
        }
        write_body(value)
    }

    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body.json()).expect("we wrote this JSON ourselves")
    }
}

/// Every body starts like this, so that a uid can be put in without reading it again.
const BODY_START: &[u8] = br#"{"metadata":{"#;

pub(super) fn write_body(mut value: Value) -> Vec<u8> {
    let root = value.as_object_mut().expect("a manifest is a map");
    let metadata = root.remove("metadata").expect("a manifest has metadata");
    let mut body = br#"{"metadata":"#.to_vec();
    serde_json::to_writer(&mut body, &metadata).expect("a JSON value can be written");
    body.push(b',');
    let rest = serde_json::to_vec(&value).expect("a JSON value can be written");
    body.extend_from_slice(&rest[1..]); // There is always more: apiVersion and kind.
    body
}
