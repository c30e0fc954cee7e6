//! The platform's word from a file: what an Environment says, for those who have no cluster to ask.

use std::path::{Path, PathBuf};

use clap::Args;
use kube::ResourceExt;

use super::failure::Failure;
use crate::agent::desired::{DesiredScope, pointer};
use crate::api::Environment;
use crate::object::{EnvironmentName, Problem, TreePath};
use crate::policy::Grants;
use crate::yaml;

#[derive(Debug, Args)]
pub struct EnvironmentFile {
    /// A file with the Environments of the platform: what they grant and limit is held against the files. Other objects in it
    /// are left alone
    #[arg(long, value_name = "FILE")]
    environment_file: Option<PathBuf>,
}

/// The Environments of a file.
#[derive(Debug, Default)]
pub struct Platform {
    file: String,
    environments: Vec<Environment>,
}

impl EnvironmentFile {
    pub fn read(&self) -> Result<Platform, Failure> {
        self.environment_file.as_deref().map_or_else(|| Ok(Platform::default()), read)
    }
}

impl Platform {
    /// The Environment of this name. Nothing where no file was given; an error where the one that was given has another.
    pub fn find(&self, name: &EnvironmentName) -> Result<Option<&Environment>, Failure> {
        self.names_some(std::slice::from_ref(name))?;
        Ok(self.environments.iter().find(|environment| environment.name_any() == name.as_str()))
    }

    /// Puts what the Environment of this name grants into a scope, where there is one.
    pub fn bind(&self, scope: DesiredScope) -> Result<DesiredScope, Failure> {
        let same = |environment: &&Environment| environment.name_any() == scope.environment.as_str();
        match self.environments.iter().find(same) {
            Some(environment) => bound(scope, environment),
            None => Ok(scope),
        }
    }

    /// Puts the grants of the only Environment of the file into a scope that has another name.
    pub fn bind_only(&self, scope: DesiredScope) -> Result<DesiredScope, Failure> {
        match self.environments.as_slice() {
            [] => Ok(scope),
            [environment] => {
                let path = scope.path.clone();
                Ok(DesiredScope { path, ..bound(scope, environment)? })
            }
            _ => Err(Failure::input(format!(
                "{} has several Environments, and folders are of none",
                self.file
            ))
            .hint("give a file with one of them")),
        }
    }

    /// An error where a file was given that says nothing of any of these.
    pub fn names_some(&self, names: &[EnvironmentName]) -> Result<(), Failure> {
        let known: Vec<String> = self.environments.iter().map(ResourceExt::name_any).collect();
        if known.is_empty() || names.iter().any(|name| known.iter().any(|known| known == name.as_str())) {
            return Ok(());
        }
        let names = names.iter().map(EnvironmentName::as_str).collect::<Vec<_>>().join(", ");
        let message = format!("{} has no Environment {names}", self.file);
        Err(Failure::input(message).hint(format!("it has {}", known.join(", "))))
    }
}

fn bound(scope: DesiredScope, environment: &Environment) -> Result<DesiredScope, Failure> {
    let path = match &environment.spec.source.path {
        Some(path) => TreePath::new(path)?,
        None => scope.path.clone(),
    };
    let grants = Grants::of(&environment.name_any(), &environment.spec, &[]);
    Ok(DesiredScope { path, grants: Some(grants), ..scope })
}

fn read(file: &Path) -> Result<Platform, Failure> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file).map_err(|error| Failure::input(format!("{name}: {error}")))?;
    let path = TreePath::new(file.file_name().and_then(|name| name.to_str()).unwrap_or("environment.yaml"))?;
    let documents = yaml::read(&bytes, &path, yaml::Dialect::Config, &yaml::Limits::default())?;
    let mut environments = Vec::new();
    for document in &documents {
        let root = document.value();
        if root["apiVersion"] != "fairlead.dev/v1alpha1" || root["kind"] != "Environment" {
            continue;
        }
        let environment = serde_path_to_error::deserialize(root).map_err(|error| {
            let pointer = pointer(error.path());
            let what = format!("{}: {}", pointer.trim_start_matches('/'), error.inner());
            Problem::at(document.place_of(&pointer), what)
        })?;
        environments.push(environment);
    }
    if environments.is_empty() {
        return Err(Failure::input(format!("{name} holds no Environment"))
            .hint("`kubectl get environment NAME -o yaml` writes one"));
    }
    Ok(Platform { file: name, environments })
}
