//! Takes values out of text that others wrote: the last words of an application, an answer that quotes what it refuses.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::Plaintext;

/// What stands in the place of a value.
const HIDDEN: &str = "(hidden)";
/// Shorter values stand in any text by chance.
const SHORTEST: usize = 4;

/// The same text without these values, in whatever form they stand there: as they are, and in base64, hex, URLs and JSON.
pub fn scrub<'a>(text: &str, values: impl IntoIterator<Item = &'a Plaintext>) -> String {
    Scrubber::new(values).scrub(text)
}

/// Takes the same values out of many texts.
pub struct Scrubber {
    needles: Vec<Zeroizing<String>>,
}

impl Scrubber {
    pub fn new<'a>(values: impl IntoIterator<Item = &'a Plaintext>) -> Self {
        let mut needles: Vec<Zeroizing<String>> = values.into_iter().flat_map(forms).collect();
        // A value may be part of another.
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self { needles }
    }

    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    pub fn scrub(&self, text: &str) -> String {
        let mut scrubbed = text.to_owned();
        for needle in &self.needles {
            if scrubbed.contains(&***needle) {
                let was = Zeroizing::new(scrubbed);
                scrubbed = was.replace(&***needle, HIDDEN);
            }
        }
        scrubbed
    }
}

fn forms(value: &Plaintext) -> Vec<Zeroizing<String>> {
    let bytes = value.expose();
    if bytes.len() < SHORTEST {
        return Vec::new();
    }
    let mut forms = Vec::new();
    if let Some(text) = value.expose_text() {
        forms.push(text.to_owned());
        // Lines of a key are logged one by one.
        forms.extend(text.lines().filter(|line| line.len() >= 2 * SHORTEST).map(str::to_owned));
        forms.push(in_json(text));
        forms.push(in_url(bytes, true));
        forms.push(in_url(bytes, false));
    }
    forms.push(hex(bytes, b"0123456789abcdef"));
    forms.push(hex(bytes, b"0123456789ABCDEF"));
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        forms.extend(in_base64(engine, bytes));
    }
    forms.into_iter().filter(|form| form.len() >= SHORTEST).map(Zeroizing::new).collect()
}

/// The letters that a value has in base64 wherever it begins: of three neighbours each group of four letters is made.
fn in_base64(engine: &impl Engine, bytes: &[u8]) -> Vec<String> {
    let at = |shift: usize| {
        let mut shifted = Zeroizing::new(vec![0; shift]);
        shifted.extend_from_slice(bytes);
        let encoded = Zeroizing::new(engine.encode(&*shifted));
        // Letters that neighbours have a part in are no evidence.
        let begin = (shift * 8).div_ceil(6);
        let end = shifted.len() * 8 / 6;
        encoded.get(begin..end).unwrap_or_default().to_owned()
    };
    (0..3).map(at).filter(|form| form.len() >= 2 * SHORTEST || bytes.len() < 2 * SHORTEST).collect()
}

fn in_json(text: &str) -> String {
    let quoted = Zeroizing::new(serde_json::to_string(text).unwrap_or_default());
    quoted.trim_matches('"').to_owned()
}

fn in_url(bytes: &[u8], upper: bool) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&hex(&[byte], if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" }));
        }
    }
    text
}

fn hex(bytes: &[u8], digits: &[u8; 16]) -> String {
    let digit = |nibble: u8| digits.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn plain(text: &str) -> Plaintext {
        Plaintext::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_value_is_hidden_in_every_form() {
        let value = "p@ss\"wörd/4711";
        let hex: String = value.bytes().map(|byte| format!("{byte:02X}")).collect();
        for text in [
            value.to_owned(),
            STANDARD.encode(value),
            STANDARD.encode(format!("postgres://app:{value}@db/x")),
            STANDARD.encode(format!("x{value}")),
            STANDARD.encode(format!("xy{value}z")),
            URL_SAFE_NO_PAD.encode(value),
            hex.clone(),
            hex.to_lowercase(),
            serde_json::to_string(value).unwrap(),
            "postgres://app:p%40ss%22w%C3%B6rd%2F4711@db".to_owned(),
        ] {
            let said = scrub(&format!("fatal: {text} is wrong"), [&plain(value)]);
            assert!(said.contains("(hidden)") && said.starts_with("fatal: "), "{text}: {said}");
            assert!(!said.contains("4711") && !said.contains("p@ss"), "{text}: {said}");
        }
    }

    #[test]
    fn what_holds_no_value_stays_as_it_is() {
        let text = "connection to db:5432 refused, user app";
        assert_eq!(scrub(text, [&plain("app"), &plain("hunter22"), &plain("")]), text);
        assert_eq!(scrub("key: AAAABBBB CCCC", [&plain("AAAABBBB\nCCCCDDDD\n")]), "key: (hidden) CCCC");
    }

    proptest! {
        #[test]
        fn no_value_is_left_behind_any_neighbours(value in "\\PC{6,20}", before in "[ -~]{0,5}", behind in "[ -~]{0,5}") {
            prop_assume!(!before.contains(&value) && !behind.contains(&value) && !"(hidden)".contains(&value));
            let around = format!("{before}{value}{behind}");
            let hidden = scrub(&around, [&plain(&value)]);
            prop_assert!(!hidden.contains(&value));
            let encoded = scrub(&STANDARD.encode(&around), [&plain(&value)]);
            prop_assert!(encoded.contains("(hidden)"), "{}", encoded);
        }
    }
}
