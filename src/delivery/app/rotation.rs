//! What newer versions of secrets are to an app: a rotation that fails may go back to the old version, and a commit that
//! failed does not get another try by them.

use std::sync::Arc;

use super::restore::{Back, Target};
use super::{App, Way};
use crate::plan::{WantedApp, repin};
use crate::state::{Rolling, WithSecrets};

impl App {
    /// Whether what git says runs already, with other versions of its secrets.
    pub(super) fn is_rotation(&self, wanted: &WantedApp) -> bool {
        let good = self.runs.known_good.as_ref().filter(|good| good.digest != wanted.digest);
        good.and_then(|good| good.secrets.as_ref()).is_some_and(|secrets| secrets.content == wanted.content)
    }

    /// Adds the versions of secrets to what is remembered of a rollout of what git says.
    pub(super) fn with_secrets(&self, rolling: Rolling) -> Rolling {
        let wanted = self.wanted().filter(|wanted| wanted.digest == rolling.state.digest);
        Rolling { secrets: wanted.and_then(|wanted| WithSecrets::of(wanted)), ..rolling }
    }

    /// Takes newer versions of secrets for what was set aside: it stays set aside, and what runs in its place is to have them,
    /// too. False where git says something new, or where it was a version that failed.
    pub(super) fn stays_aside(&mut self, wanted: &Arc<WantedApp>) -> bool {
        let is_rotation = self.is_rotation(wanted);
        let Way::Back(back) = &mut self.way else { return false };
        let failed = back.memory.secrets.as_ref().map(|failed| &failed.content);
        let is_what_runs = back.memory.good == wanted.digest;
        if is_rotation || is_what_runs || failed != Some(&wanted.content) {
            return false;
        }
        (back.memory.digest, back.memory.secrets) = (wanted.digest.clone(), WithSecrets::of(wanted));
        self.refresh_target();
        self.note_quarantine();
        true
    }

    /// Has what is put back run with the versions of secrets that are in force now.
    pub(super) fn refresh_target(&mut self) {
        let Way::Back(mut back) = std::mem::replace(&mut self.way, Way::Forward) else { return };
        self.set_secrets_of_target(&mut back);
        self.way = Way::Back(back);
    }

    /// The versions in force are those of what git says, but where a version is what failed.
    pub(super) fn set_secrets_of_target(&self, back: &mut Back) {
        let Some(wanted) = self.wanted().filter(|wanted| !self.is_rotation(wanted)) else { return };
        if let Target::Known(target) = &mut back.target
            && let Some(newer) = repin(target, wanted)
        {
            *target = Arc::new(newer);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::api::{AppSpec, Rollout};
    use crate::delivery::app::Git;
    use crate::object::secret::Reference;
    use crate::object::{AppName, Digest};
    use crate::state::{AppMemory, Good, Pieces, Quarantine, Stage};

    fn wanted(content: &str, version: &str, old_secrets_work: bool) -> Arc<WantedApp> {
        let name = AppName::new("web").expect("a name");
        let secret = Reference::parse("aws-sm:db").expect("a reference").secret;
        let mut app =
            WantedApp::of_objects(name, Digest::from(format!("{content}-{version}").as_str()), Vec::new());
        (app.content, app.old_secrets_work) = (content.into(), old_secrets_work);
        app.secrets = [(secret, Some(version.into()))].into();
        Arc::new(app)
    }

    /// An app that ran one thing and was taken back from another.
    fn taken_back(good: &WantedApp, failed: &WantedApp) -> App {
        let memory = AppMemory {
            last_good: Some(Good {
                digest: good.digest.clone(),
                revision: None,
                objects: 1,
                pieces: Pieces::default(),
                secrets: WithSecrets::of(good),
            }),
            quarantined: Some(Quarantine {
                digest: failed.digest.clone(),
                good: good.digest.clone(),
                why: String::new(),
                stage: Stage::Restored,
                retried: None,
                together: None,
                with: None,
                asked: None,
                secrets: WithSecrets::of(failed),
            }),
            ..AppMemory::default()
        };
        let spec = AppSpec::folder(failed.app.clone(), "base");
        App::new(spec, Git::Says(Arc::new(failed.clone())), Some(&memory))
    }

    /// What is set aside once git says this.
    fn aside(mut app: App, says: &Arc<WantedApp>) -> Option<Digest> {
        let spec = AppSpec::folder(says.app.clone(), "base");
        app.set(spec, Ok(says.clone()), &Rollout::default(), None, Timestamp::UNIX_EPOCH);
        app.quarantine().map(|aside| aside.digest.clone())
    }

    #[test]
    fn a_newer_version_is_no_reason_to_try_a_failed_commit_again() {
        let (good, failed) = (wanted("1", "v1", true), wanted("2", "v1", true));
        let newer = wanted("2", "v2", true);
        assert_eq!(
            aside(taken_back(&good, &failed), &newer),
            Some(newer.digest.clone()),
            "under its new name"
        );
        assert_eq!(aside(taken_back(&good, &failed), &wanted("3", "v2", true)), None, "another commit is");
    }

    #[test]
    fn where_a_version_failed_a_newer_one_is_tried_and_so_is_the_old_one() {
        let (good, failed) = (wanted("1", "v1", true), wanted("1", "v2", true));
        assert_eq!(aside(taken_back(&good, &failed), &wanted("1", "v3", true)), None);
        // Somebody moved the label back to the version that runs: then nothing is set aside any more.
        assert_eq!(aside(taken_back(&good, &failed), &good), None);
    }

    #[test]
    fn only_versions_that_differ_are_a_rotation() {
        let (good, failed) = (wanted("1", "v1", true), wanted("2", "v2", true));
        let app = taken_back(&good, &failed);
        assert!(app.is_rotation(&wanted("1", "v2", true)));
        assert!(!app.is_rotation(&good) && !app.is_rotation(&failed));
    }
}
