use std::time::Duration;

use clap::Args;

use super::ask::{Asker, Reason};
use super::failure::Failure;
use super::target::{self, Global, environment};
use super::{CliResult, Exit};
use crate::api::RequestSpec;
use crate::object::EnvironmentName;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The environment
    #[arg(long, value_name = "NAME")]
    env: EnvironmentName,
    /// The set that was shown, or the beginning of its digest: refused where it is another one by now
    #[arg(long, value_name = "DIGEST")]
    digest: Option<String>,
    /// Only show what would be deleted
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    reason: Reason,
}

/// An agent that does nothing else answers at once; the request stays, and is not waited for.
const ANSWERED: Duration = Duration::from_secs(10);

/// Lets go of what an environment halted on: exactly the objects that it names, and no others.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let cluster = global.connect().await?;
    let environments = target::environments(&cluster);
    let found = environment(&environments, &arguments.env).await?;
    let prune = found.status.and_then(|status| status.prune).filter(|prune| prune.halted);
    let Some((prune, digest)) = prune.and_then(|prune| prune.digest.clone().map(|digest| (prune, digest)))
    else {
        eprintln!("{} waits for no approval", arguments.env);
        return Ok(Exit::Done);
    };
    eprintln!("{}: {}", arguments.env, prune.message.unwrap_or_default());
    for object in &prune.objects {
        println!("- delete {object}");
    }
    let shown = u32::try_from(prune.objects.len()).unwrap_or(u32::MAX);
    if prune.count > shown {
        println!("  and {} more; `fairlead plan` lists all", prune.count - shown);
    }
    if let Some(expected) = &arguments.digest
        && (expected.is_empty() || !digest.as_str().starts_with(expected.as_str()))
    {
        return Err(Failure::input(format!(
            "what would be deleted is {} by now, not {expected}",
            digest.short()
        ))
        .hint("look at the list above, and approve that one if it is what you want"));
    }
    if arguments.show {
        eprintln!("to let it: fairlead approve --env {} --digest {}", arguments.env, digest.short());
        return Ok(Exit::Changes);
    }
    let asker = Asker::new(&cluster, &arguments.env, &arguments.reason).await?;
    let what = RequestSpec { digest: Some(digest.to_string()), ..RequestSpec::default() };
    let asked = asker.ask("approve", what).await?;
    eprintln!("approved {}: these {} objects and no others", digest.short(), prune.count);
    let answered = asker.outcome(&[asked], ANSWERED).await?;
    Ok(answered.unwrap_or_else(|| {
        eprintln!("it is not answered yet: fairlead requests {}", arguments.env);
        Exit::Done
    }))
}
