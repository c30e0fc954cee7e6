//! How many requests are under way at once. Each identity has slots of its own: what a webhook holds up for one team, where
//! every request takes half a minute, holds up no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::Identity;

/// So many requests of one identity are under way at once. On two cores eight are as fast for small objects; where the server
/// has more to do for each, twice as many finish 1.4 times as soon. More only queue there.
pub(super) const OF_ONE: usize = 16;
/// And so many of all of them together.
pub(super) const OF_ALL: usize = 128;

#[derive(Clone)]
pub(super) struct Slots {
    all: Arc<Semaphore>,
    /// Those of each identity that has a request under way. The agent's own has no name.
    of: Arc<Mutex<HashMap<Option<Identity>, Arc<Semaphore>>>>,
}

/// A slot that is taken.
pub(super) struct Slot {
    _of_one: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Slots {
    pub fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(OF_ALL)), of: Arc::default() }
    }

    /// Waits for a slot.
    pub async fn take(&self, identity: Option<&Identity>) -> Slot {
        let own = self.of(identity);
        let never = "the semaphore is never closed";
        // Its own first: who waits for that takes no slot from others.
        let of_one = own.acquire_owned().await.expect(never);
        let of_all = self.all.clone().acquire_owned().await.expect(never);
        Slot { _of_one: of_one, _of_all: of_all }
    }

    fn of(&self, identity: Option<&Identity>) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = of.get(&identity.cloned()) {
            return own.clone();
        }
        of.retain(|_, own| Arc::strong_count(own) > 1);
        let own = Arc::new(Semaphore::new(OF_ONE));
        of.insert(identity.cloned(), own.clone());
        own
    }

    /// Takes all of them, as requests that are under way do.
    #[cfg(test)]
    pub async fn take_all(&self) -> OwnedSemaphorePermit {
        self.all.clone().acquire_many_owned(OF_ALL as u32).await.expect("the semaphore is never closed")
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn identity(name: &str) -> Identity {
        Identity { namespace: "teams".to_owned(), name: name.to_owned() }
    }

    #[tokio::test]
    async fn who_takes_all_of_its_slots_waits_alone() {
        let slots = Slots::new();
        let (slow, other) = (identity("slow"), identity("other"));
        let mut taken = Vec::new();
        for _ in 0..OF_ONE {
            taken.push(slots.take(Some(&slow)).await);
        }
        assert!(slots.take(Some(&slow)).now_or_never().is_none());
        assert!(slots.take(Some(&other)).now_or_never().is_some());
        assert!(slots.take(None).now_or_never().is_some());
        taken.pop();
        assert!(slots.take(Some(&slow)).now_or_never().is_some());
        taken.clear();
        slots.take(Some(&other)).await;
        assert!(slots.of.lock().expect("no panic").len() <= 2, "those of nobody are let go of");
    }
}
