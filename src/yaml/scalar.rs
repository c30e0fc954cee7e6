//! What a plain scalar means: the rules of go-yaml v2 (kubectl, kustomization files) and v3 (kustomize's objects).
//!
//! Both are YAML 1.1 with pieces of 1.2, so no published schema describes them. The order of the attempts below is
//! theirs and matters: `0o14` is an integer, `08` is not and becomes a float, `2020-01-01` is tried as a date first.

use serde_json::{Number, Value};

use super::Dialect;

/// What a scalar without a tag was taken for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Resolved {
    Null,
    Bool(bool),
    Int(i64),
    /// Beyond `i64`, within `u64`: an integer to go-yaml, a float to everything after it.
    Uint(u64),
    Float(f64),
    /// A date or time, as Go would write it back. Only kustomize's reading changes it.
    Time(String),
    /// `<<`, as a key.
    Merge,
    /// Text by a tag that says nothing to go-yaml, or by `!!binary`. Kustomize takes no such key.
    Tagged(String),
    Text,
}

/// Resolves a scalar that was written without quotes and without a tag.
pub(super) fn resolve(text: &str, dialect: Dialect) -> Resolved {
    let Some(&first) = text.as_bytes().first() else {
        return Resolved::Null;
    };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => {
            word(text, dialect).unwrap_or(Resolved::Text)
        }
        b'<' if text == "<<" => Resolved::Merge,
        b'.' => match text {
            ".nan" | ".NaN" | ".NAN" => Resolved::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" => Resolved::Float(f64::INFINITY),
            _ => point(text),
        },
        b'+' | b'-' | b'0'..=b'9' => match text {
            "+.inf" | "+.Inf" | "+.INF" => Resolved::Float(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => Resolved::Float(f64::NEG_INFINITY),
            _ => number_or_time(text),
        },
        _ => Resolved::Text,
    }
}

fn word(text: &str, dialect: Dialect) -> Option<Resolved> {
    Some(match text {
        "~" | "null" | "Null" | "NULL" => Resolved::Null,
        "true" | "True" | "TRUE" => Resolved::Bool(true),
        "false" | "False" | "FALSE" => Resolved::Bool(false),
        // go-yaml v3 reads these as booleans only into a field that it knows to be one; kustomize has no such fields.
        _ if dialect == Dialect::Kustomize => return None,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Resolved::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Resolved::Bool(false),
        _ => return None,
    })
}

/// Go's ParseFloat on what begins with a point: an underscore may stand between two digits.
fn point(text: &str) -> Resolved {
    let digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    if !text.match_indices('_').all(|(at, _)| digit(at - 1) && digit(at + 1)) {
        return Resolved::Text;
    }
    let plain = text.replace('_', "");
    if is_float(plain.as_bytes()) { float(&plain) } else { Resolved::Text }
}

fn number_or_time(text: &str) -> Resolved {
    if let Some(time) = timestamp(text) {
        return Resolved::Time(time);
    }
    let stripped;
    let plain = if text.contains('_') {
        stripped = text.replace('_', "");
        stripped.as_str()
    } else {
        text
    };
    if let Some(int) = integer(plain) {
        return int;
    }
    if is_float(plain.as_bytes()) { float(plain) } else { Resolved::Text }
}

/// Go's `ParseInt(text, 0, 64)`, then `ParseUint`: the base by its prefix, a bare leading zero means octal.
fn integer(text: &str) -> Option<Resolved> {
    let (negative, signed, digits) = match text.as_bytes().first()? {
        b'-' => (true, true, &text[1..]),
        b'+' => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` would take another sign here.
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0i64.checked_sub_unsigned(magnitude).map(Resolved::Int);
    }
    match i64::try_from(magnitude) {
        Ok(int) => Some(Resolved::Int(int)),
        // ParseUint takes no sign.
        Err(_) if signed => None,
        Err(_) => Some(Resolved::Uint(magnitude)),
    }
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
pub(super) fn is_float(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    };
    let whole = digits(text);
    let mut rest = &text[whole..];
    if let [b'.', after @ ..] = rest {
        let fraction = digits(after);
        if whole == 0 && fraction == 0 {
            return false;
        }
        rest = &after[fraction..];
    } else if whole == 0 {
        return false;
    }
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
        _ => false,
    }
}

fn float(text: &str) -> Resolved {
    match text.parse::<f64>() {
        // Go's ParseFloat refuses what overflows, and the scalar stays text.
        Ok(float) if float.is_finite() => Resolved::Float(float),
        _ => Resolved::Text,
    }
}

/// A number as it stands after a passage through Go's JSON: what exceeds `i64` is a float, and a whole float is an
/// integer where its shortest digits, filled up with zeros, fit one.
pub(super) fn json_number(resolved: &Resolved) -> Option<Value> {
    let float = match *resolved {
        Resolved::Int(int) => return Some(int.into()),
        Resolved::Uint(uint) => uint as f64,
        Resolved::Float(float) => float,
        _ => return None,
    };
    if float == 0.0 {
        // Minus zero too.
        return Some(0.into());
    }
    if float.fract() == 0.0
        && float.abs() < 1e19
        && let Ok(int) = float.to_string().parse::<i64>()
    {
        return Some(int.into());
    }
    Number::from_f64(float).map(Value::Number)
}

/// The four layouts that go-yaml tries, and the time as Go's JSON writes it (RFC 3339, trailing zeros cut).
pub(super) fn timestamp(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return None;
    }
    let year: u32 = text[..4].parse().ok()?;
    let mut rest = &bytes[5..];
    let month = one_or_two(&mut rest)?;
    skip(&mut rest, b'-')?;
    let day = one_or_two(&mut rest)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    let zoned = match rest {
        [] => return Some(date + "T00:00:00Z"),
        [b'T' | b't', ..] => true,
        [b' ', ..] => false,
        _ => return None,
    };
    rest = &rest[1..];
    let hour = one_or_two(&mut rest)?;
    skip(&mut rest, b':')?;
    let minute = one_or_two(&mut rest)?;
    skip(&mut rest, b':')?;
    let second = one_or_two(&mut rest)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut time = format!("{date}T{hour:02}:{minute:02}:{second:02}");
    if let [b'.' | b',', digit, ..] = rest
        && digit.is_ascii_digit()
    {
        let count = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        // Nanoseconds: Go cuts what follows the ninth digit.
        let kept = std::str::from_utf8(&rest[1..=count.min(9)]).ok()?.trim_end_matches('0');
        if !kept.is_empty() {
            time.push('.');
            time.push_str(kept);
        }
        rest = &rest[1 + count..];
    }
    match rest {
        [] if !zoned => Some(time + "Z"),
        [b'Z'] if zoned => Some(time + "Z"),
        [sign @ (b'+' | b'-'), a, b, b':', c, d]
            if zoned && [a, b, c, d].iter().all(|x| x.is_ascii_digit()) =>
        {
            let (hours, minutes) = ((a - b'0') * 10 + (b - b'0'), (c - b'0') * 10 + (d - b'0'));
            if hours > 23 || minutes > 59 {
                return None;
            }
            if hours == 0 && minutes == 0 {
                return Some(time + "Z");
            }
            Some(format!("{time}{}{hours:02}:{minutes:02}", char::from(*sign)))
        }
        _ => None,
    }
}

fn one_or_two(rest: &mut &[u8]) -> Option<u32> {
    let count = rest.iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
    let value = rest[..count].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    *rest = &rest[count..];
    (count > 0).then_some(value)
}

fn skip(rest: &mut &[u8], byte: u8) -> Option<()> {
    let (&first, after) = rest.split_first()?;
    *rest = after;
    (first == byte).then_some(())
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The text of a key that was not written as text, where the tool gives it one. Kustomize refuses such keys.
pub(super) fn key(resolved: Resolved, text: &str, dialect: Dialect) -> Option<String> {
    match resolved {
        Resolved::Text => Some(text.to_owned()),
        _ if dialect == Dialect::Kustomize => None,
        Resolved::Time(_) => Some(text.to_owned()),
        Resolved::Tagged(text) => Some(text),
        Resolved::Bool(truth) => Some(truth.to_string()),
        Resolved::Int(int) => Some(int.to_string()),
        Resolved::Float(float) if float.is_nan() => Some(".nan".to_owned()),
        Resolved::Float(f64::INFINITY) => Some(".inf".to_owned()),
        Resolved::Float(f64::NEG_INFINITY) => Some("-.inf".to_owned()),
        // sigs.k8s.io/yaml formats keys in single precision.
        Resolved::Float(float) => Some(shortest(float as f32)),
        Resolved::Null | Resolved::Uint(_) | Resolved::Merge => None,
    }
}

/// Go's `FormatFloat(float, 'g', -1, 32)`: the fewest digits that read back, with an exponent below -4 and from 6 on.
fn shortest(float: f32) -> String {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return float.to_string();
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}
