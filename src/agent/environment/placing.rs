//! What of git's word is rendered where the agent is in a region: nothing before the region has heard what git says of it, and
//! nothing new while a re-point is under way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::region_channels::RegionChannels;
use super::{GitState, Shared, Spoken};
use crate::agent::desired::{DesiredScope, read_config};
use crate::agent::regions::{Heard, Orders};
use crate::git::{GitError, Mirror, Past};
use crate::object::{Revision, chain};
use crate::plan::Wanted;
use crate::region::{ends_by_itself, is_custom, is_fenced};

/// The history may have to be fetched.
const WITHIN: Duration = Duration::from_secs(60);

/// Whether nothing of an object goes on by itself in a region that lost the environment.
fn ends(object: &Wanted) -> bool {
    let (group, kind) = (&*object.key.group, &*object.key.kind);
    if !matches!(group, "" | "apps" | "batch") && !is_custom(group) {
        return true;
    }
    let value = object.value();
    !is_fenced(group, kind, &value) || ends_by_itself(&value)
}

pub(super) struct Placing<'a> {
    channels: &'a RegionChannels,
    is_regional: bool,
    /// The commit whose word was handed on.
    heard: Option<Revision>,
    /// By which is rendered now, and by which was rendered what is told.
    orders: Orders,
    rendered: Option<Orders>,
    /// A commit that a freeze has the apps run, where the mirror does not hold it any more.
    kept: Option<Arc<Past>>,
}

impl<'a> Placing<'a> {
    pub fn new(shared: &Shared, channels: &'a RegionChannels) -> Self {
        let is_regional = shared.context.own.regions.is_some();
        Self { channels, is_regional, heard: None, orders: Orders::default(), rendered: None, kept: None }
    }

    /// Which commit is rendered, and what of it; nothing while that is not decided.
    pub async fn place(
        &mut self,
        (mirror, branch): (&Arc<Mirror>, &str),
        revision: Revision,
        mut scope: DesiredScope,
        told: Option<&Revision>,
    ) -> Option<(Revision, DesiredScope)> {
        if !self.is_regional {
            return Some((revision, scope));
        }
        if self.heard.as_ref() != Some(&revision) {
            let (mirror, of, at) = (mirror.clone(), revision.clone(), scope.clone());
            let read =
                tokio::task::spawn_blocking(move || Some(read_config(&mirror.tree(&of).ok()?, &at))).await;
            match read.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
                Some(Ok(config)) => {
                    let spec = config.region;
                    self.channels.heard.send_replace(Some(Heard { revision: revision.clone(), spec }));
                    self.heard = Some(revision.clone());
                }
                // What is wrong with it is told by the render, which changes nothing of what runs.
                Some(Err(_)) | None => return Some((revision, scope)),
            }
        }
        let orders = self.channels.orders.borrow().clone()?;
        if orders.heard.as_ref() != Some(&revision) {
            return None;
        }
        self.orders = orders.clone();
        scope.part = orders.part;
        let pinned = told.or(orders.pinned.as_ref()).filter(|pinned| orders.frozen && **pinned != revision);
        match pinned {
            Some(pinned) if self.hold((mirror, branch), pinned).await? => Some((pinned.clone(), scope)),
            _ => Some((revision, scope)),
        }
    }

    /// Has a commit of before there to be rendered; false where its branch does not have it any more, nothing where that cannot
    /// be told now.
    async fn hold(&mut self, (mirror, branch): (&Arc<Mirror>, &str), pinned: &Revision) -> Option<bool> {
        if self.past(pinned).is_some() {
            return Some(true);
        }
        let (mirror, branch, of) = (mirror.clone(), branch.to_owned(), pinned.clone());
        let found = tokio::task::spawn_blocking(move || match mirror.tree(&of) {
            Ok(_) => Ok(None),
            // A mirror that was made anew has the newest alone.
            Err(_) => mirror.past(&branch, of.as_str(), Instant::now() + WITHIN).map(Some),
        });
        match found.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
            Ok(past) => {
                self.kept = past.map(Arc::new);
                Some(true)
            }
            Err(error @ (GitError::NotInBranch { .. } | GitError::RevisionGone { .. })) => {
                tracing::warn!(error = %chain(&error), "what ran when the re-point began is not in its branch any more: the newest commit is rendered");
                Some(false)
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "what ran when the re-point began cannot be read");
                None
            }
        }
    }

    /// A commit that the mirror does not hold any more, and that is rendered all the same.
    pub fn past(&self, revision: &Revision) -> Option<Arc<Past>> {
        self.kept.clone().filter(|past| past.revision == *revision)
    }

    /// Notes that what is told was rendered by what runs here now; says whether all of it that only an active region may run ends
    /// by itself.
    pub fn rendered(&mut self, says: Option<&Spoken>) -> bool {
        self.rendered = Some(self.orders.clone());
        if self.orders.part.is_none() {
            return false;
        }
        let apps = says.into_iter().flat_map(|spoken| &spoken.says.apps);
        // Of what cannot be rendered nobody knows.
        apps.into_iter()
            .all(|(_, wanted)| wanted.as_ref().is_ok_and(|app| app.all().all(|object| ends(object))))
    }

    /// Says by what the apps are told.
    pub fn note(&mut self, state: &mut GitState) {
        // Whether it is frozen is no matter of what was rendered.
        if let Some(rendered) = &mut self.rendered
            && rendered.part == self.orders.part
        {
            *rendered = self.orders.clone();
            state.orders = rendered.clone();
        }
        if state.doubt.is_none() {
            state.doubt = self.doubt();
        }
    }

    /// Why what git says is no reason to delete anything now.
    pub fn doubt(&self) -> Option<String> {
        self.orders
            .frozen
            .then(|| "a re-point is under way: nothing new is deployed, and nothing is deleted".to_owned())
    }
}
