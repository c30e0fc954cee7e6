//! Charts, by the official `helm` binary and nothing else: `helm template` on the chart's files alone, confined.
//!
//! 1. The chart's files and its values are read from the tree, within limits.
//! 2. What was rendered from the same before is answered from memory.
//! 3. They are written to a scratch folder, helm renders them ([`process`] says what it is held to), the folder goes.
//! 4. It is done again with another clock and other chance ([`otherwise`]); where the two outputs are not the same both
//!    are handed over, and `render` says whether an object differs, and where.

mod confine;
mod files;
mod kept;
mod otherwise;
mod process;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::object::{
    Again, ChartFailure, ChartOutput, ChartRequest, ChartTarget, Digest, Problem, Tree, chain,
};
use files::Files;
use kept::KeptCharts;
use process::{Ended, Run};

pub use kept::RESPITE;
pub use process::{Bounds, Stop};

/// As many run at once at most: each may take all the memory that it is given, and one that hangs must not hold up all.
const AT_ONCE: usize = 2;
/// How often who waits for a turn looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);
/// Renderings beyond the second where the order of a map may show: two of them agree by chance every other time.
const ORDER_ROUNDS: usize = 4;
/// Of the names of scratch folders.
const PREFIX: &str = "helm-";
/// No run takes so long by far.
const LEFT_BEHIND: Duration = Duration::from_secs(3_600);
/// Warnings of one chart that are told.
const WARNINGS: usize = 5;

pub struct Helm {
    program: Option<PathBuf>,
    scratch: PathBuf,
    bounds: Bounds,
    kept: Mutex<KeptCharts>,
    turns: Mutex<usize>,
    turn_ended: Condvar,
    /// Which helm it is, once it was asked.
    version: Mutex<Option<String>>,
}

impl Helm {
    /// `program` is `None` where there is no helm: then each chart says so. Scratch folders are made below `scratch`.
    pub fn new(program: Option<PathBuf>, scratch: &Path, bounds: Bounds) -> Self {
        Self {
            program,
            scratch: scratch.to_owned(),
            bounds,
            kept: Mutex::default(),
            turns: Mutex::new(0),
            turn_ended: Condvar::new(),
            version: Mutex::default(),
        }
    }

    /// Removes what killed predecessors left. Folders that somebody may still work in are younger.
    pub fn sweep(&self) {
        for entry in std::fs::read_dir(&self.scratch).into_iter().flatten().flatten() {
            let changed = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            let age = changed.and_then(|changed| changed.elapsed().ok()).unwrap_or_default();
            if age > LEFT_BEHIND && entry.file_name().to_string_lossy().starts_with(PREFIX) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Renders a chart of a tree for a cluster.
    pub fn render(
        &self,
        tree: &dyn Tree,
        request: &ChartRequest,
        target: &ChartTarget,
        stop: &Stop,
    ) -> Result<Arc<ChartOutput>, ChartFailure> {
        let files = files::gather(tree, request).map_err(ChartFailure::Input)?;
        let version = self.version(request, stop)?;
        let arguments = arguments(request, target, files.chart_name());
        let key = key(&files, &arguments, &version);
        let known = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key, Instant::now());
        if let Some(known) = known {
            return known;
        }
        let _turn = self.turn(stop)?;
        let made = self.twice(&files, request, &arguments, stop);
        // What could not be tried is tried again.
        if !matches!(made, Err(ChartFailure::Unable(_))) {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).put(key, made.clone(), Instant::now());
        }
        made
    }

    fn program(&self, request: &ChartRequest) -> Result<&Path, ChartFailure> {
        self.program.as_deref().ok_or_else(|| {
            let problem = Problem::at(
                request.place.clone(),
                format!("the chart {} cannot be rendered: there is no helm", request.chart),
            );
            ChartFailure::Unable(
                problem.hint(
                    "install helm 4, and name it by --helm or FAIRLEAD_HELM where it is not on the PATH",
                ),
            )
        })
    }

    /// Asked once: another version may render otherwise.
    fn version(&self, request: &ChartRequest, stop: &Stop) -> Result<String, ChartFailure> {
        let program = self.program(request)?;
        let mut known = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(version) = &*known {
            return Ok(version.clone());
        }
        let scratch = self.scratch(request)?;
        let run = Run { program, folder: scratch.path(), far_away: false, bounds: &self.bounds, stop };
        let deadline = Instant::now() + self.bounds.time;
        let ended = run.run(&["version".to_owned(), "--short".to_owned()], deadline);
        let said = match self.ended(ended, request)? {
            Ok(output) => output.text.trim().to_owned(),
            Err(words) => words,
        };
        if !(said.starts_with("v3.") || said.starts_with("v4.")) {
            let first = said.lines().next().unwrap_or_default();
            let message = format!("{} says that it is {first:?}, not helm 3 or 4", program.display());
            return Err(ChartFailure::Unable(Problem::at(request.place.clone(), message)));
        }
        *known = Some(said.clone());
        Ok(said)
    }

    fn twice(
        &self,
        files: &Files,
        request: &ChartRequest,
        arguments: &[String],
        stop: &Stop,
    ) -> Result<Arc<ChartOutput>, ChartFailure> {
        let program = self.program(request)?;
        let deadline = Instant::now() + self.bounds.time;
        let words = otherwise::words(files);
        let once = |rewritten: bool| {
            let scratch = self.scratch(request)?;
            files
                .write(scratch.path(), |path, bytes| match rewritten {
                    true => otherwise::rewrite(path, bytes),
                    false => None,
                })
                .map_err(|error| self.unable(request, &format!("its files cannot be written: {error}")))?;
            let run =
                Run { program, folder: scratch.path(), far_away: rewritten, bounds: &self.bounds, stop };
            self.ended(run.run(arguments, deadline), request)
        };
        let first = once(false)?.map_err(ChartFailure::Refused)?;
        if words.time {
            next_second();
        }
        let mut again = match once(true)? {
            Ok(second) if second.text == first.text => None,
            Ok(second) => Some(Again::Text(second.text.into())),
            Err(words) => Some(Again::Failed(words)),
        };
        let rounds = if words.order { ORDER_ROUNDS } else { 0 };
        for _ in 0..rounds {
            if again.is_none()
                && let Ok(more) = once(false)?
                && more.text != first.text
            {
                again = Some(Again::Text(more.text.into()));
            }
        }
        Ok(Arc::new(ChartOutput { text: first.text.into(), again, warnings: first.warnings }))
    }

    fn scratch(&self, request: &ChartRequest) -> Result<tempfile::TempDir, ChartFailure> {
        let made = std::fs::create_dir_all(&self.scratch)
            .and_then(|()| tempfile::Builder::new().prefix(PREFIX).tempdir_in(&self.scratch));
        made.map_err(|error| {
            let folder = self.scratch.display();
            self.unable(request, &format!("no scratch folder can be made in {folder}: {error}"))
        })
    }

    fn unable(&self, request: &ChartRequest, why: &str) -> ChartFailure {
        let message = format!("the chart {} cannot be rendered: {why}", request.chart);
        ChartFailure::Unable(Problem::at(request.place.clone(), message))
    }

    /// What helm wrote, or the words in which it refused.
    fn ended(&self, ended: Ended, request: &ChartRequest) -> Result<Result<Written, String>, ChartFailure> {
        let Bounds { time, memory, output, .. } = self.bounds;
        let give = |message: String, hint: &str| {
            let problem = Problem::at(request.place.clone(), message);
            Err(ChartFailure::Exhausted(problem.hint(hint)))
        };
        let chart = &request.chart;
        match ended {
            Ended::Done { text, said } => {
                let warnings = said.lines().filter_map(warning).take(WARNINGS).collect();
                Ok(Ok(Written { text, warnings }))
            }
            Ended::Refused { said } => Ok(Err(error(&said))),
            Ended::OutOfTime => give(
                format!("helm did not render {chart} within {} seconds", time.as_secs()),
                "does a template go round in circles?",
            ),
            Ended::TooMuch => give(
                format!("helm wrote more than {} MiB for {chart}", output >> 20),
                "no app has as many objects; does a template go round in circles?",
            ),
            Ended::OutOfMemory => give(
                format!("helm took more than {} MiB of memory to render {chart}", memory >> 20),
                "does a template go round in circles?",
            ),
            Ended::Stopped => Err(self.unable(request, "there is a newer commit")),
            Ended::Killed { how } => Err(self.unable(request, &format!("helm ended by {how}"))),
            Ended::NotConfined(why) => {
                let message =
                    format!("the chart {chart} is not rendered: helm would not be confined; {}", chain(&why));
                let problem = Problem::at(request.place.clone(), message);
                Err(ChartFailure::Unable(problem.hint(
                    "--helm-unconfined renders it all the same: whoever writes charts has to be trusted then",
                )))
            }
            Ended::NotStarted(error) => {
                let program = self.program.as_deref().unwrap_or(Path::new("helm")).display();
                Err(self.unable(request, &format!("{program} cannot be run: {error}")))
            }
        }
    }

    fn turn(&self, stop: &Stop) -> Result<Turn<'_>, ChartFailure> {
        let mut running = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= AT_ONCE {
            if stop.is_set() {
                return Err(ChartFailure::Unable(Problem::new("there is a newer commit")));
            }
            let waited = self.turn_ended.wait_timeout(running, LOOK);
            running = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *running += 1;
        Ok(Turn(self))
    }
}

struct Written {
    text: String,
    warnings: Vec<String>,
}

/// One of those that may run at once.
struct Turn<'a>(&'a Helm);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.turns.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.turn_ended.notify_one();
    }
}

/// A second is the finest that most templates write.
fn next_second() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    std::thread::sleep(
        Duration::from_millis(1_010).saturating_sub(Duration::from_nanos(now.subsec_nanos().into())),
    );
}

fn arguments(request: &ChartRequest, target: &ChartTarget, chart: &str) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["template", &request.release, chart, "--namespace", &request.namespace].map(str::to_owned).into();
    if request.crds {
        arguments.push("--include-crds".to_owned());
    }
    if !request.hooks {
        arguments.push("--no-hooks".to_owned());
    }
    if !request.tests {
        arguments.push("--skip-tests".to_owned());
    }
    let version = request.kube_version.as_deref().unwrap_or(&target.kubernetes);
    if !version.is_empty() {
        arguments.extend(["--kube-version".to_owned(), version.to_owned()]);
    }
    let apis = if request.api_versions.is_empty() { &target.apis } else { &request.api_versions };
    // Some at a time: the kernel takes no argument above 128 KiB.
    for apis in apis.chunks(500) {
        arguments.push(format!("--api-versions={}", apis.join(",")));
    }
    for nth in 0..request.values.len() {
        arguments.extend(["--values".to_owned(), files::values_name(nth)]);
    }
    arguments
}

fn key(files: &Files, arguments: &[String], version: &str) -> Digest {
    let contents = files.digest();
    let words = ["chart", contents.as_str(), "helm", version];
    Digest::of_parts(words.into_iter().chain(arguments.iter().map(String::as_str)))
}

/// `level=WARN msg="this chart is deprecated"`, as it is meant.
fn warning(line: &str) -> Option<String> {
    let rest = line.split_once("level=WARN msg=")?.1;
    Some(rest.trim_matches('"').to_owned()).filter(|text| !text.is_empty())
}

/// The error that helm told of, without what it logged before and what it says of its flags.
fn error(said: &str) -> String {
    let begins = said.starts_with("Error: ").then_some(0).or_else(|| said.find("\nError: ").map(|at| at + 1));
    let text = begins.map_or(said, |at| &said[at + "Error: ".len()..]);
    text.trim().trim_end_matches("Use --debug flag to render out invalid YAML").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helms_own_words_are_found_among_its_log() {
        let said = "level=WARN msg=\"this chart is deprecated\"\nlevel=ERROR msg=x error=\"y\"\nError: parse error at \
                    (a/b.yaml:1): no\n\nUse --debug flag to render out invalid YAML\n";
        assert_eq!(error(said), "parse error at (a/b.yaml:1): no");
        assert_eq!(said.lines().filter_map(warning).collect::<Vec<_>>(), ["this chart is deprecated"]);
    }
}
