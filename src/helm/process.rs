//! One run of helm, and what it is held to.
//!
//! - It sees an environment with nothing of ours in it, a home of its own in its scratch folder, no plugins, and no
//!   repository or registry that anybody logged in to.
//! - It has no network, and of all files its scratch folder and the system's programs and libraries: [`Confinement`]. Where
//!   the kernel cannot do that it is not run, unless somebody said so (`--helm-unconfined`). helm is never asked for what
//!   needs a network.
//! - It has so much time, memory and output. Memory is that which it writes to (`RLIMIT_DATA`): Go reserves far more
//!   addresses than it ever uses, and an address limit would end it at once.
//! - It runs in a process group of its own, which is killed as a whole when it is over, and when we are.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::confine::{Confinement, Unconfinable};
use super::otherwise;

/// What a chart may cost.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// For all its renderings together.
    pub time: Duration,
    /// Bytes.
    pub memory: u64,
    /// Bytes of output.
    pub output: usize,
    /// Whether it sees nothing but what it needs. Where that cannot be had it does not run.
    pub confined: bool,
}

impl Default for Bounds {
    /// Most charts take 0.15 s and 100 MB, twice; the largest umbrella charts some seconds.
    fn default() -> Self {
        Self { time: Duration::from_secs(60), memory: 384 << 20, output: 64 << 20, confined: true }
    }
}

/// Set from elsewhere where what is rendered is no longer wanted.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Words of helm that are read; it says the same thing over and over where it says more.
const SAID: usize = 256 << 10;
/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(4);
/// Of what helm may use, the share at which Go collects its garbage in earnest.
const COLLECT_AT: (u64, u64) = (3, 4);
/// What Go says where it gets no memory: for its heap, or for the stack of a thread.
const OUT_OF_MEMORY: [&str; 3] = ["cannot allocate memory", "out of memory", "pthread_create failed"];

pub(super) enum Ended {
    Done { text: String, said: String },
    Refused { said: String },
    OutOfTime,
    TooMuch,
    OutOfMemory,
    Stopped,
    Killed { how: String },
    NotStarted(io::Error),
    NotConfined(Unconfinable),
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
enum NotBegun {
    #[error(transparent)]
    Confined(#[from] Unconfinable),
    #[error(transparent)]
    Started(#[from] io::Error),
}

pub(super) struct Run<'a> {
    pub program: &'a Path,
    /// Holds the chart; helm's home is made in it.
    pub folder: &'a Path,
    /// In another time zone than any.
    pub far_away: bool,
    pub bounds: &'a Bounds,
    pub stop: &'a Stop,
}

impl Run<'_> {
    pub fn run(&self, arguments: &[String], deadline: Instant) -> Ended {
        match self.start(arguments) {
            Ok(child) => self.watch(child, deadline),
            Err(NotBegun::Confined(why)) => Ended::NotConfined(why),
            Err(NotBegun::Started(error)) => Ended::NotStarted(error),
        }
    }

    fn start(&self, arguments: &[String]) -> Result<Child, NotBegun> {
        let home = self.folder.join("home");
        std::fs::create_dir_all(&home)?;
        let zone = match self.far_away {
            true => {
                let file = home.join("far-away");
                std::fs::write(&file, otherwise::far_away())?;
                file
            }
            false => "UTC".into(),
        };
        let memory = self.bounds.memory;
        let mut confinement = match self.bounds.confined {
            true => Confinement::closed(memory, self.program, self.folder)?,
            false => Confinement::open(memory),
        };
        let mut command = Command::new(self.program);
        command.args(arguments).current_dir(self.folder).env_clear();
        for name in ["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(name, &home);
        }
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HELM_PLUGINS"] {
            command.env(name, home.join(name));
        }
        command.env("TZ", zone).env("KUBECONFIG", home.join("none"));
        command.env("GOMEMLIMIT", (memory / COLLECT_AT.1 * COLLECT_AT.0).to_string());
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            // Nothing listens on port 9.
            command.env(name, "http://127.0.0.1:9");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        // SAFETY: between fork and exec there is one thread and it may only make system calls. These are that, and
        // nothing else: none allocates, locks, or looks at anything of another thread.
        unsafe {
            command.pre_exec(move || confinement.enter());
        }
        Ok(command.spawn()?)
    }

    fn watch(&self, mut child: Child, deadline: Instant) -> Ended {
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let kill = || group.map(|group| kill_process_group(group, Signal::KILL));
        let full = Stop::default();
        let out = child.stdout.take().map(|pipe| reader(pipe, self.bounds.output, Some(full.clone())));
        let err = child.stderr.take().map(|pipe| reader(pipe, SAID, None));
        let mut why = None;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
            if why.is_none() {
                why = if self.stop.is_set() {
                    Some(Ended::Stopped)
                } else if full.is_set() {
                    Some(Ended::TooMuch)
                } else if Instant::now() >= deadline {
                    Some(Ended::OutOfTime)
                } else {
                    None
                };
                if why.is_some() {
                    kill();
                }
            }
            std::thread::sleep(LOOK);
        };
        // Whatever it started goes with it; only then do the pipes end.
        kill();
        let text = |reader: Option<JoinHandle<Vec<u8>>>| {
            let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (text, said) = (text(out), text(err));
        if full.is_set() && why.is_none() {
            why = Some(Ended::TooMuch);
        }
        match (why, status) {
            (Some(why), _) => why,
            (None, Err(error)) => Ended::Killed { how: error.to_string() },
            (None, Ok(status)) if status.success() => Ended::Done { text, said },
            (None, Ok(status)) => match status.code() {
                // Go's own words, of whatever it could not get.
                Some(2) if OUT_OF_MEMORY.iter().any(|words| said.contains(words)) => Ended::OutOfMemory,
                Some(1) => Ended::Refused { said },
                Some(code) => {
                    let first = said.lines().next().unwrap_or_default();
                    Ended::Killed { how: format!("the exit code {code}: {first}") }
                }
                None => Ended::Killed { how: format!("the signal {}", status.signal().unwrap_or_default()) },
            },
        }
    }
}

/// Reads to the end and keeps the first `limit` bytes; `full` is set where there are more.
fn reader(mut pipe: impl Read + Send + 'static, limit: usize, full: Option<Stop>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut piece = vec![0; 64 << 10];
        loop {
            match pipe.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => {
                    let room = limit.saturating_sub(kept.len()).min(read);
                    kept.extend_from_slice(&piece[..room]);
                    if room < read
                        && let Some(full) = &full
                    {
                        full.set();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        kept
    })
}
