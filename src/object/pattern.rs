//! Kinds by pattern: `Kind.group`, `Kind` of the core group, `*.group`, `*.*.example.org`, `*`. Names by pattern: a name,
//! or the beginning of one and `*`.

use super::ObjectKey;

/// Says whether a pattern names the kind of an object.
pub fn names_kind(pattern: &str, key: &ObjectKey) -> bool {
    if pattern == "*" {
        return true;
    }
    let (kind, group) = pattern.split_once('.').unwrap_or((pattern, ""));
    let same_kind = kind == "*" || kind == &*key.kind;
    let same_group = match group.strip_prefix('*') {
        Some("") => true,
        // `*.example.org` is every group below, and not `example.org` itself, nor `anexample.org`.
        Some(end) => end.starts_with('.') && key.group.ends_with(end) && key.group.len() > end.len(),
        None => group == &*key.group,
    };
    same_kind && same_group
}

/// Says whether any kind is named by both of two patterns.
pub fn kinds_overlap(one: &str, other: &str) -> bool {
    if one == "*" || other == "*" {
        return true;
    }
    let [(kind, group), (other_kind, other_group)] =
        [one, other].map(|pattern| pattern.split_once('.').unwrap_or((pattern, "")));
    let same_kind = kind == "*" || other_kind == "*" || kind == other_kind;
    let same_group = match (group.strip_prefix('*'), other_group.strip_prefix('*')) {
        (Some(""), _) | (_, Some("")) => true,
        (None, None) => group == other_group,
        (Some(end), None) => other_group.ends_with(end) && other_group.len() > end.len(),
        (None, Some(end)) => group.ends_with(end) && group.len() > end.len(),
        (Some(end), Some(other_end)) => end.ends_with(other_end) || other_end.ends_with(end),
    };
    same_kind && same_group
}

/// Says whether a pattern is a name, or the beginning of it and `*`.
pub fn fits_name(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == pattern,
    }
}

/// Says what is wrong with a pattern of kinds.
pub fn kind_problem(pattern: &str) -> Option<String> {
    let (kind, group) = pattern.split_once('.').unwrap_or((pattern, ""));
    let legal_kind = kind == "*"
        || (kind.starts_with(|c: char| c.is_ascii_uppercase())
            && kind.chars().all(|c| c.is_ascii_alphanumeric()));
    let rest = group.strip_prefix("*.").unwrap_or(group);
    let legal_group = group == "*"
        || rest.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'));
    // `Kind.` and `Kind.*.` name nothing.
    let dangling = pattern.ends_with('.');
    (!legal_kind || !legal_group || dangling).then(|| {
        format!("{pattern:?} names no kinds: write Kind.group, Kind of the core group, *.group, or *.*.example.org")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pattern: &str, group: &str, kind: &str) -> bool {
        names_kind(pattern, &ObjectKey::new(group, kind, Some("web"), "a"))
    }

    #[test]
    fn a_pattern_names_a_kind_a_group_or_all() {
        let rbac = "rbac.authorization.k8s.io";
        for (pattern, group, kind, wanted) in [
            ("RoleBinding.rbac.authorization.k8s.io", rbac, "RoleBinding", true),
            ("RoleBinding.rbac.authorization.k8s.io", rbac, "Role", false),
            ("RoleBinding", rbac, "RoleBinding", false),
            ("Secret", "", "Secret", true),
            ("Secret", "example.org", "Secret", false),
            ("*.rbac.authorization.k8s.io", rbac, "Role", true),
            ("*.authorization.k8s.io", rbac, "Role", false),
            ("*.*.authorization.k8s.io", rbac, "Role", true),
            ("*.*.crossplane.io", "rds.aws.crossplane.io", "Instance", true),
            ("*.*.crossplane.io", "crossplane.io", "Instance", false),
            ("*.*.crossplane.io", "evilcrossplane.io", "Instance", false),
            ("Secret.*", "", "Secret", true),
            ("Secret.*", "example.org", "Secret", true),
            ("*", "", "Secret", true),
            ("*", rbac, "Role", true),
            ("*.", "", "Secret", true),
        ] {
            assert_eq!(names(pattern, group, kind), wanted, "{pattern} {kind}.{group}");
        }
    }

    #[test]
    fn patterns_overlap_where_a_kind_is_named_by_both() {
        for (one, other, wanted) in [
            ("Secret", "Secret", true),
            ("Secret", "Secret.example.org", false),
            ("Secret", "*", true),
            ("Secret", "Secret.*", true),
            ("*.apps", "Deployment.apps", true),
            ("*.apps", "Deployment.batch", false),
            ("Role.rbac.authorization.k8s.io", "*.*.k8s.io", true),
            ("Role.k8s.io", "*.*.k8s.io", false),
            ("*.*.k8s.io", "Role.*.authorization.k8s.io", true),
            ("*.*.k8s.io", "Role.*.example.org", false),
        ] {
            assert_eq!(kinds_overlap(one, other), wanted, "{one} {other}");
            assert_eq!(kinds_overlap(other, one), wanted, "{other} {one}");
        }
    }

    #[test]
    fn a_name_is_named_whole_or_by_its_beginning() {
        for (pattern, name, wanted) in
            [("web", "web", true), ("web", "web-2", false), ("web-*", "web-2", true), ("*", "any", true)]
        {
            assert_eq!(fits_name(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn what_names_nothing_is_told() {
        for good in [
            "*",
            "Secret",
            "RoleBinding.rbac.authorization.k8s.io",
            "*.apps",
            "*.*.crossplane.io",
            "Secret.*",
        ] {
            assert_eq!(kind_problem(good), None, "{good}");
        }
        for bad in [
            "",
            "secret",
            "secrets",
            "Role Binding",
            "Secret.",
            "*.",
            "rbac.authorization.k8s.io",
            "Secret.Apps",
            "Sec*",
        ] {
            assert!(kind_problem(bad).is_some(), "{bad:?}");
        }
    }
}
