//! One line, or what is left of it: where its parts end.

use std::borrow::Cow;

use granit_parser::ScalarStyle;

use super::{GiveUp, Quick};

/// Without what breaks or indents lines in ways of its own: carriage returns, and Unicode's line ends and marks.
pub(super) fn is_ordinary(bytes: &[u8]) -> bool {
    let unusual = |byte: u8| byte == b'\r' || matches!(byte, 0xC2 | 0xE2 | 0xEF);
    // Whole blocks are looked at at once; what is in a block counts only where there is something.
    bytes.chunks(256).enumerate().all(|(nth, block)| {
        if !block.iter().fold(false, |any, byte| any | unusual(*byte)) {
            return true;
        }
        (nth * 256..nth * 256 + block.len()).all(|at| {
            !matches!(
                &bytes[at..],
                [b'\r', ..] | [0xC2, 0x85, ..] | [0xE2, 0x80, 0xA8 | 0xA9, ..] | [0xEF, 0xBB, 0xBF, ..]
            )
        })
    })
}

/// Whether text can stand without quotes, by its first characters. Some that could is left to the whole parser.
pub(super) fn begins_plain(text: &[u8]) -> bool {
    match text {
        [b'-', second, ..] => {
            !matches!(second, b' ' | b'-')
                || matches!(text, [b'-', b'-', third, ..] if third.is_ascii_alphanumeric())
        }
        [
            b'?' | b':' | b'-' | b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>',
            ..,
        ]
        | [b'\'' | b'"' | b'%' | b'@' | b'`', ..]
        | [] => false,
        _ => true,
    }
}

/// Where the colon of a key stands in a line; `None` where there is none that ends a key.
pub(super) fn key_end(line: &[u8]) -> Option<usize> {
    let mut before = b' ';
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            b':' if matches!(line.get(at + 1), None | Some(b' ')) => return Some(at),
            b'#' if before == b' ' => return None,
            b'\t' => return None,
            _ => {}
        }
        before = byte;
    }
    None
}

/// Where text without quotes ends in a line: at a comment, or with the line.
pub(super) fn plain_end(line: &[u8]) -> Quick<usize> {
    let mut before = b' ';
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            b':' if matches!(line.get(at + 1), None | Some(b' ')) => return Err(GiveUp),
            b'#' if before == b' ' => return Ok(at - usize::from(at > 0)),
            b'\t' => return Err(GiveUp),
            _ => {}
        }
        before = byte;
    }
    Ok(line.len())
}

/// The same between brackets.
pub(super) fn flow_plain_end(text: &[u8]) -> Quick<usize> {
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b',' | b']' | b'}' | b'\n' if at > 0 => return Ok(at),
            b':' if text.get(at + 1) == Some(&b' ') && at > 0 => return Ok(at),
            b':' if !text.get(at + 1).is_some_and(u8::is_ascii_alphanumeric) => return Err(GiveUp),
            b',' | b']' | b'}' | b'[' | b'{' | b'\n' | b'\t' | b'#' => return Err(GiveUp),
            _ => {}
        }
    }
    Err(GiveUp)
}

/// Where the quote stands that ends a text that begins with one; `None` where it does not end on this line.
pub(super) fn closing_quote(text: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match *text.get(at)? {
            b'\n' | b'\t' => return None,
            b'\\' if quote == b'"' => at += 2,
            b'\'' if quote == b'\'' && text.get(at + 1) == Some(&b'\'') => at += 2,
            byte if byte == quote => return Some(at),
            _ => at += 1,
        }
    }
}

/// The text between a pair of quotes.
pub(super) fn unquote(quoted: &str) -> Quick<(Cow<'_, str>, ScalarStyle)> {
    let inner = &quoted[1..quoted.len() - 1];
    if quoted.starts_with('\'') {
        let text =
            if inner.contains('\'') { Cow::Owned(inner.replace("''", "'")) } else { Cow::Borrowed(inner) };
        return Ok((text, ScalarStyle::SingleQuoted));
    }
    if !inner.contains('\\') {
        return Ok((Cow::Borrowed(inner), ScalarStyle::DoubleQuoted));
    }
    let mut text = String::with_capacity(inner.len());
    let mut parts = inner.split('\\');
    text.push_str(parts.next().unwrap_or_default());
    while let Some(part) = parts.next() {
        let Some(escape) = part.bytes().next() else {
            // Two in a row: the second stands for itself, and what follows it is text.
            text.push('\\');
            text.push_str(parts.next().ok_or(GiveUp)?);
            continue;
        };
        text.push(match escape {
            b'"' => '"',
            b'/' => '/',
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            _ => return Err(GiveUp),
        });
        text.push_str(&part[1..]);
    }
    Ok((Cow::Owned(text), ScalarStyle::DoubleQuoted))
}
