//! The one way for foreign text into a comment of a forge.
//!
//! Names, values and messages come from manifests, files and servers. In a comment they could mention people, link to
//! issues and commits, close our folds, end our fences, or pose as our marker. So they stand in code, where no forge
//! looks for any of that: [`code`], [`fenced`], and [`html_code`] within our own HTML. Of sentences ([`text`]) plain
//! words stay as they are, and all else is code.

use std::fmt::Write;

/// No name needs more; what is longer is cut.
const LONGEST: usize = 300;
/// Names of Kubernetes take no more.
const SHORT: usize = 63;

/// Characters that nobody sees, or that turn text around: shown as escapes. So is the `!` that would begin a comment of
/// HTML where text is not HTML, as in code: who looks for our marker may not look at Markdown.
pub fn visible(text: &str, keeps: &[char]) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut previous = ' ';
    for c in text.chars() {
        let is_comment = c == '!' && previous == '<';
        if !keeps.contains(&c) && (c.is_control() || is_unseen(c)) || is_comment {
            let _ = match c {
                '\n' => shown.write_str("\\n"),
                '\t' => shown.write_str("\\t"),
                '\r' => shown.write_str("\\r"),
                _ => write!(shown, "\\u{{{:x}}}", u32::from(c)),
            };
        } else {
            shown.push(c);
        }
        previous = c;
    }
    shown
}

/// Formatting characters: of direction, of no width, separators of lines, tags and variations, and what is for private
/// use.
fn is_unseen(c: char) -> bool {
    matches!(
        u32::from(c),
        0xAD | 0x34F | 0x61C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F
            | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0x3164
            | 0xE000..=0xF8FF | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB
            | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF | 0xF0000..=0x10_FFFF
    )
}

/// Not more characters than that; what is cut is said.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The longest row of backticks.
fn ticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// As a span of code, on one line.
pub fn code(text: &str) -> String {
    span(&cut(&visible(text, &[]), LONGEST))
}

/// The same of a name that stands where there is not much room.
pub fn short(text: &str) -> String {
    span(&cut(&visible(text, &[]), SHORT))
}

fn span(text: &str) -> String {
    if text.trim().is_empty() {
        return "`\"\"`".to_owned();
    }
    // The cells of a table end at a bar, be it in code.
    let text = text.replace('|', "\\u{7c}");
    let fence = "`".repeat(ticks(&text) + 1);
    let space = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// Within our own HTML.
pub fn html_code(text: &str) -> String {
    let mut out = String::from("<code>");
    for c in cut(&visible(text, &[]), LONGEST).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Nobody reads Markdown there, but for those that do.
            '`' | '*' | '_' | '[' | ']' | '~' | '\\' | '|' | '@' | '#' | ':' | '!' | '$' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push_str("</code>");
    out
}

/// A sentence, cut where it is very long.
pub fn text(sentence: &str, most: usize) -> String {
    let sentence = cut(&visible(sentence, &[]), most);
    let mut out = String::new();
    let mut foreign: Vec<&str> = Vec::new();
    for word in sentence.split(' ').filter(|word| !word.is_empty()) {
        if is_plain(word) {
            flush(&mut foreign, &mut out);
            push(&mut out, word);
        } else {
            foreign.push(word);
        }
    }
    flush(&mut foreign, &mut out);
    out
}

fn flush(foreign: &mut Vec<&str>, out: &mut String) {
    if foreign.is_empty() {
        return;
    }
    let mut all = foreign.join(" ");
    foreign.clear();
    // A full stop belongs to the sentence.
    let end = if all.ends_with([',', ';', ':']) { all.pop() } else { None };
    if !all.is_empty() {
        push(out, &span(&all));
    }
    out.extend(end);
}

fn push(out: &mut String, word: &str) {
    if !out.is_empty() {
        out.push(' ');
    }
    out.push_str(word);
}

/// A word that no forge makes anything of: letters with single dashes, or a short number, and some punctuation around.
fn is_plain(word: &str) -> bool {
    const SHORTEST_COMMIT: usize = 7;
    let core = word.trim_start_matches('(').trim_end_matches([',', ';', ':', ')', '.', '?']);
    let opened = word.len() - word.trim_start_matches('(').len();
    let closed = word.trim_start_matches('(').len() - core.len();
    if core.is_empty() || opened > 1 || closed > 2 {
        return false;
    }
    if core.chars().all(|c| c.is_ascii_digit()) {
        return core.len() < SHORTEST_COMMIT;
    }
    let core = core.replacen("'s", "", 1);
    let letters =
        core.split('-').all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphabetic()));
    let may_be_commit = core.len() >= SHORTEST_COMMIT && core.chars().all(|c| c.is_ascii_hexdigit());
    letters && !may_be_commit && !core.eq_ignore_ascii_case("www")
}

/// As a block of code in a language; every line of it begins with what the caller put there.
pub fn fenced(language: &str, body: &str) -> String {
    let body = visible(body, &['\n', '\t']);
    let fence = "`".repeat(ticks(&body).max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}\n", body.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_and_all_else_is_code() {
        for (sentence, expected) in [
            ("it runs one replica, and is well.", "it runs one replica, and is well."),
            ("Deployment.apps web/web: runs 3 pods", "`Deployment.apps web/web`: runs 3 pods"),
            ("ask @ada or @org/team now", "ask `@ada` or `@org/team` now"),
            ("see #12 and GH-12, or a/b#3", "see `#12` and `GH-12`, or `a/b#3`"),
            ("at deadbeef and 1234567", "at `deadbeef` and `1234567`"),
            ("https://x.example www.x.example a@b.example", "`https://x.example www.x.example a@b.example`"),
            ("<!-- fairlead:report --> <b>", "`<\\u{21}-- fairlead:report --> <b>`"),
            ("</details>", "`</details>`"),
            ("[a](b) ![c](d)", "`[a](b) ![c](d)`"),
            ("a`b ``c", "``` a`b ``c ```".replace("``` ", "```").replace(" ```", "```").as_str()),
            ("one\nline", "`one\\nline`"),
            ("a\u{202e}b \u{200b}", "`a\\u{202e}b \\u{200b}`"),
            ("cluster-scoped (its kind)", "cluster-scoped (its kind)"),
            ("*all* _this_ ~that~", "`*all* _this_ ~that~`"),
            ("| a | b", "`\\u{7c}` a `\\u{7c}` b"),
            ("", ""),
        ] {
            assert_eq!(text(sentence, 600), expected, "{sentence:?}");
        }
    }

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code(" "), "`\"\"`");
        assert_eq!(code(&"x".repeat(400)).chars().count(), 303);
        assert_eq!(fenced("diff", "+ ````\n+ ```"), "`````diff\n+ ````\n+ ```\n`````\n");
        assert_eq!(
            html_code("</code><img src=x onerror=y>@a"),
            "<code>&lt;/code&gt;&lt;img src=x onerror=y&gt;&#64;a</code>"
        );
        assert!(!fenced("", "<!-- fairlead:report -->").contains("<!--"));
    }
}
