//! Which URLs are taken, and how they are shown. What libgit2 sees never holds a password: it quotes URLs in messages.

use std::fmt;
use std::path::{Path, PathBuf};

use super::GitError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Https,
    Http,
    Ssh,
    File,
}

/// A URL that was checked. It holds no password; see [`RemoteUrl::parse`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RemoteUrl {
    scheme: Scheme,
    user: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
}

/// What stood before the `@` of an http URL.
pub(super) struct UserInfo {
    pub username: String,
    pub password: String,
}

impl RemoteUrl {
    /// Reads `https://`, `http://`, `ssh://`, `file://` and `git@host:path`; all else is refused by name.
    ///
    /// Credentials in an http URL are handed back apart, so that they follow the same rules as others.
    pub(super) fn parse(text: &str) -> Result<(Self, Option<UserInfo>), GitError> {
        let bad = |why: &str| GitError::BadUrl { remote: redacted(text), why: why.to_owned() };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.starts_with('-') {
            return Err(bad("it starts with '-'"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(bad("it holds a space, a backslash or a control character"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok((Self::parse_scp(text)?, None));
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" => Scheme::Ssh,
            "file" => Scheme::File,
            other => {
                return Err(GitError::Scheme { remote: redacted(text), scheme: other.to_owned() });
            }
        };
        if rest.contains(['?', '#']) {
            return Err(bad("it holds a query or a fragment"));
        }
        let (authority, path) = rest.split_at(rest.find('/').ok_or_else(|| bad("it has no path"))?);
        if path.len() < 2 {
            return Err(bad("it has no path"));
        }
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        if scheme == Scheme::File {
            if !matches!(authority, "" | "localhost") {
                return Err(bad("a file URL names no host: write file:///path"));
            }
            return Ok((
                Self { scheme, user: None, host: String::new(), port: None, path: unescape(path) },
                None,
            ));
        }
        let (host, port) = split_port(host).ok_or_else(|| bad("its port is not a number"))?;
        check_host(host).map_err(bad)?;
        let mut url = Self { scheme, user: None, host: host.to_owned(), port, path: path.to_owned() };
        let Some(userinfo) = userinfo else {
            return Ok((url, None));
        };
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        if scheme != Scheme::Ssh {
            let (username, password) = (unescape(user), unescape(password));
            return Ok((url, Some(UserInfo { username, password })));
        }
        if !password.is_empty() {
            return Err(bad("ssh is used with a key, not with a password"));
        }
        check_user(user).map_err(bad)?;
        check_ssh_path(path).map_err(bad)?;
        url.user = Some(user.to_owned());
        Ok((url, None))
    }

    fn parse_scp(text: &str) -> Result<Self, GitError> {
        let bad = |why: &str| GitError::BadUrl { remote: redacted(text), why: why.to_owned() };
        if let Some((helper, _)) =
            text.split_once("::").filter(|(helper, _)| !helper.contains(['/', '[', '@']))
        {
            return Err(GitError::Scheme { remote: redacted(text), scheme: helper.to_owned() });
        }
        let (login, path) = text
            .split_once(':')
            .filter(|(login, path)| !login.contains('/') && !path.is_empty())
            .ok_or_else(|| bad("it names no scheme; a folder is written file:///path"))?;
        let (user, host) =
            login.rsplit_once('@').ok_or_else(|| bad("write user@host:path, or ssh://host/path"))?;
        check_user(user).map_err(bad)?;
        check_host(host).map_err(bad)?;
        check_ssh_path(path).map_err(bad)?;
        // `host:path` starts in the home folder; as a URL that is `/~/path`, which not all servers know. A path
        // from the root is the same in both forms; the relative one is kept as it is for libgit2 to read.
        Ok(Self {
            scheme: Scheme::Ssh,
            user: Some(user.to_owned()),
            host: host.to_owned(),
            port: None,
            path: path.to_owned(),
        })
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The host, with its port where one is written.
    pub(super) fn host_and_port(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.scheme {
            Scheme::Https => 443,
            Scheme::Http => 80,
            Scheme::Ssh => 22,
            Scheme::File => 0,
        })
    }

    /// Who logs in over ssh.
    pub(super) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("git")
    }

    pub(super) fn file_path(&self) -> Option<&Path> {
        (self.scheme == Scheme::File).then(|| Path::new(&self.path))
    }

    /// What libgit2 is given.
    pub(super) fn for_libgit2(&self) -> String {
        match (self.scheme, &self.user) {
            (Scheme::File, _) => PathBuf::from(&self.path).to_string_lossy().into_owned(),
            (_, Some(user)) if !self.path.starts_with('/') => format!("{user}@{}:{}", self.host, self.path),
            (_, Some(user)) => self.format(&format!("{user}@")),
            (_, None) => self.format(""),
        }
    }

    /// Whether a URL that libgit2 asks credentials for is still this host: same scheme, host and port.
    pub(super) fn same_origin(&self, other: &str) -> bool {
        Self::parse(other).is_ok_and(|(other, _)| {
            self.scheme == other.scheme
                && self.host.eq_ignore_ascii_case(&other.host)
                && self.port() == other.port()
        })
    }

    fn format(&self, login: &str) -> String {
        let scheme = match self.scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
            Scheme::Ssh => "ssh",
            Scheme::File => "file",
        };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        format!("{scheme}://{login}{}{port}{slash}{}", self.host, self.path)
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format(""))
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteUrl({self})")
    }
}

/// A URL as it may be shown: without what stands before the `@`, and without a query.
///
/// It must not leak from malformed URLs either (a password with a `/` or an `@` in it), so all up to the last `@` goes.
/// A path with an `@` loses its beginning by that, which is a small price.
pub fn redacted(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let shown = rest.chars().filter(|c| !c.is_control()).take(300).collect::<String>();
    format!("{scheme}{shown}")
}

/// Text with every URL in it redacted: for messages that libgit2 or a server wrote.
pub(super) fn redact_text(text: &str) -> String {
    text.split_inclusive(char::is_whitespace)
        .map(|word| match word.contains("://") || word.contains('@') {
            true => {
                let start = word.find(|c: char| c.is_ascii_alphanumeric()).unwrap_or(0);
                let end = word.trim_end_matches(|c: char| c.is_whitespace() || "'\".,:;)".contains(c)).len();
                match start < end {
                    true => format!("{}{}{}", &word[..start], redacted(&word[start..end]), &word[end..]),
                    false => word.to_owned(),
                }
            }
            false => word.to_owned(),
        })
        .collect()
}

fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    let colon = match host.rfind(']') {
        Some(bracket) => host[bracket..].find(':').map(|at| at + bracket),
        None => host.find(':'),
    };
    match colon {
        Some(colon) => Some((&host[..colon], Some(host[colon + 1..].parse().ok()?))),
        None => Some((host, None)),
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let ok = match bare {
        Some(address) => address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.'),
        None => host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    match (host.is_empty(), host.starts_with('-'), ok) {
        (true, ..) => Err("it names no host"),
        (_, true, _) => Err("its host starts with '-'"),
        (.., false) => Err("its host is not a host name"),
        _ => Ok(()),
    }
}

fn check_user(user: &str) -> Result<(), &'static str> {
    let ok = user.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if user.is_empty() || user.starts_with('-') || !ok { Err("its user is not a user name") } else { Ok(()) }
}

/// The server's shell sees this path; libgit2 quotes it, and we do not give it an option to mistake it for.
fn check_ssh_path(path: &str) -> Result<(), &'static str> {
    let ok =
        !path.starts_with('-') && !path.starts_with("/-") && !path.contains(['\'', '`', '$', ';', '|', '&']);
    if ok { Ok(()) } else { Err("its path starts with '-' or holds a character that a shell would read") }
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RemoteUrl, GitError> {
        RemoteUrl::parse(text).map(|(url, _)| url)
    }

    #[test]
    fn the_schemes_of_the_allow_list_are_taken() {
        for (text, shown) in [
            ("https://git.example/infra.git", "https://git.example/infra.git"),
            ("http://git.example:8080/infra.git", "http://git.example:8080/infra.git"),
            ("ssh://git@git.example:2222/infra.git", "ssh://git.example:2222/infra.git"),
            ("git@git.example:team/infra.git", "ssh://git.example/team/infra.git"),
            ("https://[::1]:8443/infra.git", "https://[::1]:8443/infra.git"),
            ("file:///srv/git/infra.git", "file:///srv/git/infra.git"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        for (text, name) in [
            ("ext::sh -c", "space"),
            ("ext::sh", "\"ext\""),
            ("git://host/x", "\"git\""),
            ("ftp://h/x", "\"ftp\""),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn nothing_that_reads_as_an_option_is_taken() {
        for text in [
            "-oProxyCommand=x",
            "--upload-pack=x",
            "ssh://-oProxyCommand=x/y",
            "ssh://-x@host/y",
            "git@-host:path",
            "git@host:-path",
            "ssh://git@host/-path",
            "git@host:a;b",
            "",
            "https://host",
            "https://host/",
            "/srv/git",
            "../x",
            "file://host/x",
            "https://host:http/x",
            "https://a b/x",
            "ssh://git:password@host/x",
            "https://host/x?token=1",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn credentials_of_an_http_url_are_taken_out_of_it() {
        let (url, info) = RemoteUrl::parse("https://bot:p%40ss@git.example/infra.git").unwrap();
        let info = info.unwrap();
        assert_eq!((info.username.as_str(), info.password.as_str()), ("bot", "p@ss"));
        assert_eq!(url.for_libgit2(), "https://git.example/infra.git");
    }

    #[test]
    fn userinfo_is_never_shown() {
        for url in [
            "https://bot:s3cret@git.example/x",
            "https://s3cret@git.example/x",
            "https://bot:a/s3cret@git.example/x",
            "https://bot:a@s3cret@git.example/x",
            "https://git.example/x?access_token=s3cret",
            "bot:s3cret@git.example:x",
        ] {
            assert!(!redacted(url).contains("s3cret"), "{}", redacted(url));
            assert!(redacted(url).contains("git.example"));
            let text = redact_text(&format!("cannot read '{url}': no such thing"));
            assert!(!text.contains("s3cret") && text.ends_with(": no such thing"), "{text}");
        }
    }

    #[test]
    fn another_port_is_another_origin() {
        let url = parse("http://git.example:8080/x").unwrap();
        assert!(url.same_origin("http://git.example:8080/y"));
        for other in
            ["http://git.example:8081/x", "https://git.example:8080/x", "http://other.example:8080/x"]
        {
            assert!(!url.same_origin(other));
        }
    }
}
