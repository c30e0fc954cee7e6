use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use base64::Engine;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::readers::{self, Configs, child, encode_string_data};
use super::replicas::GitReplicas;
use crate::object::{
    APPLIED, AppName, CONFIG, Desired, Digest, EnvironmentName, Gvk, Hash, Kinds, Manifest, ObjectKey, Place,
    Problem, Problems, Scope,
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
        zstd::bulk::decompress(&self.frame, self.size).expect("we compressed this ourselves")
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
}

/// What an app's objects were made with, so that some of them can be made anew alone.
#[derive(Clone, Debug)]
pub struct Basis {
    /// What each object was rendered to, in the order of the objects: the app's digest is made of these.
    contents: Vec<Hash>,
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
    let (digest, contents) = (desired.digest().clone(), desired.contents().to_vec());
    for manifest in desired.objects {
        match stamp_one(&manifest, &desired.app, stamp, kinds, &around) {
            Ok(wanted) => {
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
    Ok((WantedApp { app: desired.app, digest, objects }, Basis { contents, around: Arc::new(around) }))
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
    let mut all = old.clone();
    let mut only = Vec::with_capacity(changed.len());
    for (at, manifest) in changed {
        if scales(&manifest) || defines(&manifest) {
            return None;
        }
        if !basis.around.configs.suffice(&manifest, stamp.default_namespace) {
            return None;
        }
        let wanted = Arc::new(stamp_one(&manifest, &old.app, stamp, kinds, &basis.around).ok()?);
        let (object, content) = (all.objects.get_mut(at)?, basis.contents.get_mut(at)?);
        if object.key != wanted.key || object.gvk != wanted.gvk {
            return None;
        }
        (*object, *content) = (wanted.clone(), manifest.hash());
        only.push(wanted);
    }
    all.digest = Hash::digest_of_all(&basis.contents);
    let only = WantedApp { app: all.app.clone(), digest: all.digest.clone(), objects: only };
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
pub(super) mod tests {
    use super::*;
    use crate::object::{KindInfo, Origin, TreePath};

    pub fn kinds() -> Kinds {
        let mut kinds = Kinds::default();
        for (group, kind, scope) in [
            ("", "ConfigMap", Scope::Namespaced),
            ("", "Secret", Scope::Namespaced),
            ("", "Namespace", Scope::Cluster),
            ("", "Service", Scope::Namespaced),
            ("apps", "Deployment", Scope::Namespaced),
            ("autoscaling", "HorizontalPodAutoscaler", Scope::Namespaced),
        ] {
            let info = KindInfo { plural: kind.to_lowercase() + "s", scope, versions: vec!["v1".into()] };
            kinds.insert(group, kind, info);
        }
        kinds
    }

    pub fn manifest(value: Value) -> Manifest {
        let place = Place::at(TreePath::new("base/all.yaml").unwrap(), 1, 1);
        Manifest::new(&value, Origin::new(place)).unwrap()
    }

    pub fn wanted(objects: Vec<Value>) -> Result<WantedApp, Problems> {
        let app = AppName::new("web").unwrap();
        let environment = EnvironmentName::new("dev").unwrap();
        let desired = Desired::new(app, objects.into_iter().map(manifest).collect(), Vec::new());
        let marks = Stamp {
            environment: &environment,
            environment_label: "fairlead.dev/environment",
            app_label: "fairlead.dev/app",
            part_of_label: "applyset.kubernetes.io/part-of",
            wave_annotation: "fairlead.dev/wave",
            depends_on_annotation: "config.kubernetes.io/depends-on",
            default_namespace: Some("web"),
        };
        stamp(desired, &marks, &kinds()).map(|(app, _)| app)
    }

    pub fn object(api_version: &str, kind: &str, name: &str) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}})
    }

    #[test]
    fn a_namespaced_object_goes_where_the_environment_is() {
        let app = wanted(vec![object("v1", "ConfigMap", "a"), object("v1", "Namespace", "web")]).unwrap();
        assert_eq!(app.objects[0].key.to_string(), "ConfigMap web/a");
        assert_eq!(app.objects[1].key.to_string(), "Namespace web");
    }

    #[test]
    fn a_uid_binds_the_body_to_one_object() {
        let app = wanted(vec![object("v1", "ConfigMap", "a")]).unwrap();
        let bound: Value = serde_json::from_slice(&app.objects[0].body_for("u-1")).unwrap();
        assert_eq!(bound["metadata"]["uid"], "u-1");
        let versioned: Value = serde_json::from_slice(&app.objects[0].body_for_version("u-1", "42")).unwrap();
        assert_eq!(versioned["metadata"]["resourceVersion"], "42");
        assert_eq!(versioned["metadata"]["uid"], "u-1");
        let mut unbound = bound;
        unbound["metadata"].as_object_mut().unwrap().remove("uid");
        assert_eq!(unbound, app.objects[0].value());
    }

    #[test]
    fn a_secret_is_sent_as_data() {
        let mut secret = object("v1", "Secret", "s");
        secret["stringData"] = json!({"a": "b"});
        let app = wanted(vec![secret]).unwrap();
        let value = app.objects[0].value();
        assert_eq!(value["data"]["a"], "Yg==");
        assert!(value.get("stringData").is_none());
    }

    #[test]
    fn what_an_autoscaler_scales_has_no_replicas_of_ours() {
        let mut deployment = object("apps/v1", "Deployment", "web");
        deployment["spec"] = json!({"replicas": 2});
        let mut hpa = object("autoscaling/v2", "HorizontalPodAutoscaler", "web");
        hpa["spec"] =
            json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}});
        let app = wanted(vec![deployment.clone(), hpa]).unwrap();
        assert!(app.objects[0].value()["spec"].get("replicas").is_none());
        let app = wanted(vec![deployment]).unwrap();
        assert_eq!(app.objects[0].value()["spec"]["replicas"], 2);
    }

    #[test]
    fn an_object_written_twice_names_both_places() {
        let problems =
            wanted(vec![object("v1", "ConfigMap", "a"), object("v1", "ConfigMap", "a")]).unwrap_err();
        assert_eq!(
            problems.to_string(),
            "base/all.yaml:1: ConfigMap web/a is written twice; the first is at base/all.yaml:1"
        );
    }

    #[test]
    fn a_wave_that_is_not_a_number_is_refused() {
        let mut object = object("v1", "ConfigMap", "a");
        object["metadata"]["annotations"] = json!({"fairlead.dev/wave": "soon"});
        assert!(wanted(vec![object]).unwrap_err().to_string().contains("not a whole number"));
    }

    #[test]
    fn what_did_not_change_is_shared_with_what_was_before() {
        let old = wanted(vec![object("v1", "ConfigMap", "a"), object("v1", "ConfigMap", "b")]).unwrap();
        let mut changed = object("v1", "ConfigMap", "b");
        changed["data"] = json!({"x": "y"});
        let new = wanted(vec![object("v1", "ConfigMap", "a"), changed]).unwrap().sharing(&old);
        assert!(Arc::ptr_eq(&new.objects[0], &old.objects[0]));
        assert_ne!(new.objects[1].digest, old.objects[1].digest, "a change is never shared away");
    }

    #[test]
    fn the_id_is_that_of_the_applyset_specification() {
        // kubectl's own: the hash of "<name>.<namespace>.<kind>.<group>", with an empty namespace for a cluster's object.
        let id = applyset_id("production", "Environment", "fairlead.dev");
        assert!(id.starts_with("applyset-") && id.ends_with("-v1") && id.len() == 9 + 43 + 3, "{id}");
    }
}
