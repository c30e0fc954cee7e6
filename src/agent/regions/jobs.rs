//! Runs the Job that a team declared for a step, or to measure something. That of a step bears the epoch, the step and the attempt
//! in its name: whoever begins it again finds the one that was begun.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::gate::{Pass, WriterGate};
use crate::agent::desired::{DesiredScope, want};
use crate::agent::hands::Archive;
use crate::api::{AppSpec, Identity, names};
use crate::cluster::{Call, CallError, Cluster, Session, chain};
use crate::object::secret::Pins;
use crate::object::{
    AppName, Desired, Kinds, MANAGER, Manifest, Origin, Place, Problem, Problems, REGION_EPOCH, REGION_JOB,
    REGION_PROBE, Revision, Tree, TreePath,
};
use crate::region::{Epoch, RegionName, RegionStep};
use crate::yaml;

/// Between two looks at what became of it.
const LOOK: Duration = Duration::from_secs(1);
/// What measures the data is given up after this long.
pub(super) const MEASURED_WITHIN: Duration = Duration::from_secs(120);
/// A file with one Job is short.
const FILE_LIMIT: u64 = 1 << 20;
/// The name of a Job is a label of its pods.
const NAME_LIMIT: usize = 63;

/// Which Job, and for what.
#[derive(Clone, Debug)]
pub struct JobRun {
    pub file: String,
    pub purpose: Purpose,
    pub from: Option<RegionName>,
    pub to: RegionName,
}

#[derive(Clone, Debug)]
pub enum Purpose {
    Step {
        step: RegionStep,
        attempt: u32,
        epoch: Epoch,
    },
    /// Looks at something from a standby; `at` tells one look from the next.
    Probe {
        at: i64,
        what: &'static str,
    },
}

impl Purpose {
    /// The end of the Job's name.
    fn tail(&self) -> String {
        match self {
            Self::Step { step, attempt, epoch } => {
                format!("-{epoch}-{}-{attempt}", step.as_str().to_ascii_lowercase())
            }
            Self::Probe { at, .. } => format!("-{at}"),
        }
    }

    fn words(&self) -> &'static str {
        match self {
            Self::Step { step, .. } => step.as_str(),
            Self::Probe { what, .. } => what,
        }
    }
}

/// What it works with.
pub struct JobWith {
    pub gate: Arc<WriterGate>,
    /// Until the Job is made, nobody says that nothing writes here.
    pub pass: Option<Pass>,
    pub session: Session,
    pub archive: Option<Archive>,
    pub revision: Option<Revision>,
    pub identity: Option<Identity>,
}

/// Why a Job did not do what it was made for.
#[derive(Debug)]
pub enum NotDone {
    /// It ran, and said so by its end.
    Failed(Box<Value>, String),
    /// It was not made, not seen, or had no time to say anything.
    Unknown(String),
}

impl From<String> for NotDone {
    fn from(why: String) -> Self {
        Self::Unknown(why)
    }
}

impl From<NotDone> for String {
    fn from(why: NotDone) -> Self {
        let (NotDone::Failed(_, why) | NotDone::Unknown(why)) = why;
        why
    }
}

/// Runs it to its end.
pub async fn run(with: JobWith, run: JobRun) -> Result<(), String> {
    Ok(finish(with, &run).await.map(drop)?)
}

/// Runs it to its end, and says what it was then.
pub(super) async fn finish(mut with: JobWith, run: &JobRun) -> Result<Value, NotDone> {
    let (Some(archive), Some(revision)) = (with.archive.clone(), with.revision.clone()) else {
        return Err(format!("git was not read yet, and {} stands there", run.file).into());
    };
    let wanted = run.clone();
    let read = tokio::task::spawn_blocking(move || {
        let tree = archive.mirror.tree(&revision).map_err(|error| chain(&error))?;
        read(&tree, &archive.scope, &archive.kinds, &wanted).map_err(|problems| {
            problems.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        })
    });
    let job = read.await.map_err(|error| error.to_string())??;
    let (namespace, name) = (text(&job, "namespace"), text(&job, "name"));
    let collection = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    let path = format!("{collection}/{name}");
    let what = format!("Job {namespace}/{name} of {}", run.file);
    if found(&with.session.cluster, &path).await.map_err(|error| failed(&what, &error))?.is_none() {
        if let Purpose::Step { step, epoch, .. } = run.purpose
            && step.needs_the_fence()
            && !with.gate.is_held(epoch)
        {
            return Err(format!("{what} is not made: this region does not hold epoch {epoch} now").into());
        }
        let url = format!("{collection}?fieldManager={MANAGER}&fieldValidation=Strict");
        let call = Call::create(url, job.to_string().into(), with.identity.as_ref());
        match with.session.cluster.send(&call).await {
            Ok(_) => {}
            Err(error) if error.is_already_there() => {}
            Err(error) => return Err(failed(&what, &error).into()),
        }
    }
    drop(with.pass.take());
    loop {
        match found(&with.session.cluster, &path).await {
            Ok(Some(job)) => match end_of(&job) {
                Some(Ok(())) => return Ok(job),
                Some(Err(why)) if why.is_late => return Err(format!("{what} failed: {}", why.words).into()),
                Some(Err(why)) => {
                    return Err(NotDone::Failed(Box::new(job), format!("{what} failed: {}", why.words)));
                }
                None => {}
            },
            Ok(None) => {
                return Err(
                    format!("{what} was deleted before it ended, and nobody knows what it did").into()
                );
            }
            Err(error) => tracing::warn!(error = %chain(&error), "{what} cannot be looked at"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub(super) fn failed(what: &str, error: &CallError) -> String {
    format!("{what}: {}", chain(error))
}

async fn found(cluster: &Cluster, path: &str) -> Result<Option<Value>, CallError> {
    match cluster.send(&Call::get(path)).await {
        Ok(reply) => reply.json().map(Some),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why a Job failed.
#[derive(Debug, PartialEq, Eq)]
struct Why {
    words: String,
    /// Its time was over: what it was made for may never have begun.
    is_late: bool,
}

/// How a Job ended, if it has.
fn end_of(job: &Value) -> Option<Result<(), Why>> {
    let conditions = job["status"]["conditions"].as_array()?;
    conditions.iter().filter(|condition| condition["status"] == "True").find_map(|condition| {
        match condition["type"].as_str()? {
            "Complete" => Some(Ok(())),
            "Failed" => Some(Err(Why {
                words: condition["message"].as_str().unwrap_or("it says no more").to_owned(),
                is_late: condition["reason"] == "DeadlineExceeded",
            })),
            _ => None,
        }
    })
}

pub(super) fn text<'a>(job: &'a Value, field: &str) -> &'a str {
    job["metadata"][field].as_str().unwrap_or_default()
}

/// Reads the Job as it will be made, if its environment may have it.
fn read(tree: &dyn Tree, scope: &DesiredScope, kinds: &Kinds, run: &JobRun) -> Result<Value, Problems> {
    let path = TreePath::new(&run.file).map_err(|error| Problem::new(error.to_string()))?;
    let blob = tree.read(&path, FILE_LIMIT).map_err(|error| Problem::new(error.to_string()))?;
    let place = Place::file(path.clone());
    let documents = yaml::read(&blob.bytes, &path, yaml::Dialect::Kubectl, &yaml::Limits::default())?;
    let job = match documents.as_slice() {
        [document] if document.value()["apiVersion"] == "batch/v1" && document.value()["kind"] == "Job" => {
            document.value()
        }
        _ => {
            return Err(Problem::at(
                place,
                format!("{} is done by one Job of batch/v1, and nothing else", run.purpose.words()),
            )
            .into());
        }
    };
    let manifest = Manifest::new(&named(job, run), Origin::new(place.clone()))
        .map_err(|error| Problem::at(place.clone(), error.to_string()))?;
    let app = AppName::new("region").map_err(|error| Problem::new(error.to_string()))?;
    let app = AppSpec {
        name: app.clone(),
        path: None,
        chart: None,
        values: Vec::new(),
        namespace: None,
        release: None,
        depends_on: Vec::new(),
        adopt: None,
    };
    let desired = Desired::new(app.name.clone(), vec![manifest], Vec::new());
    let (wanted, _) = want(desired, scope, &app, kinds, &Pins::offline())?;
    let [wanted] = wanted.objects.as_slice() else {
        return Err(Problem::at(place, "the Job of a step bears no mark of a hook").into());
    };
    let mut job = wanted.value();
    if let Some(labels) = job["metadata"]["labels"].as_object_mut() {
        for mark in [names::ENVIRONMENT_LABEL, names::APP_LABEL, names::APPLYSET_PART_OF] {
            labels.remove(mark);
        }
        // What measures changes nothing: no other region has to wait for its end.
        let mark = if matches!(run.purpose, Purpose::Probe { .. }) { REGION_PROBE } else { REGION_JOB };
        labels.insert(mark.to_owned(), scope.environment.as_str().into());
    }
    Ok(job)
}

/// The Job under its name of this attempt. Its containers are told which move it is.
fn named(job: &Value, run: &JobRun) -> Value {
    let mut job = job.clone();
    let tail = run.purpose.tail();
    let name = job["metadata"]["name"].as_str().unwrap_or("region");
    let room = NAME_LIMIT - tail.len();
    let name: String = name.chars().take(room).collect();
    job["metadata"]["name"] = format!("{}{tail}", name.trim_end_matches(['-', '.'])).into();
    let mut told = vec![
        ("FAIRLEAD_REGION", run.to.to_string()),
        ("FAIRLEAD_REGION_FROM", run.from.as_ref().map(ToString::to_string).unwrap_or_default()),
    ];
    match &run.purpose {
        Purpose::Step { epoch, .. } => {
            job["metadata"]["annotations"][REGION_EPOCH] = epoch.to_string().into();
            told.push(("FAIRLEAD_REGION_EPOCH", epoch.to_string()));
        }
        Purpose::Probe { .. } => {
            let limit = i64::try_from(MEASURED_WITHIN.as_secs()).unwrap_or(i64::MAX);
            for (field, seconds) in [("activeDeadlineSeconds", limit), ("ttlSecondsAfterFinished", limit)] {
                if job["spec"][field].is_null() {
                    job["spec"][field] = seconds.into();
                }
            }
        }
    }
    let containers = job["spec"]["template"]["spec"]["containers"].as_array_mut();
    for container in containers.into_iter().flatten().filter(|container| container.is_object()) {
        if !container["env"].is_array() {
            container["env"] = json!([]);
        }
        if let Some(env) = container["env"].as_array_mut() {
            env.extend(told.iter().map(|(name, value)| json!({"name": name, "value": value})));
        }
    }
    job
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{EnvironmentName, MemoryTree};
    use crate::schema;

    const JOB: &str = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: promote}\nspec:\n  template:\n    spec:\n      \
                       restartPolicy: Never\n      containers: [{name: psql, image: postgres}]\n";

    const STEP: Purpose = Purpose::Step { step: RegionStep::VerifyWritable, attempt: 2, epoch: Epoch(7) };

    fn read_job(text: &str, purpose: Purpose) -> Result<Value, String> {
        let tree = MemoryTree::new([("jobs/promote.yaml", text)]).unwrap();
        let name = EnvironmentName::new("prod").unwrap();
        let scope = DesiredScope::unbound(name, Some("prod".to_owned())).unwrap();
        let region = |name: &str| RegionName::new(name).unwrap();
        let run = JobRun {
            file: "jobs/promote.yaml".to_owned(),
            purpose,
            from: Some(region("a")),
            to: region("b"),
        };
        let read = read(&tree, &scope, schema::builtin().kinds(), &run);
        read.map_err(|problems| problems.as_slice()[0].to_string())
    }

    #[test]
    fn a_job_bears_its_move_in_its_name_and_is_nobodys_object() {
        let job = read_job(JOB, STEP).unwrap();
        assert_eq!(text(&job, "name"), "promote-7-verifywritable-2");
        assert_eq!(text(&job, "namespace"), "prod");
        assert_eq!(job["metadata"]["labels"], json!({REGION_JOB: "prod"}));
        let env = &job["spec"]["template"]["spec"]["containers"][0]["env"];
        assert_eq!(env[1], json!({"name": "FAIRLEAD_REGION_FROM", "value": "a"}));
    }

    #[test]
    fn what_measures_ends_by_itself_and_holds_no_region_up() {
        let job = read_job(JOB, Purpose::Probe { at: 1_769_846_400, what: "it" }).unwrap();
        assert_eq!(text(&job, "name"), "promote-1769846400");
        assert_eq!(job["metadata"]["labels"], json!({REGION_PROBE: "prod"}));
        assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 120);
        assert_eq!(job["metadata"]["annotations"][REGION_EPOCH], Value::Null);
    }

    #[test]
    fn what_is_no_job_is_named_with_its_file() {
        let error = read_job("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", STEP).unwrap_err();
        assert!(error.contains("jobs/promote.yaml") && error.contains("one Job"), "{error}");
    }

    #[test]
    fn a_job_has_ended_when_it_says_so() {
        let of = |kind: &str| json!({"status": {"conditions": [{"type": kind, "status": "True", "message": "no"}]}});
        assert_eq!(end_of(&of("Complete")), Some(Ok(())));
        let why = |is_late| Some(Err(Why { words: "no".to_owned(), is_late }));
        assert_eq!(end_of(&of("Failed")), why(false));
        let mut late = of("Failed");
        late["status"]["conditions"][0]["reason"] = "DeadlineExceeded".into();
        assert_eq!(end_of(&late), why(true), "its pod may never have run");
        assert_eq!(end_of(&of("Suspended")), None);
        assert_eq!(end_of(&json!({})), None);
    }
}
