//! The same work on many things, on all cores.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// More threads than this only wait for memory.
const MOST_THREADS: usize = 8;
/// So much is taken at once; with less than twice that, a thread costs more than it spares.
const PIECE: usize = 8;

/// What `work` makes of each item, in the order of the items.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let most = MOST_THREADS.min(items.len() / PIECE);
    // To ask for the cores is to read files of the system.
    let threads =
        if most < 2 { 1 } else { most.min(thread::available_parallelism().map_or(1, NonZero::get)) };
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::with_capacity(items.len() / threads);
        loop {
            let first = next.fetch_add(PIECE, Ordering::Relaxed);
            let Some(piece) =
                items.get(first..items.len().min(first + PIECE)).filter(|piece| !piece.is_empty())
            else {
                return done;
            };
            done.extend((first..).zip(piece.iter().map(&work)));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take)).collect();
        let mut done = take();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, made)| made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_worked_on_once_and_stays_in_its_place() {
        for count in [0, 1, 7, 8, 15, 16, 17, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            let calls = AtomicUsize::new(0);
            let made = map(&items, |item| {
                calls.fetch_add(1, Ordering::Relaxed);
                item * 2
            });
            assert_eq!(made, items.iter().map(|item| item * 2).collect::<Vec<_>>());
            assert_eq!(calls.into_inner(), count);
        }
    }

    #[test]
    #[should_panic(expected = "this one")]
    fn a_panic_of_one_is_a_panic_of_all() {
        let items: Vec<usize> = (0..100).collect();
        map(&items, |item| assert!(*item != 77, "this one"));
    }
}
