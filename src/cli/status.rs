use clap::Args;
use kube::ResourceExt;

use super::output::{Format, colour, print, print_value, table};
use super::target::{self, Global, environment};
use super::{CliResult, Exit};
use crate::api::{AppPhase, AppStatus, ConditionStatus, Environment, PruneStatus, names};
use crate::object::EnvironmentName;

#[derive(Debug, Args)]
pub struct Arguments {
    /// One environment, with its apps; all of them in short where it is not given
    #[arg(value_name = "NAME")]
    name: Option<EnvironmentName>,
    /// The same, as other verbs take it
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    env: Option<EnvironmentName>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let cluster = global.connect().await?;
    let environments = target::environments(&cluster);
    match arguments.name.as_ref().or(arguments.env.as_ref()) {
        Some(name) => {
            let found = environment(&environments, name).await?;
            match arguments.output {
                Format::Text => print(&one(&found)),
                format => print_value(&Shown::from(&found), format)?,
            }
        }
        None => {
            let all = environments.list().await?;
            match arguments.output {
                Format::Text if all.is_empty() => print("this cluster has no Environments\n"),
                Format::Text => print(&many(&all)),
                format => print_value(&all.iter().map(Shown::from).collect::<Vec<_>>(), format)?,
            }
        }
    }
    Ok(Exit::Done)
}

#[derive(serde::Serialize)]
struct Shown<'a> {
    name: String,
    suspended: bool,
    status: Option<&'a crate::api::EnvironmentStatus>,
}

impl<'a> From<&'a Environment> for Shown<'a> {
    fn from(found: &'a Environment) -> Self {
        Self { name: found.name_any(), suspended: found.spec.suspended, status: found.status.as_ref() }
    }
}

fn ready(found: &Environment) -> (String, String) {
    let status = found.status.as_ref();
    let condition =
        status.and_then(|status| status.conditions.iter().find(|condition| condition.type_ == names::READY));
    match condition {
        // What was true when it was seen last is not said of what is not seen any more.
        Some(condition) if unknown(found).is_some() => {
            (format!("{}, Unknown", condition.reason), condition.message.clone())
        }
        Some(condition) => (condition.reason.clone(), condition.message.clone()),
        None => ("Unknown".to_owned(), "no agent has looked at it yet".to_owned()),
    }
}

/// Why it is not known whether objects are as git says.
fn unknown(found: &Environment) -> Option<&str> {
    let conditions = &found.status.as_ref()?.conditions;
    let verified = conditions.iter().find(|condition| condition.type_ == names::VERIFIED)?;
    (verified.status == ConditionStatus::Unknown).then_some(&*verified.message)
}

fn many(all: &[Environment]) -> String {
    let mut rows = vec![["ENVIRONMENT", "STATE", "REVISION", "APPS", "MESSAGE"].map(str::to_owned).to_vec()];
    for found in all {
        let (state, message) = ready(found);
        let status = found.status.clone().unwrap_or_default();
        rows.push(vec![
            found.name_any(),
            state,
            status.short_revision.unwrap_or_else(|| "-".to_owned()),
            status.summary.unwrap_or_else(|| "-".to_owned()),
            message,
        ]);
    }
    table(&rows)
}

fn one(found: &Environment) -> String {
    let (state, message) = ready(found);
    let status = found.status.clone().unwrap_or_default();
    let paint = |phase: AppPhase, text: String| match (colour(), phase) {
        (true, AppPhase::Ready) => format!("\x1b[32m{text}\x1b[0m"),
        (true, AppPhase::Refused | AppPhase::Halted | AppPhase::Restored | AppPhase::RolledBack) => {
            format!("\x1b[31m{text}\x1b[0m")
        }
        _ => text,
    };
    let mut text = format!("{}: {state}: {message}\n", found.name_any());
    let source = &found.spec.source;
    let revision = status.revision.as_ref().map_or("not read yet", |revision| revision.as_str());
    text.push_str(&format!(
        "  source    {} {} at {revision}\n",
        crate::git::redacted(&source.url),
        source.branch
    ));
    text.push_str(&format!("  writes as {}\n", found.spec.service_account));
    if let Some(why) = unknown(found) {
        text.push_str(&format!("  unknown   {why}\n"));
    }
    for app in &status.apps {
        text.push_str(&paint(app.phase, format!("\n  {} {}", app.name, app.phase.as_str())));
        text.push_str(&format!(", {} objects", app.objects));
        if let Some(wave) = &app.wave {
            text.push_str(&format!(", wave {} of {}", wave.current, wave.of));
        }
        text.push('\n');
        text.push_str(&details(app));
    }
    text.push_str(&status.prune.as_ref().map(left_over).unwrap_or_default());
    text
}

/// What git no longer wants.
fn left_over(prune: &PruneStatus) -> String {
    let mut text = format!("\n  left git: {} to delete\n", prune.count);
    if let Some(message) = &prune.message {
        text.push_str(&format!("    {message}\n"));
    }
    for object in &prune.objects {
        text.push_str(&format!("      {object}\n"));
    }
    for kept in &prune.kept {
        text.push_str(&format!("      kept: {kept}\n"));
    }
    text
}

/// As many as fit on a screen; `fairlead adopt --show` lists more.
const ADOPTION_SHOWN: usize = 10;

fn details(app: &AppStatus) -> String {
    let mut text = String::new();
    if app.desired != app.effective {
        let short = |digest: &Option<crate::object::Digest>| {
            digest.as_ref().map_or("nothing".to_owned(), |digest| digest.short().to_owned())
        };
        text.push_str(&format!("    git says {}, {} runs\n", short(&app.desired), short(&app.effective)));
    }
    if let Some(quarantined) = &app.quarantined {
        text.push_str(&format!("    quarantined: {}\n", quarantined.short()));
    }
    if let Some(waiting) = &app.waiting_on {
        let until = waiting.until.as_ref().map_or(String::new(), |until| format!(", until {until}"));
        text.push_str(&format!("    waits since {}{until}\n", waiting.since));
        for what in &waiting.what {
            text.push_str(&format!("      {what}\n"));
        }
    }
    if let Some(message) = &app.message {
        text.push_str(&format!("    {message}\n"));
    }
    if let Some(adoption) = &app.adoption {
        let why = if adoption.needed { "has to be handed over first" } else { "is deployed by others, too" };
        text.push_str(&format!("    {} of its objects: {why} (`fairlead adopt`)\n", adoption.count));
        for handover in adoption.objects.iter().take(ADOPTION_SHOWN) {
            text.push_str(&format!("      ⇄ {} from {}\n", handover.object, handover.from.join(", ")));
        }
    }
    text
}
