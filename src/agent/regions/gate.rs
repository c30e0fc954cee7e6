//! The gate that every write of a writer goes through: open while the region holds the environment, at one epoch.
//!
//! What git says, what is remembered, and what is put back all come by here, so no older word starts a writer in a region that
//! gave the environment up. A stop closes it first, and then waits until nobody is inside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cluster::uptime;
use crate::region::{Epoch, Moment, Starts};

#[derive(Default)]
pub struct WriterGate {
    inner: Mutex<Inner>,
    left: Notify,
}

#[derive(Default)]
struct Inner {
    /// The environment is in no region: everything may be written.
    is_free: bool,
    /// The epoch that is held, until when that is sure, and what ends with it.
    open: Option<(Epoch, Moment, CancellationToken)>,
    /// The epoch that is held, be it that no writer may be started yet, and until when that is sure.
    held: Option<(Epoch, Moment)>,
    /// The shared place has the promise that writers end by themselves.
    is_promised: bool,
    inside: usize,
}

/// Somebody is inside for as long as this lives. What is under way is to end when `end` does.
pub struct Pass {
    gate: Arc<WriterGate>,
    pub end: CancellationToken,
}

impl WriterGate {
    /// Lets everything through: the environment is in no region.
    pub fn free(&self) {
        self.lock().is_free = true;
    }

    /// Lets through what is of this epoch, until then.
    pub fn open(&self, epoch: Epoch, until: Moment) {
        let mut inner = self.lock();
        inner.is_free = false;
        let known = inner.open.take_if(|(known, ..)| *known == epoch);
        let end = known.map_or_else(CancellationToken::new, |(_, _, end)| end);
        if let Some((_, _, before)) = inner.open.replace((epoch, until, end)) {
            before.cancel();
        }
    }

    /// Lets no writer through. Who is inside is told to leave.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.is_free = false;
        if let Some((_, _, end)) = inner.open.take() {
            end.cancel();
        }
    }

    /// Takes which epoch is held, until when that is sure, and whether it was promised that writers end by themselves.
    pub fn hold(&self, held: Option<(Epoch, Moment)>, is_promised: bool) {
        let mut inner = self.lock();
        (inner.held, inner.is_promised) = (held, is_promised);
    }

    /// Whether what needs the hold of an epoch, and is no writer, may begin.
    pub fn is_held(&self, epoch: Epoch) -> bool {
        self.lock().held.is_some_and(|(held, until)| held == epoch && uptime() < until)
    }

    /// Lets somebody in who is about to write these; says why not.
    pub fn enter(self: &Arc<Self>, starts: impl IntoIterator<Item = Starts>) -> Result<Pass, String> {
        let mut inner = self.lock();
        let mut end = CancellationToken::new();
        for starts in starts.into_iter().filter(|starts| *starts != Starts::Nothing && !inner.is_free) {
            let wanted = match starts {
                Starts::At { ends: false, .. } if inner.is_promised => {
                    return Err(
                        "it would start writers that nothing ends, and the others were promised that something does: that is taken \
                         back first"
                            .to_owned(),
                    );
                }
                Starts::At { epoch, .. } => Some(epoch),
                _ => None,
            };
            match (&inner.open, wanted) {
                (Some((held, until, ends)), Some(epoch)) if *held == epoch && uptime() < *until => {
                    end = ends.child_token();
                }
                (Some((held, until, _)), Some(epoch)) if uptime() < *until => {
                    return Err(format!(
                        "it would start writers of epoch {epoch}, and this region holds epoch {held}"
                    ));
                }
                (_, Some(epoch)) => {
                    return Err(format!(
                        "it would start writers of epoch {epoch}, and this region does not hold the environment now"
                    ));
                }
                (_, None) => {
                    return Err(
                        "it would start writers of no epoch: it is older than its environment's regions"
                            .to_owned(),
                    );
                }
            }
        }
        inner.inside += 1;
        Ok(Pass { gate: self.clone(), end })
    }

    /// Until nobody is inside.
    pub async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            let mut left = std::pin::pin!(left);
            left.as_mut().enable();
            if self.lock().inside == 0 {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.lock().inside -= 1;
        self.gate.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const AT_3: [Starts; 2] = [Starts::Nothing, Starts::At { epoch: Epoch(3), ends: false }];

    #[test]
    fn a_writer_is_written_only_at_the_epoch_that_is_held() {
        let gate = Arc::new(WriterGate::default());
        assert!(gate.enter(AT_3).is_err(), "nothing is held at first");
        assert!(gate.enter([Starts::Nothing]).is_ok());
        let later = uptime() + Duration::from_secs(60);
        gate.open(Epoch(3), later);
        assert!(gate.enter(AT_3).is_ok());
        assert!(
            gate.enter([Starts::At { epoch: Epoch(2), ends: false }])
                .is_err_and(|why| why.contains("holds epoch 3"))
        );
        assert!(gate.enter([Starts::Unknown]).is_err());
        gate.hold(Some((Epoch(3), later)), true);
        assert!(gate.enter(AT_3).is_err_and(|why| why.contains("promised")));
        assert!(gate.enter([Starts::At { epoch: Epoch(3), ends: true }]).is_ok());
        assert!(gate.is_held(Epoch(3)) && !gate.is_held(Epoch(2)));
        gate.hold(None, false);
        gate.open(Epoch(3), Duration::ZERO);
        assert!(gate.enter(AT_3).is_err(), "a hold that was not confirmed lately is none");
        gate.free();
        assert!(gate.enter([Starts::Unknown]).is_ok(), "an environment without regions");
    }

    #[tokio::test]
    async fn closing_it_tells_who_is_inside_and_waits_for_them() {
        let gate = Arc::new(WriterGate::default());
        gate.open(Epoch(3), uptime() + Duration::from_secs(60));
        let pass = gate.enter(AT_3).expect("it is open");
        gate.open(Epoch(3), uptime() + Duration::from_secs(90));
        assert!(!pass.end.is_cancelled(), "a renewal ends nothing");
        gate.close();
        assert!(pass.end.is_cancelled());
        let emptied = tokio::spawn({
            let gate = gate.clone();
            async move { gate.emptied().await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!emptied.is_finished());
        drop(pass);
        emptied.await.expect("nobody is inside");
    }
}
