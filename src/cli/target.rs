use std::path::PathBuf;

use clap::Args;
use kube::ResourceExt;

use super::failure::Failure;
use super::limits::LimitArguments;
use crate::agent::Means;
use crate::agent::desired::DesiredScope;
use crate::api::{Environment, Identity, Span};
use crate::cluster::{Cluster, ConnectError, ConnectOptions, Environments};
use crate::config;
use crate::helm::{Bounds, Helm};
use crate::object::{EnvironmentName, TreePath};
use crate::policy::Grants;
use crate::render::Limits;

/// Which cluster, for every verb that asks one.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The kubeconfig file, where it is not $KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace of objects that name none, where no Environment says it
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The helm binary that renders charts; `helm` of the PATH where none is named
    #[arg(long, global = true, value_name = "FILE", env = "FAIRLEAD_HELM")]
    pub helm: Option<PathBuf>,
    /// How long helm may take for a chart
    #[arg(long, global = true, value_name = "TIME", default_value = "60s", env = "FAIRLEAD_HELM_TIMEOUT")]
    pub helm_timeout: Span,
    /// How much memory helm may take for a chart, in MiB
    #[arg(long, global = true, value_name = "MIB", default_value_t = 384, env = "FAIRLEAD_HELM_MEMORY")]
    pub helm_memory: u32,
    /// Run helm although this kernel cannot confine it (no Landlock or no seccomp): whoever writes charts has to be trusted then
    #[arg(long, global = true, env = "FAIRLEAD_HELM_UNCONFINED")]
    pub helm_unconfined: bool,
    #[command(flatten)]
    limits: LimitArguments,
}

impl Global {
    /// What renders charts, for one command.
    pub fn helm(&self) -> Helm {
        let bounds = Bounds {
            time: self.helm_timeout.duration(),
            memory: self.helm_bytes(),
            confined: !self.helm_unconfined,
            ..Bounds::default()
        };
        Helm::new(config::program(self.helm.clone(), "helm"), &config::scratch(), bounds)
    }

    /// What a render may cost.
    pub fn limits(&self) -> Limits {
        self.limits.limits()
    }

    /// What renders, for one command.
    pub fn means(&self) -> Means {
        Means { helm: self.helm().into(), limits: self.limits() }
    }

    pub fn helm_bytes(&self) -> u64 {
        u64::from(self.helm_memory) << 20
    }

    pub async fn connect(&self) -> Result<Cluster, Failure> {
        Ok(self.try_connect().await?)
    }

    pub async fn try_connect(&self) -> Result<Cluster, ConnectError> {
        let options = ConnectOptions { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        Cluster::connect(&options).await
    }

    /// The scope of an environment: what its Environment grants, or the caller's own rights where there is none.
    pub async fn scope(
        &self,
        cluster: &Cluster,
        name: &EnvironmentName,
    ) -> Result<(DesiredScope, Option<Environment>), Failure> {
        // A cluster without our definitions has no Environments, either.
        let found = environments(cluster).get_whole(name.as_str()).await?;
        let default = self.namespace.clone().or_else(|| Some(cluster.default_namespace().to_owned()));
        let mut scope = DesiredScope::unbound(name.clone(), default)?;
        if let Some(environment) = &found {
            let spec = &environment.spec;
            if let Some(path) = &spec.source.path {
                scope.path = TreePath::new(path)?;
            }
            scope.grants = Some(Grants::of(name.as_str(), spec, &[]));
        }
        Ok((scope, found))
    }
}

/// Reads `namespace/name`.
pub fn parse_identity(text: &str) -> Result<Identity, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(Identity { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err("write it as NAMESPACE/NAME of a service account".to_owned()),
    }
}

/// The Environments of a cluster, as a command asks about them.
pub fn environments(cluster: &Cluster) -> Environments {
    Environments::new(cluster, "fairlead-cli")
}

/// The one Environment of a name with all that is told of its apps, or an error that lists those there are.
pub async fn environment(
    environments: &Environments,
    name: &EnvironmentName,
) -> Result<Environment, Failure> {
    if let Some(environment) = environments.get_whole(name.as_str()).await? {
        return Ok(environment);
    }
    let names: Vec<String> = environments.list().await?.iter().map(ResourceExt::name_any).collect();
    let hint = match names.is_empty() {
        true => "this cluster has none".to_owned(),
        false => format!("there are {}", names.join(", ")),
    };
    Err(Failure::input(format!("there is no Environment {name}")).hint(hint))
}
