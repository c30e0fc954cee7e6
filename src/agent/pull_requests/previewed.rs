//! The files of a preview: the merge of its pull request, with what makes a preview of it laid over. Blocks.

use std::time::{Duration, Instant};

use crate::agent::desired::{DesiredScope, read_config};
use crate::api::PreviewSpec;
use crate::git::{Changes, Merged};
use crate::object::{MemoryTree, Overlaid, Revision, Tree, chain};
use crate::previews::{Composed, compose};
use crate::report::Trouble;

/// Of a fetch, with all the history that a merge needs.
const FETCH_WITHIN: Duration = Duration::from_secs(120);

fn trouble(reason: &str, message: &str, may_pass: bool) -> Trouble {
    Trouble { reason: reason.to_owned(), message: message.to_owned(), may_pass }
}

/// What a preview is rendered from. `scope` says where the file of the environment is of which it is one.
pub(in crate::agent) fn previewed(
    changes: &Changes,
    preview: &PreviewSpec,
    scope: &DesiredScope,
) -> Result<Box<dyn Tree>, Trouble> {
    let (head, base) = (Revision::new(preview.head.as_str()), Revision::new(preview.base.as_str()));
    let git = |error: crate::git::GitError| trouble(error.reason(), &chain(&error), true);
    // Where it was fetched for the report, that need not be done again.
    let merged = changes.merge(&base, &head).or_else(|_| {
        let names = [preview.branch.as_str(), preview.reference.as_str()];
        changes.fetch(&names, Instant::now() + FETCH_WITHIN)?;
        changes.merge(&base, &head)
    });
    let Merged { after, .. } = merged.map_err(git)?;
    let after = after.map_err(|why| trouble("Conflict", &why, true))?;
    let config = read_config(&after, scope).map_err(|problems| {
        let first = problems.as_slice().first().map(ToString::to_string).unwrap_or_default();
        trouble("InvalidConfig", &first, true)
    })?;
    let (name, number) = (scope.environment.as_str(), preview.pull_request);
    let (apps, host) = (preview.apps.as_deref(), preview.host.as_deref());
    let composed = compose(&after, &config, (name, number), apps, host, preview.asleep);
    let Composed { files } = composed.map_err(|why| trouble("InvalidConfig", &why, true))?;
    let over = MemoryTree::new(files.iter().map(|(path, bytes)| (path.as_str(), bytes)));
    let over = over.map_err(|error| trouble("InvalidConfig", &error.to_string(), true))?;
    Ok(Box::new(Overlaid { under: after, over }))
}
