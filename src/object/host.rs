//! Hosts by pattern: `git.example`, `*.git.example`, `git.example:8443`.

/// Whether a host is one of those that are allowed: by its name, or below `*.`; on any port where none is written there.
pub fn is_allowed(host: &str, allowed: &[String]) -> bool {
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
pub fn problem(allowed: &str) -> Option<String> {
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

/// Whether a text is the name or the address of a host, with a port or without.
pub fn is_host(text: &str) -> bool {
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
