//! Which commits of a branch are followed: those that are signed by whom the platform names, and that build on what was
//! followed before, where it asks for that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Shared, trouble};
use crate::agent::hands::Hands;
use crate::api::{HistoryRule, SignedObject, SignersKind, SignersSpec, SourceSpec, VerifySpec};
use crate::git::{GitError, Mirror, SignedBy, Signers};
use crate::object::{Digest, Revision, chain};
use crate::report::Trouble;
use crate::state::{Change, Followed};

/// Tags, and the history, may have to be fetched.
const WITHIN: Duration = Duration::from_secs(120);

/// What was let.
pub(super) struct Trust<'a> {
    hands: &'a Hands,
    accepted: Option<(SourceSpec, Revision)>,
}

impl<'a> Trust<'a> {
    pub fn new(hands: &'a Hands) -> Self {
        Self { hands, accepted: None }
    }

    /// The newest commit that was let by these rules.
    pub fn accepted(&self, spec: &SourceSpec) -> Option<&Revision> {
        self.accepted.as_ref().filter(|(by, _)| by == spec).map(|(_, revision)| revision)
    }

    /// Says why a commit is not followed. One that is, is remembered before anything of it is.
    pub async fn judge(
        &mut self,
        shared: &Shared,
        spec: &SourceSpec,
        mirror: &Arc<Mirror>,
        revision: &Revision,
    ) -> Result<(), Trouble> {
        if self.accepted(spec) == Some(revision) {
            return Ok(());
        }
        if let Some(verify) = &spec.verify {
            let signers = signers(shared, verify).await?;
            let by = match verify.from {
                SignedObject::Commit => SignedBy::Commit,
                SignedObject::Tag => SignedBy::Tag,
            };
            let (asked, of) = (mirror.clone(), revision.clone());
            let signer = blocking(move || asked.signer(&of, by, &signers, Instant::now() + WITHIN)).await?;
            tracing::info!(environment = %shared.name, revision = %revision, %signer, "the commit is signed");
        }
        if spec.history == HistoryRule::ForwardOnly {
            goes_on(self.hands, spec, mirror, revision).await?;
        }
        self.accepted = Some((spec.clone(), revision.clone()));
        Ok(())
    }
}

async fn goes_on(
    hands: &Hands,
    spec: &SourceSpec,
    mirror: &Arc<Mirror>,
    revision: &Revision,
) -> Result<(), Trouble> {
    let Some(store) = &hands.store else { return Ok(()) };
    let branch = Digest::of(format!("{} {}", spec.url, spec.branch).as_bytes());
    let known = store.memory().followed.clone().filter(|followed| followed.branch == branch);
    if known.as_ref().is_some_and(|followed| followed.revision == *revision) {
        return Ok(());
    }
    if let Some(followed) = known {
        let (asked, of, name) = (mirror.clone(), revision.clone(), spec.branch.clone());
        let before = [followed.revision];
        blocking(move || asked.goes_on(&name, &of, &before, Instant::now() + WITHIN)).await?;
    }
    let followed = Followed { branch, revision: revision.clone() };
    store.save(vec![Change::Followed(followed)]).await.map_err(|error| {
        trouble(
            "StateNotSaved",
            &format!("it cannot be remembered which commit is followed: {}", chain(&error)),
            true,
        )
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| trouble(error.reason(), &chain(&error), true)),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Reads the lists of keys. All have to be there: a list that is missing would only be noticed by what it does not let.
async fn signers(shared: &Shared, verify: &VerifySpec) -> Result<Signers, Trouble> {
    let mut signers = Signers::default();
    for list in &verify.signers {
        for (key, text) in read(shared, list).await? {
            signers.add(&text).map_err(|why| {
                let message = format!("the signers of {} cannot be read: {key}: {why}", name(shared, list));
                trouble("BadSigners", &message, true)
            })?;
        }
    }
    if signers.is_empty() {
        return Err(trouble("BadSigners", "the lists of signers name no key", true));
    }
    Ok(signers)
}

async fn read(shared: &Shared, list: &SignersSpec) -> Result<Vec<(String, String)>, Trouble> {
    let (environments, namespace) = (&shared.context.environments, &shared.context.own.namespace);
    let found = match list.kind {
        SignersKind::ConfigMap => environments
            .config_map(namespace, &list.name)
            .await
            .map(|found| found.map(|map| map.data.unwrap_or_default())),
        SignersKind::Secret => environments.secret(namespace, &list.name).await.map(|found| {
            let text = |(key, value): (String, k8s_openapi::ByteString)| {
                (key, String::from_utf8_lossy(&value.0).into_owned())
            };
            found.map(|secret| secret.data.unwrap_or_default().into_iter().map(text).collect())
        }),
    };
    match found {
        Ok(Some(data)) => Ok(data.into_iter().collect()),
        Ok(None) => Err(trouble("BadSigners", &format!("there is no {}", name(shared, list)), true)),
        Err(error) => {
            let message = format!("{} cannot be read: {}", name(shared, list), chain(&error));
            Err(trouble("BadSigners", &message, true))
        }
    }
}

fn name(shared: &Shared, list: &SignersSpec) -> String {
    format!("{:?} {}/{}", list.kind, shared.context.own.namespace, list.name)
}
