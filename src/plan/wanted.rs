use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use base64::Engine;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::hooks::{Hook, Hooks, is_hook};
use super::readers::{self, Configs, child, encode_string_data};
use super::replicas::GitReplicas;
use crate::object::{
    APPLIED, AppName, CONFIG, Desired, Digest, EnvironmentName, Gvk, Hashes, Kinds, Manifest, ObjectKey,
    Place, Problem, Problems, Scope,
};

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
    body: Body,
}

/// The JSON that is sent, compressed.
#[derive(Clone, Debug, PartialEq)]
struct Body {
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
    fn new(json: &[u8]) -> Self {
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
        let config = body["metadata"]["annotations"][CONFIG].as_str().map(Into::into);
        let body = Body::new(&write_body(body));
        Some(Self { key, gvk, place, digest, wave, depends_on, replicas, config, body })
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

    /// The same without the replicas, where somebody else sets them, and with the digest of the configuration in the pod
    /// template, where it belongs there.
    pub fn body_but(
        &self,
        withholds: bool,
        rolls: bool,
        uid: Option<&str>,
        version: Option<&str>,
    ) -> Vec<u8> {
        let mut value = self.value();
        if withholds && let Some(Value::Object(spec)) = value.get_mut("spec") {
            spec.remove("replicas");
        }
        if rolls && let Some(config) = &self.config {
            readers::put(&mut value, config);
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

/// All that an app wants, with its digest.
#[derive(Clone, Debug)]
pub struct WantedApp {
    pub app: AppName,
    pub digest: Digest,
    pub objects: Vec<Arc<Wanted>>,
    /// What runs once on the way, and is no object to keep.
    pub hooks: Vec<Arc<Hook>>,
    /// What hooks read, or stand on: it is written before they run.
    pub needed: BTreeSet<ObjectKey>,
    /// What is not made at all, and why.
    pub left: Vec<String>,
}

/// What an app's objects were made with, so that some of them can be made anew alone.
#[derive(Clone, Debug)]
pub struct Basis {
    /// What each object was rendered to, in the order of the objects: the app's digest is made of these.
    contents: Hashes,
    around: Arc<Around>,
}

/// What objects of an app decide about others.
#[derive(Debug, Default)]
struct Around {
    scaled: BTreeSet<(String, String, String)>,
    own_scopes: BTreeMap<(Box<str>, Box<str>), Scope>,
    configs: Configs,
}

impl WantedApp {
    /// Objects alone, as they were stored: what is put back has no hooks.
    pub fn of_objects(app: AppName, digest: Digest, objects: Vec<Arc<Wanted>>) -> Self {
        Self { app, digest, objects, hooks: Vec::new(), needed: BTreeSet::new(), left: Vec::new() }
    }

    /// Its objects, and the Jobs of its hooks.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Wanted>> {
        self.objects.iter().chain(self.hooks.iter().map(|hook| &hook.job))
    }

    /// The same, with what did not change shared with an older one: a commit that changes one object of ten thousand
    /// costs the memory of one.
    #[must_use]
    pub fn sharing(mut self, old: &Self) -> Self {
        let known: HashMap<&ObjectKey, &Arc<Wanted>> =
            old.objects.iter().map(|object| (&object.key, object)).collect();
        for object in &mut self.objects {
            if let Some(same) = known.get(&object.key).filter(|same| ***same == *object) {
                *object = (*same).clone();
            }
        }
        self
    }
}

/// What marks an object as ours.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    pub environment: &'a EnvironmentName,
    pub environment_label: &'a str,
    pub app_label: &'a str,
    pub part_of_label: &'a str,
    pub wave_annotation: &'a str,
    pub depends_on_annotation: &'a str,
    /// Where an object goes that names no namespace.
    pub default_namespace: Option<&'a str>,
}

/// The id of an ApplySet, by the specification: the parent's name, namespace, kind and group, hashed.
pub fn applyset_id(name: &str, kind: &str, group: &str) -> String {
    let hash = Sha256::digest(format!("{name}..{kind}.{group}"));
    format!("applyset-{}-v1", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash))
}

/// Makes each object what will be sent. What cannot be sent is named, all of it at once.
///
/// Takes what was rendered, and lets go of each object as it becomes another: an app can be large, and the two together
/// would be the most that is ever held.
pub fn stamp(desired: Desired, stamp: &Stamp, kinds: &Kinds) -> Result<(WantedApp, Basis), Problems> {
    let mut problems = Vec::new();
    let mut objects: Vec<Arc<Wanted>> = Vec::with_capacity(desired.objects.len());
    let mut seen: BTreeMap<ObjectKey, Place> = BTreeMap::new();
    let around = Around {
        scaled: scaled_by_autoscalers(&desired.objects),
        own_scopes: scopes_of_own_crds(&desired.objects),
        configs: Configs::of(&desired.objects, stamp.default_namespace),
    };
    let (digest, contents) = (desired.digest().clone(), desired.contents().clone());
    let mut hooks = Hooks::default();
    for manifest in desired.objects {
        let stamped = stamp_one(&manifest, &desired.app, stamp, kinds, &around);
        let stamped = stamped.and_then(|wanted| hooks.take(&manifest, wanted, &digest));
        match stamped {
            Ok(None) => {}
            Ok(Some(wanted)) => {
                if let Some(first) = seen.insert(wanted.key.clone(), wanted.place.clone()) {
                    let message = format!("{} is written twice; the first is at {first}", wanted.key);
                    problems.push(Problem::at(wanted.place.clone(), message));
                }
                objects.push(Arc::new(wanted));
            }
            Err(problem) => problems.push(problem),
        }
    }
    Problems::check(problems)?;
    // The digest of the app is that of what it rendered to, so that a new label of ours is not a new version of theirs.
    let (hooks, needed, left) = hooks.finish(&objects)?;
    let app = WantedApp { app: desired.app, digest, objects, hooks, needed, left };
    Ok((app, Basis { contents, around: Arc::new(around) }))
}

/// The same app with some objects rendered anew, each at its place: the whole, and those alone. `None` where more would
/// have to be looked at: an object became another, or is one that decides about others, or cannot be sent.
pub fn restamp(
    old: &WantedApp,
    basis: &mut Basis,
    changed: Vec<(usize, Manifest)>,
    stamp: &Stamp,
    kinds: &Kinds,
) -> Option<(WantedApp, WantedApp)> {
    if !old.hooks.is_empty() || !old.left.is_empty() || !old.needed.is_empty() {
        return None; // Their places are not those of the objects.
    }
    let mut all = old.clone();
    let mut only = Vec::with_capacity(changed.len());
    for (at, manifest) in changed {
        if scales(&manifest) || defines(&manifest) || is_hook(&manifest) {
            return None;
        }
        if !basis.around.configs.suffice(&manifest, stamp.default_namespace) {
            return None;
        }
        let wanted = Arc::new(stamp_one(&manifest, &old.app, stamp, kinds, &basis.around).ok()?);
        let object = all.objects.get_mut(at)?;
        if object.key != wanted.key || object.gvk != wanted.gvk {
            return None;
        }
        *object = wanted.clone();
        basis.contents.replace(at, manifest.hash())?;
        only.push(wanted);
    }
    all.digest = basis.contents.digest();
    let only = WantedApp::of_objects(all.app.clone(), all.digest.clone(), only);
    Some((all, only))
}

fn stamp_one(
    manifest: &Manifest,
    app: &AppName,
    stamp: &Stamp,
    kinds: &Kinds,
    around: &Around,
) -> Result<Wanted, Problem> {
    let gvk = manifest.gvk();
    let known = kinds.get(&gvk.group, &gvk.kind).map(|info| info.scope);
    let scope = known.or_else(|| around.own_scopes.get(&(gvk.group.clone(), gvk.kind.clone())).copied());
    let place = || manifest.origin.place.clone();
    let mut value = manifest.value();
    strip_nulls(&mut value);
    let config = around.configs.digest(manifest, &value, stamp.default_namespace);
    let config = config.map_err(|message| Problem::at(place(), message))?;
    let root = value.as_object_mut().expect("a manifest is a map");
    root.remove("status");
    if &*manifest.gvk().kind == "Secret" && manifest.gvk().group.is_empty() {
        encode_string_data(root);
    }
    let replicas = take_replicas(manifest, root, &around.scaled);
    let Some(Value::Object(metadata)) = root.get_mut("metadata") else {
        return Err(Problem::at(place(), "the object has no metadata"));
    };
    for servers_own in
        ["creationTimestamp", "generation", "managedFields", "resourceVersion", "uid", "selfLink"]
    {
        metadata.remove(servers_own);
    }
    match scope {
        Some(Scope::Namespaced) if manifest.namespace().is_none() => {
            match stamp.default_namespace {
                Some(namespace) => {
                    metadata.insert("namespace".into(), namespace.into());
                }
                None => {
                    let problem = Problem::at(place(), format!("{} names no namespace", manifest.key()));
                    return Err(problem.hint("the Environment has several; write metadata.namespace, or `namespace:` in the overlay"));
                }
            }
        }
        Some(Scope::Cluster) => {
            metadata.remove("namespace");
        }
        _ => {}
    }
    let namespace = metadata.get("namespace").and_then(Value::as_str).map(str::to_owned);
    let key =
        ObjectKey::new(&manifest.gvk().group, &manifest.gvk().kind, namespace.as_deref(), manifest.name());

    let labels = child(metadata, "labels");
    labels.insert(stamp.environment_label.into(), stamp.environment.as_str().into());
    labels.insert(stamp.app_label.into(), app.as_str().into());
    let part_of = applyset_id(stamp.environment.as_str(), "Environment", "fairlead.dev");
    labels.insert(stamp.part_of_label.into(), part_of.into());
    let annotations = child(metadata, "annotations");
    annotations.remove(APPLIED);
    annotations.remove(CONFIG);
    if let Some(config) = &config {
        annotations.insert(CONFIG.into(), (**config).into());
    }
    let wave = match annotations.get(stamp.wave_annotation) {
        None => 0,
        Some(Value::String(text)) => text.trim().parse::<i32>().map_err(|_| {
            let message = format!("the annotation {} of {key} is not a whole number", stamp.wave_annotation);
            Problem::at(place(), message).hint("write it as a quoted number, such as \"-1\" or \"2\"")
        })?,
        Some(_) => {
            let message = format!("the annotation {} of {key} is not a string", stamp.wave_annotation);
            return Err(Problem::at(place(), message).hint("quote the number: annotations are strings"));
        }
    };
    let depends_on = match annotations.get(stamp.depends_on_annotation) {
        Some(Value::String(text)) => parse_depends_on(text).map_err(|part| {
            let message = format!("the annotation {} of {key} names {part:?}", stamp.depends_on_annotation);
            Problem::at(place(), message)
                .hint("write group/namespaces/NAMESPACE/Kind/name or group/Kind/name")
        })?,
        _ => Vec::new(),
    };
    let digest = Digest::of_json(&value);
    value["metadata"]["annotations"][APPLIED] = json!(digest.as_str());
    let body = Body::new(&write_body(value));
    let gvk = manifest.gvk().clone();
    Ok(Wanted { key, gvk, place: place(), digest, wave, depends_on, replicas, config, body })
}

/// Whether git says how many replicas an object has. What an autoscaler of the same app sets is taken out.
fn take_replicas(
    manifest: &Manifest,
    root: &mut Map<String, Value>,
    scaled: &BTreeSet<(String, String, String)>,
) -> GitReplicas {
    let identity =
        (manifest.gvk().group.to_string(), manifest.gvk().kind.to_string(), manifest.name().to_owned());
    let Some(Value::Object(spec)) = root.get_mut("spec") else { return GitReplicas::Absent };
    match (scaled.contains(&identity), spec.contains_key("replicas")) {
        (true, true) => {
            spec.remove("replicas");
            GitReplicas::Ignored
        }
        (true, false) => GitReplicas::Autoscaled,
        (false, true) => GitReplicas::Said,
        (false, false) => GitReplicas::Absent,
    }
}

/// Every body starts like this, so that a uid can be put in without reading it again.
const BODY_START: &[u8] = br#"{"metadata":{"#;

fn write_body(mut value: Value) -> Vec<u8> {
    let root = value.as_object_mut().expect("a manifest is a map");
    let metadata = root.remove("metadata").expect("a manifest has metadata");
    let mut body = br#"{"metadata":"#.to_vec();
    serde_json::to_writer(&mut body, &metadata).expect("a JSON value can be written");
    body.push(b',');
    let rest = serde_json::to_vec(&value).expect("a JSON value can be written");
    body.extend_from_slice(&rest[1..]); // There is always more: apiVersion and kind.
    body
}

/// A null says nothing to server-side apply, and a field that nobody owns would look like drift for ever.
fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

fn scales(object: &Manifest) -> bool {
    matches!(
        (&*object.gvk().group, &*object.gvk().kind),
        ("autoscaling", "HorizontalPodAutoscaler") | ("keda.sh", "ScaledObject")
    )
}

fn defines(object: &Manifest) -> bool {
    &*object.gvk().kind == "CustomResourceDefinition"
}

/// What an autoscaler of the same app scales: its replicas are not ours to set.
fn scaled_by_autoscalers(objects: &[Manifest]) -> BTreeSet<(String, String, String)> {
    objects
        .iter()
        .filter(|object| scales(object))
        .filter_map(|object| {
            let value = object.value();
            let target = &value["spec"]["scaleTargetRef"];
            let api_version = target["apiVersion"].as_str().unwrap_or("apps/v1");
            let gvk = Gvk::from_api_version(api_version, target["kind"].as_str().unwrap_or("Deployment"));
            Some((gvk.group.to_string(), gvk.kind.to_string(), target["name"].as_str()?.to_owned()))
        })
        .collect()
}

/// A kind whose CRD comes in the same change is not served yet, but its scope is written there.
fn scopes_of_own_crds(objects: &[Manifest]) -> BTreeMap<(Box<str>, Box<str>), Scope> {
    objects
        .iter()
        .filter(|object| defines(object))
        .filter_map(|object| {
            let value = object.value();
            let spec = &value["spec"];
            let scope = if spec["scope"] == "Cluster" { Scope::Cluster } else { Scope::Namespaced };
            Some(((spec["group"].as_str()?.into(), spec["names"]["kind"].as_str()?.into()), scope))
        })
        .collect()
}

fn parse_depends_on(text: &str) -> Result<Vec<ObjectKey>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| match part.split('/').collect::<Vec<_>>()[..] {
            [group, "namespaces", namespace, kind, name] if !kind.is_empty() && !name.is_empty() => {
                Ok(ObjectKey::new(group, kind, Some(namespace), name))
            }
            [group, kind, name] if !kind.is_empty() && !name.is_empty() => {
                Ok(ObjectKey::new(group, kind, None, name))
            }
            _ => Err(part.to_owned()),
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests;
