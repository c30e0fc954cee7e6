use serde_json::Value;

use crate::health::Health;
use crate::health::read::condition;

/// A definition can be used once it is established. A refused name will not be accepted by waiting; a schema that is
/// not structural loses pruning and validation without a word, so it is not called healthy either.
pub fn judge(object: &Value) -> Health {
    let holds = |kind| condition(object, kind).filter(|condition| condition.is_true());
    if let Some(terminating) = holds("Terminating") {
        return Health::terminating(terminating.words());
    }
    if let Some(names) = condition(object, "NamesAccepted").filter(|condition| condition.is_false()) {
        return Health::failed(names.why(), names.words());
    }
    if let Some(schema) = holds("NonStructuralSchema") {
        return Health::failed("NonStructuralSchema", schema.words());
    }
    match condition(object, "Established") {
        Some(established) if established.is_true() => Health::healthy("Established", "the kind is served"),
        // The API server writes this for an instant, while it installs the kind.
        Some(established) if established.reason() == "Installing" => {
            Health::progressing("Installing", established.words())
        }
        Some(established) => Health::failed("NotEstablished", established.words()),
        None => Health::progressing("NotObserved", "the API server has not seen it yet"),
    }
}
