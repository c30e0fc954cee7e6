//! Clears away what Environments that are no more remembered. It is of no use to another one of their name: that starts from
//! nothing.
//!
//! Nothing goes without two words for it: the Environment is not there when the API server is asked, and nobody has written the
//! document since it was listed.

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use crate::cluster::KnownDocument;
use crate::object::chain;

/// Loops that end write down what they did last.
const AFTER: Duration = Duration::from_secs(10);

/// Looks for documents of which `is_ours` says that this replica may clear them away.
pub(super) async fn clear(context: Arc<Context>, is_ours: impl Fn(&str) -> bool) {
    tokio::time::sleep(AFTER).await;
    let documents = match context.state.documents().await {
        Ok(documents) => documents,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "what environments remember cannot be listed");
            return;
        }
    };
    for document in documents.iter().filter(|document| is_ours(document.environment.as_str())) {
        clear_one(&context, document).await;
    }
}

async fn clear_one(context: &Context, document: &KnownDocument) {
    let name = document.environment.as_str();
    // One that was made anew looks after it by itself.
    if !matches!(context.environments.get(name).await, Ok(None)) {
        return;
    }
    match context.state.bury(document).await {
        Ok(true) => {
            tracing::info!(environment = name, "the Environment is gone, and what it remembered with it")
        }
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(environment = name, error = %chain(&error), "what it remembered cannot be cleared away");
        }
    }
}
