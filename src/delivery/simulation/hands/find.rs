//! Finds what a person wants back, and remembers it.

use super::{Progress, Reach, Save, Work};
use crate::delivery::simulation::chance::Luck;
use crate::delivery::simulation::content::APPS;
use crate::delivery::{Choice, Event, Found, No, Want, choose};
use crate::object::{AppName, Revision};
use crate::plan::WantedApp;
use crate::state::Change;

pub struct Find {
    app: AppName,
    want: Want,
    remember: Vec<Change>,
    save: Option<(Save, Found)>,
    sent: bool,
}

impl Find {
    pub fn new(app: AppName, want: Want, remember: Vec<Change>) -> Self {
        Self { app, want, remember, save: None, sent: false }
    }

    fn look_for(&self, reach: &mut Reach) -> Found {
        if let Some(why) = self.want.refusal() {
            return Err(No::Because(why));
        }
        if reach.chance.luck() != Luck::Good {
            return Err(No::Because("it cannot be read".to_owned()));
        }
        let known = reach.view.memory.apps.get(&self.app).cloned().unwrap_or_default();
        let no = || No::Because("nothing is stored".to_owned());
        let choice = choose(&known, self.want.ask.to.as_deref(), &self.want.present);
        let (wanted, commit) = match choice.map_err(No::Because)? {
            Choice::Stored(good) => {
                (reach.store.good(&self.app, &good.digest).ok_or_else(no)?, good.revision.clone())
            }
            Choice::Revision(_) if reach.git.is_away(reach.chance.now) => return Err(no()),
            Choice::Revision(revision) => {
                let app = APPS.iter().position(|app| *app == self.app.as_str()).unwrap_or(0);
                let past = reach.git.past(app, revision).ok_or_else(no)?;
                let past = WantedApp::of_objects(past.app.clone(), past.digest.clone(), past.objects.clone());
                (past, Some(Revision::new(revision)))
            }
        };
        let quarantine = self.want.clone().quarantine(&known, &wanted.digest, commit)?;
        Ok((quarantine, wanted))
    }
}

impl Work for Find {
    fn go_on(&mut self, reach: &mut Reach, _awaited: bool) -> Progress {
        if !std::mem::replace(&mut self.sent, true) {
            return Progress::Until(reach.chance.way());
        }
        if self.save.is_none() {
            let found = self.look_for(reach);
            let mut changes = std::mem::take(&mut self.remember);
            if let Ok((quarantine, target)) = &found {
                let revision = quarantine.asked.as_ref().and_then(|asked| asked.revision.clone());
                let (quarantine, target) = (quarantine.clone(), std::sync::Arc::new(target.clone()));
                changes.push(Change::Asked { quarantine, target, revision });
            }
            self.save = Some((Save::new(changes), found));
        }
        let Some((save, found)) = &mut self.save else { return Progress::Ended(Event::Stopped) };
        match save.go_on(reach) {
            Err(at) => Progress::Until(at),
            Ok(Err(failure)) => Progress::Ended(Event::Failed(failure)),
            Ok(Ok(())) => Progress::Ended(Event::Found(Box::new(found.clone()))),
        }
    }

    fn arrive(&mut self, reach: &mut Reach) {
        if let Some((save, _)) = &mut self.save {
            save.arrive(reach);
        }
    }
}
