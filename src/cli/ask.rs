//! Asks the agent that owns an environment: makes a Request, and waits for what comes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use kube::ResourceExt;
use tokio::time::Instant;

use super::failure::Failure;
use super::{Exit, target};
use crate::api::{Request, RequestSpec, RequestState, RequestStatus};
use crate::cluster::{CallError, Cluster, Requests};
use crate::object::EnvironmentName;

/// Why, for every verb that asks for something.
#[derive(Clone, Debug, Args)]
pub struct Reason {
    /// Why you ask for it, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Between two looks at what became of a request.
const LOOK: Duration = Duration::from_millis(300);

/// Makes Requests in somebody's own name.
pub struct Asker {
    requests: Requests,
    by: String,
    environment: EnvironmentName,
    reason: Option<String>,
}

impl Asker {
    pub async fn new(
        cluster: &Cluster,
        environment: &EnvironmentName,
        reason: &Reason,
    ) -> Result<Self, Failure> {
        let by = target::environments(cluster).whoami().await?;
        let by = by.ok_or_else(|| Failure::input("the cluster does not say who you are"))?;
        let (environment, reason) = (environment.clone(), reason.reason.clone());
        Ok(Self { requests: Requests::new(cluster), by, environment, reason })
    }

    /// Asks for something; says which right is missing where it is not let in.
    pub async fn ask(&self, verb: &str, what: RequestSpec) -> Result<Request, Failure> {
        let spec = RequestSpec {
            verb: verb.to_owned(),
            environment: self.environment.to_string(),
            by: self.by.clone(),
            reason: self.reason.clone(),
            ..what
        };
        let of = spec.app.as_deref().unwrap_or(self.environment.as_str());
        let name = format!("{verb}-{of}-{}-{:08x}", jiff::Timestamp::now().as_second(), fastrand::u32(..));
        self.requests.create(&name, &spec).await.map_err(|error| denied(error, "create"))
    }

    /// Waits until somebody took it up, and tells what they say.
    pub async fn taken_up(&self, asked: &Request, limit: Duration) -> Result<Option<RequestStatus>, Failure> {
        let deadline = Instant::now() + limit;
        loop {
            let found = self.requests.get(&asked.name_any()).await.map_err(|error| denied(error, "get"))?;
            let status = found.and_then(|found| found.status);
            if let Some(status) = status.filter(|status| status.state != RequestState::Pending) {
                let refused = if status.state == RequestState::Refused { "refused: " } else { "" };
                eprintln!("{refused}{}", status.message.as_deref().unwrap_or_default());
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until all of them have ended, and tells how it goes; those that have not within the limit have no answer.
    pub async fn until_ended(
        &self,
        asked: &[Request],
        limit: Duration,
    ) -> Result<BTreeMap<String, Option<RequestStatus>>, Failure> {
        let deadline = Instant::now() + limit;
        let mut answers: BTreeMap<String, Option<RequestStatus>> =
            asked.iter().map(|request| (request.name_any(), None)).collect();
        let mut shown = BTreeMap::new();
        loop {
            for (name, answer) in answers.iter_mut().filter(|(_, answer)| answer.is_none()) {
                let found = self.requests.get(name).await.map_err(|error| denied(error, "get"))?;
                let Some(found) = found else {
                    return Err(Failure::input(format!("the request {name} was deleted")));
                };
                let Some(status) = found.status else { continue };
                let words = status.message.clone().unwrap_or_default();
                if shown.insert(name.clone(), words.clone()).as_ref() != Some(&words) {
                    eprintln!(
                        "{}{words}",
                        if status.state == RequestState::Refused { "refused: " } else { "" }
                    );
                }
                *answer = Some(status).filter(|status| status.state.is_end());
            }
            if answers.values().all(Option::is_some) || Instant::now() >= deadline {
                return Ok(answers);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The same, as what the command answers: the worst of it.
    pub async fn outcome(&self, asked: &[Request], limit: Duration) -> Result<Option<Exit>, Failure> {
        let answers = self.until_ended(asked, limit).await?;
        let ended: Option<Vec<RequestStatus>> = answers.into_values().collect();
        Ok(ended.map(|all| {
            let exits = all.iter().map(|status| exit(status.state));
            exits.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Done)
        }))
    }
}

fn exit(state: RequestState) -> Exit {
    match state {
        RequestState::Pending | RequestState::Going | RequestState::Done => Exit::Done,
        RequestState::Overtaken => Exit::Error,
        RequestState::Refused => Exit::Input,
        RequestState::Failed => Exit::GateFailed,
    }
}

/// What the server says before the words of a policy.
const POLICY: &str = "denied request: ";

fn denied(error: CallError, verb: &str) -> Failure {
    if error.status().map(|status| status.as_u16()) != Some(403) {
        return error.into();
    }
    let words = error.to_string();
    match words.split_once(POLICY) {
        Some((_, words)) => Failure::denied(words),
        None => {
            Failure::denied(format!("you may not {verb} requests: needs {verb} on requests.fairlead.dev"))
        }
    }
}
