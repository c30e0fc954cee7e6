//! The Jobs that an environment declares for the steps of a re-point, as they are said of before any move: by who checks the tree,
//! and by who prints rights.

use std::collections::BTreeMap;

use super::desired::{DesiredScope, want};
use crate::api::{AppSpec, RegionSpec};
use crate::object::secret::Pins;
use crate::object::{AppName, Desired, Kinds, Manifest, Origin, Place, Problem, Problems, Tree, TreePath};
use crate::region::automatic::SHARED_PLACE;
use crate::yaml;

/// A file with one Job is short.
const FILE_LIMIT: u64 = 1 << 20;

/// Of each file with a Job of a step, of a probe or of a signal the namespace that the Job goes to, where the environment may
/// have it there.
pub fn step_jobs(
    tree: &dyn Tree,
    scope: &DesiredScope,
    kinds: &Kinds,
    region: &RegionSpec,
) -> Result<BTreeMap<String, String>, Problems> {
    let (mut jobs, mut found) = (BTreeMap::new(), Vec::new());
    let steps = region.steps.values().filter_map(|step| step.job.as_ref());
    let probes =
        region.readiness.iter().filter_map(|readiness| readiness.data.as_ref()).map(|probe| &probe.job);
    let signals = region.automatic.iter().flat_map(|automatic| &automatic.signals);
    let signals = signals.filter(|signal| *signal != SHARED_PLACE);
    for file in steps.chain(probes).chain(signals) {
        match namespace(tree, scope, kinds, file) {
            Ok(namespace) => drop(jobs.insert(file.clone(), namespace)),
            Err(problems) => found.extend(problems.into_vec()),
        }
    }
    Problems::check(found)?;
    Ok(jobs)
}

fn namespace(tree: &dyn Tree, scope: &DesiredScope, kinds: &Kinds, file: &str) -> Result<String, Problems> {
    let path = TreePath::new(file).map_err(|error| Problem::new(error.to_string()))?;
    let blob = tree.read(&path, FILE_LIMIT).map_err(|error| Problem::new(error.to_string()))?;
    let place = Place::file(path.clone());
    let documents = yaml::read(&blob.bytes, &path, yaml::Dialect::Kubectl, &yaml::Limits::default())?;
    let [document] = documents.as_slice() else {
        return Err(Problem::at(place, "a step is done by one Job, and nothing else").into());
    };
    let job = document.value();
    if job["apiVersion"] != "batch/v1" || job["kind"] != "Job" {
        return Err(Problem::at(document.place_of("/kind"), "a step is done by a Job of batch/v1").into());
    }
    let manifest = Manifest::new(job, Origin::new(place.clone()))
        .map_err(|error| Problem::at(place.clone(), error.to_string()))?;
    let app = AppName::new("region").map_err(|error| Problem::new(error.to_string()))?;
    let desired = Desired::new(app.clone(), vec![manifest], Vec::new());
    let (wanted, _) = want(desired, scope, &AppSpec::folder(app, file), kinds, &Pins::offline())?;
    match wanted.objects.as_slice() {
        [job] => Ok(job.key.namespace.as_deref().unwrap_or_default().to_owned()),
        _ => Err(Problem::at(place, "the Job of a step bears no mark of a hook").into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::{EnvironmentName, MemoryTree};
    use crate::schema;

    #[test]
    fn each_step_says_where_its_job_goes_and_what_is_wrong_with_its_file() {
        let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: promote}\nspec:\n  template:\n    spec:\n      \
                   restartPolicy: Never\n      containers: [{name: psql, image: postgres}]\n";
        let files = [
            ("promote.yaml", job),
            ("lag.yaml", job),
            ("lost.yaml", job),
            ("map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"),
        ];
        let tree = MemoryTree::new(files).unwrap();
        let name = EnvironmentName::new("prod").unwrap();
        let scope = DesiredScope::unbound(name, Some("prod".to_owned())).unwrap();
        let jobs = |steps: Value| {
            let region = json!({"active": "a", "steps": steps, "readiness": {"data": {"job": "lag.yaml"}},
                "automatic": {"after": "2m", "signals": ["sharedPlace", "lost.yaml"]}});
            let region = serde_json::from_value(region).unwrap();
            step_jobs(&tree, &scope, schema::builtin().kinds(), &region)
                .map_err(|problems| problems.to_string())
        };
        let known = jobs(json!({"data": {"job": "promote.yaml"}, "fence": {"timeout": "1m"}})).unwrap();
        let files = ["lag.yaml", "lost.yaml", "promote.yaml"];
        assert_eq!(known, files.map(|file| (file.to_owned(), "prod".to_owned())).into());
        for (file, says) in [("none.yaml", "none.yaml"), ("map.yaml", "map.yaml:2: a step is done by a Job")]
        {
            let error = jobs(json!({"data": {"job": file}})).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
