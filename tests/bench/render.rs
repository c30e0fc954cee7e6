//! `fairlead render` beside `kustomize build`, and a render inside the agent after a change of one file beside the first.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead::agent::charts::Charts;
use fairlead::agent::desired::{DesiredScope, Memo, desire};
use fairlead::git::Local;
use fairlead::helm::{Bounds, Helm};
use fairlead::object::secret::Pins;
use fairlead::object::{AppName, EnvironmentName};
use fairlead::render::Limits;
use fairlead::schema;
use serde::Serialize;

use crate::tools::tool;

/// Runs of which the fastest counts. kustomize at 1,000 objects takes seconds, and gets two.
const RUNS: usize = 7;
/// Runs whose memory is looked at.
const LOOKED_AT: usize = 2;

#[derive(Debug, Serialize)]
pub struct Rendering {
    pub objects: usize,
    pub who: &'static str,
    pub milliseconds: f64,
    pub peak_mib: f64,
}

#[derive(Debug, Serialize)]
pub struct Again {
    pub repository: &'static str,
    pub files: usize,
    pub first_milliseconds: f64,
    pub again_milliseconds: f64,
    /// Of this process, before the first and when all is done.
    pub resident_before_mib: f64,
    pub resident_mib: f64,
}

#[derive(Debug, Default, Serialize)]
pub struct Results {
    pub commands: Vec<Rendering>,
    pub again: Vec<Again>,
}

pub fn run() -> Results {
    let kustomize = tool("FAIRLEAD_KUSTOMIZE");
    let mut results = Results::default();
    for objects in [10, 100, 1_000, 10_000] {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        write_tree(scratch.path(), &["web"], objects);
        let folder = scratch.path().join("overlays/web");
        let fairlead = Path::new(env!("CARGO_BIN_EXE_fairlead"));
        results.commands.push(measure("fairlead", objects, RUNS, || {
            let mut command = Command::new(fairlead);
            command.arg("render").arg(&folder);
            command
        }));
        // kustomize would take ten minutes for the last.
        if objects <= 1_000 {
            results.commands.push(measure(
                "kustomize",
                objects,
                if objects < 1_000 { RUNS } else { 2 },
                || {
                    let mut command = Command::new(&kustomize);
                    command.arg("build").arg(&folder);
                    command
                },
            ));
        }
    }
    results.again.push(again("one app of 1,000 files", &["web"], 1_000));
    results.again.push(again("one app of 10,000 files", &["web"], 10_000));
    let names: Vec<String> = (0..100).map(|n| format!("app-{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    results.again.push(again("100 apps of 100 files each", &names, 100));
    results
}

fn measure(who: &'static str, objects: usize, runs: usize, command: impl Fn() -> Command) -> Rendering {
    let (mut best, mut peak) = (f64::INFINITY, 0.0_f64);
    let spawn = || command().stdout(Stdio::null()).spawn().expect("a command can be run");
    let ended = |status: ExitStatus| assert!(status.success(), "{who} failed at {objects} objects");
    for _ in 0..runs {
        let begun = Instant::now();
        ended(spawn().wait().expect("a child can be waited for"));
        best = best.min(begun.elapsed().as_secs_f64() * 1e3);
    }
    // The kernel forgets a process's peak when it ends, so it is looked at until then: in runs of their own, for who is
    // looked at so often is held up.
    for _ in 0..LOOKED_AT {
        let mut child = spawn();
        loop {
            peak = peak.max(crate::process::usage(child.id()).peak_mib);
            match child.try_wait().expect("a child can be waited for") {
                Some(status) => break ended(status),
                None => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }
    eprintln!("   {who:<10} {objects:>6} objects {best:>9.1} ms {peak:>6.0} MiB");
    Rendering { objects, who, milliseconds: best, peak_mib: peak }
}

/// A commit that changes one file, as the agent renders it: read from git, rendered, marked as ours.
fn again(repository: &'static str, apps: &[&str], objects: usize) -> Again {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    write_tree(scratch.path(), apps, objects);
    git(scratch.path(), &["init", "--quiet", "--initial-branch=main"]);
    commit(scratch.path());
    git(scratch.path(), &["gc", "--quiet"]);
    let local = Local::open(scratch.path()).expect("a repository");
    let name = EnvironmentName::new("bench").expect("a name");
    let scope = DesiredScope::unbound(name, Some("bench".to_owned())).expect("a scope");
    let kinds = Arc::new(schema::builtin().kinds().clone());
    let (mut memo, limits) = (Memo::default(), Limits::default());
    let helm = Helm::new(None, Path::new(""), Bounds::default());
    let charts = Charts::offline(&helm, None);
    let resident = || {
        // The allocator gives back what is free after half a second.
        std::thread::sleep(Duration::from_millis(1_500));
        crate::process::usage(std::process::id()).resident_mib
    };
    let resident_before_mib = resident();
    let mut render = || {
        let begun = Instant::now();
        let tree = local.tree(Some("HEAD")).expect("a tree");
        let pins = |_: &AppName| Pins::offline();
        let desire =
            desire(&tree, &scope, &kinds, &mut memo, &limits, &charts, &pins).expect("an environment");
        let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        let digests: Vec<String> = desire
            .apps
            .iter()
            .map(|(_, app)| app.as_ref().expect("an app that renders").digest.to_string())
            .collect();
        (milliseconds, digests)
    };
    let (first, mut before) = render();
    let mut best = f64::INFINITY;
    for round in 0..RUNS {
        let file = scratch.path().join(format!("base/{}/object-00001.yaml", apps[0]));
        fs::write(file, object(apps[0], 1, &format!("round-{round}"))).expect("a file is written");
        commit(scratch.path());
        let (milliseconds, now) = render();
        let changed = before.iter().zip(&now).filter(|(before, now)| before != now).count();
        assert_eq!(changed, 1, "one app is another by the change");
        best = best.min(milliseconds);
        before = now;
    }
    eprintln!("   {repository}: first {first:.1} ms, after a change of one file {best:.2} ms");
    let resident_mib = resident();
    eprintln!("   resident {resident_before_mib:.0} MiB before and {resident_mib:.0} MiB after");
    Again {
        repository,
        files: apps.len() * objects,
        first_milliseconds: first,
        again_milliseconds: best,
        resident_before_mib,
        resident_mib,
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@localhost",
            "-c",
            "commit.gpgsign=false",
            "-c",
            "gc.auto=0",
        ])
        .args(arguments)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "git {arguments:?}");
}

fn commit(folder: &Path) {
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message=a change"]);
}

/// An environment of some apps, each a base of that many files and an overlay with a namespace, labels, images, patches.
fn write_tree(root: &Path, apps: &[&str], objects: usize) {
    let write = |path: PathBuf, text: String| {
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder is made");
        fs::write(path, text).expect("a file is written");
    };
    let mut config =
        "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps:\n".to_owned();
    for app in apps {
        let _ = writeln!(config, "  - {{name: {app}, path: overlays/{app}}}");
        let mut resources = "resources:\n".to_owned();
        for n in 0..objects {
            let _ = writeln!(resources, "- object-{n:05}.yaml");
            let path = root.join(format!("base/{app}/object-{n:05}.yaml"));
            write(path, object(app, n, "1.0"));
        }
        write(root.join(format!("base/{app}/kustomization.yaml")), resources);
        write(root.join(format!("overlays/{app}/kustomization.yaml")), overlay(app, objects));
    }
    write(root.join("environments/bench/environment.yaml"), config);
}

fn overlay(app: &str, objects: usize) -> String {
    let mut text = format!(
        "resources:\n- ../../base/{app}\nnamespace: bench\nlabels:\n- pairs:\n    team: bench\n    environment: dev\n  \
         includeSelectors: true\nimages:\n- name: example/web\n  newTag: \"2.0\"\npatches:\n- target:\n    kind: Deployment\n  \
         patch: |-\n    - op: add\n      path: /spec/template/spec/terminationGracePeriodSeconds\n      value: 60\n- target:\n    \
         kind: Deployment\n    name: .*object-.*\n  patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata:\n      \
         name: any\n    spec:\n      template:\n        spec:\n          containers:\n          - name: web\n            resources:\n              \
         limits:\n                memory: 512Mi\n"
    );
    for n in (1..objects).step_by((objects / 10).next_multiple_of(2).max(2)) {
        let _ = write!(
            text,
            "- patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata:\n      name: {app}-object-{n:05}\n    \
             spec:\n      replicas: 5\n"
        );
    }
    text
}

/// A ConfigMap or a Deployment of about 3 KiB, as people write them.
fn object(app: &str, n: usize, tag: &str) -> String {
    if n.is_multiple_of(2) {
        let mut text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {app}-object-{n:05}\n  labels:\n    app: bench\ndata:\n  round: \"1\"\n  \
             settings.conf: |\n"
        );
        for line in 0..42 {
            let _ =
                writeln!(text, "    setting-{n}-{line} = value of some length that a team would write here");
        }
        return text;
    }
    let mut environment = String::new();
    for k in 0..24 {
        let _ = writeln!(
            environment,
            "        - name: SETTING_{k}\n          value: \"value {k} of object {n}, long enough to be real\""
        );
    }
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {app}-object-{n:05}\n  labels:\n    app: bench\n    part: p{}\nspec:\n  \
         replicas: 2\n  selector:\n    matchLabels:\n      app: bench-{n}\n  template:\n    metadata:\n      labels:\n        \
         app: bench-{n}\n      annotations:\n        prometheus.io/scrape: \"true\"\n        example.com/tag: {tag}\n    spec:\n      \
         containers:\n      - name: web\n        image: example/web:1.0.{}\n        args: [\"--port\", \"8080\", --verbose]\n        \
         env:\n{environment}        ports:\n        - name: http\n          containerPort: 8080\n        resources:\n          \
         requests:\n            cpu: 100m\n            memory: 128Mi\n          limits:\n            memory: 256Mi\n        \
         readinessProbe:\n          httpGet:\n            path: /ready\n            port: http\n          periodSeconds: 5\n        \
         volumeMounts:\n        - name: config\n          mountPath: /etc/config\n      volumes:\n      - name: config\n        \
         configMap:\n          name: {app}-object-{:05}\n",
        n % 10,
        n % 7,
        n - 1
    )
}

/// Two Markdown tables.
pub fn table(results: &Results) -> String {
    let mut out = "\n### render\n\n| objects | who | ms | times faster | peak MiB | of kustomize's | × 1,000 objects |\n\
                   | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    let find =
        |who: &str, objects| results.commands.iter().find(|row| row.who == who && row.objects == objects);
    for row in &results.commands {
        let judge = find("kustomize", row.objects).filter(|judge| judge.who != row.who);
        let ratio = |of: Option<f64>| of.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        let _ = writeln!(
            out,
            "| {} | {} | {:.1} | {} | {:.1} | {} | {} |",
            row.objects,
            row.who,
            row.milliseconds,
            ratio(judge.map(|judge| judge.milliseconds / row.milliseconds)),
            row.peak_mib,
            ratio(judge.map(|judge| row.peak_mib / judge.peak_mib)),
            ratio(find(row.who, 1_000).map(|thousand| row.milliseconds / thousand.milliseconds)),
        );
    }
    out.push_str("\n### render inside the agent\n\n| repository | files | first, ms | after one file changed, ms | times faster | resident MiB for it |\n\
                  | --- | ---: | ---: | ---: | ---: | ---: |\n");
    for row in &results.again {
        let _ = writeln!(
            out,
            "| {} | {} | {:.1} | {:.2} | {:.0} | {:.0} |",
            row.repository,
            row.files,
            row.first_milliseconds,
            row.again_milliseconds,
            row.first_milliseconds / row.again_milliseconds,
            row.resident_mib - row.resident_before_mib
        );
    }
    out
}
