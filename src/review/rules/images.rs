//! Images: which come, from where, and how they are named.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Found, Scene};
use crate::object::ObjectKey;
use crate::policy::{Image, containers, name_of, pods_of};
use crate::review::compare::Delta;
use crate::review::risk::{RiskClass, Severity};

/// The images of an object, by the field that holds them: containers go by name, so that one that moves is the same.
fn images<'a>(key: &ObjectKey, object: &'a Value) -> BTreeMap<String, &'a str> {
    let mut found = BTreeMap::new();
    for (at, pod) in pods_of(key, object) {
        let at = at.replace('/', ".");
        for (below, container) in containers(&pod) {
            let list = below.trim_start_matches('/').split('/').next().unwrap_or_default();
            if let Some(image) = container["image"].as_str() {
                found.insert(format!("{at}.{list}[{}].image", name_of(container)), image);
            }
        }
        for volume in pod.spec["volumes"].as_array().into_iter().flatten() {
            if let Some(image) = volume["image"]["reference"].as_str() {
                let name = volume["name"].as_str().unwrap_or_default();
                found.insert(format!("{at}.volumes[{name}].image.reference"), image);
            }
        }
    }
    found
}

pub fn judge(delta: &Delta, scene: &Scene<'_>, found: &mut Found) {
    let (before, after) = (images(delta.key, delta.before()), images(delta.key, delta.after()));
    for (field, text) in after {
        let old = before.get(&field).copied();
        if old == Some(text) {
            continue;
        }
        let mut say = |class, severity, message: String| {
            found.at(delta, (class, severity), Some(field.clone()), format!("{}: {message}", delta.key));
        };
        if let Some(old) = old {
            say(RiskClass::ImageChanged, Severity::Note, format!("the image {old} becomes {text}"));
        }
        let Some(image) = Image::read(text) else { continue };
        let old = old.and_then(Image::read);
        let is_latest =
            |image: &Image| image.digest.is_none() && image.tag.as_deref().is_none_or(|tag| tag == "latest");
        let by_tag = |image: &Image| image.digest.is_none() && !is_latest(image);
        if is_latest(&image) && !old.as_ref().is_some_and(is_latest) {
            let message =
                format!("the image {text} is whatever is latest, so that pods may run different ones");
            say(RiskClass::ImageLatest, Severity::Warning, message);
        }
        if by_tag(&image) && !old.as_ref().is_some_and(by_tag) {
            let had_digest = old.as_ref().is_some_and(|old| old.digest.is_some());
            let (severity, more) = match had_digest {
                true => (Severity::Warning, ", and was by its digest before"),
                false => (Severity::Note, ""),
            };
            say(RiskClass::ImageByTag, severity, format!("the image {text} is named by its tag only{more}"));
        }
        match &old {
            Some(old) if old.registry != image.registry => {
                let message =
                    format!("the image comes from {} and came from {}", image.registry, old.registry);
                say(RiskClass::ImageRegistry, Severity::Warning, message);
            }
            None if !is_known(&image.registry, scene) => {
                let message = format!("{text} is the first image of the environment from {}", image.registry);
                say(RiskClass::ImageRegistry, Severity::Warning, message);
            }
            _ => {}
        }
        if let Some(old) = &old
            && old.path == image.path
            && let (Some(from), Some(to)) = (&old.tag, &image.tag)
            && let (Some(before), Some(after)) = (major(from), major(to))
            && before != after
        {
            let message = format!("the image {} jumps from {from} to {to}", image.path);
            say(RiskClass::ImageMajor, Severity::Warning, message);
        }
    }
}

/// Whether anything of the environment came from there before. Of a new environment everything would be news.
fn is_known(registry: &str, scene: &Scene<'_>) -> bool {
    let known = scene.registries.get_or_init(|| {
        let mut found = BTreeSet::new();
        for (key, value) in scene.before.all() {
            found.extend(
                images(key, &value).into_values().filter_map(Image::read).map(|image| image.registry),
            );
        }
        found
    });
    known.is_empty() || known.contains(registry)
}

/// The major version of a tag: of `v1.2.3`, `1.27-alpine` and `16`, but not of dates and digits of a commit.
pub(super) fn major(version: &str) -> Option<u64> {
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    let rest = version.get(digits.len()..).unwrap_or_default();
    let is_version = rest.is_empty() || rest.starts_with(['.', '-', '_', '+']);
    (is_version && (1..=4).contains(&digits.len())).then(|| digits.parse().ok()).flatten()
}
