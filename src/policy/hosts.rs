//! The host that a URL names.

use crate::object::host::is_host;

/// What a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// A host, in lowercase, with its port where one is written.
    Named(String),
    /// A folder beside what names it.
    Local,
    /// Nobody can say.
    Unknown,
}

/// Reads the host of a URL, of `user@host:path` as ssh has it, or of `host/path`.
pub(super) fn host_of(url: &str) -> Host {
    let url = url.trim().trim_start_matches("git::");
    if let Some(path) = url.strip_prefix("file://") {
        return if path.starts_with('/') { Host::Unknown } else { Host::Local };
    }
    let (rest, is_url) = match url.split_once("://") {
        Some((scheme, rest))
            if scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) =>
        {
            (rest, true)
        }
        Some(_) => return Host::Unknown,
        None => (url, false),
    };
    // Backslashes are slashes to some readers and not to others.
    if rest.contains('\\') || rest.contains(char::is_whitespace) {
        return Host::Unknown;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // `@name` is a repository that only its user knows.
    if authority.starts_with('@') {
        return Host::Unknown;
    }
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // In `git@host:path` the colon begins the path.
    let host = match host.split_once(':') {
        Some((host, _)) if !is_url && authority.contains('@') => host,
        _ => host,
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if is_host(&host) { Host::Named(host) } else { Host::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_remote_names_its_host() {
        for (url, host) in [
            ("https://git.example/infra.git", "git.example"),
            ("https://Git.Example:8443/infra.git", "git.example:8443"),
            ("https://user:word@git.example/infra.git", "git.example"),
            ("https://git.example@evil.example/infra.git", "evil.example"),
            ("https://git.example#@evil.example/", "git.example"),
            ("https://git.example?@evil.example/", "git.example"),
            ("https://git.example./infra.git", "git.example"),
            ("ssh://git@git.example:22/infra.git", "git.example:22"),
            ("git@git.example:team/infra.git", "git.example"),
            ("oci://charts.example/team", "charts.example"),
            ("github.com/team/repo//base?ref=main", "github.com"),
            ("git::https://git.example/infra.git", "git.example"),
            ("https://[fd00::1]:8443/x", "[fd00::1]:8443"),
        ] {
            assert_eq!(host_of(url), Host::Named(host.to_owned()), "{url}");
        }
        assert_eq!(host_of("file://../common"), Host::Local);
        for url in [
            "",
            "@alias",
            "https://",
            "https:///x",
            "https://{{repo}}/x",
            "https://git.example\\@evil/x",
            "file:///etc",
            "https://a b/x",
        ] {
            assert_eq!(host_of(url), Host::Unknown, "{url}");
        }
    }
}
