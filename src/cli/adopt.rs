use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::ask::{Asker, Reason};
use super::failure::Failure;
use super::repo::RepoArguments;
use super::target::{self, Global, parse_identity};
use super::{CliResult, Exit, apply};
use crate::agent::{Once, plan_once};
use crate::api::{AppPhase, AppStatus, HandoverStatus, Identity, RequestSpec, Span};
use crate::cluster::Cluster;
use crate::object::{AppName, EnvironmentName};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The environment
    #[arg(long, value_name = "NAME")]
    env: EnvironmentName,
    /// One app of it
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// These objects only, as a plan names them: 'Deployment.apps web/web'
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
    /// Only show what would change hands
    #[arg(long)]
    show: bool,
    /// How long to wait for the agent, which tells of more than it can list at once
    #[arg(long, value_name = "TIME", default_value = "1m")]
    timeout: Span,
    #[command(flatten)]
    repo: RepoArguments,
    /// Write as this service account instead of as yourself; only where no agent owns the environment
    #[arg(long = "as", value_name = "NAMESPACE/NAME", value_parser = parse_identity)]
    identity: Option<Identity>,
    #[command(flatten)]
    reason: Reason,
}

/// One request has room for so many tokens.
const TOKENS: usize = 2000;
/// How often the agent is asked whether it took up what was agreed to.
const LOOK: Duration = Duration::from_millis(300);

/// Agrees that an environment takes over what others deployed: what its apps wait for and what tools deploy beside them,
/// exactly as it shows it.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let cluster = global.connect().await?;
    let (scope, environment) = global.scope(&cluster, &arguments.env).await?;
    if environment.is_some() {
        return ask_the_agent(&cluster, arguments).await;
    }
    let repo = arguments.repo.open()?;
    let mut once = Once::open(cluster, scope, arguments.identity.clone(), global.means()).await?;
    once.only = arguments.app.clone();
    let plan = plan_once(&once, &*repo.tree, repo.revision.clone()).await?;
    let wanted = |object: &str| arguments.objects.is_empty() || arguments.objects.iter().any(|o| o == object);
    let handovers: Vec<_> = plan.handovers().filter(|handover| wanted(&handover.object)).collect();
    if let Some(missing) = arguments.objects.iter().find(|o| handovers.iter().all(|h| h.object != **o)) {
        return Err(nothing_of(missing));
    }
    if handovers.is_empty() {
        eprintln!("{}: nobody holds anything that git claims", arguments.env);
        return Ok(Exit::Done);
    }
    for handover in &handovers {
        println!("⇄ {}", handover.summary());
    }
    if arguments.show {
        return Ok(Exit::Changes);
    }
    once.agreed = Arc::new(handovers.iter().map(|handover| handover.handover.token.clone()).collect());
    apply::roll_out(&once, &*repo.tree).await
}

/// Where an agent owns the environment, the word is left for it: it looks at the same objects and compares.
async fn ask_the_agent(cluster: &Cluster, arguments: &Arguments) -> CliResult {
    let environments = &target::environments(cluster);
    let asker = Asker::new(cluster, &arguments.env, &arguments.reason).await?;
    let mut asked = Vec::new();
    let deadline =
        Timestamp::now() + jiff::SignedDuration::try_from(arguments.timeout.duration()).unwrap_or_default();
    let mut agreed: BTreeMap<String, HandoverStatus> = BTreeMap::new();
    loop {
        let found = target::environment(environments, &arguments.env).await?;
        let apps: Vec<AppStatus> = found.status.unwrap_or_default().apps;
        if let Some(app) = &arguments.app
            && apps.iter().all(|found| found.name != *app)
        {
            return Err(Failure::input(format!("there is no app {app} in {}", arguments.env)));
        }
        let mine = |app: &&AppStatus| arguments.app.as_ref().is_none_or(|name| *name == app.name);
        let (mut fresh, mut left) = (Vec::new(), false);
        for app in apps.iter().filter(mine) {
            let Some(adoption) = &app.adoption else { continue };
            let listed = adoption.objects.iter().filter(|handover| {
                arguments.objects.is_empty() || arguments.objects.contains(&handover.object)
            });
            fresh.extend(listed.filter(|handover| !agreed.contains_key(&handover.token)).cloned());
            // More than it lists, or not looked at again since.
            left |= adoption.needed && arguments.objects.is_empty() && app.phase != AppPhase::Halted;
        }
        for handover in &fresh {
            println!("⇄ {} from {}", handover.object, handover.from.join(", "));
        }
        if agreed.is_empty() {
            let names: BTreeSet<&String> = fresh.iter().map(|handover| &handover.object).collect();
            if let Some(missing) = arguments.objects.iter().find(|object| !names.contains(object)) {
                return Err(nothing_of(missing));
            }
            if fresh.is_empty() {
                eprintln!("{}: nobody holds anything that git claims", arguments.env);
                return Ok(Exit::Done);
            }
            if arguments.show {
                eprintln!("`fairlead plan` shows the fields, and what goes; without --show it is agreed to");
                return Ok(Exit::Changes);
            }
        }
        if !fresh.is_empty() {
            for some in fresh.chunks(TOKENS) {
                let tokens = some.iter().map(|handover| handover.token.clone()).collect();
                asked.push(asker.ask("adopt", RequestSpec { tokens, ..RequestSpec::default() }).await?);
            }
            agreed.extend(fresh.into_iter().map(|handover| (handover.token.clone(), handover)));
        } else if !left {
            break;
        }
        if Timestamp::now() >= deadline {
            eprintln!(
                "error: the agent did not take it up within {}; what was agreed to still holds: fairlead status {}",
                arguments.timeout, arguments.env
            );
            return Ok(Exit::Error);
        }
        tokio::time::sleep(LOOK).await;
    }
    let left = deadline.duration_since(Timestamp::now()).max(jiff::SignedDuration::ZERO);
    let answered = asker.outcome(&asked, Duration::try_from(left).unwrap_or_default()).await?;
    if let Some(exit) = answered.filter(|exit| *exit != Exit::Done) {
        return Ok(exit);
    }
    eprintln!("agreed: {} objects, of exactly this state", agreed.len());
    Ok(Exit::Done)
}

fn nothing_of(object: &str) -> Failure {
    Failure::input(format!("nobody holds anything of {object:?} that git claims"))
        .hint("`fairlead plan` and `fairlead status` name the objects that others hold")
}
