//! `images`: other names, tags and digests, wherever an image stands.

use regex::Regex;

use super::fields::{FieldSpec, Make, NotThere, visit};
use super::kustomization::{At, Image, Kustomization};
use super::layer::{Build, Layer};
use super::wildcard::Wildcard;
use crate::object::Problem;
use crate::yaml::{Node, Text};

struct Rule<'a> {
    image: &'a At<Image>,
    name: Pattern,
}

/// The name: a regular expression, and by itself where it is a plain one.
enum Pattern {
    Plain(Wildcard),
    Regex(Regex),
}

impl Pattern {
    fn new(name: &str) -> Result<Self, regex::Error> {
        if let Some(plain) = Wildcard::new(name).filter(|plain| !plain.has_runs()) {
            return Ok(Self::Plain(plain));
        }
        let pattern = format!(
            "^{name}(:[a-zA-Z0-9_.{{}}-]*)?(@[a-zA-Z0-9]+([.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{{}}-]*)?$"
        );
        Regex::new(&pattern).map(Self::Regex)
    }

    fn is_match(&self, image: &str) -> bool {
        match self {
            Self::Plain(name) => name.rest(image).is_some_and(is_tag_and_digest),
            Self::Regex(regex) => regex.is_match(image),
        }
    }
}

/// What the expression has after the name: a tag, a digest, both or neither.
fn is_tag_and_digest(rest: &str) -> bool {
    let is_value = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'{' | b'}' | b'-'))
    };
    let (tag, digest) = match rest.split_once('@') {
        Some((tag, digest)) => (tag, Some(digest)),
        None => (rest, None),
    };
    let has_tag = tag.is_empty() || tag.strip_prefix(':').is_some_and(is_value);
    let has_digest = digest.is_none_or(|digest| {
        digest.split_once(':').is_some_and(|(algorithm, value)| {
            let mut words = algorithm.split(['.', '+', '_', '-']);
            let is_word =
                |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
            words.all(is_word) && is_value(value)
        })
    });
    has_tag && has_digest
}

pub(crate) fn run(build: &mut Build<'_>, kustomization: &Kustomization, layer: &mut Layer) {
    let fields = layer.fields.clone();
    apply(build, &kustomization.images, &fields.images, layer);
    for _ in &kustomization.images {
        build.transformed(kustomization, layer, "ImageTagTransformer");
    }
}

pub(crate) fn apply(build: &mut Build<'_>, images: &[At<Image>], specs: &[FieldSpec], layer: &mut Layer) {
    let mut rules = Vec::new();
    for image in images {
        if !image.it.tag_suffix.is_empty() && image.it.new_tag.is_empty() && image.it.digest.is_empty() {
            let message =
                "`tagSuffix` is not supported: kustomize adds it twice to some images and drops digests";
            build
                .found
                .push(Problem::at(image.place.clone(), message).hint("write the whole tag as `newTag`"));
            continue;
        }
        // The name is a regular expression; where it is none, nothing fits it.
        match Pattern::new(&image.it.name) {
            Ok(name) => rules.push(Rule { image, name }),
            Err(_) => build.note(
                &image.place,
                "the image's name is a regular expression that is not one: it fits no image",
            ),
        }
    }
    if rules.is_empty() {
        return;
    }
    for object in &mut layer.objects {
        if object.kind() == "CustomResourceDefinition" {
            continue;
        }
        let (api_version, kind) = (object.api_version().to_owned(), object.kind().to_owned());
        for rule in &rules {
            let mut touched = false;
            let mut result = containers(&mut object.node, rule, &mut touched);
            for spec in specs.iter().filter(|spec| spec.gvk.selects(&api_version, &kind)) {
                let mut set = |node: &mut Node| put(node, rule, &mut touched);
                result = result
                    .and_then(|()| visit(&mut object.node, &spec.path, spec.create, Make::Nothing, &mut set));
            }
            if let Err(NotThere(message)) = result {
                let message = format!("{message} (setting images of {kind} {})", object.name());
                build.found.push(Problem::at(object.origin.place.clone(), message));
                break;
            }
            if touched {
                object.touch("images", &rule.image.place);
            }
        }
    }
}

/// Whatever is called `containers` or `initContainers`, at any depth, of any kind.
fn containers(node: &mut Node, rule: &Rule<'_>, touched: &mut bool) -> Result<(), NotThere> {
    match node {
        Node::List(items) => items.iter_mut().try_for_each(|item| containers(item, rule, touched)),
        Node::Map(map) => map.iter_mut().try_for_each(|(key, value)| {
            if value.is_scalar() {
                return Ok(());
            }
            containers(value, rule, touched)?;
            let Node::List(items) = value else { return Ok(()) };
            if !matches!(key.as_str(), "containers" | "initContainers") {
                return Ok(());
            }
            items.iter_mut().try_for_each(|item| match item {
                Node::Map(map) => map.get_mut("image").map_or(Ok(()), |image| put(image, rule, touched)),
                item if item.is_null() => Ok(()),
                item => Err(NotThere(format!("an item of {key} is {}, not a map", item.what()))),
            })
        }),
        _ => Ok(()),
    }
}

fn put(node: &mut Node, rule: &Rule<'_>, touched: &mut bool) -> Result<(), NotThere> {
    if node.is_null() {
        return Ok(());
    }
    let Some(value) = node.scalar() else {
        return Err(NotThere(format!("an image is {}, not text", node.what())));
    };
    if !rule.name.is_match(&value) {
        return Ok(());
    }
    let image = &rule.image.it;
    let (name, tag, digest) = split(&value);
    let name = if image.new_name.is_empty() { name } else { &image.new_name };
    let (tag, digest) = match (image.new_tag.as_str(), image.digest.as_str()) {
        ("", "") => (tag, digest),
        (tag, digest) => (tag, digest),
    };
    let mut text = name.to_owned();
    for (sign, part) in [(':', tag), ('@', digest)] {
        if !part.is_empty() {
            text.push(sign);
            text.push_str(part);
        }
    }
    *touched |= text != value;
    // It does not say of what type it is, whatever stood there.
    *node = Node::Text(Text { loose: true, ..Text::new(text, node.is_quoted()) });
    Ok(())
}

/// Name, tag and digest. A port before the first slash is part of the name.
pub(crate) fn split(image: &str) -> (&str, &str, &str) {
    let from = image.find('/').filter(|at| *at > 0).unwrap_or(0);
    let find = |sign| image[from..].find(sign).map(|at| at + from);
    match (find(':'), find('@')) {
        (None, None) => (image, "", ""),
        (colon, Some(at)) if colon.is_none_or(|colon| at < colon) => (&image[..at], "", &image[at + 1..]),
        (Some(colon), Some(at)) => (&image[..colon], &image[colon + 1..at], &image[at + 1..]),
        (Some(colon), None) => (&image[..colon], &image[colon + 1..], ""),
        (None, Some(at)) => (&image[..at], "", &image[at + 1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_fits_what_its_expression_fits() {
        let regex = |name: &str| {
            Regex::new(&format!(
                "^{name}(:[a-zA-Z0-9_.{{}}-]*)?(@[a-zA-Z0-9]+([.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{{}}-]*)?$"
            ))
            .unwrap()
        };
        let ends = [
            "",
            ":",
            ":1",
            ":1.2-a_b",
            ":é",
            "x",
            "/x",
            "@",
            "@sha256",
            "@sha256:ab",
            "@a-b.c:d",
            "@a--b:c",
            "@:c",
            ":1@sha256:a",
            "@sha256:a:1",
            ":1:2",
            "@sha256:a@sha256:b",
            ":{{x}}",
            ":a b",
            "\n",
            ":1\n",
        ];
        for name in ["nginx", "a/b", "host:5000/a", "a-b_c", "", "ghcr.io/a.b/c", "."] {
            for end in ends {
                for start in ["", "x", "/"] {
                    for dot in [".", "x", "ä", "", "\n"] {
                        let image = format!("{start}{}{end}", name.replace('.', dot));
                        let plain = Pattern::new(name).unwrap();
                        assert!(matches!(plain, Pattern::Plain(_)));
                        assert_eq!(
                            plain.is_match(&image),
                            regex(name).is_match(&image),
                            "{name:?} {image:?}"
                        );
                    }
                }
            }
        }
        assert!(matches!(Pattern::new("a.*b").unwrap(), Pattern::Regex(_)));
    }

    #[test]
    fn awkward_images_are_taken_apart() {
        for (image, parts) in [
            ("nginx", ("nginx", "", "")),
            ("nginx:1.2", ("nginx", "1.2", "")),
            ("host:5000/nginx", ("host:5000/nginx", "", "")),
            ("host:5000/a/nginx:1", ("host:5000/a/nginx", "1", "")),
            ("nginx@sha256:abc", ("nginx", "", "sha256:abc")),
            ("host:5000/nginx:1@sha256:abc", ("host:5000/nginx", "1", "sha256:abc")),
        ] {
            assert_eq!(split(image), parts, "{image}");
        }
    }
}
