//! Runs a writer for as long as the agent of its region says that it may, and ends it by itself when nobody says so any more: while
//! the agent is dead, or cut off, too.
//!
//! The agent says how long is left. It counts from when it was *asked*, by a clock that nobody can set and that runs while the machine
//! sleeps; so whatever the answer was held up by, the writer ends in time. It is the first process of its container: where it is
//! killed itself, so is the writer.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use super::{CliResult, Exit};
use crate::cluster::uptime;
use crate::object::EnvironmentName;
use crate::region::{Moment, TIMING};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The environment
    #[arg(long, value_name = "NAME", env = "FAIRLEAD_ENVIRONMENT")]
    env: EnvironmentName,
    /// Where the agent of this cluster is: http://fairlead.fairlead:8080
    #[arg(long, value_name = "URL", env = "FAIRLEAD_AGENT")]
    agent: String,
    /// The writer, and its arguments. It is told FAIRLEAD_REGION_EPOCH
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// How often the agent is asked, and how long that may take.
const ASK: Duration = Duration::from_secs(2);
/// Between two looks at the clock.
const LOOK: Duration = Duration::from_millis(100);
/// An answer is a line.
const ANSWER_BYTES: u64 = 4096;

/// What the agent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Leave {
    epoch: u64,
    milliseconds: u64,
}

pub async fn run(arguments: Arguments) -> CliResult {
    let address = address(&arguments.agent)?;
    let path = format!("/writers/{}", arguments.env);
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return Err(Failure::input("signals cannot be heard"));
    };
    let (told, mut asked) = tokio::sync::watch::channel(None);
    let asking = tokio::spawn(async move {
        loop {
            let began = uptime();
            if let Ok(Ok(leave)) = tokio::time::timeout(ASK, ask(&address, &path)).await {
                told.send_replace(Some((leave, began)));
            }
            tokio::time::sleep(ASK).await;
        }
    });
    let mut writer: Option<(Child, u64)> = None;
    let mut look = tokio::time::interval(LOOK);
    let exit = loop {
        let leave = *asked.borrow_and_update();
        let epoch = leave.and_then(|(leave, began)| may_run(leave, began, uptime()));
        match (&mut writer, epoch) {
            (None, Some(epoch)) => writer = Some((start(&arguments.command, epoch)?, epoch)),
            // Another epoch is another life: it may be the region's own again, and someone else wrote meanwhile.
            (Some((child, at)), now) if now != Some(*at) => {
                eprintln!("fairlead guard: nobody says any more that it may run at epoch {at}: it ends");
                end(child).await;
                writer = None;
            }
            (Some((child, _)), _) => {
                if let Ok(Some(status)) = child.try_wait() {
                    break if status.success() { Exit::Done } else { Exit::Error };
                }
            }
            _ => {}
        }
        tokio::select! {
            _ = look.tick() => {}
            _ = term.recv() => break Exit::Done,
            _ = int.recv() => break Exit::Done,
        }
    };
    asking.abort();
    if let Some((child, _)) = &mut writer {
        end(child).await;
    }
    Ok(exit)
}

/// The epoch at which the writer may run at this moment.
fn may_run(leave: Option<Leave>, asked: Moment, now: Moment) -> Option<u64> {
    let leave = leave?;
    let left = Duration::from_millis(leave.milliseconds).min(TIMING.fence);
    (now < asked + left).then_some(leave.epoch)
}

fn start(command: &[String], epoch: u64) -> Result<Child, Failure> {
    let [program, arguments @ ..] = command else { return Err(Failure::input("there is no command")) };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("FAIRLEAD_REGION_EPOCH", epoch.to_string())
        .stdin(Stdio::null())
        .process_group(0);
    command.spawn().map_err(|error| Failure::error(&format!("{program} cannot be started"), &error))
}

/// Ends the writer and all that it began: they are told, and killed a second before their grace is over.
async fn end(child: &mut Child) {
    let grace = TIMING.grace.saturating_sub(Duration::from_secs(1));
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let tell = |signal| {
        if let Some(group) = group {
            let _ = kill_process_group(group, signal);
        }
    };
    tell(Signal::TERM);
    let began = uptime();
    while !matches!(child.try_wait(), Ok(Some(_)) | Err(_)) && uptime() < began + grace {
        tokio::time::sleep(LOOK).await;
    }
    // What the writer began may go on without it.
    tell(Signal::KILL);
    let _ = child.wait();
}

/// Asks the agent; nothing where it says that no writer may run. A failure says nothing: what was told last still holds.
async fn ask(address: &str, path: &str) -> std::io::Result<Option<Leave>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut answer).await?;
    let failed = || std::io::Error::other("it is no answer of an agent");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(failed)?;
    match head.split(' ').nth(1) {
        Some("200") => {
            // The body may come in chunks: the object is what stands between its braces.
            let body = body.find('{').zip(body.rfind('}')).and_then(|(from, to)| body.get(from..=to));
            serde_json::from_str(body.unwrap_or_default()).map(Some).map_err(|_| failed())
        }
        // This agent says that none may run. Another replica, which does not look after it, says 404.
        Some("410") => Ok(None),
        _ => Err(failed()),
    }
}

fn address(url: &str) -> Result<String, Failure> {
    let rest = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    match rest.filter(|rest| rest.contains(':') && !rest.contains('/')) {
        Some(address) => Ok(address.to_owned()),
        None => {
            Err(Failure::input(format!("{url:?} is not where an agent is")).hint("write http://HOST:PORT"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_from_when_it_was_asked_and_no_longer_than_the_fence() {
        let at = Duration::from_secs;
        let leave = |milliseconds| Some(Leave { epoch: 3, milliseconds });
        assert_eq!(may_run(leave(5_000), at(100), at(104)), Some(3));
        assert_eq!(may_run(leave(5_000), at(100), at(105)), None);
        assert_eq!(may_run(leave(600_000), at(100), at(100) + TIMING.fence), None, "whatever the agent says");
        assert_eq!(may_run(None, at(100), at(100)), None);
    }

    #[test]
    fn an_agent_is_at_a_host_and_a_port() {
        assert_eq!(address("http://fairlead.fairlead:8080/").ok().as_deref(), Some("fairlead.fairlead:8080"));
        for bad in ["https://a:1", "http://a", "a:1", "http://a:1/b"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
