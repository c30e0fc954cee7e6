//! `fairlead drift --write-back OBJECT`: the change of the infra tree that makes git say what is live.

mod renderer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use similar::TextDiff;

use super::explain::{Asked, in_namespace};
use super::failure::Failure;
use super::output::print;
use super::repo::Repo;
use super::target::Global;
use super::{CliResult, Exit};
use crate::agent::charts::Charts;
use crate::agent::desired::DesiredScope;
use crate::cluster::{Cluster, Session};
use crate::git::repository_around;
use crate::object::{EnvironmentName, ObjectKey};
use crate::report::DriftedObject;
use crate::write_back::{Renderer, Wish, WrittenBack, write_back};
use renderer::TreeRenderer;

/// What is written back, of what was found.
pub struct Sought<'a> {
    pub found: &'a [DriftedObject],
    /// Whether a field is to be written back; all of an object's are asked about where it is gone.
    pub is_wanted: &'a dyn Fn(&DriftedObject, Option<&str>) -> bool,
}

/// Prints the patch for all drift of one object.
pub async fn run(
    global: &Global,
    repo: &Repo,
    (cluster, scopes): (&Cluster, &[DesiredScope]),
    asked: &Asked,
    found: &[DriftedObject],
) -> CliResult {
    let is_it = |object: &DriftedObject| {
        let key: Option<ObjectKey> = object.object.parse().ok();
        key.is_some_and(|key| asked.is_key(&key, global.namespace.as_deref()))
    };
    if !found.iter().any(is_it) {
        let others: BTreeSet<&str> = found.iter().map(|object| object.object.as_str()).collect();
        let failure = Failure::input(format!("nothing of {asked} was changed by others"));
        return Err(match others.is_empty() {
            true => failure,
            false => failure.hint(format!(
                "of these something was: {}",
                others.into_iter().collect::<Vec<_>>().join(", ")
            )),
        });
    }
    let sought = Sought { found, is_wanted: &|object, _| is_it(object) };
    patch(global, repo, (cluster, scopes), &sought).await
}

/// Prints the patch for some drift, and says of the rest why it is not in it.
pub async fn patch(
    global: &Global,
    repo: &Repo,
    (cluster, scopes): (&Cluster, &[DesiredScope]),
    sought: &Sought<'_>,
) -> CliResult {
    let session = Session::open(cluster.clone()).await?;
    let (version, kinds) = (session.version().await?, session.kinds());
    let helm = global.helm();
    let charts = Charts::of(&helm, &version, &kinds);
    let renderer = TreeRenderer::open(repo, scopes, &charts, global.limits())?;
    let mut keys: BTreeMap<(String, String), BTreeMap<ObjectKey, ObjectKey>> = BTreeMap::new();
    let (mut wishes, mut unknown) = (Vec::new(), Vec::new());
    for object in sought.found {
        let fields =
            object.fields.iter().filter(|field| (sought.is_wanted)(object, Some(&field.path.to_string())));
        let fields: Vec<_> = fields.map(|field| (field.path.clone(), field.live.clone())).collect();
        let is_gone = object.is_gone && (sought.is_wanted)(object, None);
        if fields.is_empty() && !is_gone {
            continue;
        }
        let of = (object.environment.clone(), object.app.to_string());
        let keys = match keys.entry(of) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                new.insert(rendered_keys(&renderer, repo, object, scopes, &kinds))
            }
        };
        let live: ObjectKey = object.object.parse().map_err(|error| Failure::input(format!("{error}")))?;
        let Some(rendered) = keys.get(&live) else {
            unknown.push(format!(
                "{}/{} {}: the tree has no such object",
                object.environment, object.app, object.object
            ));
            continue;
        };
        let wish = |path, live| -> Result<Wish, Failure> {
            let environment = EnvironmentName::new(&object.environment)
                .map_err(|error| Failure::input(error.to_string()))?;
            Ok(Wish { environment, app: object.app.clone(), object: rendered.clone(), path, live })
        };
        if is_gone {
            wishes.push(wish(Default::default(), None)?);
        }
        for (path, live) in fields {
            wishes.push(wish(path, live)?);
        }
    }
    let outcome = write_back(&*repo.tree, &wishes, &renderer);
    tell(repo, &outcome, &unknown);
    Ok(if outcome.refused.is_empty() && unknown.is_empty() { Exit::Done } else { Exit::Input })
}

/// The objects of an app by the keys that they have in the cluster, with those that they have in git.
fn rendered_keys(
    renderer: &TreeRenderer<'_>,
    repo: &Repo,
    object: &DriftedObject,
    scopes: &[DesiredScope],
    kinds: &crate::object::Kinds,
) -> BTreeMap<ObjectKey, ObjectKey> {
    let is_it = |app: &&crate::write_back::App| {
        app.environment.as_str() == object.environment && app.name == object.app
    };
    let Some(app) = renderer.apps().iter().find(is_it) else { return BTreeMap::new() };
    let scope = scopes.iter().find(|scope| scope.environment == app.environment);
    let default = renderer.namespace(app).or_else(|| scope?.namespace().map(str::to_owned));
    let objects = renderer.objects(&*repo.tree, app).unwrap_or_default();
    objects
        .iter()
        .map(|object| (in_namespace(&object.key(), default.as_deref(), kinds), object.key()))
        .collect()
}

fn tell(repo: &Repo, outcome: &WrittenBack, unknown: &[String]) {
    let lead = lead(&repo.root);
    let mut text = String::new();
    for (path, (before, after)) in &outcome.files {
        let name = format!("{lead}{path}");
        let diff = TextDiff::from_lines(before, after);
        text.push_str(&diff.unified_diff().header(&format!("a/{name}"), &format!("b/{name}")).to_string());
    }
    for done in &outcome.done {
        let Wish { environment, app, object, path, .. } = &done.wish;
        eprintln!("{environment}/{app} {object} .{path}: {}", done.how);
    }
    for refusal in &outcome.refused {
        eprintln!("not written back: {refusal}");
    }
    for words in unknown {
        eprintln!("not written back: {words}");
    }
    print(&text);
}

/// Patches name files from the root of the repository, be the tree a folder of it.
fn lead(root: &Path) -> String {
    let within = repository_around(root).and_then(|top| {
        let (top, root) = (top.canonicalize().ok()?, root.canonicalize().ok()?);
        Some(root.strip_prefix(top).ok()?.to_str()?.to_owned())
    });
    within.filter(|path| !path.is_empty()).map_or(String::new(), |path| format!("{path}/"))
}
