//! What kustomize makes of a folded block (`>`): it writes every object out and reads it back before use, and go-yaml's
//! writer puts a line break too many before lines that are indented further, and in some blocks loses breaks.
//!
//! The two halves follow go-yaml's `write_folded_scalar` and `scan_block_scalar`.

/// The text of a folded block after that passage.
pub(super) fn refold(text: &str) -> String {
    if stays_block(text) { parse(&emit(text), text) } else { text.to_owned() }
}

/// Whether go-yaml writes it as a block again; anything else goes into double quotes, unharmed.
fn stays_block(text: &str) -> bool {
    let printable = |c: char| {
        matches!(c, '\t' | '\n' | ' '..='~' | '\u{A0}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}')
            && c != '\u{FEFF}'
    };
    !text.is_empty() && !text.ends_with(' ') && !text.contains(" \n") && text.chars().all(printable)
}

fn emit(text: &str) -> String {
    // go-yaml looks here from the start of the text, where it means the rest of it.
    let begins_blank = text.trim_start_matches('\n').starts_with([' ', '\t']);
    let mut out = String::with_capacity(text.len() + 8);
    let (mut breaks, mut leading_spaces) = (true, true);
    for c in text.chars() {
        if c == '\n' {
            if !breaks && !leading_spaces && !begins_blank {
                out.push('\n');
            }
            breaks = true;
        } else {
            if breaks {
                leading_spaces = matches!(c, ' ' | '\t');
            }
            breaks = false;
        }
        out.push(c);
    }
    out
}

fn parse(written: &str, original: &str) -> String {
    let mut out = String::with_capacity(written.len());
    let mut rest = written;
    let (mut after_break, mut after_blank) = (false, false);
    let mut breaks = take_breaks(&mut rest);
    while !rest.is_empty() {
        let line = rest.split('\n').next().unwrap_or_default();
        let blank = line.starts_with([' ', '\t']);
        if after_break && (after_blank || blank) {
            out.push('\n');
        } else if after_break && breaks == 0 {
            out.push(' ');
        }
        out.extend(std::iter::repeat_n('\n', breaks));
        out.push_str(line);
        rest = &rest[line.len()..];
        after_blank = blank;
        after_break = rest.starts_with('\n');
        rest = rest.strip_prefix('\n').unwrap_or(rest);
        breaks = take_breaks(&mut rest);
    }
    let strip = !original.ends_with('\n');
    let keep = original == "\n" || original.ends_with("\n\n");
    if !strip && after_break {
        out.push('\n');
    }
    if keep {
        out.extend(std::iter::repeat_n('\n', breaks));
    }
    out
}

fn take_breaks(rest: &mut &str) -> usize {
    let trimmed = rest.trim_start_matches('\n');
    let count = rest.len() - trimmed.len();
    *rest = trimmed;
    count
}
