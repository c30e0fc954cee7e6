//! The only reader of the process environment: what the agent is told when it starts, checked once.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// Resolved before anything begins; later code takes it as it is.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    /// Where the git caches are. May be lost at any time.
    pub cache: PathBuf,
    /// Probes and metrics.
    pub listen: SocketAddr,
    /// The agent's own namespace: its Leases, and the Secrets that hold git credentials.
    pub namespace: String,
    /// Where it keeps what environments remember: a namespace that is the agents' alone.
    pub state_namespace: String,
    /// The name of this replica, for people: replicas of one name do not disturb each other.
    pub instance: String,
    /// Polls every remote this often, whatever the Environments say.
    pub poll_interval: Option<Duration>,
    /// Which git remotes may be reached.
    pub git: GitConfig,
    /// The helm binary, where there is one, and what a chart may cost: all its renderings together, and bytes of memory.
    pub helm: Option<PathBuf>,
    pub helm_time: Duration,
    pub helm_memory: u64,
    /// Bytes of memory that this process may have; what it renders at the same time takes a part of it.
    pub memory: u64,
    /// Bytes that all git caches may take together.
    pub git_cache: u64,
    /// Charts are rendered by a helm that is confined, or not at all.
    pub helm_confined: bool,
    /// Environments to look after; all where empty.
    pub only: Vec<String>,
    /// Of those, the ones whose class is this.
    pub class: Option<String>,
    pub history: HistoryConfig,
    /// Where notices are posted.
    pub notify: Option<Hidden>,
    pub secrets: SecretsConfig,
    /// Where API servers send their audit log, where they do.
    pub audit: Option<AuditConfig>,
    /// A kind that could not be verified for so long is unknown.
    pub unknown_after: Duration,
    pub pull_requests: PullRequestsConfig,
    pub regions: RegionsConfig,
}

/// In which region the agent is, and where it meets those of the others. Both are there, or none.
#[derive(Clone, Debug, Default)]
pub struct RegionsConfig {
    pub region: Option<String>,
    pub shared_place: Option<String>,
}

/// The webhook that takes audit logs.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    pub listen: SocketAddr,
    /// What it shows, and the key of it: files in PEM.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Who signs the certificates of clients, and a token that they may show instead; at least one of them is there.
    pub client_ca: Option<PathBuf>,
    pub token: Option<PathBuf>,
}

/// How pull requests are looked after.
#[derive(Clone, Debug, Default)]
pub struct PullRequestsConfig {
    /// Where those of the forge `files` are; none of them are looked after where there is none.
    pub folder: Option<PathBuf>,
    /// Whether a forge on a loopback address may be asked without TLS.
    pub plain_http: bool,
    /// The name of this cluster in comments, where several look after one repository.
    pub cluster: Option<String>,
}

/// Which git remotes may be reached.
#[derive(Clone, Debug, Default)]
pub struct GitConfig {
    /// Hosts by pattern; any where none is named.
    pub hosts: Vec<String>,
    /// Addresses that are reached although they are this machine's, link-local, or the cluster's.
    pub addresses: Vec<IpNet>,
    /// The cluster's own addresses, beside those that the API server knows of.
    pub cluster: Vec<IpNet>,
    /// Whether `file://` names folders of this machine.
    pub folders: bool,
}

/// Where and how long the history is kept.
#[derive(Clone, Debug)]
pub struct HistoryConfig {
    /// A URL, which may hold a password; nowhere where there is none.
    pub url: Option<Hidden>,
    pub password_file: Option<PathBuf>,
    /// The name of the cluster, where several share a database.
    pub cluster: String,
    pub kept: Duration,
}

/// How secrets are looked after.
#[derive(Clone, Debug)]
pub struct SecretsConfig {
    /// How often the provider is asked whether something changed.
    pub interval: Duration,
    /// The URL of a queue that says so at once.
    pub queue: Option<String>,
    /// Consumers that roll at once for newer versions: in all environments together, and in one of them.
    pub at_once: usize,
    pub at_once_in_one: usize,
}

/// A text that may be a secret, and so is never shown.
#[derive(Clone)]
pub struct Hidden(pub String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The addresses of the cluster that a pod knows of: that of the API server's Service.
pub fn api_service() -> Option<IpAddr> {
    std::env::var("KUBERNETES_SERVICE_HOST").ok()?.parse().ok()
}

/// The namespace of the pod that we are, if we are one.
pub fn own_namespace() -> Option<String> {
    if let Ok(namespace) = std::env::var("POD_NAMESPACE") {
        return Some(namespace).filter(|namespace| !namespace.is_empty());
    }
    let text = std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace").ok()?;
    Some(text.trim().to_owned()).filter(|namespace| !namespace.is_empty())
}

/// The name of the pod or machine that we run on.
pub fn own_name() -> String {
    std::env::var("POD_NAME")
        .or_else(|_| std::env::var("HOSTNAME"))
        .ok()
        .or_else(|| {
            std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned())
        })
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "fairlead".to_owned())
}

/// Where caches live: `$XDG_CACHE_HOME/fairlead`, or `~/.cache/fairlead`, or a folder of the system's.
pub fn default_cache() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("fairlead")
}

/// The memory that this process may have: what the cgroup's limit leaves it (version 2, or 1), or else that of the machine.
pub fn memory() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"].map(read);
    memory_of([&limits[0], &limits[1]], &read("/proc/meminfo"))
}

/// Where nothing says how much there is.
const SOME_MEMORY: u64 = 1 << 30;

fn memory_of(limits: [&str; 2], machine: &str) -> u64 {
    let total = machine.lines().find_map(|line| {
        let kib: u64 = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    });
    // No limit is written as `max`, or as a number that no machine has.
    let limits = limits.into_iter().filter_map(|limit| limit.trim().parse::<u64>().ok());
    limits.chain(total).filter(|bytes| *bytes > 0).min().unwrap_or(SOME_MEMORY)
}

/// Where a program is: as it is named, or else where the PATH has it.
pub fn program(named: Option<PathBuf>, name: &str) -> Option<PathBuf> {
    let wanted = named.unwrap_or_else(|| name.into());
    if wanted.components().count() > 1 {
        // Nothing is run in the folder that we were started in.
        return Some(std::path::absolute(&wanted).unwrap_or(wanted));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(&wanted)).find(|file| file.is_file())
}

/// A folder of the system's for what is soon gone.
pub fn scratch() -> PathBuf {
    std::env::temp_dir()
}

/// The user's wish for no colours, see no-color.org.
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// The pager that the user likes, if any.
pub fn pager() -> Option<String> {
    std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_that_of_the_cgroup_or_of_the_machine() {
        let machine = "MemTotal:       16000 kB\nMemFree:         2000 kB\n";
        let cases = [
            (["1048576\n", ""], machine, 1 << 20),
            (["max\n", ""], machine, 16_000 << 10),
            (["", "2097152\n"], machine, 2 << 20),
            (["", "9223372036854771712\n"], machine, 16_000 << 10),
            (["", ""], machine, 16_000 << 10),
            (["", ""], "", SOME_MEMORY),
            (["0", "what"], "MemTotal: what", SOME_MEMORY),
        ];
        for (limits, machine, expected) in cases {
            assert_eq!(memory_of(limits, machine), expected, "{limits:?}");
        }
    }
}
