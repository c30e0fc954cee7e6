//! One call to AWS: its tries, its deadline, and the count of it.
//!
//! The SDK's own retries are switched off: each try costs money and is counted, and what is still throttled after the last
//! one is told, so that whoever asked can go on with what it has.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use super::failure::Failure;
use crate::secrets::{Call, CallOutcome, Calls, Service};

/// How long is waited for AWS, and how often it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries of one call.
    pub tries: u32,
    /// The pause after the first try; each further one is twice as long, and each is shortened by chance to as little as
    /// half, so that those who were throttled together do not come back together.
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// One try, from the connection to the last byte.
    pub attempt: Duration,
    /// All tries of one call together.
    pub call: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 5,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
            attempt: Duration::from_secs(10),
            call: Duration::from_secs(30),
        }
    }
}

/// So many calls are under way at once for the whole agent. BatchGetSecretValue allows 100 a second.
const CONCURRENT_CALLS: usize = 8;

pub(super) struct Caller {
    patience: Patience,
    permits: Semaphore,
    calls: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    calls: Calls,
    first: Option<Instant>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

impl Caller {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, permits: Semaphore::new(CONCURRENT_CALLS), calls: Mutex::default() }
    }

    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    /// The calls so far, and the time since the first.
    pub(super) fn calls(&self) -> (Calls, Duration) {
        let tally = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        (tally.calls.clone(), tally.first.map(|first| first.elapsed()).unwrap_or_default())
    }

    fn count(&self, service: Service, operation: &'static str, outcome: CallOutcome) {
        let mut tally = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        tally.first.get_or_insert_with(Instant::now);
        tally.calls.add(Call { service, operation, outcome });
    }

    /// Makes a call, again where that may help.
    pub(super) async fn call<T, E, F>(
        &self,
        service: Service,
        operation: &'static str,
        send: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        let permits = Some(&self.permits);
        self.tries(service, operation, self.patience.call, permits, send).await
    }

    /// Makes a call that waits for so long by its nature, beside the others.
    pub(super) async fn call_long<T, E, F>(
        &self,
        service: Service,
        operation: &'static str,
        waits: Duration,
        send: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.tries(service, operation, self.patience.call + waits, None, send).await
    }

    async fn tries<T, E, F>(
        &self,
        service: Service,
        operation: &'static str,
        within: Duration,
        permits: Option<&Semaphore>,
        mut send: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        let deadline = Instant::now() + within;
        let mut pause = self.patience.first_pause;
        for tried in 1.. {
            let failure = match attempt(deadline, permits, &mut send).await {
                Ok(answer) => {
                    self.count(service, operation, CallOutcome::Ok);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            self.count(service, operation, failure.outcome());
            let waits = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            if tried >= self.patience.tries || !failure.may_pass() || Instant::now() + waits >= deadline {
                return Err(failure);
            }
            sleep(waits).await;
            pause = (pause * 2).min(self.patience.longest_pause);
        }
        unreachable!("the last try returns")
    }
}

async fn attempt<T, E, F>(
    deadline: Instant,
    permits: Option<&Semaphore>,
    send: &mut impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    E: ProvideErrorMetadata + Error + 'static,
{
    let answered = async {
        // It is never closed.
        let _permit = match permits {
            Some(permits) => permits.acquire().await.ok(),
            None => None,
        };
        send().await
    };
    match timeout_at(deadline, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::of(&error)),
        Err(_) => Err(Failure::unreachable("it timed out")),
    }
}
