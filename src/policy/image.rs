//! References to images, as container runtimes read them, and where they may come from.
//!
//! `nginx` is `docker.io/library/nginx`, and `a/b` is `docker.io/a/b`: what has no dot, no port and is not `localhost` is no
//! host. A port belongs to the registry, a digest is the content, and a reference that cannot be read comes from nowhere.

use std::fmt;

/// A reference to an image, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// With its port, in lowercase.
    pub registry: String,
    pub path: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

/// The registry of a reference that names none.
const DOCKER: &str = "docker.io";
/// Another name of it that old configurations have.
const OLD_DOCKER: &str = "index.docker.io";

impl Image {
    /// Reads a reference; `None` where it is none.
    pub fn read(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (first, rest) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest),
            _ => ("", name),
        };
        // Only after the last slash is a colon the begin of a tag.
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (rest, None),
        };
        let registry = match first.to_ascii_lowercase() {
            host if host.is_empty() || host == OLD_DOCKER => DOCKER.to_owned(),
            host => host,
        };
        let path = match registry == DOCKER && !path.contains('/') {
            true => format!("library/{path}"),
            false => path.to_owned(),
        };
        let legal = is_registry(&registry)
            && path.split('/').all(is_component)
            && tag.is_none_or(is_tag)
            && digest.is_none_or(is_digest);
        let own = |text: Option<&str>| text.map(str::to_owned);
        legal.then(|| Self { registry, path, tag: own(tag), digest: own(digest) })
    }

    /// Whether it comes from a registry, or a part of one, that is named like this.
    pub fn is_from(&self, allowed: &str) -> bool {
        let allowed = allowed.trim_end_matches('/');
        let (host, part) = allowed.split_once('/').unwrap_or((allowed, ""));
        let host = match host.to_ascii_lowercase() {
            host if host == OLD_DOCKER => DOCKER.to_owned(),
            host => host,
        };
        let same_host = match host.strip_prefix("*.") {
            Some(end) => self.registry.strip_suffix(end).is_some_and(|begin| begin.ends_with('.')),
            None => self.registry == host,
        };
        // Whole components: `team` is not `team-evil`.
        let below = self.path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        same_host && (part.is_empty() || below)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Says what is wrong with a place that images may come from.
pub(super) fn problem(allowed: &str) -> Option<String> {
    let trimmed = allowed.trim_end_matches('/');
    let (host, part) = trimmed.split_once('/').unwrap_or((trimmed, ""));
    let bare = host.strip_prefix("*.").unwrap_or(host);
    let legal = is_host(bare)
        && is_registry(&bare.to_ascii_lowercase())
        && (part.is_empty() || part.split('/').all(is_component));
    (!legal).then(|| {
        format!("{allowed:?} names no registry: write it as registry.example, *.registry.example or registry.example/team")
    })
}

/// Whether the first part of a name is a host, by the rule that container runtimes have.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase())
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        // An IPv6 address.
        Some((address, rest)) => {
            let legal = address.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'));
            (if legal { "v6" } else { "" }, rest.strip_prefix(':').or((!rest.is_empty()).then_some("")))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Lowercase words with single dots, one or two underscores, or dashes between them.
fn is_component(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let edges = text.starts_with(word) && text.ends_with(word);
    let legal = text.chars().all(|c| word(c) || matches!(c, '.' | '_' | '-'));
    let separators: Vec<&str> = text.split(word).filter(|between| !between.is_empty()).collect();
    let single = separators
        .iter()
        .all(|between| matches!(*between, "." | "_" | "__") || between.chars().all(|c| c == '-'));
    edges && legal && single
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=128).contains(&text.len())
        && text.starts_with(word)
        && text.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let algorithm_is_legal = algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
        && algorithm.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-' | '_'));
    let long_enough = match algorithm {
        "sha256" => hex.len() == 64,
        "sha512" => hex.len() == 128,
        _ => hex.len() >= 32,
    };
    algorithm_is_legal && long_enough && hex.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn what_is_left_out_is_filled_in_as_runtimes_do() {
        for (text, whole) in [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("bitnami/redis", "docker.io/bitnami/redis"),
            ("docker.io/nginx", "docker.io/library/nginx"),
            ("index.docker.io/nginx", "docker.io/library/nginx"),
            ("registry.example/web", "registry.example/web"),
            ("Registry.Example/web", "registry.example/web"),
            ("REGISTRY/web", "registry/web"),
            ("registry/web", "docker.io/registry/web"),
            ("localhost/web", "localhost/web"),
            ("localhost:5000/web:1", "localhost:5000/web:1"),
            ("registry:5000/web", "registry:5000/web"),
            ("registry:5000/a/b/c:v1", "registry:5000/a/b/c:v1"),
            ("10.0.0.1:5000/a", "10.0.0.1:5000/a"),
            ("[fd00::1]:5000/a:1", "[fd00::1]:5000/a:1"),
            ("a__b/c-d.e", "docker.io/a__b/c-d.e"),
        ] {
            assert_eq!(Image::read(text).map(|image| image.to_string()).as_deref(), Some(whole), "{text}");
        }
        let image = Image::read(&format!("registry.example/web:1@{DIGEST}")).unwrap();
        assert_eq!((image.tag.as_deref(), image.digest.as_deref()), (Some("1"), Some(DIGEST)));
        let image = Image::read(&format!("web@{DIGEST}")).unwrap();
        assert_eq!((image.path.as_str(), image.tag), ("library/web", None));
    }

    #[test]
    fn what_is_no_reference_is_none() {
        for text in [
            "",
            " ",
            "Nginx",
            "nginx:",
            "nginx:a b",
            "nginx@",
            "nginx@sha256:abc",
            "/nginx",
            "nginx/",
            "a//b",
            "a/../b",
            "registry.example/",
            "registry.example/Web",
            "registry.example:0/web",
            "registry.example:99999/web",
            "registry.example:x/web",
            "-a.example/web",
            "a/-b",
            "a/b-",
            "a/b..c",
            "a/b___c",
            "https://registry.example/web",
            "registry.example/web\n",
            "user@registry.example/web",
            "registry.example/we b",
            "é/web",
        ] {
            assert_eq!(Image::read(text), None, "{text:?}");
        }
        assert_eq!(Image::read(&format!("web:{}", "a".repeat(129))), None);
    }

    #[test]
    fn an_image_comes_from_what_is_named_and_not_from_what_looks_like_it() {
        for (text, allowed, wanted) in [
            ("registry.example/team/web:1", "registry.example", true),
            ("registry.example/team/web:1", "registry.example/", true),
            ("registry.example/team/web:1", "registry.example/team", true),
            ("registry.example/team", "registry.example/team", true),
            ("registry.example/team-evil/web", "registry.example/team", false),
            ("registry.example/tea/m", "registry.example/team", false),
            ("registry.example.evil/team/web", "registry.example", false),
            ("evil/registry.example/team/web", "registry.example", false),
            ("registry.example:5000/team/web", "registry.example", false),
            ("registry.example:5000/team/web", "registry.example:5000", true),
            ("REGISTRY.example/web", "registry.example", true),
            ("registry.example/web", "Registry.Example", true),
            ("nginx", "docker.io", true),
            ("nginx", "docker.io/library", true),
            ("evil/nginx", "docker.io/library", false),
            ("nginx", "index.docker.io", true),
            ("nginx", "registry.example", false),
            ("a.registry.example/web", "*.registry.example", true),
            ("registry.example/web", "*.registry.example", false),
            ("evilregistry.example/web", "*.registry.example", false),
        ] {
            assert_eq!(Image::read(text).unwrap().is_from(allowed), wanted, "{text} {allowed}");
        }
    }

    #[test]
    fn a_place_that_is_no_registry_is_told() {
        for good in [
            "docker.io",
            "registry.example:5000/team/a",
            "*.registry.example",
            "localhost",
            "registry.example/",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in [
            "",
            "*",
            "nginx",
            "library/nginx",
            "https://registry.example",
            "registry.example/Team",
            "*registry.example",
            "a b.example",
        ] {
            assert!(problem(bad).is_some(), "{bad:?}");
        }
    }
}
