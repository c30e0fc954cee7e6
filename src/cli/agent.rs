use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::limits::Size;
use super::target::Global;
use super::{CliResult, Exit};
use crate::api::Span;
use crate::config::{
    self, AgentConfig, AuditConfig, GitConfig, Hidden, HistoryConfig, PullRequestsConfig, RegionsConfig,
    SecretsConfig,
};
use crate::object::host;
use crate::telemetry::{self, LogFormat};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the git caches are kept; may be lost at any time
    #[arg(long, value_name = "DIR", env = "FAIRLEAD_CACHE")]
    cache: Option<PathBuf>,
    /// The address of probes and metrics
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", env = "FAIRLEAD_LISTEN")]
    listen: SocketAddr,
    /// Where it keeps what environments remember: a namespace that is the agents' alone; the agent's own with `-state`
    /// behind it where none is given
    #[arg(long, value_name = "NAMESPACE", env = "FAIRLEAD_STATE_NAMESPACE")]
    state_namespace: Option<String>,
    /// Ask every remote this often, whatever the Environments say
    #[arg(long, value_name = "TIME", env = "FAIRLEAD_POLL_INTERVAL")]
    poll_interval: Option<Span>,
    /// A host that git remotes may be on: git.example, *.git.example, git.example:8443; may be given more than once. Any
    /// host where none is given
    #[arg(long, value_name = "HOST", env = "FAIRLEAD_GIT_HOSTS", value_delimiter = ',', value_parser = host)]
    git_host: Vec<String>,
    /// An address, or a network such as 10.96.0.0/12, that git remotes may have although it is this machine's, link-local
    /// or the cluster's own; may be given more than once
    #[arg(long, value_name = "ADDRESS", env = "FAIRLEAD_GIT_ADDRESSES", value_delimiter = ',', value_parser = network)]
    git_address: Vec<IpNet>,
    /// A network of the cluster, such as that of its pods, in which no git remote is; may be given more than once. Those of
    /// its Services are known
    #[arg(long, value_name = "NETWORK", env = "FAIRLEAD_CLUSTER_NETWORKS", value_delimiter = ',', value_parser = network)]
    cluster_network: Vec<IpNet>,
    /// Let file:// URLs of Environments name folders of this machine
    #[arg(long, env = "FAIRLEAD_GIT_FOLDERS")]
    git_folders: bool,
    /// Memory that this process may have, such as 2Gi; a quarter of it is for what is rendered at the same time. The limit of
    /// its cgroup where none is given, or else what the machine has
    #[arg(long, value_name = "BYTES", env = "FAIRLEAD_MEMORY")]
    memory: Option<Size>,
    /// What all git caches may take on disk together. Those of remotes that nobody follows any more go first
    #[arg(long, value_name = "BYTES", default_value = "1536Mi", env = "FAIRLEAD_GIT_CACHE")]
    git_cache: Size,
    /// The name of this replica, where it is not that of the pod or machine
    #[arg(long, value_name = "NAME", env = "FAIRLEAD_INSTANCE")]
    instance: Option<String>,
    /// Look after these environments only; may be given more than once
    #[arg(long = "env", value_name = "NAME")]
    only: Vec<String>,
    /// Look after the environments of this class (`spec.class`); after those that have none where none is given
    #[arg(long, value_name = "CLASS", env = "FAIRLEAD_CLASS")]
    class: Option<String>,
    /// Where the history is kept: sqlite:/var/lib/fairlead/history.sqlite, or postgres://user@host/database for several
    /// replicas; a file in the cache where none is given, and nowhere with `off`. With a password in it better by the
    /// environment than here
    #[arg(long, value_name = "URL", env = "FAIRLEAD_HISTORY", hide_env_values = true)]
    history: Option<String>,
    /// A file with the password of the PostgreSQL that keeps the history; read anew for each connection
    #[arg(long, value_name = "FILE", env = "FAIRLEAD_HISTORY_PASSWORD_FILE")]
    history_password_file: Option<PathBuf>,
    /// How long the history is kept, in whole days
    #[arg(long, value_name = "TIME", default_value = "400d", env = "FAIRLEAD_HISTORY_KEEP")]
    history_keep: Span,
    /// The name of this cluster: in the history, where several clusters share a database, and in comments on pull requests
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true,
        env = "FAIRLEAD_CLUSTER"
    )]
    cluster: String,
    /// Post what people have to know as JSON to this URL. It may be a secret: better by the environment than here
    #[arg(long, value_name = "URL", env = "FAIRLEAD_NOTIFY_URL", hide_env_values = true)]
    notify_url: Option<String>,
    /// Ask for newer versions of secrets this often: where there is a queue once an hour is enough
    #[arg(long, value_name = "TIME", default_value = "5m", env = "FAIRLEAD_SECRETS_INTERVAL")]
    secrets_interval: Span,
    /// A queue of SQS that EventBridge tells of changes of secrets: then they are followed within seconds
    #[arg(long, value_name = "URL", env = "FAIRLEAD_SECRETS_QUEUE")]
    secrets_queue: Option<String>,
    /// Workloads that roll at once for newer versions of secrets, in all environments together
    #[arg(long, value_name = "COUNT", default_value_t = 20, env = "FAIRLEAD_SECRETS_AT_ONCE")]
    secrets_at_once: usize,
    /// The same, in one environment
    #[arg(long, value_name = "COUNT", default_value_t = 5, env = "FAIRLEAD_SECRETS_AT_ONCE_IN_ONE")]
    secrets_at_once_in_one: usize,
    /// Take the audit log of API servers here, over TLS, and say by it who changed what: `audit.k8s.io/v1` EventLists by POST
    #[arg(long, value_name = "ADDRESS", env = "FAIRLEAD_AUDIT_WEBHOOK")]
    audit_webhook: Option<SocketAddr>,
    /// The certificate that the audit webhook shows, in PEM; read anew when it changes
    #[arg(long, value_name = "FILE", env = "FAIRLEAD_AUDIT_WEBHOOK_CERT")]
    audit_webhook_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM
    #[arg(long, value_name = "FILE", env = "FAIRLEAD_AUDIT_WEBHOOK_KEY")]
    audit_webhook_key: Option<PathBuf>,
    /// The authority whose client certificates may send audit logs, in PEM
    #[arg(long, value_name = "FILE", env = "FAIRLEAD_AUDIT_WEBHOOK_CLIENT_CA")]
    audit_webhook_client_ca: Option<PathBuf>,
    /// A file with the bearer token that may send audit logs, of 16 letters at least; read anew for each request
    #[arg(long, value_name = "FILE", env = "FAIRLEAD_AUDIT_WEBHOOK_TOKEN_FILE")]
    audit_webhook_token_file: Option<PathBuf>,
    /// Say that it is unknown whether a kind is as git says where its watch failed or was silent for so long
    #[arg(long, value_name = "TIME", default_value = "5m", env = "FAIRLEAD_UNKNOWN_AFTER")]
    unknown_after: Span,
    /// The folder with the pull requests of the forge `files`: those of the repository `infra` are in its folder `infra`
    #[arg(long, value_name = "DIR", env = "FAIRLEAD_PULL_REQUESTS_FOLDER")]
    pull_requests_folder: Option<PathBuf>,
    /// Ask a forge on a loopback address without TLS, if its URL says so
    #[arg(long)]
    allow_plain_http: bool,
    /// The region that this cluster is in. Then environments that say something of regions run here what this region has of
    /// them, and write only while it holds them
    #[arg(long, value_name = "REGION", env = "FAIRLEAD_REGION", requires = "shared_place")]
    region: Option<String>,
    /// Where the regions meet: dynamodb:REGION/TABLE, s3:REGION/BUCKET/FOLDER, or lease:NAMESPACE@KUBECONFIG of a cluster that
    /// belongs to none of them
    #[arg(long, value_name = "PLACE", env = "FAIRLEAD_SHARED_PLACE")]
    shared_place: Option<String>,
    /// What is logged, such as `info` or `fairlead=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", env = "FAIRLEAD_LOG")]
    log: String,
    #[arg(long, value_enum, default_value_t, env = "FAIRLEAD_LOG_FORMAT")]
    log_format: LogFormat,
}

impl Arguments {
    /// How audit logs are taken, where they are: never of who cannot show who they are.
    fn audit(&self) -> Result<Option<AuditConfig>, Failure> {
        let some = |file: &Option<PathBuf>| file.clone().filter(|file| !file.as_os_str().is_empty());
        let Some(listen) = self.audit_webhook else { return Ok(None) };
        let (Some(certificate), Some(key)) = (some(&self.audit_webhook_cert), some(&self.audit_webhook_key))
        else {
            return Err(Failure::input("--audit-webhook needs --audit-webhook-cert and --audit-webhook-key"));
        };
        let (client_ca, token) = (some(&self.audit_webhook_client_ca), some(&self.audit_webhook_token_file));
        if client_ca.is_none() && token.is_none() {
            return Err(Failure::input(
                "--audit-webhook needs --audit-webhook-client-ca, --audit-webhook-token-file, or both: without them anybody \
                 could say who changed what",
            ));
        }
        Ok(Some(AuditConfig { listen, certificate, key, client_ca, token }))
    }
}

pub fn run(global: &Global, arguments: Arguments) -> CliResult {
    telemetry::start(&arguments.log, arguments.log_format);
    let audit = arguments.audit()?;
    let namespace =
        global.namespace.clone().or_else(config::own_namespace).unwrap_or_else(|| "fairlead".to_owned());
    let cache = arguments.cache.unwrap_or_else(|| config::default_cache().join("agent"));
    let history = match arguments.history.as_deref() {
        Some("off") => None,
        Some(url) if !url.is_empty() => Some(url.to_owned()),
        _ => Some(format!("sqlite:{}", cache.join("history.sqlite").display())),
    };
    let config = AgentConfig {
        audit,
        unknown_after: arguments.unknown_after.duration().max(Duration::from_secs(1)),
        history: HistoryConfig {
            url: history.map(Hidden),
            password_file: arguments.history_password_file.filter(|file| !file.as_os_str().is_empty()),
            cluster: arguments.cluster.clone(),
            kept: arguments.history_keep.duration(),
        },
        notify: arguments.notify_url.filter(|url| !url.is_empty()).map(Hidden),
        kubeconfig: global.kubeconfig.clone(),
        context: global.context.clone(),
        cache,
        listen: arguments.listen,
        state_namespace: arguments.state_namespace.unwrap_or_else(|| format!("{namespace}-state")),
        namespace,
        instance: arguments.instance.unwrap_or_else(config::own_name),
        poll_interval: arguments.poll_interval.map(Span::duration),
        git: GitConfig {
            hosts: arguments.git_host,
            addresses: arguments.git_address,
            cluster: arguments.cluster_network,
            folders: arguments.git_folders,
        },
        helm: config::program(global.helm.clone(), "helm"),
        helm_time: global.helm_timeout.duration(),
        helm_memory: global.helm_bytes(),
        memory: arguments.memory.map_or_else(config::memory, Size::bytes),
        git_cache: arguments.git_cache.bytes(),
        helm_confined: !global.helm_unconfined,
        only: arguments.only,
        pull_requests: PullRequestsConfig {
            folder: arguments.pull_requests_folder.filter(|folder| !folder.as_os_str().is_empty()),
            plain_http: arguments.allow_plain_http,
            cluster: Some(arguments.cluster).filter(|cluster| !cluster.is_empty()),
        },
        regions: RegionsConfig {
            region: arguments.region.filter(|region| !region.is_empty()),
            shared_place: arguments.shared_place.filter(|place| !place.is_empty()),
        },
        class: arguments.class.filter(|class| !class.is_empty()),
        secrets: SecretsConfig {
            interval: arguments.secrets_interval.duration().max(Duration::from_secs(1)),
            queue: arguments.secrets_queue.filter(|url| !url.is_empty()),
            at_once: arguments.secrets_at_once,
            at_once_in_one: arguments.secrets_at_once_in_one,
        },
    };
    let limits = global.limits();
    super::block_on_and_wipe(async move {
        let end = CancellationToken::new();
        tokio::spawn(until_told(end.clone()));
        let done = crate::agent::run(config, limits, end).await;
        done.map(|()| Exit::Done).map_err(|error| Failure::error("the agent cannot run", &error))
    })
}

/// SIGTERM and SIGINT hand over; a second one does not wait.
async fn until_told(end: CancellationToken) {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    for round in 0..2 {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        if round == 0 {
            tracing::info!("told to end; handing over");
            end.cancel();
        }
    }
    std::process::exit(130);
}

fn host(text: &str) -> Result<String, String> {
    host::problem(text).map_or_else(|| Ok(text.to_owned()), Err)
}

/// An address stands for the network that has no other.
fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = address.ok().or_else(|| text.parse::<IpNet>().ok());
    network.ok_or_else(|| format!("{text:?} is neither an address nor a network such as 10.96.0.0/12"))
}
