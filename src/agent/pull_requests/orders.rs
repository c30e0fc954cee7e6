//! Carries out what people ask for in comments: as the user of the cluster that each of them is, whom the API server lets do
//! it or not. The agent lends nobody a right of its own.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::json;

use super::explaining;
use super::preview_parts::{Facts, tree_at};
use super::previews::PreviewDesk;
use crate::agent::Context;
use crate::agent::charts::Charts;
use crate::agent::requests::Book as Requests;
use crate::agent::scope::DesiredScope;
use crate::api::RequestSpec;
use crate::cluster::CallError;
use crate::helm::Stop;
use crate::object::{AppName, Digest, EnvironmentName, EventKind, RecordId, TimelineEvent, TreePath, chain};
use crate::previews::Wish;
use crate::pull_requests::{
    Book, Command, CommandLine, Failure, LineState, Number, Order, Outcome, request_name, resolve,
};

pub(super) struct Orders {
    pub context: Arc<Context>,
    /// Names the repository.
    pub place: String,
    pub previews: Arc<PreviewDesk>,
    /// What the book knows, for previews.
    pub facts: Mutex<Arc<Facts>>,
}

impl Orders {
    pub async fn carry_out(&self, number: Number, order: Order) -> Result<Outcome, Failure> {
        let wish = match order.spoken.command {
            Command::Preview => Some(Wish::Start),
            Command::PreviewStop => Some(Wish::Stop),
            Command::Keep => Some(Wish::Keep),
            _ => None,
        };
        if let Some(wish) = wish {
            return self.wish(number, &order, wish).await;
        }
        if let Command::Explain { object, field } = &order.spoken.command {
            return self.explain(&order, object.clone(), field.clone()).await;
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
            Err(error @ (CallError::Refused { .. } | CallError::Unsendable(_))) => {
                Ok(Outcome::Refused(refusal(&error)))
            }
            Err(error) => Err(away(error)),
        }
    }

    /// Says by which file and line a field is what it is, as the base branch has it.
    async fn explain(
        &self,
        order: &Order,
        object: String,
        field: Option<String>,
    ) -> Result<Outcome, Failure> {
        let environments = &self.context.environments;
        let found = environments.get(order.environment.as_str()).await;
        let found = found.map_err(|error| Failure::Away(chain(&error)))?;
        let Some(environment) = found else {
            return Ok(Outcome::Refused(format!("there is no Environment {}", order.environment)));
        };
        let branch = environment.spec.source.branch.clone();
        let tip = self.facts().tips.get(&branch).cloned();
        let tip = tip.ok_or_else(|| Failure::Away(format!("{branch} was not read yet")))?;
        let path = environment.spec.source.path.clone();
        let path = path.unwrap_or_else(|| format!("environments/{}", order.environment));
        let scope = DesiredScope {
            environment: order.environment.clone(),
            path: TreePath::new(&path).map_err(|error| Failure::Refused(error.to_string()))?,
            grants: None,
            default_namespace: None,
            part: None,
        };
        let (changes, context) = (self.previews.changes.clone(), self.context.clone());
        let version = context.session.version().await.map_err(|error| Failure::Away(chain(&error)))?;
        // Charts are rendered for it, which takes what a report takes.
        let turns = context.pull_requests.clone();
        let _turn = turns.turns.acquire().await;
        let looking = tokio::task::spawn_blocking(move || {
            let tree = tree_at(&changes, &branch, &tip).map_err(|error| chain(&error))?;
            let kinds = context.session.kinds();
            let charts = Charts::of(&context.rendering.helm, &version, &kinds);
            let limits = context.rendering.limits_of(&scope.environment, Stop::default());
            explaining::explain(&tree, &scope, (&limits, &charts), &object, field.as_deref())
        });
        let said = looking.await.map_err(|error| Failure::Away(crate::agent::panic_message(error)))?;
        Ok(said.map_or_else(Outcome::Refused, Outcome::Done))
    }

    /// Asks for a preview, its end, or that it is kept: where the server would let them make a Request that says so.
    async fn wish(&self, number: Number, order: &Order, wish: Wish) -> Result<Outcome, Failure> {
        let facts = self.facts();
        let of = facts.environments.iter().map(|(name, ..)| name).collect::<Vec<_>>();
        let of = match of.as_slice() {
            [] => {
                return Ok(Outcome::Refused(
                    "the platform lets no environment here have previews".to_owned(),
                ));
            }
            all => all.iter().find(|name| ***name == order.environment).copied().unwrap_or(all[0]),
        };
        if let Some(why) = unnamed(&facts, number, order, wish) {
            return Ok(Outcome::Refused(why));
        }
        let spec = RequestSpec {
            verb: "preview".to_owned(),
            environment: of.to_string(),
            by: order.person.user.clone(),
            ..RequestSpec::default()
        };
        let name = request_name(&self.place, number, order.comment);
        match self.context.requests.requests.would_create(&name, &spec, &order.person).await {
            Ok(()) => {}
            Err(error @ (CallError::Refused { .. } | CallError::Unsendable(_))) => {
                return Ok(Outcome::Refused(refusal(&error)));
            }
            Err(error) => return Err(Failure::Away(chain(&error))),
        }
        let turned = self.previews.turn(&facts, Some((of, number.0, wish))).await;
        Ok(match turned.wished {
            Some(Ok(said)) => Outcome::Done(said),
            Some(Err(why)) => Outcome::Refused(why),
            None => return Err(Failure::Away("nobody looked after previews".to_owned())),
        })
    }

    pub fn facts(&self) -> Arc<Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn know(&self, facts: Facts) {
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(facts);
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

/// Why a fork gets no preview: somebody has to name the commit that they looked at. What is pushed in the moment in which they
/// write is another one.
fn unnamed(facts: &Facts, number: Number, order: &Order, wish: Wish) -> Option<String> {
    let pull = facts.open.iter().map(|(pull, _)| pull).find(|pull| pull.number == number);
    if wish != Wish::Start || pull.is_some_and(|pull| !pull.is_fork) {
        return None;
    }
    let Some(pull) = pull else { return Some("it is not known to be open".to_owned()) };
    let named = order.spoken.commit.as_deref().filter(|commit| commit.len() >= 7);
    match named {
        Some(commit) if pull.head.as_str().starts_with(commit) => None,
        Some(commit) => Some(format!("the pull request is at {} by now, not at {commit}", pull.head.short())),
        None => Some(format!(
            "it comes from a fork: look at the commit and name it, as `/fairlead preview @{}`",
            pull.head.short()
        )),
    }
}

/// The words of who refused it, without those of the server around them.
fn refusal(error: &CallError) -> String {
    let words = error.to_string();
    words.split_once(" denied request: ").map_or(words.clone(), |(_, said)| said.to_owned())
}
