//! Carries out what people ask for in comments: as the user of the cluster that each of them is, whom the API server lets do
//! it or not. The agent lends nobody a right of its own.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use crate::agent::Context;
use crate::agent::requests::Book as Requests;
use crate::cluster::CallError;
use crate::object::{AppName, Digest, EnvironmentName, EventKind, RecordId, TimelineEvent, chain};
use crate::pull_requests::{
    Book, CommandLine, Failure, LineState, Number, Order, Outcome, request_name, resolve,
};

pub(super) struct Orders {
    pub context: Arc<Context>,
    /// Names the repository.
    pub place: String,
}

impl Orders {
    pub async fn carry_out(&self, number: Number, order: Order) -> Result<Outcome, Failure> {
        if !order.spoken.command.is_of_environment() {
            return Ok(Outcome::Refused(format!("there is no {} here yet", order.spoken.command.verb())));
        }
        let name = request_name(&self.place, number, order.comment);
        let requests = &self.context.requests.requests;
        let away = |error: CallError| Failure::Away(chain(&error));
        if let Some(there) = requests.get(&name).await.map_err(away)? {
            // Who may make Requests may give one any name.
            let is_ours = there.spec.by == order.person.user
                && there.spec.environment == order.environment.as_str()
                && there.spec.verb == order.spoken.command.verb();
            return Ok(match is_ours {
                true => Outcome::Asked,
                false => Outcome::Refused(format!("there is another Request {name}")),
            });
        }
        if let Some(why) = order.refused {
            return Ok(Outcome::Refused(why));
        }
        let environments = &self.context.environments;
        let environment = environments.get_whole(order.environment.as_str()).await.map_err(away)?;
        let Some(environment) = environment else {
            return Ok(Outcome::Refused(format!("there is no Environment {}", order.environment)));
        };
        let who = (number, order.login.as_str(), order.person.user.as_str());
        let spec = match resolve(&order.spoken, who, &order.environment, environment.status.as_ref()) {
            Ok(spec) => spec,
            Err(why) => return Ok(Outcome::Refused(why)),
        };
        match requests.create_as(&name, &spec, Some(&order.person)).await {
            Ok(_) => Ok(Outcome::Asked),
            // It was made a moment ago, by an agent that had not said so yet.
            Err(error) if error.is_already_there() => Err(away(error)),
            Err(error @ CallError::Refused { .. }) => Ok(Outcome::Refused(error.to_string())),
            Err(error @ CallError::Unsendable(_)) => Ok(Outcome::Refused(error.to_string())),
            Err(error) => Err(away(error)),
        }
    }

    /// Tells the book what came of Requests that were made for comments.
    pub fn follow(&self, requests: Option<&Requests>, book: &mut Book) {
        for (number, comment, environment) in book.asked() {
            let name = request_name(&self.place, number, comment);
            let found = requests.and_then(|all| all.get(&environment)?.get(&name));
            if let Some(status) = found.and_then(|request| request.status.as_ref()) {
                book.requested((number, comment), status.state, status.message.as_deref());
            }
        }
    }

    /// Hands the history what came of commands that are no Requests. What is told again is kept once.
    pub fn record(&self, told: Vec<(Number, CommandLine)>, lead: &EnvironmentName) {
        let Some(history) = &self.context.outlets.history else { return };
        for (number, line) in told {
            let environment = line.environment.as_deref().and_then(|name| EnvironmentName::new(name).ok());
            history.tell_event(TimelineEvent {
                id: self.record_id(number, &line),
                kind: EventKind::Request,
                cluster: String::new(),
                environment: environment.unwrap_or_else(|| lead.clone()),
                app: None::<AppName>,
                object: None,
                who: Some(line.by.clone()),
                why: None,
                at: Timestamp::now(),
                details: json!({
                    "verb": line.said,
                    "outcome": if line.state == LineState::Refused { "Refused" } else { "Done" },
                    "message": line.message,
                    "pullRequest": number,
                }),
            });
        }
    }

    fn record_id(&self, number: Number, line: &CommandLine) -> RecordId {
        let chance = Digest::of(format!("{} {number} {}", self.place, line.id).as_bytes());
        let digits = chance.as_str().get(..32).unwrap_or_default();
        RecordId::new(line.at, u128::from_str_radix(digits, 16).unwrap_or(0))
    }
}
