//! Tells what is known of the environment's secrets whether apps that rolled for newer versions are well.

use super::{Channels, Shared};

pub(super) async fn run(shared: Shared, channels: Channels) {
    let mut report = channels.report.subscribe();
    report.mark_changed();
    loop {
        tokio::select! {
            () = shared.end.cancelled() => return,
            changed = report.changed() => if changed.is_err() { return },
        }
        let newest = report.borrow_and_update().clone();
        if let Some(report) = newest {
            channels.secrets.hear(&report.apps);
        }
    }
}
