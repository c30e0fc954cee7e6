//! Keeps one heartbeat from its first beat until it is lost, or is to end.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Beat, Fence, Leases, uptime};
use crate::ownership::{ReplicaId, Share};

/// After a beat that failed, and at least this long between two.
const AGAIN: Duration = Duration::from_millis(500);

/// Returns when the heartbeat is lost, or at the end. The fence is down then.
pub async fn keep(leases: Leases, id: ReplicaId, scope: Share, fence: Fence, end: CancellationToken) {
    let mut joined = false;
    loop {
        // Read before the request is sent: what others see of it, they see later.
        let begun = uptime();
        let beat = async { if joined { leases.renew(&id).await } else { leases.join(&id, &scope).await } };
        let beat = tokio::select! {
            beat = beat => beat,
            () = end.cancelled() => break,
        };
        let pause = match beat {
            Beat::Confirmed => {
                if !joined {
                    tracing::info!(heartbeat = %id, "this replica has joined");
                }
                joined = true;
                fence.raise(begun + leases.timing().fence);
                leases.timing().renew.saturating_sub(uptime().saturating_sub(begun))
            }
            Beat::Lost => {
                tracing::warn!(heartbeat = %id, "this replica was taken for dead; its environments are others' now");
                break;
            }
            Beat::Failed(why) => {
                tracing::warn!(error = %why, left = ?fence.left(), "the heartbeat was not confirmed");
                // Before the first there is nothing to lose: a right or a namespace may be missing for long.
                if joined { AGAIN } else { leases.timing().renew }
            }
        };
        tokio::select! {
            () = sleep(pause.max(AGAIN)) => {}
            () = end.cancelled() => break,
        }
    }
    fence.lower();
}

/// Tells who used our cache before us. A lock on a file there ends with its process, however that ends: whoever gets it
/// knows that the one whose name it finds is dead, and need not wait to be sure.
#[derive(Debug)]
pub struct Footprint {
    file: Option<File>,
}

impl Footprint {
    /// Also answers the heartbeat of the dead process before us, if there was one.
    pub fn take(cache: &Path) -> (Self, Option<ReplicaId>) {
        let open = || -> std::io::Result<(File, String)> {
            std::fs::create_dir_all(cache)?;
            let path = cache.join("heartbeat");
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            file.try_lock()?;
            let mut name = String::new();
            file.read_to_string(&mut name)?;
            Ok((file, name))
        };
        match open() {
            Ok((file, name)) => {
                let before = Some(name.trim()).filter(|name| !name.is_empty()).map(ReplicaId::new);
                (Self { file: Some(file) }, before)
            }
            Err(error) => {
                tracing::warn!(%error, "who used the cache before is not known");
                (Self { file: None }, None)
            }
        }
    }

    /// Leaves our name, before the heartbeat begins.
    pub fn leave(&mut self, id: &ReplicaId) {
        let Some(file) = &mut self.file else { return };
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{id}"));
        if let Err(error) = written {
            tracing::warn!(%error, "our name cannot be left in the cache");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dead_leave_a_footprint() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, before) = Footprint::take(folder.path());
        assert_eq!(before, None);
        one.leave(&ReplicaId::new("fairlead-a-1"));
        let (two, before) = Footprint::take(folder.path());
        assert_eq!((before, two.file.is_none()), (None, true), "the first still lives");
        drop(one);
        let (_, before) = Footprint::take(folder.path());
        assert_eq!(before, Some(ReplicaId::new("fairlead-a-1")));
    }
}
