use std::sync::Arc;

use crate::cluster::StateSecretsError;
use crate::state::{Damage, Unreadable};

/// Says why something could not be saved or read. All saves of one batch get the same error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Secrets(Arc<StateSecretsError>),
    #[error(
        "the Secret {name} cannot be used: {source}. Put it back, or delete it to begin anew: then nothing is deleted unasked"
    )]
    Document { name: String, source: Arc<Unreadable> },
    #[error(
        "the Secret {name} cannot be used. Put it back, or delete {document} to begin anew: then nothing is deleted unasked"
    )]
    Part { name: String, document: String, source: Damage },
    #[error("the Secret {name} cannot be used")]
    Piece { name: String, source: Damage },
    #[error("the Secret {0} belongs to another Environment of this name, which was made anew")]
    Another(String),
    #[error("whether the Environment is the one that is remembered cannot be asked: {0}")]
    Unsure(String),
    #[error("the save was broken off, and may have been made or not")]
    Interrupted,
}

impl StateError {
    /// Says whether trying again later may succeed although nobody repairs anything.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Secrets(error) => error.may_pass(),
            Self::Interrupted | Self::Another(_) | Self::Unsure(_) => true,
            Self::Document { .. } | Self::Part { .. } | Self::Piece { .. } => false,
        }
    }

    /// Says whether the server refused this request in particular, and may accept another.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Secrets(error) if error.is_refusal())
    }
}

impl From<StateSecretsError> for StateError {
    fn from(error: StateSecretsError) -> Self {
        Self::Secrets(Arc::new(error))
    }
}
