//! `make bench`: what a rollout costs, beside `kubectl apply --server-side` and beside a bare client that sends the same
//! requests at its best concurrency, all against one control plane in one run; and what a render costs, beside
//! `kustomize build`.
//!
//! Ratios are what counts: this machine's seconds are not another's. Prints a table and writes JSON.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

mod agent;
mod apps;
mod bare;
mod churn;
mod control_plane;
mod drift;
mod fleet;
mod process;
mod render;
mod restore;
mod subject;
mod table;
#[path = "../tools/mod.rs"]
mod tools;
mod workload;

use std::path::PathBuf;

use control_plane::ControlPlane;
use subject::{Measured, Subject};
use workload::{Phase, Workload};

/// The allocator that the agent has, for what is measured in this process.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

// SAFETY: jemalloc reads this symbol as a pointer to a NUL-terminated string, which the slice's first word is.
#[allow(unsafe_code, reason = "the allocator is configured as the agent's is, in src/main.rs")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &[u8] = b"background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0\0";

fn main() {
    // `cargo test --benches` and listings call this too; a benchmark runs only when it is asked for.
    if !std::env::args().any(|argument| argument == "--bench") || std::env::var_os("FAIRLEAD_BENCH").is_none()
    {
        println!("bench: not asked for; run `make bench`");
        return;
    }
    let only: Option<String> =
        std::env::var("FAIRLEAD_BENCH").ok().filter(|name| name != "all" && name != "1");
    let folder = PathBuf::from(std::env::var("FAIRLEAD_BENCH_OUT").unwrap_or_else(|_| ".".to_owned()));
    let mut text = String::new();
    if only.as_ref().is_none_or(|only| only == "render") {
        eprintln!("== render");
        let rendered = render::run();
        text.push_str(&render::table(&rendered));
        std::fs::write(folder.join("render.json"), serde_json::to_vec_pretty(&rendered).expect("JSON"))
            .expect("writing");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let mut results: Vec<Measured> = Vec::new();
    let smoke = only.as_deref().filter(|only| *only == Workload::smoke().name).map(|_| Workload::smoke());
    let wanted = |workload: &Workload| only.as_ref().is_none_or(|only| *only == workload.name);
    for workload in Workload::all().into_iter().filter(wanted).chain(smoke) {
        eprintln!("== {}", workload.name);
        results.extend(runtime.block_on(measure(&workload)));
    }
    if only.as_ref().is_none_or(|only| *only == fleet::NAME) {
        eprintln!("== {}", fleet::NAME);
        let plane = ControlPlane::start();
        results.extend(runtime.block_on(fleet::measure(&plane)));
    }
    if only.as_ref().is_none_or(|only| *only == restore::NAME) {
        eprintln!("== {}", restore::NAME);
        let plane = ControlPlane::start();
        results.extend(runtime.block_on(restore::measure(&plane)));
    }
    if only.as_ref().is_none_or(|only| *only == churn::NAME) {
        eprintln!("== {}", churn::NAME);
        let plane = ControlPlane::start();
        results.extend(runtime.block_on(churn::measure(&plane)));
    }
    // `apps`, or `apps-1000` for one size of it.
    let size = only.as_ref().and_then(|only| only.strip_prefix("apps-")).and_then(|size| size.parse().ok());
    if size.is_some() || only.as_ref().is_none_or(|only| only == apps::NAME) {
        eprintln!("== {}", apps::NAME);
        let rows = runtime.block_on(apps::measure(size));
        text.push_str(&apps::table(&rows));
        std::fs::write(folder.join("apps.json"), serde_json::to_vec_pretty(&rows).expect("JSON"))
            .expect("writing");
    }
    // `drift`, or `drift-200` for another number of objects.
    let size = only.as_ref().and_then(|only| only.strip_prefix("drift-")).and_then(|size| size.parse().ok());
    if size.is_some() || only.as_ref().is_none_or(|only| only == drift::NAME) {
        eprintln!("== {}", drift::NAME);
        let rows = runtime.block_on(drift::measure(size));
        text.push_str(&drift::table(&rows));
        std::fs::write(folder.join("drift.json"), serde_json::to_vec_pretty(&rows).expect("JSON"))
            .expect("writing");
    }
    text.push_str(&table::render(&results));
    println!("{text}");
    std::fs::write(folder.join("bench.json"), serde_json::to_vec_pretty(&results).expect("JSON"))
        .expect("writing");
    std::fs::write(folder.join("bench.md"), text).expect("writing");
}

/// All subjects on one workload, each on a control plane of its own that has seen a few such objects: what others left
/// behind would be in the way of those who come later. First applies are repeated, in turns; the middle one counts.
async fn measure(workload: &Workload) -> Vec<Measured> {
    let mut firsts: Vec<Vec<Measured>> = vec![Vec::new(); SUBJECTS];
    let mut rest: Vec<Vec<Measured>> = vec![Vec::new(); SUBJECTS];
    for round in 1..=workload.rounds {
        for subject in 0..SUBJECTS {
            let plane = ControlPlane::start();
            subject::warm(&plane, workload).await;
            let mut more = Vec::new();
            if subject == SUBJECTS - 1 {
                let mut fairlead = subject::Fairlead::new(&plane, workload).await;
                firsts[subject].push(run(&plane, workload, &mut fairlead, Phase::First).await);
                if round == workload.rounds {
                    more = later(&plane, workload, &mut fairlead).await;
                    more.extend(fairlead.extras(&plane, workload).await);
                }
            } else {
                let mut other: Box<dyn Subject> = match subject {
                    0 => Box::new(subject::Bare::new(&plane, 8).await),
                    1 => Box::new(subject::Bare::new(&plane, 16).await),
                    _ => Box::new(subject::Kubectl::new(&plane)),
                };
                firsts[subject].push(run(&plane, workload, &mut *other, Phase::First).await);
                if round == workload.rounds {
                    more = later(&plane, workload, &mut *other).await;
                }
            }
            rest[subject].append(&mut more);
        }
    }
    let mut results = Vec::new();
    for (mut firsts, rest) in firsts.into_iter().zip(rest) {
        firsts.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        results.push(firsts.swap_remove((workload.rounds - 1) / 2));
        results.extend(rest);
    }
    results
}

/// Two bare clients, kubectl and the agent.
const SUBJECTS: usize = 4;

async fn later(plane: &ControlPlane, workload: &Workload, subject: &mut dyn Subject) -> Vec<Measured> {
    let mut results = Vec::new();
    for phase in [Phase::OnePercent, Phase::Nothing] {
        results.push(run(plane, workload, subject, phase).await);
    }
    results
}

async fn run(plane: &ControlPlane, workload: &Workload, subject: &mut dyn Subject, phase: Phase) -> Measured {
    if phase == Phase::First {
        plane.namespace(&subject.namespace(workload)).await;
    }
    let measured = subject.apply(plane, workload, phase).await;
    eprintln!("   {:<28} {:<12} {:>7.2} s", measured.subject, measured.phase, measured.seconds);
    measured
}
