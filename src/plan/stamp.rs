//! Makes of what an app renders to what will be sent: each object labelled as ours, with its own digest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use base64::Engine;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::hooks::{Hook, Hooks, is_hook};
use super::needs::needed;
use super::readers::{ConfigDigests, Configs, child, encode_string_data};
use super::sealing::{mixed, pinned, refuse_misplaced, seal, secrets_of};
use super::wanted::{Body, GitReplicas, Wanted, write_body};
use crate::object::secret::{Pins, SecretId};
use crate::object::{
    APPLIED, AppName, CONFIG, Desired, Digest, EnvironmentName, Gvk, Hashes, KindScope, Kinds, Manifest,
    ObjectKey, Place, Problem, Problems, SHARED_CONFIG,
};

/// All that an app wants, with its digest.
#[derive(Clone, Debug)]
pub struct WantedApp {
    pub app: AppName,
    /// The digest of what it renders to, and of the versions of the secrets that it runs with.
    pub digest: Digest,
    /// The digest of what it renders to alone: what git says.
    pub content: Digest,
    /// The secrets that it refers to, each with its version where one is pinned, and those of other apps that it reads.
    pub secrets: BTreeMap<SecretId, Option<Box<str>>>,
    /// Whether the versions before these still work, so that it can go back to them.
    pub old_secrets_work: bool,
    pub objects: Vec<Arc<Wanted>>,
    /// What runs once on the way, and is no object to keep.
    pub hooks: Vec<Arc<Hook>>,
    /// What hooks read, or stand on: it is written before they run.
    pub needed: BTreeSet<ObjectKey>,
    /// What is not made at all, and why.
    pub left: Vec<String>,
    /// What git has it have in other regions alone: where one is here, a re-point is why it goes.
    pub elsewhere: BTreeSet<ObjectKey>,
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
    own_scopes: BTreeMap<(Box<str>, Box<str>), KindScope>,
    configs: Configs,
}

impl WantedApp {
    /// Objects alone, as they were stored: what is put back has no hooks.
    pub fn of_objects(app: AppName, digest: Digest, objects: Vec<Arc<Wanted>>) -> Self {
        let secrets = pinned(&objects);
        let content = digest.clone();
        let (hooks, needed, left, elsewhere) = Default::default();
        Self {
            app,
            digest,
            content,
            secrets,
            old_secrets_work: true,
            objects,
            hooks,
            needed,
            left,
            elsewhere,
        }
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
    /// The versions of secrets that are in force.
    pub pins: &'a Pins,
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
        configs: Configs::of(&desired.objects, stamp.default_namespace, stamp.pins),
    };
    let mut secrets = secrets_of(&desired.objects, stamp.pins);
    for (secret, version) in around.configs.shared() {
        secrets.entry(secret.clone()).or_insert_with(|| Some(version.clone()));
    }
    let (content, contents) = (desired.digest().clone(), desired.contents().clone());
    let mut hooks = Hooks::default();
    // Of what it rendered to, so that a new label of ours is not a new version of theirs.
    let digest = mixed(&content, &secrets);
    let elsewhere =
        desired.elsewhere.iter().map(|manifest| key_of(manifest, stamp, kinds, &around)).collect();
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
    let Hooks { hooks, early, left } = hooks.finish()?;
    let needed = needed(&hooks, early, &objects)?;
    let old_secrets_work = secrets.keys().all(|secret| stamp.pins.get(secret).is_ok_and(|pin| pin.old_works));
    let app = WantedApp {
        app: desired.app,
        digest,
        content,
        secrets,
        old_secrets_work,
        objects,
        hooks,
        needed,
        left,
        elsewhere,
    };
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
        if scales(&manifest) || defines(&manifest) || is_hook(&manifest) || manifest.is_secret() {
            return None;
        }
        let object = all.objects.get_mut(at)?;
        let before = || object.value();
        if !basis.around.configs.suffice(&manifest, before, stamp.default_namespace, stamp.pins) {
            return None;
        }
        let wanted = Arc::new(stamp_one(&manifest, &old.app, stamp, kinds, &basis.around).ok()?);
        if object.key != wanted.key || object.gvk != wanted.gvk {
            return None;
        }
        *object = wanted.clone();
        basis.contents.replace(at, manifest.hash())?;
        only.push(wanted);
    }
    all.content = basis.contents.digest();
    all.digest = mixed(&all.content, &all.secrets);
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
    let scope = scope_of(manifest, kinds, around);
    let place = || manifest.origin.place.clone();
    let mut value = manifest.value();
    strip_nulls(&mut value);
    let configs = around.configs.digests(manifest, &value, stamp.default_namespace);
    let configs = configs.map_err(|message| Problem::at(place(), message))?;
    let ConfigDigests { own: config, shared } = configs;
    refuse_misplaced(manifest, &value).map_err(|message| Problem::at(place(), message))?;
    let root = value.as_object_mut().expect("a manifest is a map");
    root.remove("status");
    if manifest.is_secret() {
        let sealed = seal(root, stamp.pins);
        sealed.map_err(|why| Problem::at(place(), format!("{}: {why}", manifest.key())))?;
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
        Some(KindScope::Namespaced) if manifest.namespace().is_none() => {
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
        Some(KindScope::Cluster) => {
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
    for (name, digest) in [(CONFIG, &config), (SHARED_CONFIG, &shared)] {
        annotations.remove(name);
        if let Some(digest) = digest {
            annotations.insert(name.into(), (**digest).into());
        }
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
    Ok(Wanted { key, gvk, place: place(), digest, wave, depends_on, replicas, config, shared, body })
}

fn scope_of(manifest: &Manifest, kinds: &Kinds, around: &Around) -> Option<KindScope> {
    let gvk = manifest.gvk();
    let known = kinds.get(&gvk.group, &gvk.kind).map(|info| info.scope);
    known.or_else(|| around.own_scopes.get(&(gvk.group.clone(), gvk.kind.clone())).copied())
}

/// The name that an object would bear if it were sent.
fn key_of(manifest: &Manifest, stamp: &Stamp, kinds: &Kinds, around: &Around) -> ObjectKey {
    let namespace = match scope_of(manifest, kinds, around) {
        Some(KindScope::Cluster) => None,
        Some(KindScope::Namespaced) => manifest.namespace().or(stamp.default_namespace),
        None => manifest.namespace(),
    };
    ObjectKey::new(&manifest.gvk().group, &manifest.gvk().kind, namespace, manifest.name())
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
fn scopes_of_own_crds(objects: &[Manifest]) -> BTreeMap<(Box<str>, Box<str>), KindScope> {
    objects
        .iter()
        .filter(|object| defines(object))
        .filter_map(|object| {
            let value = object.value();
            let spec = &value["spec"];
            let scope = if spec["scope"] == "Cluster" { KindScope::Cluster } else { KindScope::Namespaced };
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
