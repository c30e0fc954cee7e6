//! `${aws-sm:<name or ARN>[#json.key][@version-id|@stage]}`, as it stands in git.

use std::fmt;

/// Where a secret is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// AWS Secrets Manager.
    SecretsManager,
    /// AWS Systems Manager Parameter Store.
    ParameterStore,
}

impl Provider {
    pub const ALL: [Self; 2] = [Self::SecretsManager, Self::ParameterStore];

    /// How references name it.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::SecretsManager => "aws-sm",
            Self::ParameterStore => "aws-ps",
        }
    }

    fn of(scheme: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.scheme() == scheme)
    }
}

/// Which version of a secret is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pick {
    /// The current one, whichever that is: `AWSCURRENT`, the newest of a parameter.
    Current,
    /// The one that bears this label.
    Stage(Box<str>),
    /// This one and no other; it never changes.
    Version(Box<str>),
}

/// What is read at once: a secret in one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId {
    pub provider: Provider,
    /// Its name, or its ARN.
    pub name: Box<str>,
    pub pick: Pick,
}

impl SecretId {
    /// The name that an Environment's `secrets` is compared with: that of an ARN, without the six characters that Secrets
    /// Manager adds.
    pub fn plain_name(&self) -> &str {
        let Some(rest) = self.name.strip_prefix("arn:") else { return &self.name };
        match self.provider {
            // arn:partition:secretsmanager:region:account:secret:name-AbCdEf
            Provider::SecretsManager => {
                let name = rest.splitn(6, ':').nth(5).unwrap_or(rest);
                match name.rsplit_once('-') {
                    Some((name, random)) if random.len() == 6 => name,
                    _ => name,
                }
            }
            // arn:partition:ssm:region:account:parameter/name
            Provider::ParameterStore => {
                let name = rest.splitn(5, ':').nth(4).unwrap_or(rest);
                name.strip_prefix("parameter").unwrap_or(name)
            }
        }
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider.scheme(), self.name)?;
        self.write_version(f, true)
    }
}

impl SecretId {
    /// Writes the version behind a name, or behind a key. A name that holds an @ is followed by a version always.
    fn write_version(&self, f: &mut fmt::Formatter<'_>, is_behind_name: bool) -> fmt::Result {
        match &self.pick {
            Pick::Current if is_behind_name && self.name.contains('@') => f.write_str("@AWSCURRENT"),
            Pick::Current => Ok(()),
            Pick::Stage(version) | Pick::Version(version) => write!(f, "@{version}"),
        }
    }
}

/// A place in a string that a secret's value is put into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    pub secret: SecretId,
    /// The way to one value of a JSON secret; the whole of it where empty.
    pub key: Vec<Box<str>>,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SecretId { provider, name, .. } = &self.secret;
        write!(f, "{}:{name}", provider.scheme())?;
        for (n, part) in self.key.iter().enumerate() {
            f.write_str(if n == 0 { "#" } else { "." })?;
            for c in part.chars() {
                if ESCAPED.contains(c) {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
        }
        self.secret.write_version(f, self.key.is_empty())
    }
}

/// What a backslash must stand before in a key, to be itself.
const ESCAPED: &str = "\\.#@}";

/// Why something that looks like a reference is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no reference to a secret: {why}")]
pub struct BadReference {
    text: String,
    why: String,
}

/// What begins a reference, whatever provider it names.
const START: &str = "${aws-";

/// Finds the first reference of a text that is not escaped: where it begins and ends, and what it says.
///
/// Only `${aws-` begins one, so that a shell's `${HOME}` is what it is everywhere. `$${aws-` is the text `${aws-`.
pub fn find_reference(text: &str) -> Option<(std::ops::Range<usize>, Result<Reference, BadReference>)> {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(START)).map(|at| from + at) {
        if text.get(..at).is_some_and(|before| before.ends_with('$')) {
            from = at + START.len();
            continue;
        }
        let body = at + "${".len();
        let rest = text.get(body..).unwrap_or_default();
        let Some(length) = end_of(rest) else {
            let shown: String = rest.chars().take(SHOWN).collect();
            return Some((at..text.len(), Err(bad(&format!("${{{shown}"), "the closing brace is missing"))));
        };
        let inner = rest.get(..length).unwrap_or_default();
        let range = at..body + length + 1;
        return Some((range, Reference::parse(inner).map_err(|why| bad(&format!("${{{inner}}}"), &why))));
    }
    None
}

/// So much of a text that has no end is shown: it may be anything.
const SHOWN: usize = 20;

/// Takes the escapes out of a text without references.
pub(super) fn unescape(text: &str) -> String {
    text.replace("$${aws-", START)
}

fn bad(text: &str, why: &str) -> BadReference {
    BadReference { text: text.to_owned(), why: why.to_owned() }
}

/// Where the brace is that ends a reference.
fn end_of(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '}' => return Some(at),
            '\n' | '\r' | '{' => return None,
            _ => {}
        }
    }
    None
}

impl Reference {
    /// Reads what stands between `${` and `}`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err("write ${aws-sm:NAME}, ${aws-sm:NAME#key} or ${aws-sm:NAME#key@version}".to_owned());
        };
        let Some(provider) = Provider::of(scheme) else {
            let known: Vec<&str> = Provider::ALL.iter().map(|provider| provider.scheme()).collect();
            return Err(format!("there is no provider {scheme:?}; there are {}", known.join(" and ")));
        };
        let (named, key) = match rest.split_once('#') {
            Some((name, key)) => (name, Some(key)),
            None => (rest, None),
        };
        let (name, key, version) = match key {
            Some(text) => {
                if named.ends_with("@AWSCURRENT") || named.ends_with("@AWSPREVIOUS") {
                    return Err("the version comes last, behind the key: NAME#key@version".to_owned());
                }
                let (key, version) = read_key(text)?;
                (named, key, version)
            }
            // The last @ begins the version: a name that holds one is written with its version.
            None => match named.rsplit_once('@') {
                Some((name, version)) => (name, Vec::new(), Some(version.to_owned())),
                None => (named, Vec::new(), None),
            },
        };
        check_name(provider, name)?;
        let pick = version.map_or(Ok(Pick::Current), |version| pick(provider, version))?;
        Ok(Self { secret: SecretId { provider, name: name.into(), pick }, key })
    }
}

/// Reads a key with its dots, and the version behind it.
fn read_key(text: &str) -> Result<(Vec<Box<str>>, Option<String>), String> {
    let (mut parts, mut part, mut version) = (Vec::new(), String::new(), None);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, c)) if ESCAPED.contains(c) => part.push(c),
                _ => return Err(format!("a backslash stands before one of {ESCAPED}")),
            },
            '.' => parts.push(std::mem::take(&mut part).into_boxed_str()),
            '#' => return Err("the key holds a second #; write \\# where it belongs to the key".to_owned()),
            '@' => {
                version = text.get(at + 1..).map(str::to_owned);
                break;
            }
            c => part.push(c),
        }
    }
    parts.push(part.into_boxed_str());
    if parts.iter().any(|part| part.is_empty()) {
        return Err("a part of the key is empty".to_owned());
    }
    Ok((parts, version))
}

fn check_name(provider: Provider, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is missing".to_owned());
    }
    let is_arn = name.starts_with("arn:");
    // What Secrets Manager and Parameter Store take in a name.
    let legal = |c: char| match provider {
        Provider::SecretsManager => c.is_ascii_alphanumeric() || "/_+=.@-".contains(c),
        Provider::ParameterStore => c.is_ascii_alphanumeric() || "/_.-".contains(c),
    };
    if let Some(odd) = name.chars().find(|&c| !(legal(c) || is_arn && c == ':')) {
        return Err(format!("the name holds {odd:?}, which no name there may hold"));
    }
    let service = match provider {
        Provider::SecretsManager => ":secretsmanager:",
        Provider::ParameterStore => ":ssm:",
    };
    if is_arn && (!name.contains(service) || name.splitn(7, ':').count() < 6) {
        return Err(format!("the ARN is none of {}", provider.scheme()));
    }
    let most = if is_arn { 2048 } else { 512 };
    if name.len() > most {
        return Err(format!("the name has {} characters, and one has at most {most}", name.len()));
    }
    Ok(())
}

/// Tells a version from a label: version ids are 32 to 64 characters long, or the number of a parameter's version.
fn pick(provider: Provider, version: String) -> Result<Pick, String> {
    if version.is_empty() {
        return Err("there is no version behind the @".to_owned());
    }
    let in_ids = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_id = match provider {
        Provider::SecretsManager => (32..=64).contains(&version.len()) && version.chars().all(in_ids),
        Provider::ParameterStore => version.bytes().all(|byte| byte.is_ascii_digit()),
    };
    if is_id {
        return Ok(Pick::Version(version.into()));
    }
    if version == "AWSPENDING" {
        // A rotation has made it and has not tried it yet.
        return Err("AWSPENDING is not in force yet, and never used".to_owned());
    }
    if version == "AWSCURRENT" {
        return Ok(Pick::Current);
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "/_+=.-".contains(c);
    match version.chars().find(|&c| !legal(c)) {
        Some(odd) => Err(format!("the version {version:?} holds {odd:?}")),
        None => Ok(Pick::Stage(version.into())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        let reference = Reference::parse(text)?;
        let again = Reference::parse(&reference.to_string()).expect("what is written is read again");
        assert_eq!(again, reference);
        Ok(format!("{:?} {} {:?}", reference.secret.pick, reference.secret.name, reference.key))
    }

    #[test]
    fn names_keys_and_versions_are_told_apart() {
        let id = "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111";
        for (text, wanted) in [
            ("aws-sm:db", r#"Current db []"#.to_owned()),
            ("aws-sm:notejam/production/db#password", r#"Current notejam/production/db ["password"]"#.into()),
            ("aws-sm:db#users.0.name", r#"Current db ["users", "0", "name"]"#.into()),
            (r"aws-sm:db#a\.b\@c\#d\\e\}f", r#"Current db ["a.b@c#d\\e}f"]"#.into()),
            ("aws-sm:db@AWSCURRENT", "Current db []".into()),
            ("aws-sm:db@AWSPREVIOUS", r#"Stage("AWSPREVIOUS") db []"#.into()),
            ("aws-sm:db#key@blue", r#"Stage("blue") db ["key"]"#.into()),
            (&format!("aws-sm:db@{id}"), format!("Version({id:?}) db []")),
            ("aws-sm:team@corp@AWSCURRENT", "Current team@corp []".into()),
            (
                "aws-sm:arn:aws:secretsmanager:eu-west-1:123456789012:secret:notejam/db-AbCdEf#password",
                r#"Current arn:aws:secretsmanager:eu-west-1:123456789012:secret:notejam/db-AbCdEf ["password"]"#.into(),
            ),
            ("aws-ps:/notejam/db", "Current /notejam/db []".into()),
            ("aws-ps:/notejam/db@3", r#"Version("3") /notejam/db []"#.into()),
        ] {
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            ("aws-sm", "write ${aws-sm:NAME}"),
            ("aws-sn:db", "no provider \"aws-sn\""),
            ("aws-sm:", "the name is missing"),
            ("aws-sm:#key", "the name is missing"),
            ("aws-sm:my secret", "holds ' '"),
            ("aws-sm:db#", "part of the key is empty"),
            ("aws-sm:db#a..b", "part of the key is empty"),
            ("aws-sm:db#a#b", "second #"),
            ("aws-sm:db#a\\x", "a backslash"),
            ("aws-sm:db@AWSCURRENT#key", "the version comes last"),
            ("aws-sm:db@", "no version behind the @"),
            ("aws-sm:db@AWSPENDING", "never used"),
            ("aws-sm:db#key@AWSPENDING", "never used"),
            ("aws-sm:arn:aws:s3:::bucket", "the ARN is none of aws-sm"),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn a_text_may_hold_several_and_escaped_ones() {
        let text = "postgres://${aws-sm:db#user}:${aws-sm:db#password}@db/${NAME}";
        let (range, found) = find_reference(text).expect("there is one");
        assert_eq!((&text[range.clone()], found.unwrap().key[0].as_ref()), ("${aws-sm:db#user}", "user"));
        let (next, _) = find_reference(&text[range.end..]).expect("there is another");
        assert_eq!(&text[range.end..][next], "${aws-sm:db#password}");
        assert!(find_reference("${HOME} $(aws-sm:x) $${aws-sm:x}").is_none());
        assert_eq!(unescape("a $${aws-sm:x} b"), "a ${aws-sm:x} b");
        for text in ["${aws-sm:db", "${aws-sm:db\n}", "${aws-sm:{db}"] {
            assert!(find_reference(text).expect("it is seen").1.is_err(), "{text}");
        }
    }

    #[test]
    fn an_arn_has_the_name_that_it_was_made_of() {
        let name = |text: &str| Reference::parse(text).unwrap().secret.plain_name().to_owned();
        assert_eq!(name("aws-sm:arn:aws:secretsmanager:eu-west-1:1:secret:a/b-c-AbCdEf"), "a/b-c");
        assert_eq!(name("aws-sm:arn:aws:secretsmanager:eu-west-1:1:secret:a/b"), "a/b");
        assert_eq!(name("aws-sm:a/b-AbCdEf"), "a/b-AbCdEf");
        assert_eq!(name("aws-ps:arn:aws:ssm:eu-west-1:1:parameter/a/b"), "/a/b");
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_makes_it_fall(text in "\\PC{0,40}", behind in "[a-z@#.\\\\}{:$]{0,20}") {
            let _ = find_reference(&text);
            let _ = find_reference(&format!("${{aws-sm:{behind}}}"));
            let _ = Reference::parse(&format!("aws-sm:{behind}")).map(|reference| {
                prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference.clone()));
                Ok(())
            });
        }
    }
}
