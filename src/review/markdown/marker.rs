//! The first line of a comment, by which it is found again.

use std::fmt;

use crate::object::Digest;

const BEGIN: &str = "<!-- fairlead:report ";
const BEGIN_DRIFT: &str = "<!-- fairlead:drift ";
const END: &str = " -->";
/// Longer names, and more of them, are told by their digest.
const LONGEST: usize = 200;
const MOST: usize = 600;

/// Which comment this is: of which cluster and environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    pub cluster: Option<String>,
    /// Their names, or `sha256:…` of these where they are very many.
    pub environments: Vec<String>,
}

impl Marker {
    pub fn new(cluster: Option<&str>, environments: &[&str]) -> Self {
        let names: Vec<String> = environments.iter().map(|&name| name.to_owned()).collect();
        let digest = |names: &[&str]| format!("sha256:{}", Digest::of_parts(names.iter().copied()).as_str());
        let length = |name: &str| encoded(name).len() + 1;
        let environments = match names.iter().map(|name| length(name)).sum::<usize>() > MOST {
            true => vec![digest(environments)],
            false => names,
        };
        let cluster = cluster.map(|name| match length(name) > LONGEST {
            true => digest(&[name]),
            false => name.to_owned(),
        });
        Self { cluster, environments }
    }

    /// Reads the marker of a comment: its first line, and no other.
    pub fn find(comment: &str) -> Option<Self> {
        let line = comment.lines().next()?.trim_end();
        let fields = line.strip_prefix(BEGIN)?.strip_suffix(END)?;
        let (cluster, environments) = fields.split_once(' ')?;
        let cluster = cluster.strip_prefix("cluster=")?;
        let environments = environments.strip_prefix("environments=")?;
        let names = environments.split(',').filter(|name| !name.is_empty());
        let found = Self {
            cluster: if cluster.is_empty() { None } else { Some(decoded(cluster)?) },
            environments: names.map(decoded).collect::<Option<_>>()?,
        };
        // Written in one way only.
        (found.to_string() == line).then_some(found)
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEGIN}{}{END}", self.fields())
    }
}

impl Marker {
    fn fields(&self) -> String {
        let cluster = self.cluster.as_deref().map(encoded).unwrap_or_default();
        let names: Vec<String> = self.environments.iter().map(|name| encoded(name)).collect();
        format!("cluster={cluster} environments={}", names.join(","))
    }
}

/// The first line of a comment about what has drifted of an environment.
pub fn drift(cluster: Option<&str>, environment: &str) -> String {
    format!("{BEGIN_DRIFT}{}{END}", Marker::new(cluster, &[environment]).fields())
}

/// Letters, digits, dots, underscores and single dashes between them; all else by its bytes.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' if out.ends_with('-') || out.is_empty() => out.push_str("%2d"),
            b'-' | b'.' | b'_' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '%' {
            bytes.push(u8::from_str_radix(rest.get(1..3)?, 16).ok()?);
            rest = rest.get(3..)?;
        } else {
            bytes.push(u8::try_from(c).ok()?);
            rest = rest.get(1..)?;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_marker_is_the_first_line_and_nothing_else() {
        let marker = Marker::new(Some("prod-eu"), &["dev", "prod"]);
        let line = marker.to_string();
        assert_eq!(line, "<!-- fairlead:report cluster=prod-eu environments=dev,prod -->");
        assert_eq!(Marker::find(&format!("{line}\nmore")), Some(marker));
        for not in [
            format!("\n{line}"),
            format!("x{line}"),
            format!("> {line}"),
            line.replace("prod-eu", "prod%2deu"),
            line.replace("report", "reports"),
            String::new(),
        ] {
            assert_eq!(Marker::find(&not), None, "{not}");
        }
        assert_eq!(Marker::find(&Marker::new(None, &[]).to_string()), Some(Marker::new(None, &[])));
    }

    proptest! {
        #[test]
        fn every_name_is_found_again(cluster in "\\PC{0,30}", names in prop::collection::vec("\\PC{1,30}", 0..60)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let marker = Marker::new(Some(&cluster).filter(|name| !name.is_empty()).map(String::as_str), &names);
            let line = marker.to_string();
            prop_assert!(!line.contains('\n') && line.matches("--").count() == 2, "{line}");
            prop_assert_eq!(Marker::find(&line), Some(marker));
        }
    }
}
