//! For whom is rendered, and what the platform grants them.

use crate::api::{AppSpec, names};
use crate::object::secret::Pins;
use crate::object::{EnvironmentName, Kinds, Manifest, Problems, TreeError, TreePath};
use crate::plan::{Stamp, WantedApp};
use crate::policy::{Grant, Grants, granted, refused_secrets};

/// For whom is rendered, and what the platform grants them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    pub environment: EnvironmentName,
    /// The folder that holds `environment.yaml`.
    pub path: TreePath,
    /// `None` where no Environment exists, as when a person plans from a folder: then rights are the person's own.
    pub grants: Option<Grants>,
    /// Where objects go that name no namespace, if the grants do not say.
    pub default_namespace: Option<String>,
}

impl Scope {
    /// An environment as it is found in a repository, with no cluster to say what it is granted.
    pub fn unbound(
        environment: EnvironmentName,
        default_namespace: Option<String>,
    ) -> Result<Self, TreeError> {
        let path = TreePath::new(&format!("environments/{environment}"))?;
        Ok(Self { environment, path, grants: None, default_namespace })
    }

    /// What marks this environment's objects.
    pub(super) fn marks<'a>(&'a self, app: &'a AppSpec, pins: &'a Pins) -> Stamp<'a> {
        Stamp {
            environment: &self.environment,
            environment_label: names::ENVIRONMENT_LABEL,
            app_label: names::APP_LABEL,
            part_of_label: names::APPLYSET_PART_OF,
            wave_annotation: names::WAVE_ANNOTATION,
            depends_on_annotation: names::DEPENDS_ON_ANNOTATION,
            default_namespace: app.namespace.as_deref().or(self.namespace()),
            pins,
        }
    }

    /// Whether this environment is granted all that is wanted.
    pub(super) fn check(&self, wanted: &WantedApp, kinds: &Kinds) -> Result<(), Problems> {
        let Some(grants) = &self.grants else { return Ok(()) };
        let grant = Grant {
            environment: self.environment.as_str(),
            namespaces: &grants.namespaces,
            cluster_kinds: &grants.cluster_kinds,
            regions: &grants.regions,
        };
        granted(wanted, &grant, kinds)
    }

    /// Whether this environment may read every secret that is referred to. Nothing is read before that is known.
    pub(super) fn check_secrets(&self, objects: &[Manifest]) -> Result<(), Problems> {
        let Some(grants) = &self.grants else { return Ok(()) };
        Problems::check(refused_secrets(objects, &grants.secrets, self.environment.as_str()))
    }

    /// What a chart is told to be its namespace; objects that name none go there too.
    pub(super) fn release_namespace(&self, app: &AppSpec) -> Result<String, String> {
        match (app.namespace.as_deref().or(self.namespace()), &self.grants) {
            (Some(namespace), _) => Ok(namespace.to_owned()),
            // As helm has it where nobody says.
            (None, None) => Ok("default".to_owned()),
            (None, Some(_)) => Err(format!(
                "the Environment {} does not have just one namespace, so the app {} must say its own: `namespace: …`",
                self.environment, app.name
            )),
        }
    }

    pub fn namespace(&self) -> Option<&str> {
        match &self.grants {
            Some(grants) => match grants.namespaces.as_slice() {
                [only] => Some(only),
                _ => None,
            },
            None => self.default_namespace.as_deref(),
        }
    }
}
