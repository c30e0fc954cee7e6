//! Makes the report of a pull request: what the branch is, what it would be with the change, and what is live.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Handle;

use crate::agent::Context;
use crate::agent::environment::grants;
use crate::agent::once::{Means, Once};
use crate::agent::review::{Sides, Trees, held};
use crate::agent::scope::DesiredScope;
use crate::api::Environment;
use crate::delivery::Tokens;
use crate::git::{Changes, Merged};
use crate::helm::Stop;
use crate::object::{DriftRecord, EnvironmentName, Kinds, TreePath, chain};
use crate::pull_requests::{Failure, Inputs, Made};
use crate::requests::decisions;
use crate::review::markdown::LIMIT;
use crate::review::{Change, LiveSide, Side, Target, review};
use crate::schema;

/// Of a fetch, with all the history that a merge needs.
const FETCH_WITHIN: Duration = Duration::from_secs(120);

/// Records of drift that are looked through for what is open, and how old they may be.
const RECORDS: (u32, SignedDuration) = (500, SignedDuration::from_hours(30 * 24));
/// A history that does not answer holds no report up.
const RECORDS_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Maker {
    pub context: Arc<Context>,
    pub changes: Arc<Changes>,
    pub cluster: Option<String>,
}

/// What a report is to be made of.
pub(super) struct Wanted {
    pub inputs: Inputs,
    /// The branch.
    pub base: String,
    /// What git calls the change.
    pub reference: String,
    pub environments: Vec<(EnvironmentName, Arc<Environment>)>,
}

/// What was found of an environment.
struct Looked {
    name: EnvironmentName,
    sides: Sides,
    live: Option<LiveSide>,
    kinds: Arc<Kinds>,
    records: Vec<DriftRecord>,
}

fn away(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::Away(chain(error))
}

impl Maker {
    /// Makes it on a thread of its own, when its turn comes.
    pub async fn make(self: Arc<Self>, wanted: Wanted) -> Result<Made, Failure> {
        let context = self.context.clone();
        let _turn = context.pull_requests.turns.acquire().await;
        let made = tokio::task::spawn_blocking(move || Handle::current().block_on(self.report(&wanted)));
        made.await.unwrap_or_else(|error| Err(Failure::Away(crate::agent::panic_message(error))))
    }

    async fn report(&self, wanted: &Wanted) -> Result<Made, Failure> {
        let base = format!("refs/heads/{}", wanted.base);
        let deadline = Instant::now() + FETCH_WITHIN;
        self.changes.fetch(&[&base, &wanted.reference], deadline).map_err(|error| away(&error))?;
        let Inputs { head, base: tip, .. } = &wanted.inputs;
        let Merged { before, after } = self.changes.merge(tip, head).map_err(|error| away(&error))?;
        let names: Vec<&str> = wanted.environments.iter().map(|(name, _)| name.as_str()).collect();
        let after = match after {
            Ok(after) => after,
            Err(why) => return Ok(Made::refused(self.cluster.as_deref(), &names, &why)),
        };
        let trees = Trees { base: &before, head: &after };
        let mut all = Vec::new();
        for (name, environment) in &wanted.environments {
            all.push(self.look(name, environment, trees).await?);
        }
        let changes: Vec<Change<'_>> = all.iter_mut().map(change).collect();
        // The branch's own commit is left out: with each that others merge it would be another report.
        let base = Side { revision: None, what: format!("the branch {} as it is", wanted.base) };
        let revision = Some(head.short().to_owned());
        let head = Side { revision, what: "merged into that branch".to_owned() };
        Ok(Made::of(&review(self.cluster.clone(), base, head, &changes), LIMIT))
    }

    async fn look(
        &self,
        name: &EnvironmentName,
        environment: &Arc<Environment>,
        trees: Trees<'_>,
    ) -> Result<Looked, Failure> {
        let context = &self.context;
        let path = environment.spec.source.path.clone().unwrap_or_else(|| format!("environments/{name}"));
        let scope = DesiredScope {
            environment: name.clone(),
            path: TreePath::new(&path).map_err(|error| away(&error))?,
            grants: Some(grants(context, environment)),
            default_namespace: None,
            part: None,
        };
        // All that its status says: whether what is shown would be tried at all hangs on it.
        let whole = context.environments.get_whole(name.as_str()).await.map_err(|error| away(&error))?;
        let decisions = {
            let book = context.requests.subscribe();
            let book = book.borrow();
            let of = book.as_ref().and_then(|book| book.get(name.as_str()));
            let requests = of.into_iter().flat_map(|of| of.values()).map(|request| &**request);
            decisions(requests, name.as_str(), Timestamp::now())
        };
        let once = Once {
            session: context.session.clone(),
            means: Means {
                helm: context.rendering.helm.clone(),
                limits: context.rendering.limits_of(name, Stop::default()),
            },
            version: context.session.version().await.map_err(|error| away(&error))?,
            environments: context.environments.clone(),
            scope,
            identity: Some(environment.spec.service_account.clone()),
            only: None,
            platform: Some(whole.unwrap_or_else(|| (**environment).clone())),
            agreed: Tokens::default(),
            decisions,
        };
        let mut sides = once.render_sides(trees).await;
        let changed = sides.changed();
        let live = once.look(&mut sides).await.map_err(|error| away(&error))?;
        {
            let book = context.requests.subscribe();
            let book = book.borrow();
            let of = book.as_ref().and_then(|book| book.get(name.as_str()));
            let requests = of.into_iter().flat_map(|of| of.values()).map(|request| &**request);
            sides.stops.extend(held(requests, &changed));
        }
        let records = self.records(name).await;
        Ok(Looked { name: name.clone(), sides, live: Some(live), kinds: context.session.kinds(), records })
    }

    /// What the history knows of drift. Without one, or where it does not answer, who did it is not said.
    async fn records(&self, name: &EnvironmentName) -> Vec<DriftRecord> {
        let Some(history) = &self.context.outlets.history else { return Vec::new() };
        let (limit, oldest) = RECORDS;
        let read = history.open_drift(name, Timestamp::now() - oldest, limit);
        match tokio::time::timeout(RECORDS_WITHIN, read).await {
            Ok(Ok(records)) => records,
            Ok(Err(error)) => {
                tracing::debug!(environment = %name, why = chain(&error), "the history does not say what has drifted");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }
}

fn change(looked: &mut Looked) -> Change<'_> {
    Change {
        environment: looked.name.clone(),
        production: looked.sides.production,
        before: std::mem::take(&mut looked.sides.before),
        after: std::mem::replace(&mut looked.sides.after, Ok(Vec::new())),
        target: Target { serves: Some(&looked.kinds), release: schema::builtin() },
        stops: std::mem::take(&mut looked.sides.stops),
        live: looked.live.take(),
        unseen: None,
        records: std::mem::take(&mut looked.records),
    }
}
