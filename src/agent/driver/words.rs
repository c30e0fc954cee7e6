//! What people say to an environment, and what its apps are watched for.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{App, Driver, News};
use crate::agent::app::hear;
use crate::agent::memory::Remembered;
use crate::agent::rollback::{Archive, Ask};
use crate::api::{RollbackRequest, RollbackTo, names};
use crate::cluster::Watched;
use crate::object::AppName;

impl Driver {
    /// Takes the word of a person who wants to try again what failed.
    pub fn hear(&mut self, word: Option<&str>) {
        if let Some(word) = word {
            hear(&mut self.apps, word);
        }
    }

    /// Takes the word of a person who wants something older back.
    pub fn hear_rollback(&mut self, word: Option<&str>) {
        let Some(word) = word else { return };
        match serde_json::from_str::<RollbackRequest>(word) {
            Ok(RollbackRequest { id, by, apps }) => {
                for (name, RollbackTo { from, to }) in apps {
                    if let Some(app) = self.apps.get_mut(&name) {
                        app.ask(&Ask { id: id.clone(), by: by.clone(), from, to });
                    }
                }
            }
            Err(error) if self.rollback.as_deref() != Some(word) => {
                let note = format!("the annotation {} is not a request: {error}", names::ROLLBACK_ANNOTATION);
                self.news.push(News { app: None, warning: true, reason: "RollbackRefused", note });
            }
            Err(_) => {}
        }
        self.rollback = Some(word.to_owned());
    }

    /// Takes what is remembered of its apps, where git cannot be read and they know nothing yet.
    pub fn remember(&mut self, apps: Vec<Remembered>) {
        let memory = self.hands.keeper.as_ref().map(|keeper| keeper.memory());
        for Remembered { spec, wanted } in apps {
            let name = spec.name.clone();
            let mut app = App::new(spec);
            if let Some(known) = memory.as_ref().and_then(|memory| memory.apps.get(&name)) {
                app.remember(known);
            }
            if let Ok(wanted) = &wanted {
                self.pruner.expect(wanted);
            }
            app.set_remembered(wanted.map(Arc::new));
            app.agree(&self.agreed);
            self.apps.insert(name.clone(), app);
            self.note_watched(&name);
        }
    }

    /// Whether it knows of any app.
    pub fn knows_apps(&self) -> bool {
        !self.apps.is_empty()
    }

    /// Says where older revisions are read from.
    pub fn archive(&mut self, archive: Archive) {
        self.archive = Some(archive);
    }

    /// Notes the kinds of what an app is kept true to, which may be another than git says.
    pub(super) fn note_watched(&mut self, name: &AppName) {
        let Some(app) = self.apps.get(name) else { return };
        let all = app.wanted().cloned().into_iter().chain(app.target());
        let kinds: BTreeSet<Watched> = all
            .flat_map(|wanted| {
                Watched::of(wanted.all().map(|object| &**object)).into_iter().collect::<Vec<_>>()
            })
            .collect();
        if !kinds.is_empty() {
            self.watched.insert(name.clone(), kinds);
        }
    }
}
