//! Names of previews, and the hosts under which they are reached. Nothing of them is chosen by who opens a pull request.

use crate::object::{AppName, Digest, EnvironmentName};

/// With which the names of all previews begin: the policies of the chart let the agent make no other Environments, and
/// who writes previews write into no other namespaces.
pub const PREFIX: &str = "preview-";
/// A name becomes a label, and the namespace is called so as well.
const LONGEST: usize = 63;

/// The name of a preview's Environment and of its namespace.
pub fn name(of: &EnvironmentName, number: u64) -> String {
    let whole = format!("{PREFIX}{of}-{number}");
    if whole.len() <= LONGEST {
        return whole;
    }
    let digest = Digest::of(of.as_str().as_bytes());
    let room = LONGEST - PREFIX.len() - digest.short().len() - number.to_string().len() - 2;
    let begin = of.as_str().get(..room.min(of.as_str().len())).unwrap_or_default().trim_end_matches('-');
    format!("{PREFIX}{begin}-{}-{number}", digest.short())
}

/// The host of an app of a preview, by a pattern such as `{app}-{pr}.preview.example`.
pub fn host(pattern: &str, app: &AppName, number: u64) -> Result<String, String> {
    let (begin, end) = host_parts(pattern, number)?;
    let host = format!("{begin}{app}{end}");
    match is_host(&host) {
        true => Ok(host),
        false => Err(format!("{host:?} is no name of a host")),
    }
}

/// What stands before and behind the name of the app.
pub fn host_parts(pattern: &str, number: u64) -> Result<(String, String), String> {
    // 1 of 17 and 11 of 7 would be the same.
    if pattern.contains("{app}{pr}") || pattern.contains("{pr}{app}") || !pattern.contains("{pr}") {
        return Err(format!("{pattern:?} has no {{pr}} of its own: previews would have the same hosts"));
    }
    // With `1{pr}` 7 would be 17, and with `{app}1{pr}` the app `a1` of 17 the app `a` of 117.
    let mut around =
        pattern.split("{pr}").flat_map(|part| [part.chars().next(), part.chars().next_back()]).flatten();
    if around.any(|c| c.is_ascii_digit()) {
        return Err(format!("{pattern:?} has a digit beside {{pr}}: previews would have the same hosts"));
    }
    let filled = pattern.replace("{pr}", &number.to_string());
    let parts: Vec<&str> = filled.split("{app}").collect();
    let [begin, end] = parts.as_slice() else {
        return Err(format!("{pattern:?} is to have {{app}} once: apps would have the same host"));
    };
    match is_host(&format!("{begin}app{end}")) {
        true => Ok(((*begin).to_owned(), (*end).to_owned())),
        false => Err(format!("{pattern:?} makes no name of a host")),
    }
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.contains('.') && host.split('.').all(is_label)
}
