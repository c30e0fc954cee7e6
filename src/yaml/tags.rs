//! What a scalar's style and tag make of it.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use granit_parser::{ScalarStyle, Tag};

use super::Dialect;
use super::scalar::{self, Resolved};

/// Go's `StdEncoding`: padding is required, the bits under it may be anything.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Resolves a scalar, or says why its tag does not fit it. The message holds nothing of the text.
pub(super) fn resolve(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    dialect: Dialect,
) -> Result<Resolved, String> {
    let implicit = || match style {
        ScalarStyle::Plain => scalar::resolve(text, dialect),
        _ => Resolved::Text,
    };
    let Some(tag) = tag else { return Ok(implicit()) };
    let Some(name) = tag.suffix_in_namespace("tag:yaml.org,2002:") else {
        return Ok(match tag.parts() {
            // `!` alone: kustomize loses it when it writes the node for its own second reading.
            ("", "!") | ("!", "") if dialect == Dialect::Kustomize => implicit(),
            ("", "!") | ("!", "") => Resolved::Text,
            _ => Resolved::Tagged(text.to_owned()),
        });
    };
    let fits: fn(&Resolved) -> bool = match &*name {
        "str" => return Ok(Resolved::Text),
        "binary" => return binary(text),
        "int" => |found| matches!(found, Resolved::Int(_) | Resolved::Uint(_)),
        "float" => |found| matches!(found, Resolved::Int(_) | Resolved::Uint(_) | Resolved::Float(_)),
        "bool" => |found| matches!(found, Resolved::Bool(_)),
        "null" => |found| matches!(found, Resolved::Null),
        "timestamp" => |found| matches!(found, Resolved::Time(_)),
        "merge" => |found| matches!(found, Resolved::Merge),
        _ => return Ok(Resolved::Tagged(text.to_owned())),
    };
    let found = scalar::resolve(text, dialect);
    if fits(&found) { Ok(found) } else { Err(format!("the value is not what its tag !!{name} says")) }
}

/// Decoded, as go-yaml does it; what is not UTF-8 then becomes U+FFFD, as in Go's JSON.
fn binary(text: &str) -> Result<Resolved, String> {
    let text = text.replace(['\r', '\n'], "");
    match BASE64.decode(text) {
        Ok(bytes) => Ok(Resolved::Tagged(String::from_utf8_lossy(&bytes).into_owned())),
        Err(_) => Err("the value is tagged !!binary and is not base64".to_owned()),
    }
}
