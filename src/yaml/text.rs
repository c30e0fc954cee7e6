//! Bytes to text: what is refused before any YAML is looked at.

use crate::object::{Place, Problem, TreePath};

/// The text of a file without its byte order mark, or why it is none.
pub(super) fn decode<'a>(bytes: &'a [u8], path: &TreePath) -> Result<&'a str, Problem> {
    let file = || Place::file(path.clone());
    if is_wide(bytes) {
        return Err(Problem::at(file(), "this file is UTF-16 or UTF-32, not UTF-8").hint("save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Problem::at(place(bytes, error.valid_up_to(), path), "this file is not UTF-8 text")
            .hint("save it as UTF-8")
    })?;
    match first_control(text.as_bytes()) {
        None => Ok(text),
        Some((at, byte)) => Err(Problem::at(
            place(bytes, at, path),
            format!("a control character (byte {byte:#04x}) stands here, which YAML does not allow"),
        )
        .hint("write it as an escape inside double quotes, or as base64")),
    }
}

/// A byte order mark, or a NUL among the first two characters: text in one of the wide encodings.
fn is_wide(bytes: &[u8]) -> bool {
    matches!(bytes, [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] | [0, 0, 0xFE, 0xFF, ..])
        || bytes.iter().take(4).any(|&byte| byte == 0) && bytes.len() > 1
}

/// Whole blocks are looked at at once for what may be a control; what is in a block counts only where there is something.
fn first_control(bytes: &[u8]) -> Option<(usize, u8)> {
    let may_be = |byte: u8| byte < b' ' && byte != b'\n' || matches!(byte, 0x7F | 0xC2 | 0xEF);
    let block = 256;
    let suspicious = bytes
        .chunks(block)
        .enumerate()
        .filter(|(_, some)| some.iter().fold(false, |any, byte| any | may_be(*byte)));
    suspicious
        .flat_map(|(nth, some)| (nth * block..).zip(some.iter().copied()))
        .find(|&(at, byte)| is_control(bytes, at, byte))
}

/// What go-yaml's reader refuses: C0 but tab and line ends, DEL, C1 but NEL, and the two non-characters of the BMP.
fn is_control(bytes: &[u8], at: usize, byte: u8) -> bool {
    match byte {
        b'\t' | b'\n' | b'\r' => false,
        0..=0x1F | 0x7F => true,
        0xC2 => matches!(bytes[at + 1], 0x80..=0x84 | 0x86..=0x9F),
        0xEF => matches!(bytes[at + 1..], [0xBF, 0xBE | 0xBF, ..]),
        _ => false,
    }
}

fn place(bytes: &[u8], at: usize, path: &TreePath) -> Place {
    let before = &bytes[..at];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
    Place::at(path.clone(), number(line), number(column))
}

pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
