//! What keeps a value from being put where its reference stands.

/// Why a value cannot be put where its reference stands. It says nothing of the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is not read yet")]
    Unread,
    #[error("it is not JSON")]
    NoJson,
    #[error("it is not a JSON object")]
    NoObject,
    #[error("its key {key} is not a JSON object")]
    NoMap { key: String },
    #[error("it has no key {key}")]
    NoKey { key: String },
    #[error("its key {key} is null")]
    Null { key: String },
    #[error("it is not text, and can only be a whole value")]
    NotText,
    #[error("its key {key:?} cannot be a key of a Secret: letters, digits, '-', '_' and '.' can")]
    BadKey { key: String },
}
