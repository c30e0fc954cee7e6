use std::io::IsTerminal;
use std::time::Duration;

use futures::StreamExt;
use indicatif::ProgressBar;
use kube::ResourceExt;

use super::failure::Failure;
use crate::api::Environment;
use crate::cluster::{EnvironmentEvent, Environments};
use crate::object::EnvironmentName;

/// How long something takes, shown where somebody looks: a spinner on a terminal, lines elsewhere.
pub struct Spinner(Option<ProgressBar>);

impl Spinner {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self(bar)
    }

    /// What stands now in place of what stood before; without a terminal, a line of it where it `is_new`.
    pub fn stand(&self, words: &str, is_new: bool) {
        match &self.0 {
            Some(bar) => bar.set_message(words.to_owned()),
            None if is_new => eprintln!("{words}"),
            None => {}
        }
    }

    /// A line that stays.
    pub fn say(&self, words: &str) {
        match &self.0 {
            Some(bar) => bar.suspend(|| eprintln!("{words}")),
            None => eprintln!("{words}"),
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Looks at an Environment whenever it changes until `look` has an answer; `None` where the time is over first.
pub async fn follow<T>(
    environments: &Environments,
    name: &EnvironmentName,
    limit: Duration,
    mut look: impl FnMut(&Environment, &Spinner) -> Option<T>,
) -> Result<Option<T>, Failure> {
    let spinner = Spinner::new();
    let watching = async {
        let mut events = std::pin::pin!(environments.watch());
        while let Some(event) = events.next().await {
            let found = match event {
                EnvironmentEvent::All(all) => all.into_iter().find(|found| found.name_any() == name.as_str()),
                EnvironmentEvent::Changed(found) if found.name_any() == name.as_str() => Some(*found),
                EnvironmentEvent::Gone(gone) if gone == name.as_str() => {
                    return Err(Failure::input(format!("the Environment {name} was deleted")));
                }
                EnvironmentEvent::Failed(why) => {
                    spinner.say(&format!("watching failed and begins anew: {why}"));
                    None
                }
                _ => None,
            };
            if let Some(answer) = found.and_then(|found| look(&found, &spinner)) {
                return Ok(answer);
            }
        }
        Err(Failure::input("the watch ended"))
    };
    tokio::time::timeout(limit, watching).await.ok().transpose()
}
