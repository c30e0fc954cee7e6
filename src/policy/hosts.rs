//! The host that a URL names, and whether it is one of those that are allowed.

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

/// Whether a host is one of those that are allowed: by its name, or below `*.`; on any port where none is written there.
pub(super) fn is_allowed(host: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|allowed| {
        let allowed = allowed.to_ascii_lowercase();
        let bare = match split_port(&allowed) {
            (_, Some(_)) => host,
            (_, None) => split_port(host).0,
        };
        match allowed.strip_prefix("*.") {
            Some(end) => bare.strip_suffix(end).is_some_and(|begin| begin.ends_with('.')),
            None => bare == allowed,
        }
    })
}

/// Says what is wrong with the name of a host.
pub(super) fn problem(allowed: &str) -> Option<String> {
    let bare = allowed.strip_prefix("*.").unwrap_or(allowed).to_ascii_lowercase();
    (!is_host(&bare))
        .then(|| format!("{allowed:?} names no host: write it as git.example, *.example or git.example:8443"))
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        // Else it is the end of an IPv6 address.
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

fn is_host(text: &str) -> bool {
    let (name, port) = split_port(text);
    let is_address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some_and(|address| {
        !address.is_empty() && address.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'))
    });
    let label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    (is_address || name.split('.').all(label)) && port.is_none_or(|port| port.parse::<u16>().is_ok())
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

    #[test]
    fn a_host_is_allowed_by_its_whole_name() {
        for (host, allowed, wanted) in [
            ("git.example", "git.example", true),
            ("git.example", "Git.Example", true),
            ("git.example:8443", "git.example", true),
            ("git.example:8443", "git.example:8443", true),
            ("git.example", "git.example:8443", false),
            ("a.git.example", "git.example", false),
            ("a.git.example", "*.git.example", true),
            ("git.example", "*.git.example", false),
            ("evilgit.example", "*.git.example", false),
            ("git.example.evil", "git.example", false),
            ("[fd00::1]:8443", "[fd00::1]", true),
        ] {
            assert_eq!(is_allowed(host, &[allowed.to_owned()]), wanted, "{host} {allowed}");
        }
        assert!(!is_allowed("git.example", &[]), "none is allowed where none is named");
        assert_eq!((problem("git.example"), problem("*.example")), (None, None));
        assert!(["", "*", "https://git.example", "git.example/x"].iter().all(|bad| problem(bad).is_some()));
    }
}
