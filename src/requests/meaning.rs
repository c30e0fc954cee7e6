//! What a Request means. Its fields are text that anyone may have written, and are read here once.

use super::regions::{RegionWish, region_wish};
use crate::api::{DriftPolicy, Request, RollbackTo, Span};
use crate::object::{AppName, Digest, ObjectKey};

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// Look at git now.
    Look,
    /// Try again what failed.
    Retry { app: AppName, digest: Digest },
    /// Put back what ran before.
    Rollback { app: AppName, to: RollbackTo },
    /// Let exactly this set of objects go.
    Approve { digest: Digest },
    /// Take over exactly what these name.
    Adopt { tokens: Vec<Box<str>> },
    /// Put nothing back for some time.
    Hold { app: Option<AppName>, object: Option<ObjectKey>, span: Span, deploys: bool },
    /// For some time put back what others change of some objects, or leave it to them.
    Decide { policy: DriftPolicy, objects: Vec<ObjectKey>, field: String, span: Span },
    /// End one of these before its time.
    Release { hold: String },
    /// Something of the region of this cluster.
    Region(RegionWish),
}

/// The verbs that a Request may have.
const VERBS: &str =
    "apply, retry, rollback, approve, adopt, hold, heal, ignore, release, repoint, attest and breakglass";

/// Reads a Request, or says why nothing can be made of it.
pub fn meaning(request: &Request) -> Result<Meaning, String> {
    let spec = &request.spec;
    let digest = || match spec.digest.as_deref() {
        Some(text) if text.len() == DIGEST && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Ok(Digest::from(text))
        }
        Some(text) => {
            Err(format!("digest is {text:?}, and not the {DIGEST} hexadecimal digits that are shown"))
        }
        None => Err(format!("digest is missing: what was shown when {} was asked for", spec.verb)),
    };
    let app = || match spec.app.as_deref() {
        Some(name) => AppName::new(name).map_err(|error| format!("app: {error}")),
        None => Err(format!("app is missing: {} is of one app", spec.verb)),
    };
    if let Some(wish) = region_wish(spec) {
        return wish.map(Meaning::Region);
    }
    let read = match spec.verb.as_str() {
        "apply" => Meaning::Look,
        "retry" => Meaning::Retry { app: app()?, digest: digest()? },
        "rollback" => {
            Meaning::Rollback { app: app()?, to: RollbackTo { from: digest()?, to: to(spec.to.as_deref())? } }
        }
        "approve" => Meaning::Approve { digest: digest()? },
        "adopt" if spec.tokens.is_empty() => {
            return Err("tokens are missing: what is to change hands".to_owned());
        }
        "adopt" => Meaning::Adopt { tokens: spec.tokens.iter().map(|token| token.trim().into()).collect() },
        "hold" => Meaning::Hold {
            app: spec.app.is_some().then(app).transpose()?,
            object: object(spec.object.as_deref())?,
            span: span(spec.duration.as_deref())?,
            deploys: spec.deploys,
        },
        "heal" | "ignore" => Meaning::Decide {
            policy: if spec.verb == "heal" { DriftPolicy::Heal } else { DriftPolicy::Ignore },
            objects: objects(&spec.objects)?,
            field: field(spec.field.as_deref())?,
            span: span(spec.duration.as_deref())?,
        },
        "release" => match spec.hold.as_deref().map(str::trim) {
            Some(name) if !name.is_empty() => Meaning::Release { hold: name.to_owned() },
            _ => return Err("hold is missing: the name of the request that holds".to_owned()),
        },
        verb => return Err(format!("nobody knows the verb {verb:?}; there are {VERBS}")),
    };
    Ok(read)
}

/// Digits of a SHA-256.
const DIGEST: usize = 64;
/// Fewer digits name too much.
const SHORTEST: usize = crate::delivery::SHORTEST;

fn object(text: Option<&str>) -> Result<Option<ObjectKey>, String> {
    text.map(|text| text.parse::<ObjectKey>().map_err(|error| format!("object: {error}"))).transpose()
}

fn objects(texts: &[String]) -> Result<Vec<ObjectKey>, String> {
    if texts.is_empty() {
        return Err("objects are missing: what it is about".to_owned());
    }
    let read = |text: &String| text.parse::<ObjectKey>().map_err(|error| format!("objects: {error}"));
    texts.iter().map(read).collect()
}

fn field(text: Option<&str>) -> Result<String, String> {
    match text {
        Some(text) if text.trim().is_empty() || text.contains(char::is_control) => {
            Err("field names nothing: leave it out where all of the objects is meant".to_owned())
        }
        text => Ok(text.unwrap_or_default().to_owned()),
    }
}

fn span(text: Option<&str>) -> Result<Span, String> {
    let text = text.ok_or("duration is missing: for how long, as 2h")?;
    let span: Span = text.parse().map_err(|error| format!("duration: {error}"))?;
    if span.is_zero() { Err("duration is 0: a hold needs some time".to_owned()) } else { Ok(span) }
}

fn to(text: Option<&str>) -> Result<Option<String>, String> {
    match text {
        None => Ok(None),
        Some(text) if text.len() >= SHORTEST && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Ok(Some(text.to_ascii_lowercase()))
        }
        Some(text) => {
            Err(format!("to is {text:?}, and not a commit, a digest, or {SHORTEST} digits or more of one"))
        }
    }
}
