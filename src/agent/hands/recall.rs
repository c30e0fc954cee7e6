use std::sync::Arc;

use super::{Hands, unsaved};
use crate::delivery::Event;
use crate::object::{AppName, Digest};
use crate::plan::WantedApp;
use crate::state::Stored;

/// Reads what an app ran, as far as it was stored.
pub(super) async fn recall(hands: &Hands, app: &AppName, digest: &Digest) -> Event {
    let Some(store) = &hands.store else { return Event::Recalled(None) };
    match store.good_of(app, digest).await {
        Ok(stored) => Event::Recalled(stored.map(as_wanted)),
        Err(error) => Event::Failed(unsaved(&error)),
    }
}

/// What was stored, as an app wants it.
pub(super) fn as_wanted(stored: Stored) -> WantedApp {
    let (app, digest) = (stored.app.clone(), stored.digest.clone());
    WantedApp::of_objects(app, digest, stored.whole().map(Arc::new).collect())
}
