//! What an environment says beside its status: events, the log, notices to other systems, and the history.

use jiff::Timestamp;

use super::EnvironmentLoop;
use crate::agent::app::News;
use crate::api::Environment;
use crate::notify::Notice;

/// What somebody has to know who does not watch: an environment does not run what git says, or does again.
const NOTICED: [&str; 11] = [
    "Restoring",
    "Restored",
    "RestoreFailed",
    "RollingBack",
    "RolledBack",
    "RollbackFailed",
    "Halted",
    "Refused",
    "InvalidManifests",
    "Retrying",
    "RolledOut",
];

impl EnvironmentLoop {
    pub(super) async fn tell_news(&mut self, environment: &Environment) {
        let Some((_, driver)) = &mut self.driver else { return };
        for news in driver.news() {
            if news.warning {
                tracing::warn!(environment = %self.name, reason = news.reason, "{}", news.note);
            } else {
                tracing::info!(environment = %self.name, reason = news.reason, "{}", news.note);
            }
            self.notify(&news);
            self.context.metrics.event(self.name.as_str(), news.reason);
            self.context
                .environments
                .event(environment, news.warning, news.reason, "Reconcile", &news.note)
                .await;
        }
    }

    fn notify(&self, news: &News) {
        let Some(notifier) = &self.context.notifier else { return };
        if !NOTICED.contains(&news.reason) {
            return;
        }
        let now = Timestamp::now();
        notifier.tell(Notice {
            environment: self.name.clone(),
            app: news.app.clone(),
            reason: news.reason,
            warning: news.warning,
            message: news.note.clone(),
            time: now.round(jiff::Unit::Second).unwrap_or(now).to_string(),
        });
    }

    /// Hands on what ended.
    pub(super) fn keep_history(&mut self) {
        let Some((_, driver)) = &mut self.driver else { return };
        for record in driver.take_ended() {
            if let Some(history) = &self.context.history {
                history.tell(&self.name, record);
            }
        }
    }
}
