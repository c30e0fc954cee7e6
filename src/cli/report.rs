use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::environment_file::{EnvironmentFile, Platform};
use super::failure::Failure;
use super::output::{print, print_value};
use super::repo::{Repo, RepoArguments, environments};
use super::target::{Global, parse_identity};
use super::{CliResult, Exit};
use crate::agent::Once;
use crate::agent::charts::Charts;
use crate::agent::desired::DesiredScope;
use crate::agent::review::{Sides, Target, Trees, render_sides};
use crate::api::Identity;
use crate::cluster::{Cluster, ConnectError, Requests};
use crate::git::{GitTree, Local};
use crate::object::secret::Pins;
use crate::object::{EnvironmentName, Kinds};
use crate::requests::agreed;
use crate::review as words;
use crate::review::markdown::{LEAST_LIMIT, LIMIT};
use crate::review::{Change, LiveSide, Report, RiskClass, Severity, Side, markdown, review, sarif};
use crate::schema::{self, Builtin};

#[derive(Debug, Args)]
pub struct Arguments {
    /// An environment, or more by repeating it; all of the repository where none is given
    #[arg(long, value_name = "NAME")]
    env: Vec<EnvironmentName>,
    /// What the change is to be merged into (branch, tag, commit). Compared is the commit at which the two parted, so
    /// that what others merged there since is not told as yours
    #[arg(long, value_name = "REV")]
    against: String,
    #[command(flatten)]
    repo: RepoArguments,
    /// Compare the files alone, and ask no cluster
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    platform: EnvironmentFile,
    /// The version of Kubernetes that files are compared for where no cluster is asked, as 1.36
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    /// Ask as this service account instead of as yourself (you need the right to impersonate it)
    #[arg(long = "as", value_name = "NAMESPACE/NAME", value_parser = parse_identity)]
    identity: Option<Identity>,
    /// Read every secret that apps refer to with the AWS credentials at hand, and say which cannot be used; no value is
    /// printed or kept
    #[arg(long, conflicts_with = "offline")]
    check_secrets: bool,
    /// What people call the cluster: it stands in the report
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    #[arg(short, long, value_enum, default_value_t)]
    format: Format,
    /// The most characters that Markdown may have: what does not fit is left out by its importance, and that is said
    #[arg(long, value_name = "CHARACTERS", default_value_t = LIMIT, value_parser = limit)]
    limit: usize,
    /// Exit with 4 where there is a risk of this class, or of this severity (error, warning, note) or a graver one
    #[arg(long, value_name = "CLASS|SEVERITY", value_parser = fail_on)]
    fail_on: Vec<FailOn>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A comment of a forge
    #[default]
    Markdown,
    Json,
    /// SARIF 2.1.0: the risks at their lines
    Sarif,
}

#[derive(Clone, Copy, Debug)]
enum FailOn {
    Severity(Severity),
    Class(RiskClass),
}

fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit) if limit >= LEAST_LIMIT => Ok(limit),
        _ => Err(format!("write a number of {LEAST_LIMIT} or more")),
    }
}

fn fail_on(text: &str) -> Result<FailOn, String> {
    if let Ok(severity) = text.parse() {
        return Ok(FailOn::Severity(severity));
    }
    let class = RiskClass::ALL.iter().find(|class| class.as_str() == text);
    class.map(|class| FailOn::Class(*class)).ok_or_else(|| {
        let names: Vec<&str> = RiskClass::ALL.iter().map(|class| class.as_str()).collect();
        format!("write error, warning, note, or one of {}", names.join(", "))
    })
}

impl FailOn {
    fn hits(self, report: &Report) -> bool {
        match self {
            Self::Severity(severity) => report.severity().is_some_and(|gravest| gravest >= severity),
            Self::Class(class) => report.risks().any(|risk| risk.class == class),
        }
    }
}

/// The two sides of a change, as files.
struct Both {
    base: GitTree,
    head: Repo,
    about: (Side, Side),
}

/// Exits with 3 where something changes, with 2 where something would not be applied, with 4 where `--fail-on` says so.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let both = open(arguments)?;
    let names = names(arguments, &both)?;
    let cluster = connect(global, arguments).await?;
    let platform = arguments.platform.read()?;
    platform.names_some(&names)?;
    let builtin = match &arguments.kube_version {
        Some(asked) => schema::release(asked).map_err(|error| Failure::input(error.to_string()))?,
        None => schema::builtin(),
    };
    let trees = Trees { base: &both.base, head: &*both.head.tree };
    let mut seen = Vec::new();
    for name in names {
        let one = match &cluster {
            Some(cluster) => look(global, arguments, cluster, name, trees).await.map_err(without_cluster)?,
            None => read(global, &platform, name, builtin, trees)?,
        };
        seen.push(one);
    }
    let unseen = (cluster.is_none() && !arguments.offline).then(|| "no cluster is configured".to_owned());
    let changes: Vec<Change<'_>> = seen.iter_mut().map(|one| one.change(builtin, unseen.as_ref())).collect();
    let (base, head) = both.about;
    let report = review(arguments.cluster.clone(), base, head, &changes);
    match arguments.format {
        Format::Markdown => print(&markdown(&report, arguments.limit)),
        Format::Json => print_value(&report, super::output::Format::Json)?,
        Format::Sarif => print_value(&sarif(&report), super::output::Format::Json)?,
    }
    Ok(if arguments.fail_on.iter().any(|fail_on| fail_on.hits(&report)) {
        Exit::GateFailed
    } else if report.is_refused() {
        Exit::Input
    } else if report.has_changes() {
        Exit::Changes
    } else {
        Exit::Done
    })
}

fn open(arguments: &Arguments) -> Result<Both, Failure> {
    let head = arguments.repo.open()?;
    let local = Local::open(&head.root)?;
    // Paths of both sides must begin at the same folder.
    let root = |path: &std::path::Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if root(local.root()) != root(&head.root) {
        let (folder, root) = (head.root.display(), local.root().display());
        return Err(Failure::input(format!(
            "{folder} is a folder of the repository {root}, and not all of it"
        ))
        .hint("a change is compared in the whole repository: --repo names its root"));
    }
    let tip = arguments.repo.rev.as_deref().unwrap_or("HEAD");
    let base = local.merge_base(&arguments.against, tip)?;
    let before = Side {
        revision: Some(base.short().to_owned()),
        what: format!("the merge base of {} and {tip}", arguments.against),
    };
    let what = if head.revision.is_some() { tip } else { "the files as they lie in the folder" };
    let after = Side { revision: head.revision.clone(), what: what.to_owned() };
    Ok(Both { base: local.tree(Some(base.as_str()))?, head, about: (before, after) })
}

/// The environments that are asked for, or all that either side has.
fn names(arguments: &Arguments, both: &Both) -> Result<Vec<EnvironmentName>, Failure> {
    let mut names = arguments.env.clone();
    if names.is_empty() {
        names = environments(&*both.head.tree)?.unwrap_or_default();
        names.extend(environments(&both.base)?.unwrap_or_default());
        if names.is_empty() {
            return Err(Failure::input(format!("{} has no environments", both.head.root.display()))
                .hint("--repo names the infra repository, or --env an environment"));
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// The cluster, where one is configured and wanted.
async fn connect(global: &Global, arguments: &Arguments) -> Result<Option<Cluster>, Failure> {
    if arguments.offline {
        return Ok(None);
    }
    match global.try_connect().await {
        Ok(cluster) => Ok(Some(cluster)),
        Err(ConnectError::Infer(_)) => {
            eprintln!("note: no cluster is configured, so the files alone are compared");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// What to do where the cluster gives no answer.
fn without_cluster(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Error => failure.hint("--offline compares the files alone"),
        _ => failure,
    }
}

/// What was found of an environment.
struct Sighted {
    name: EnvironmentName,
    sides: Sides,
    kinds: Option<Arc<Kinds>>,
    live: Option<LiveSide>,
}

impl Sighted {
    fn change(&mut self, builtin: &'static Builtin, unseen: Option<&String>) -> Change<'_> {
        let before = std::mem::take(&mut self.sides.before);
        let after = std::mem::replace(&mut self.sides.after, Ok(Vec::new()));
        Change {
            environment: self.name.clone(),
            production: self.sides.production,
            before,
            after,
            target: words::Target { serves: self.kinds.as_deref(), release: builtin },
            stops: std::mem::take(&mut self.sides.stops),
            live: self.live.take(),
            unseen: unseen.cloned(),
            records: Vec::new(),
        }
    }
}

/// From the files alone.
fn read(
    global: &Global,
    platform: &Platform,
    name: EnvironmentName,
    builtin: &Builtin,
    trees: Trees<'_>,
) -> Result<Sighted, Failure> {
    let namespace = global.namespace.clone().or_else(|| Some("default".to_owned()));
    let scope = platform.bind(DesiredScope::unbound(name.clone(), namespace)?)?;
    let helm = global.helm();
    let (kinds, limits) = (Arc::new(builtin.kinds().clone()), global.limits());
    let charts = Charts::offline(&helm, Some(builtin.release()));
    let target = Target { scope: &scope, kinds: &kinds, limits: &limits, charts: &charts };
    let sides = render_sides(trees, target, &|_| Pins::offline());
    Ok(Sighted { name, sides, kinds: None, live: None })
}

/// With the cluster.
async fn look(
    global: &Global,
    arguments: &Arguments,
    cluster: &Cluster,
    name: EnvironmentName,
    trees: Trees<'_>,
) -> Result<Sighted, Failure> {
    let (scope, environment) = global.scope(cluster, &name).await?;
    if environment.is_none() {
        eprintln!("note: this cluster has no Environment {name}: nothing says what it is granted");
    }
    let asked = Requests::new(cluster);
    let mut once = Once::open(cluster.clone(), scope, arguments.identity.clone(), global.means()).await?;
    if let Some(environment) = &environment {
        let since = environment.metadata.creation_timestamp.as_ref().map(|time| time.0);
        // Who may not read them sees what would be without.
        let asked = asked.list().await.unwrap_or_default();
        once.agreed = agreed(&asked, name.as_str(), since);
    }
    once.platform = environment;
    let mut sides = once.render_sides(trees).await;
    let mut live = once.look(&mut sides).await?;
    if arguments.check_secrets && sides.after.is_ok() {
        let changed = sides.changed();
        live.unreadable.clear();
        for secret in once.check_secrets(trees.head).await? {
            let Some(trouble) = &secret.trouble else { continue };
            let apps = secret.apps.iter().filter(|app| changed.contains(*app));
            live.unreadable.extend(apps.map(|app| (app.clone(), format!("{}: {trouble}", secret.name))));
        }
    }
    Ok(Sighted { name, sides, kinds: Some(once.session.kinds()), live: Some(live) })
}
