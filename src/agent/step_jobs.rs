//! The Jobs that an environment declares for the steps of a re-point, as they are said of before any move: by who checks the tree,
//! and by who prints rights.

use std::collections::BTreeMap;

use super::desired::{DesiredScope, want};
use crate::api::{AppSpec, RegionSpec};
use crate::object::secret::Pins;
use crate::object::{AppName, Desired, Kinds, Manifest, Origin, Place, Problem, Problems, Tree, TreePath};
use crate::region::RegionStep;
use crate::yaml;

/// A file with one Job is short.
const FILE_LIMIT: u64 = 1 << 20;

/// Of each step that is done by a Job the namespace that it goes to, where the environment may have it there.
pub fn step_jobs(
    tree: &dyn Tree,
    scope: &DesiredScope,
    kinds: &Kinds,
    region: &RegionSpec,
) -> Result<BTreeMap<RegionStep, String>, Problems> {
    let (mut jobs, mut found) = (BTreeMap::new(), Vec::new());
    for (step, spec) in &region.steps {
        let Some(file) = &spec.job else { continue };
        match namespace(tree, scope, kinds, file) {
            Ok(namespace) => drop(jobs.insert(*step, namespace)),
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
        let files =
            [("promote.yaml", job), ("map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")];
        let tree = MemoryTree::new(files).unwrap();
        let name = EnvironmentName::new("prod").unwrap();
        let scope = DesiredScope::unbound(name, Some("prod".to_owned())).unwrap();
        let jobs = |steps: Value| {
            let region = serde_json::from_value(json!({"active": "a", "steps": steps})).unwrap();
            step_jobs(&tree, &scope, schema::builtin().kinds(), &region)
                .map_err(|problems| problems.to_string())
        };
        let known = jobs(json!({"data": {"job": "promote.yaml"}, "fence": {"timeout": "1m"}})).unwrap();
        assert_eq!(known, BTreeMap::from([(RegionStep::Data, "prod".to_owned())]));
        for (file, says) in [("none.yaml", "none.yaml"), ("map.yaml", "map.yaml:2: a step is done by a Job")]
        {
            let error = jobs(json!({"data": {"job": file}})).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
