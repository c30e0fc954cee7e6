//! Where in git an environment's word stands, now and before.

use std::sync::Arc;

use super::{Shared, grants, trouble};
use crate::agent::desired::DesiredScope;
use crate::agent::hands::Archive;
use crate::agent::secrets::EnvironmentSecrets;
use crate::agent::source::Subscription;
use crate::api::Environment;
use crate::git::{Mirror, Past};
use crate::object::{Kinds, Revision, Tree, TreePath, chain};
use crate::report::Trouble;

/// Where in a revision the environment's word stands.
pub(super) fn scope(shared: &Shared, environment: &Environment) -> Result<DesiredScope, Trouble> {
    let name = &shared.name;
    let path = environment.spec.source.path.clone().unwrap_or_else(|| format!("environments/{name}"));
    Ok(DesiredScope {
        environment: name.clone(),
        path: TreePath::new(&path).map_err(|error| trouble("InvalidPath", &error.to_string(), false))?,
        grants: Some(grants(&shared.context, environment)),
        default_namespace: None,
        part: None,
    })
}

/// The files of a revision: of `past`, where the mirror does not hold it.
pub(super) fn tree_of(
    mirror: &Mirror,
    past: Option<&Arc<Past>>,
    revision: &Revision,
) -> Result<Box<dyn Tree>, Trouble> {
    if let Some(past) = past {
        return Ok(Box::new(past.tree.clone()));
    }
    let tree = mirror.tree(revision).map_err(|error| trouble(error.reason(), &chain(&error), true))?;
    Ok(Box::new(tree))
}

/// Where older revisions are read from.
pub(super) fn archive(
    shared: &Shared,
    source: &Subscription,
    branch: &str,
    scope: &DesiredScope,
    kinds: &Arc<Kinds>,
    secrets: &Arc<EnvironmentSecrets>,
) -> Archive {
    let context = &shared.context;
    Archive {
        mirror: source.mirror.clone(),
        branch: branch.to_owned(),
        scope: scope.clone(),
        kinds: kinds.clone(),
        helm: context.rendering.helm.clone(),
        limits: context.rendering.limits.clone(),
        memory: context.rendering.memory.clone(),
        session: context.session.clone(),
        secrets: secrets.clone(),
    }
}
