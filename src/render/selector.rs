//! Which objects a patch or a replacement is for: anchored regular expressions on names, selectors on labels.

use regex::Regex;

use super::resource::Resource;
use super::wildcard::Wildcard;

/// A selector as it is written. Empty parts select everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selector {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
    pub labels: String,
    pub annotations: String,
}

/// An anchored pattern; text without any special character is compared as it is, which most patterns are.
#[derive(Clone, Debug)]
enum Pattern {
    Any,
    Literal(String),
    Wildcard(Wildcard),
    Regex(Regex),
}

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Any);
        }
        if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/')) {
            return Ok(Self::Literal(text.to_owned()));
        }
        if let Some(wildcard) = Wildcard::new(text) {
            return Ok(Self::Wildcard(wildcard));
        }
        Regex::new(&format!("^(?:{text})$"))
            .map(Self::Regex)
            .map_err(|_| "the selector holds a regular expression that is not one".to_owned())
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => literal == text,
            Self::Wildcard(wildcard) => wildcard.fits(text),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// A selector made ready for many objects.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    group: Pattern,
    version: Pattern,
    kind: Pattern,
    name: Pattern,
    namespace: Pattern,
    labels: LabelSelector,
    annotations: LabelSelector,
    has_names: bool,
}

impl Matcher {
    pub fn new(selector: &Selector) -> Result<Self, String> {
        let names = [&selector.group, &selector.version, &selector.kind, &selector.name, &selector.namespace];
        Ok(Self {
            group: Pattern::new(&selector.group)?,
            version: Pattern::new(&selector.version)?,
            kind: Pattern::new(&selector.kind)?,
            name: Pattern::new(&selector.name)?,
            namespace: Pattern::new(&selector.namespace)?,
            labels: LabelSelector::new(&selector.labels)?,
            annotations: LabelSelector::new(&selector.annotations)?,
            has_names: names.iter().any(|name| !name.is_empty()),
        })
    }

    /// The one name that this can fit, where there is only one.
    pub fn literal_name(&self) -> Option<&str> {
        match &self.name {
            Pattern::Literal(name) => Some(name),
            _ => None,
        }
    }

    /// Whether anything but labels and annotations is asked for.
    pub fn has_names(&self) -> bool {
        self.has_names
    }

    pub fn fits_gvk(&self, api_version: &str, kind: &str) -> bool {
        let (group, version) = super::id::split_api_version(api_version);
        self.group.fits(group) && self.version.fits(version) && self.kind.fits(kind)
    }

    pub fn fits_name(&self, name: &str) -> bool {
        self.name.fits(name)
    }

    pub fn fits_namespace(&self, namespace: &str) -> bool {
        self.namespace.fits(namespace)
    }

    pub fn fits_labels(&self, resource: &Resource) -> bool {
        self.labels.fits(resource, "labels") && self.annotations.fits(resource, "annotations")
    }

    pub fn asks_for_labels(&self) -> bool {
        !self.labels.0.is_empty() || !self.annotations.0.is_empty()
    }

    /// Whether a patch is for an object: by the name it has or the one it had first.
    pub fn fits(&self, resource: &Resource) -> bool {
        let (_, name, namespace) = resource.original();
        (self.fits_namespace(namespace) || self.fits_namespace(resource.effective_namespace()))
            && (self.fits_name(name) || self.fits_name(resource.name()))
            && self.fits_gvk(resource.api_version(), resource.kind())
            && self.fits_labels(resource)
    }
}

/// A label selector as kubectl takes it: `a=b,c!=d,e in (f,g),h,!i`.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl LabelSelector {
    pub fn new(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (requirement, after) = requirement(rest).ok_or_else(|| {
                "the label or annotation selector is not one; write `a=b,c!=d,e in (f,g),h,!i`".to_owned()
            })?;
            requirements.push(requirement);
            rest = match after.strip_prefix(',') {
                Some(after) if !after.trim().is_empty() => after.trim_start(),
                Some(_) => return Err("the label or annotation selector ends in a comma".to_owned()),
                None if after.is_empty() => after,
                None => return Err("the label or annotation selector is not one".to_owned()),
            };
        }
        Ok(Self(requirements))
    }

    fn fits(&self, resource: &Resource, field: &str) -> bool {
        self.0.iter().all(|requirement| {
            let value =
                resource.texts(field).find(|(key, _)| *key == requirement.key).map(|(_, value)| value);
            let number = || value.as_deref().and_then(|value| value.parse::<i64>().ok());
            match &requirement.test {
                Test::Exists => value.is_some(),
                Test::Missing => value.is_none(),
                Test::In(values) => value.is_some_and(|value| values.contains(&value)),
                Test::NotIn(values) => value.is_none_or(|value| !values.contains(&value)),
                Test::Greater(than) => number().is_some_and(|number| number > *than),
                Test::Less(than) => number().is_some_and(|number| number < *than),
            }
        })
    }
}

fn requirement(text: &str) -> Option<(Requirement, &str)> {
    let (negated, text) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/')))
        .unwrap_or(text.len());
    let (key, rest) = (&text[..end], text[end..].trim_start());
    if key.is_empty() {
        return None;
    }
    let make = |test, rest| Some((Requirement { key: key.to_owned(), test }, rest));
    if negated {
        return make(Test::Missing, rest);
    }
    if rest.is_empty() || rest.starts_with(',') {
        return make(Test::Exists, rest);
    }
    for (word, is_in) in [("notin", false), ("in", true)] {
        if let Some(list) =
            rest.strip_prefix(word).map(str::trim_start).and_then(|rest| rest.strip_prefix('('))
        {
            let (list, after) = list.split_once(')')?;
            let values = list.split(',').map(|value| value.trim().to_owned()).collect();
            return make(if is_in { Test::In(values) } else { Test::NotIn(values) }, after.trim_start());
        }
    }
    let (operator, rest) =
        ["!=", "==", "=", ">", "<"].iter().find_map(|op| Some((*op, rest.strip_prefix(op)?)))?;
    let rest = rest.trim_start();
    let end = rest.find(',').unwrap_or(rest.len());
    let (value, rest) = (rest[..end].trim_end(), &rest[end..]);
    if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return None;
    }
    match operator {
        "!=" => make(Test::NotIn(vec![value.to_owned()]), rest),
        ">" => make(Test::Greater(value.parse().ok()?), rest),
        "<" => make(Test::Less(value.parse().ok()?), rest),
        _ => make(Test::In(vec![value.to_owned()]), rest),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::{Place, TreePath};
    use crate::yaml::Node;

    #[test]
    fn label_selectors_read_as_kubectl_reads_them() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front", "n": "3"}}});
        let resource = Resource::new(Node::from(object), Place::file(TreePath::root()));
        for (text, fits) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier=front", true),
            ("app!=web", false),
            ("missing!=x", true),
            ("app in (db, web)", true),
            ("app notin (web)", false),
            ("tier", true),
            ("!tier", false),
            ("n>2,n<4", true),
        ] {
            assert_eq!(LabelSelector::new(text).unwrap().fits(&resource, "labels"), fits, "{text}");
        }
        assert!(LabelSelector::new("a==").is_ok());
        assert!(LabelSelector::new("=a").is_err());
        assert!(LabelSelector::new("a=b,").is_err());
    }
}
