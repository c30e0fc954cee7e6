//! Writers that end by themselves: a region that is lost, or cut off, stops without anybody's help, and another takes over by its
//! silence.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::bed::regions::{CENTRAL, Regions, Site, WEST, job, said};
use crate::bed::{Agent, SOON, fairlead, wait_until};

/// The silence that proves something takes a minute, and the steps come before and after.
const TAKEN_OVER: Duration = Duration::from_secs(240);

/// A writer as it runs in a pod: by `fairlead guard`, and into a file that all regions share.
struct Writer(Child);

impl Writer {
    fn start(site: &Site, agent: &Agent, ledger: &Path) -> Self {
        let script = format!(
            "while :; do echo {} $FAIRLEAD_REGION_EPOCH $(date +%s%N) >>{}; sleep 0.05; done",
            site.region,
            ledger.display()
        );
        let mut command: Command = fairlead();
        command.args(["guard", "--env", &site.bed.name, "--agent", &format!("http://{}", agent.address())]);
        command.args(["--", "sh", "-c", &script]).stdin(Stdio::null());
        Self(command.spawn().expect("the guard starts"))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// What was written: the region, the epoch, and when.
fn lines(ledger: &Path) -> Vec<(String, u64, u128)> {
    let text = std::fs::read_to_string(ledger).unwrap_or_default();
    let read = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?, words.next()?.trim().parse().ok()?))
    };
    text.lines().filter_map(read).collect()
}

/// Fails where an older epoch wrote after a newer one began.
#[track_caller]
fn judge(ledger: &Path) {
    let all = lines(ledger);
    for epoch in 2..=3 {
        let first = all.iter().filter(|(_, at, _)| *at >= epoch).map(|(.., when)| *when).min();
        let last = all.iter().filter(|(_, at, _)| *at < epoch).map(|(.., when)| *when).max();
        if let (Some(first), Some(last)) = (first, last) {
            assert!(
                last < first,
                "epoch {} wrote for {} ms beside epoch {epoch}",
                epoch - 1,
                (last - first) / 1_000_000
            );
        }
    }
    for (region, epoch, _) in &all {
        let of = if *epoch == 2 { CENTRAL } else { WEST };
        assert_eq!(region, of, "epoch {epoch} is of one region");
    }
}

/// The west is lost in some way; the central region takes over, and the west comes back.
fn take_over(name: &str, lose: impl Fn(&Regions, &Agent), is_agent_lost: bool) {
    let mut regions = Regions::new(name);
    regions.is_guarded = true;
    let (west, central) = (&regions.west, &regions.central);
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("ledger");
    let (of_west, of_central) = (west.agent(), central.agent());
    // Where the agent is lost, nobody says a word: the shared place and a Job say that the region is lost.
    let automatic = ", automatic: {after: 1m, signals: [sharedPlace, jobs/answers.yaml]}";
    let automatic = if is_agent_lost { automatic } else { "" };
    let answers = job("answers", "sim.fairlead.dev/job: fail");
    let files: &[(&str, &str)] = &[("jobs/answers.yaml", &answers)];
    regions.commit_with(&said(WEST, 1, automatic), files);
    west.wait_active(SOON, 1);
    central.wait_standby(SOON, WEST);
    wait_until(SOON, "its silence is a promise", || regions.record()["hold"] == json!({"held": "stop"}));
    let _writers = (Writer::start(west, &of_west, &ledger), Writer::start(central, &of_central, &ledger));
    let wrote = |region: &str| lines(&ledger).iter().filter(|(of, ..)| of == region).count();
    wait_until(SOON, "the writer of the west writes", || wrote(WEST) > 20);
    assert_eq!(regions.record()["holder"], WEST, "one signal alone moves nothing");
    lose(&regions, &of_west);
    if !is_agent_lost {
        regions.commit(&said(CENTRAL, 2, ", mode: ungraceful"));
    }
    let moved = central.wait_active(TAKEN_OVER, 2);
    let by = moved["run"]["by"].as_str().unwrap_or_default().to_owned();
    assert_eq!(by.starts_with("automatic: "), is_agent_lost, "{by}");
    let proof = regions.record()["proof"].clone();
    assert_eq!(proof["by"], "silence", "{proof}");
    wait_until(SOON, "the writer of the other region writes", || wrote(CENTRAL) > 20);
    judge(&ledger);
    if !is_agent_lost {
        // What nothing guards in the simulation, the agent stopped.
        assert_eq!(regions.ledger.judge().map(|count| count > 0), [true, true]);
    }
    west.link.mend();
    let again = is_agent_lost.then(|| west.agent());
    if is_agent_lost {
        west.wait(SOON, "it reads whose the environment is", |status| status["holder"]["region"] == CENTRAL);
        // Git says so, too.
        regions.commit_with(&said(CENTRAL, 2, automatic), files);
    }
    west.wait_standby(SOON, CENTRAL);
    wait_until(SOON, "what ran there is stopped", || west.replicas("writer") == Some(0));
    wait_until(SOON, "the writer goes on", || wrote(CENTRAL) > 60);
    judge(&ledger);
    drop((again, of_central));
}

#[test]
fn a_region_that_is_cut_off_stops_by_itself_and_another_takes_over_by_its_silence() {
    take_over("silent", |regions, _| regions.west.link.cut(), false);
}

#[test]
fn a_region_that_is_lost_with_its_agent_stops_by_itself_and_reads_what_is_so_when_it_is_back() {
    let lose = |regions: &Regions, agent: &Agent| {
        regions.west.link.cut();
        agent.signal("KILL");
    };
    take_over("lost", lose, true);
}
