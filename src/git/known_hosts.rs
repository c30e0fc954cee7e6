//! Which ssh host keys are trusted, by the lines of a `known_hosts` file (see sshd(8)).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// What `known_hosts` says of a key that a host showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    /// The host is listed, with other keys: of these kinds.
    Differs {
        kinds: Vec<String>,
    },
    Unknown,
    Revoked,
}

/// Judges the raw `key` of `host` and `port`. Lines that cannot be read are skipped: they trust nobody.
pub(super) fn judge(known_hosts: &str, host: &str, port: u16, key: &[u8]) -> Verdict {
    // Names are listed bare for port 22, and as [host]:port for others.
    let host = host.to_ascii_lowercase();
    let name = if port == 22 { host.clone() } else { format!("[{host}]:{port}") };
    let mut kinds = Vec::new();
    let mut known = false;
    for line in known_hosts.lines() {
        let mut words = line.split_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        let (Some(hosts), Some(kind), Some(listed)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        if hosts.starts_with('#') || !names(hosts, &name) {
            continue;
        }
        let same = BASE64.decode(listed).is_ok_and(|listed| listed == key);
        match marker {
            Some("@revoked") if same => return Verdict::Revoked,
            // Keys that are signed by an authority are not understood by libssh2, so such a line trusts nobody here.
            Some(_) => {}
            None if same => known = true,
            None => kinds.push(kind.to_owned()),
        }
    }
    match (known, kinds.is_empty()) {
        (true, _) => Verdict::Known,
        (false, false) => Verdict::Differs { kinds },
        (false, true) => Verdict::Unknown,
    }
}

/// Whether the first field of a line names this host: a hashed name, or patterns of which one fits and no negated one.
fn names(field: &str, name: &str) -> bool {
    if let Some(hashed) = field.strip_prefix("|1|") {
        return hashed.split_once('|').is_some_and(|(salt, hash)| hashes_to(salt, hash, name));
    }
    let mut found = false;
    for pattern in field.split(',') {
        match pattern.strip_prefix('!') {
            Some(negated) if fits(&negated.to_ascii_lowercase(), name) => return false,
            Some(_) => {}
            None => found |= fits(&pattern.to_ascii_lowercase(), name),
        }
    }
    found
}

fn hashes_to(salt: &str, hash: &str, name: &str) -> bool {
    let (Ok(salt), Ok(hash)) = (BASE64.decode(salt), BASE64.decode(hash)) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&salt) else {
        return false;
    };
    mac.update(name.as_bytes());
    mac.verify_slice(&hash).is_ok()
}

/// `*` stands for any run of characters, `?` for one. Linear but for the last `*`, so no pattern can make it slow.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"the key";

    fn line(hosts: &str) -> String {
        format!("{hosts} ssh-ed25519 {} a comment\n", BASE64.encode(KEY))
    }

    fn judged(lines: &str, host: &str, port: u16) -> Verdict {
        judge(lines, host, port, KEY)
    }

    #[test]
    fn a_listed_key_is_known_on_its_host_and_port_only() {
        let lines = line("git.example,10.0.0.1");
        assert_eq!(judged(&lines, "git.example", 22), Verdict::Known);
        assert_eq!(judged(&lines, "GIT.example", 22), Verdict::Known);
        assert_eq!(judged(&lines, "10.0.0.1", 22), Verdict::Known);
        assert_eq!(judged(&lines, "git.example", 2222), Verdict::Unknown);
        assert_eq!(judged(&lines, "other.example", 22), Verdict::Unknown);
        assert_eq!(judged(&line("[git.example]:2222"), "git.example", 2222), Verdict::Known);
    }

    #[test]
    fn another_key_of_a_listed_host_is_refused() {
        let kinds = vec!["ssh-ed25519".to_owned()];
        assert_eq!(judge(&line("git.example"), "git.example", 22, b"another"), Verdict::Differs { kinds });
    }

    #[test]
    fn a_revoked_key_is_refused_even_where_it_is_listed() {
        let lines = format!("{}@revoked {}", line("git.example"), line("*"));
        assert_eq!(judged(&lines, "git.example", 22), Verdict::Revoked);
    }

    #[test]
    fn an_authority_trusts_nobody_here() {
        assert_eq!(judged(&format!("@cert-authority {}", line("*")), "git.example", 22), Verdict::Unknown);
    }

    #[test]
    fn patterns_and_their_negations_count() {
        assert_eq!(judged(&line("*.example"), "git.example", 22), Verdict::Known);
        assert_eq!(judged(&line("g?t.*"), "git.example", 22), Verdict::Known);
        assert_eq!(judged(&line("*.example,!git.example"), "git.example", 22), Verdict::Unknown);
        assert_eq!(judged(&line("*.example"), "git.example.evil", 22), Verdict::Unknown);
    }

    #[test]
    fn hashed_names_are_understood() {
        let salt = b"0123456789abcdefghij";
        let mut mac = Hmac::<Sha1>::new_from_slice(salt).unwrap();
        mac.update(b"[git.example]:2222");
        let hosts = format!("|1|{}|{}", BASE64.encode(salt), BASE64.encode(mac.finalize().into_bytes()));
        assert_eq!(judged(&line(&hosts), "git.example", 2222), Verdict::Known);
        assert_eq!(judged(&line(&hosts), "git.example", 22), Verdict::Unknown);
    }

    #[test]
    fn rubbish_trusts_nobody() {
        for text in [
            "",
            "#",
            "git.example",
            "git.example ssh-rsa",
            "git.example ssh-rsa !!!",
            "|1|x|y ssh-rsa AAAA",
            "@revoked",
        ] {
            assert!(!matches!(judged(text, "git.example", 22), Verdict::Known), "{text:?}");
        }
    }
}
