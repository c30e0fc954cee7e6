//! The same chart in another world: what templates know of time and chance is another there, so that two renderings
//! agree only where neither counts.
//!
//! Two runs in a row would agree by chance about the date, and now and then about a short random text. So for the second
//! one the functions that ask for time and chance are replaced in the templates by others whose answers never are those
//! of the first: `now` is 400 days off, `randInt` is out of its range, random text has a letter that it cannot have. What
//! stands in packed subcharts and in values is not rewritten; there the second run's time zone, 400 days away, and a later
//! second tell. Whatever is not known here (`genCA`, `uuidv4`, `htpasswd`) is as random as it is.

use super::files::Files;

/// Year, month, day, weekday, hour, minute and second all differ.
const NOW: &str = "(now | mustDateModify \"9613h37m11s\")";
/// The same in seconds, for the time zone.
const FAR_AWAY: i32 = 9_613 * 3_600 + 37 * 60 + 11;

/// What stands in for a function.
fn instead(name: &str) -> Option<&'static str> {
    Some(match name {
        "now" => NOW,
        // At least the upper bound, which `randInt` never reaches.
        "randInt" => "add",
        "randAlpha" | "randAlphaNum" | "randNumeric" | "randAscii" | "randBytes" => "printf \"\u{e9}%v\"",
        "shuffle" => "printf \"%v\u{e9}\"",
        _ => return None,
    })
}

/// What a chart's templates ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Words {
    /// The time, or they cannot be looked at.
    pub time: bool,
    /// The keys or values of a map, in whatever order they come.
    pub order: bool,
}

pub(super) fn words(files: &Files) -> Words {
    let mut words = Words::default();
    for (path, bytes) in files.iter() {
        if path.ends_with(".tgz") {
            words.time = true;
        } else if let Ok(text) = std::str::from_utf8(bytes) {
            // Values may be templates too, and so may any file.
            look(text, &mut words);
        }
    }
    words
}

fn look(text: &str, words: &mut Words) {
    let time = ["now", "ago", "date", "dateInZone", "date_in_zone", "htmlDate", "htmlDateInZone"];
    for action in actions(text) {
        let names: Vec<&str> = identifiers(action).map(|(_, name)| name).collect();
        words.time |= names.iter().any(|name| time.contains(name));
        words.order |=
            names.iter().any(|name| matches!(*name, "keys" | "values")) && !names.contains(&"sortAlpha");
    }
}

/// A template for the second run; `None` where it stays as it is.
pub(super) fn rewrite(path: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let is_template = path.starts_with("chart/") && path.contains("/templates/");
    let text = std::str::from_utf8(bytes).ok().filter(|_| is_template)?;
    let mut out = String::new();
    let mut written = 0;
    for action in actions(text) {
        let start = action.as_ptr() as usize - text.as_ptr() as usize;
        for (at, name) in identifiers(action) {
            if let Some(other) = instead(name) {
                out.push_str(&text[written..start + at]);
                out.push_str(other);
                written = start + at + name.len();
            }
        }
    }
    (written > 0).then(|| {
        out.push_str(&text[written..]);
        out.into_bytes()
    })
}

/// What stands between `{{` and `}}`, comments left out.
fn actions(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let inside = &rest[rest.find("{{")? + 2..];
            let trimmed = inside.strip_prefix('-').map_or(inside, str::trim_start);
            if trimmed.starts_with("/*") {
                rest = &trimmed[trimmed.find("*/")? + 2..];
                continue;
            }
            let end = end_of_action(inside);
            rest = &inside[end..];
            return Some(&inside[..end]);
        }
    })
}

fn end_of_action(text: &str) -> usize {
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("}}") {
            return at;
        }
        at += skip(&text[at..]);
    }
    text.len()
}

/// The bytes of what begins here: a text in quotes, or one character.
fn skip(text: &str) -> usize {
    let mut letters = text.char_indices();
    let Some((_, quote)) = letters.next() else { return 0 };
    if !matches!(quote, '"' | '`' | '\'') {
        return quote.len_utf8();
    }
    let mut escaped = false;
    for (at, letter) in letters {
        if escaped {
            escaped = false;
        } else if letter == '\\' && quote != '`' {
            escaped = true;
        } else if letter == quote {
            return at + letter.len_utf8();
        }
    }
    text.len()
}

/// The names of functions and keywords in an action: what follows a dot or a dollar is a field or a variable.
fn identifiers(action: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    let mut before = ' ';
    std::iter::from_fn(move || {
        while at < action.len() {
            let rest = &action[at..];
            let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
            let length = rest.find(|letter| !is_letter(letter)).unwrap_or(rest.len());
            if length == 0 {
                before = rest.chars().next().unwrap_or(' ');
                at += skip(rest);
                continue;
            }
            let (start, name, after) = (at, &rest[..length], before);
            at += length;
            before = 'x';
            if !matches!(after, '.' | '$') {
                return Some((start, name));
            }
        }
        None
    })
}

/// A time zone as programs read it from a file (RFC 8536, version 1): one offset from UTC, at all times.
pub(super) fn far_away() -> Vec<u8> {
    let mut file = b"TZif\0".to_vec();
    file.extend([0; 15]);
    // No transitions, one kind of local time, four letters of its name.
    for count in [0_u32, 0, 0, 0, 1, 4] {
        file.extend(count.to_be_bytes());
    }
    file.extend(FAR_AWAY.to_be_bytes());
    file.extend([0, 0]);
    file.extend(b"FAR\0");
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        let other = rewrite("chart/templates/a.yaml", text.as_bytes());
        other.map_or_else(|| text.to_owned(), |bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn functions_are_replaced_and_nothing_else() {
        assert_eq!(rewritten("a: {{ now | date \"2006\" }}"), format!("a: {{{{ {NOW} | date \"2006\" }}}}"));
        assert_eq!(rewritten("{{- randInt 0 3 -}} now"), "{{- add 0 3 -}} now");
        assert_eq!(rewritten("{{ randAlphaNum 5 | quote }}"), "{{ printf \"é%v\" 5 | quote }}");
        for same in [
            "now: {{ .Values.now }} {{ $now }} {{ \"now\" }} {{ `now }}` }} {{ 'n' }} now",
            "{{/* now */}} {{- /* now }} */ -}}",
            "{{ nowhere }} {{ know }} {{ .a.now.b }}",
            "{{ \"\\\" now\" }}",
            "{{ unclosed \"now",
        ] {
            assert_eq!(rewritten(same), same);
        }
        assert_eq!(rewrite("chart/files/a.txt", b"{{ now }}"), None);
        assert_eq!(rewrite("values/0.yaml", b"a: '{{ now }}'"), None);
        assert!(rewrite("chart/charts/sub/templates/_a.tpl", b"{{ now }}").is_some());
    }

    #[test]
    fn time_and_order_are_found_where_they_count() {
        let words = |text: &str| {
            let mut words = Words::default();
            look(text, &mut words);
            (words.time, words.order)
        };
        assert_eq!(words("a: {{ dateInZone \"2006\" 0 \"UTC\" }}"), (true, false));
        assert_eq!(words("{{ keys .Values.a | join \",\" }}"), (false, true));
        assert_eq!(
            words("{{ keys .Values.a | sortAlpha | join \",\" }} {{ .Values.values.keys }}"),
            (false, false)
        );
        assert_eq!(words("date: now"), (false, false));
    }
}
