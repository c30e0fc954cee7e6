//! For whom is rendered, and what the platform grants them.

use crate::api::{AppSpec, names};
use crate::object::secret::Pins;
use crate::object::{EnvironmentName, Kinds, Manifest, Problems, TreeError, TreePath};
use crate::plan::{Stamp, WantedApp};
use crate::policy::{Finding, Grants, Severity, Source, refusal, refused_secrets};
use crate::region::Part;

/// For whom is rendered, and what the platform grants them.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredScope {
    pub environment: EnvironmentName,
    /// The folder that holds `environment.yaml`.
    pub path: TreePath,
    /// `None` where no Environment exists, as when a person plans from a folder: then rights are the person's own.
    pub grants: Option<Grants>,
    /// Where objects go that name no namespace, if the grants do not say.
    pub default_namespace: Option<String>,
    /// What of it runs in the region that is rendered for; all of it where none is meant.
    pub part: Option<Part>,
}

impl DesiredScope {
    /// An environment as it is found in a repository, with no cluster to say what it is granted.
    pub fn unbound(
        environment: EnvironmentName,
        default_namespace: Option<String>,
    ) -> Result<Self, TreeError> {
        let path = TreePath::new(&format!("environments/{environment}"))?;
        Ok(Self { environment, path, grants: None, default_namespace, part: None })
    }

    /// The same, with its `environment.yaml` in a folder of the tree's root.
    pub(super) fn within(self, folder: &str) -> Self {
        Self { path: TreePath::root().child(folder), ..self }
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
            default_namespace: self.default_namespace(app),
            pins,
        }
    }

    /// Where objects of an app go that name no namespace.
    pub(super) fn default_namespace<'a>(&'a self, app: &'a AppSpec) -> Option<&'a str> {
        app.namespace.as_deref().or(self.namespace())
    }

    /// Whether this environment may have all that is wanted.
    pub(super) fn check(&self, wanted: &WantedApp, kinds: &Kinds) -> Result<(), Problems> {
        refusal(self.findings(wanted, kinds))
    }

    /// Everything that the platform does not let of what is wanted, or warns of.
    pub fn findings(&self, wanted: &WantedApp, kinds: &Kinds) -> Vec<Finding> {
        self.grants.as_ref().map_or_else(Vec::new, |grants| grants.judge(wanted, kinds))
    }

    /// What the platform warns of, in words; most have nothing that warns.
    pub fn warnings(&self, wanted: &WantedApp, kinds: &Kinds) -> Vec<String> {
        if !self.grants.as_ref().is_some_and(Grants::warns) {
            return Vec::new();
        }
        let warned =
            self.findings(wanted, kinds).into_iter().filter(|finding| finding.severity == Severity::Warn);
        warned.map(|finding| finding.problem().to_string()).collect()
    }

    /// Whether files may name the remotes that they name; they are looked for only where that is limited.
    pub fn check_sources(&self, named: impl FnOnce() -> Vec<Source>) -> Result<(), Problems> {
        match self.grants.as_ref().filter(|grants| grants.limits_sources()) {
            Some(grants) => grants.judge_sources(&named()),
            None => Ok(()),
        }
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
