use super::{Hands, unsaved};
use crate::delivery::Event;
use crate::state::Change;

/// Saves changes to what is remembered. A person at a command line remembers nothing.
pub(super) async fn remember(hands: &Hands, changes: Vec<Change>) -> Event {
    match &hands.store {
        None => Event::Remembered,
        Some(store) => match store.save(changes).await {
            Ok(()) => Event::Remembered,
            Err(error) => Event::Failed(unsaved(&error)),
        },
    }
}
