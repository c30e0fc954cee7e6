//! Work that panics is told about and begun anew: the rest goes on.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// Runs rounds, each on a task of its own, until one ends by itself or `end` comes. One that panics is told about, and the
/// next is begun after a pause that grows.
pub(super) async fn catch<Round>(
    mut round: impl FnMut() -> Round,
    told: impl Fn(String) -> BoxFuture<'static, ()>,
    (first, longest): (Duration, Duration),
    end: &CancellationToken,
) where
    Round: Future<Output = ()> + Send + 'static,
{
    let mut pause = first;
    loop {
        let began = tokio::time::Instant::now();
        match tokio::spawn(round()).await {
            Ok(()) => return,
            Err(error) => told(panic_message(error)).await,
        }
        if began.elapsed() > longest {
            pause = first;
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(longest);
    }
}

pub(super) fn panic_message(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => panic_text(&*panic),
        Err(error) => error.to_string(),
    }
}

/// What a panic says.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

    #[tokio::test]
    async fn a_panic_is_told_and_begun_anew_and_the_others_do_not_notice() {
        let (rounds, told) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let end = CancellationToken::new();
        let other = tokio::spawn(end.clone().cancelled_owned());
        let round = || {
            let n = rounds.fetch_add(1, Ordering::Relaxed);
            async move { assert!(n >= 3, "round {n} went wrong") }
        };
        let tell = |why| -> BoxFuture<'static, ()> {
            told.lock().expect("no panic here").push(why);
            Box::pin(async {})
        };
        let began = tokio::time::Instant::now();
        catch(round, tell, PAUSES, &end).await;
        assert_eq!(rounds.load(Ordering::Relaxed), 4);
        let told = told.into_inner().expect("no panic here");
        assert_eq!(told, ["round 0 went wrong", "round 1 went wrong", "round 2 went wrong"]);
        assert!(began.elapsed() >= PAUSES.0 * 7, "each pause is twice the one before");
        assert!(!other.is_finished());
        end.cancel();
        other.await.expect("it ended by itself");
    }

    #[tokio::test]
    async fn what_panics_for_ever_still_ends_when_told() {
        let end = CancellationToken::new();
        let tell = |_| -> BoxFuture<'static, ()> {
            end.cancel();
            Box::pin(async {})
        };
        catch(|| async { panic!("as always") }, tell, PAUSES, &end).await;
    }
}
