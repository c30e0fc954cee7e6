//! The environments that are looked at, each beside what the tree says of it.

use crate::agent::desired::DesiredScope;
use crate::agent::{DriftLook, Once};
use crate::cli::failure::Failure;
use crate::cli::repo::Repo;
use crate::cli::target::{Global, environments};
use crate::cluster::Cluster;
use crate::object::{AppName, EnvironmentName};

pub type Looks = Vec<(EnvironmentName, DriftLook)>;

/// Looks at one environment, or at each that the cluster and the tree have; at one app, or at all.
pub async fn open(
    global: &Global,
    repo: &Repo,
    cluster: &Cluster,
    (environment, app): (Option<&EnvironmentName>, Option<&AppName>),
) -> Result<Looks, Failure> {
    let names = match environment {
        Some(name) => vec![name.clone()],
        None => {
            let all = environments(cluster).list().await.map_err(Failure::from)?;
            let names = all.into_iter().filter_map(|environment| environment.metadata.name);
            names.filter_map(|name| EnvironmentName::new(&name).ok()).collect()
        }
    };
    let mut looks = Vec::new();
    for name in names {
        let (scope, platform) = global.scope(cluster, &name).await?;
        let is_here = repo.tree.kind(&scope.path.child("environment.yaml")).is_ok_and(|kind| kind.is_some());
        if environment.is_none() && !is_here {
            eprintln!("note: the tree has no environment {name}");
            continue;
        }
        let mut once = Once::open(cluster.clone(), scope, None, global.means()).await?;
        once.only = app.cloned();
        once.platform = platform;
        looks.push((name, DriftLook::open(&once, &*repo.tree).await?));
    }
    Ok(looks)
}

/// What the cluster says of each.
pub async fn scopes(global: &Global, cluster: &Cluster, looks: &Looks) -> Result<Vec<DesiredScope>, Failure> {
    let mut scopes = Vec::new();
    for (name, _) in looks {
        scopes.push(global.scope(cluster, name).await?.0);
    }
    Ok(scopes)
}
