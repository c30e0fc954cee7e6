//! Quantities as Kubernetes writes them: `500m`, `1Gi`, `2`, `1e3`.

use serde_json::Value;

/// In thousandths, rounded up; `None` where it is no quantity.
pub fn milli(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => parse(&number.to_string()),
        Value::String(text) => parse(text.trim()),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i128> {
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    // `1e3` and `1E3` are exponents; `1E` is exa.
    let (factor, divisor): (i128, i128) = match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let ten = 10_i128.checked_pow(power.unsigned_abs())?;
            if power < 0 { (1, ten) } else { (ten, 1) }
        }
    };
    let (sign, number) = match number.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && part.is_empty() || part.len() > 12 {
        return None;
    }
    let digits: i128 = format!("{whole}{part}").parse().ok()?;
    let scale = 10_i128.checked_pow(u32::try_from(part.len()).ok()?)?.checked_mul(divisor)?;
    let thousandths = digits.checked_mul(factor)?.checked_mul(1_000)?;
    let rounded = thousandths.checked_add(scale - 1)? / scale;
    Some(sign * rounded)
}

/// As people would write it: bytes in Mi where that is exact enough, else the number.
pub fn words(resource: &str, milli: i128) -> String {
    const MI: i128 = 1_000 << 20;
    if (resource.contains("memory") || resource.contains("storage")) && milli >= MI {
        return format!("{}Mi", (milli + MI / 2) / MI);
    }
    match milli % 1_000 {
        0 => (milli / 1_000).to_string(),
        _ => format!("{milli}m"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_read_as_the_server_reads_them() {
        for (text, expected) in [
            (json!("500m"), Some(500)),
            (json!("1"), Some(1_000)),
            (json!(2), Some(2_000)),
            (json!(0.5), Some(500)),
            (json!("1.5"), Some(1_500)),
            (json!("1Ki"), Some(1_024_000)),
            (json!("1k"), Some(1_000_000)),
            (json!("1e3"), Some(1_000_000)),
            (json!("1E"), Some(1_000_000_000_000_000_000_000)),
            (json!("1n"), Some(1)),
            (json!("-1"), Some(-1_000)),
            (json!(".5Gi"), Some(536_870_912_000)),
            (json!("Gi"), None),
            (json!("1x"), None),
            (json!("1.2.3"), None),
            (json!(null), None),
            (json!("99999999999999999999999999999999999999999E"), None),
        ] {
            assert_eq!(milli(&text), expected, "{text}");
        }
        assert_eq!(words("requests.memory", 536_870_912_000), "512Mi");
        assert_eq!((&*words("cpu", 1_500), &*words("pods", 3_000)), ("1500m", "3"));
    }
}
