//! One decision for all that has one cause: whoever it is of, in whatever environments.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::ask::{Asker, Reason};
use super::drift::looks::{open, scopes};
use super::failure::Failure;
use super::repo::RepoArguments;
use super::target::Global;
use super::times::Moment;
use super::write_back::{Sought, patch};
use super::{CliResult, Exit};
use crate::api::{RequestSpec, RequestState, Span};
use crate::cluster::Cluster;
use crate::object::EnvironmentName;
use crate::report::{DriftedFieldReport, DriftedObject, cause_name};

#[derive(Debug, Args)]
#[command(
    after_help = "heal and ignore are Requests, one for each environment: they need `create` on environments/heal or \
                  environments/ignore there. `fairlead release` ends them before their time."
)]
pub struct Arguments {
    /// The cause, as `fairlead drift` names it: kubectl:spec.replicas, or kubectl alone for all that it changed
    #[arg(value_name = "CAUSE")]
    cause: String,
    /// What is done about all of it
    #[arg(value_enum, value_name = "DECISION")]
    decision: Word,
    /// Until when it is left to them: a day such as 2026-12-24 (of UTC), or a time; for `ignore`
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    until: Option<Moment>,
    /// For how long, as 2h; 10 minutes for `heal`
    #[arg(long = "for", value_name = "TIME")]
    span: Option<Span>,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    repo: RepoArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Word {
    /// Put back what git says, even where the rules only report it
    Heal,
    /// Leave it as others set it, for some time: it is neither reported nor written
    Ignore,
    /// Print the patch that makes git say it
    Adopt,
}

/// What is only reported is put back within seconds; more than once only where somebody is at it.
const HEAL_FOR: Duration = Duration::from_mins(10);
/// An agent that does nothing else answers at once.
const ANSWERED: Duration = Duration::from_secs(10);
/// One Request names so many objects at most.
const OBJECTS: usize = 200;

pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let repo = arguments.repo.open()?;
    let cluster = global.connect().await?;
    let looks = open(global, &repo, &cluster, (None, None)).await?;
    let mut found = Vec::new();
    for (_, look) in &looks {
        found.extend(look.look(&look.changes()?).await);
    }
    if !found.iter().any(|object| object.has_cause(&arguments.cause)) {
        return Err(unknown(&arguments.cause, &found));
    }
    if arguments.decision == Word::Adopt {
        let is_wanted = |object: &DriftedObject, path: Option<&str>| {
            let is_it = |field: &DriftedFieldReport| Some(&*field.path.to_string()) == path;
            object.fields.iter().any(|field| is_it(field) && field.has_cause(&arguments.cause))
        };
        let scopes = scopes(global, &cluster, &looks).await?;
        let sought = Sought { found: &found, is_wanted: &is_wanted };
        return patch(global, &repo, (&cluster, &scopes), &sought).await;
    }
    let span = span(arguments)?;
    let verb = if arguments.decision == Word::Heal { "heal" } else { "ignore" };
    let mut worst = Exit::Done;
    for (environment, fields) in of_cause(&found, &arguments.cause) {
        let exit = match ask(&cluster, (environment, fields), verb, arguments, span).await {
            Ok(exit) => exit,
            // Where one environment does not let somebody, another may.
            Err(failure) => {
                eprintln!("{environment}: {}", failure.message);
                Exit::Input
            }
        };
        worst = if exit as u8 > worst as u8 { exit } else { worst };
    }
    Ok(worst)
}

/// The objects of a cause, by environment and field.
type OfCause<'a> = BTreeMap<&'a str, BTreeMap<String, BTreeSet<&'a str>>>;

fn of_cause<'a>(found: &'a [DriftedObject], cause: &str) -> OfCause<'a> {
    let mut all = OfCause::new();
    for object in found {
        for field in object.fields.iter().filter(|field| field.has_cause(cause)) {
            let fields = all.entry(&object.environment).or_default();
            fields.entry(field.path.to_string()).or_default().insert(&object.object);
        }
    }
    all
}

/// Makes the Requests of one environment.
async fn ask(
    cluster: &Cluster,
    (environment, fields): (&str, BTreeMap<String, BTreeSet<&str>>),
    verb: &str,
    arguments: &Arguments,
    span: Span,
) -> CliResult {
    let name = EnvironmentName::new(environment).map_err(|error| Failure::input(error.to_string()))?;
    let asker = Asker::new(cluster, &name, &arguments.reason).await?;
    let mut worst = Exit::Done;
    for (field, objects) in fields {
        let objects: Vec<String> = objects.into_iter().map(str::to_owned).collect();
        for some in objects.chunks(OBJECTS) {
            let spec = RequestSpec {
                objects: some.to_vec(),
                field: Some(field.clone()).filter(|field| !field.is_empty()),
                cause: Some(arguments.cause.clone()),
                duration: Some(span.to_string()),
                ..RequestSpec::default()
            };
            let asked = asker.ask(verb, spec).await?;
            match asker.taken_up(&asked, ANSWERED).await?.map(|status| status.state) {
                Some(RequestState::Refused) => worst = Exit::Input,
                Some(_) => {}
                None => eprintln!("it is not answered yet: fairlead requests {environment}"),
            }
        }
    }
    Ok(worst)
}

fn span(arguments: &Arguments) -> Result<Span, Failure> {
    match (arguments.decision, arguments.until, arguments.span) {
        (_, _, Some(span)) => Ok(span),
        (_, Some(until), None) => {
            let Moment::At(until) = until else {
                return Err(
                    Failure::input("--until takes a day or a time").hint("--for takes a length of time")
                );
            };
            let left = until.duration_since(Timestamp::now());
            match u64::try_from(left.as_secs()).unwrap_or(0) {
                0 => Err(Failure::input(format!("{until} is over"))),
                seconds => Ok(Span::seconds(seconds)),
            }
        }
        (Word::Ignore, None, None) => {
            Err(Failure::input("say until when it is left to them").hint("--until, or --for"))
        }
        (_, None, None) => Ok(Span::seconds(HEAL_FOR.as_secs())),
    }
}

fn unknown(asked: &str, found: &[DriftedObject]) -> Failure {
    let fields = found.iter().flat_map(|object| &object.fields);
    let known: BTreeSet<String> = fields
        .filter_map(|field| Some(cause_name(&field.by.first()?.manager, &field.path.to_string())))
        .collect();
    let failure = Failure::input(format!("nothing that differs now has the cause {asked}"));
    match known.is_empty() {
        true => failure,
        false => failure.hint(format!("there are {}", known.into_iter().collect::<Vec<_>>().join(", "))),
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(decision: Word, until: Option<&str>, span: Option<&str>) -> Arguments {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            arguments: Arguments,
        }
        let word = decision.to_possible_value().expect("it has a name").get_name().to_owned();
        let mut line = vec!["decide".to_owned(), "kubectl:spec.replicas".to_owned(), word];
        for (flag, value) in [("--until", until), ("--for", span)] {
            line.extend(value.map(|value| format!("{flag}={value}")));
        }
        <Line as clap::Parser>::try_parse_from(line).expect("a line").arguments
    }

    #[test]
    fn how_long_a_decision_holds_is_said_or_ten_minutes_to_put_back() {
        let of = |decision, until, length| span(&arguments(decision, until, length));
        assert_eq!(of(Word::Heal, None, None).unwrap(), Span::seconds(600));
        assert_eq!(of(Word::Ignore, None, Some("2h")).unwrap(), Span::seconds(7200));
        let far = of(Word::Ignore, Some("2999-01-01"), None).unwrap();
        assert!(far.duration() > Duration::from_hours(24 * 365 * 900));
        for (until, said) in
            [(None, "until when"), (Some("2020-01-01"), "is over"), (Some("2h"), "a day or a time")]
        {
            let failure = of(Word::Ignore, until, None).unwrap_err();
            assert!(failure.message.contains(said), "{until:?}: {}", failure.message);
        }
    }
}
