//! Says where a field comes from, as the base branch has it: by file and line, for `/fairlead explain`. Nothing but git is
//! looked at, so nobody learns more than the repository says; of Secrets no value is shown. Blocks.

use std::str::FromStr;

use crate::agent::charted::Charted;
use crate::agent::charts::Charts;
use crate::agent::desired::{DesiredScope, read_config, source_of};
use crate::object::{Problems, Tree};
use crate::render::{self, AppSource, Asked, Explained};

/// A value that is longer says nothing more.
const LONGEST: usize = 80;
/// Places that set a field: the last ones count.
const PLACES: usize = 3;

/// What sets a field of an object, or where the object stands where no field is named.
pub(super) fn explain(
    tree: &dyn Tree,
    scope: &DesiredScope,
    (limits, charts): (&render::Limits, &Charts<'_>),
    object: &str,
    field: Option<&str>,
) -> Result<String, String> {
    let asked = Asked::from_str(object)?;
    let first = |problems: Problems| problems.as_slice().first().map(ToString::to_string).unwrap_or_default();
    let config = read_config(tree, scope).map_err(first)?;
    let mut broken = Vec::new();
    for app in &config.apps {
        let source = match source_of(tree, scope, &config, app) {
            Ok(source) => source,
            Err(problems) => {
                broken.push(first(problems));
                continue;
            }
        };
        let mut requests = Vec::new();
        let rendered = match &source {
            AppSource::Folder(folder) => charts.serve(tree, |made| {
                requests = made.keys().cloned().collect();
                render::explain(tree, folder, limits, made)
            }),
            AppSource::Chart(request) => {
                requests.push((**request).clone());
                let charted = Charted { tree, charts, limits, requests: requests.clone() };
                charted.render(request).map(|all| all.into_iter().map(Explained::as_it_is).collect())
            }
        };
        match rendered {
            Ok(all) => {
                if let Some(found) = all.iter().find(|one| asked.is(one, None)) {
                    return said(&Charted { tree, charts, limits, requests }, found, field);
                }
            }
            Err(problems) => broken.push(first(problems)),
        }
    }
    let mut why = format!("no object of {} is {asked}", scope.environment);
    if let Some(broken) = broken.first() {
        why.push_str(&format!("; and not all can be rendered: {broken}"));
    }
    Err(why)
}

fn said(charted: &Charted<'_>, object: &Explained, field: Option<&str>) -> Result<String, String> {
    let key = object.manifest.key();
    let Some(field) = field else {
        return Ok(format!("{key} stands at {}", object.manifest.origin.place));
    };
    let path = object.find(field).map_err(|error| format!("{key}: {error}"))?;
    let value = object.value(&path).map(|value| crate::redact::value(&key, &path.to_string(), &value));
    let value = value.map_or_else(|| "not set".to_owned(), |value| value.to_string());
    let value: String = value.chars().take(LONGEST).collect();
    let mut settings = object.settings(charted.tree, charted.limits, &path);
    charted.name_template(object, &mut settings);
    charted.name_values(object, &path, &mut settings);
    let skip = settings.len().saturating_sub(PLACES);
    let places: Vec<String> =
        settings.iter().skip(skip).map(|setting| format!("{} ({})", setting.place, setting.by)).collect();
    let places =
        if places.is_empty() { object.manifest.origin.place.to_string() } else { places.join(", then ") };
    Ok(format!("{path} of {key} is {value}, set at {places}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helm::{Bounds, Helm};
    use crate::object::{EnvironmentName, MemoryTree};

    fn asked(object: &str, field: Option<&str>) -> Result<String, String> {
        let tree = MemoryTree::new([
            (
                "environments/dev/environment.yaml",
                "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps: [{name: web, path: over}]\n",
            ),
            ("base/kustomization.yaml", "resources: [web.yaml]\n"),
            (
                "base/web.yaml",
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 1\n",
            ),
            (
                "over/kustomization.yaml",
                "resources: [../base, secret.yaml]\npatches:\n  - patch: |-\n      apiVersion: apps/v1\n      kind: Deployment\n      metadata: {name: web}\n      spec: {replicas: 3}\n",
            ),
            ("over/secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {a: hunter2}\n"),
        ])
        .expect("a tree");
        let name = EnvironmentName::new("dev").expect("a name");
        let scope = DesiredScope::unbound(name, None).expect("a scope");
        let helm = Helm::new(None, std::path::Path::new(""), Bounds::default());
        let charts = Charts::offline(&helm, None);
        explain(&tree, &scope, (&render::Limits::default(), &charts), object, field)
    }

    #[test]
    fn a_field_is_led_back_to_file_and_line() {
        let said = asked("deployment/web", Some("spec.replicas")).expect("it is there");
        assert!(said.contains("is 3") && said.contains("over/kustomization.yaml:"), "{said}");
        let said = asked("deploy/web", None).expect("it is there");
        assert!(said.contains("base/web.yaml"), "{said}");
    }

    #[test]
    fn what_is_not_there_is_said_and_no_secret_is_shown() {
        assert!(asked("deployment/db", None).unwrap_err().contains("no object of dev"));
        assert!(asked("deployment/web", Some("spec.nothing")).unwrap_err().contains("no field"));
        assert!(asked("web", None).unwrap_err().contains("KIND/NAME"));
        let said = asked("secret/key", Some("stringData.a")).expect("it is there");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
