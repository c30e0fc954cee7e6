//! What a run of helm may touch. A template cannot do much, and helm is trusted; but what renders the charts of all teams stands
//! beside a service account's token, mirrors of every repository and the memory of the agent, and one fault in it is enough.
//!
//! | what | by | where that cannot be had |
//! | --- | --- | --- |
//! | files: its scratch folder; to read, the program and the system's libraries | Landlock (Linux 5.13) | refused |
//! | network: none | seccomp, for every socket; a network namespace; Landlock (6.7) | refused without seccomp |
//! | other processes: no look into them, no signal | Landlock (signals: 6.12), seccomp | refused, but for signals |
//!
//! All of it is made before the fork; in the child a few system calls put it in force.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use rustix::thread::UnshareFlags;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Files that it may have open.
const OPEN_FILES: u64 = 1_024;
/// Bytes of a file that it may write: it has to write none.
const WRITTEN_FILE: u64 = 64 << 20;

/// Where programs and libraries are, and what a runtime reads when it starts. There is nothing of ours in these.
const SYSTEM: [&str; 8] = [
    "/usr",
    "/bin",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/dev/urandom",
    "/sys/kernel/mm",
];
const DEV_NULL: &str = "/dev/null";

/// System calls that make a way out of the process, or a look into another one. helm needs none of them.
const REFUSED: [i64; 24] = [
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // It opens sockets without a call of their own.
    libc::SYS_io_uring_setup,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
];

/// Why it cannot be confined.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unconfinable {
    #[error(
        "this kernel cannot confine it to its files: that takes Landlock (Linux 5.13, and `landlock` in its list of modules)"
    )]
    Files(#[source] RulesetError),
    #[error("a path that it needs cannot be allowed")]
    Path(#[source] io::Error),
    #[error("this kernel cannot keep it from the network: that takes seccomp")]
    Network(#[source] seccompiler::BackendError),
}

/// Made ready for one child.
pub(super) struct Confinement {
    memory: u64,
    /// Nothing where it runs unconfined.
    walls: Option<(RulesetCreated, BpfProgram)>,
}

impl Confinement {
    /// Bounds alone.
    pub fn open(memory: u64) -> Self {
        Self { memory, walls: None }
    }

    /// Bounds, and nothing to be seen but the program and this folder.
    pub fn closed(memory: u64, program: &Path, folder: &Path) -> Result<Self, Unconfinable> {
        Ok(Self { memory, walls: Some((files(program, folder)?, calls()?)) })
    }

    /// Puts it in force, in the child, before helm begins. Only system calls are made: nothing is allocated unless one fails.
    pub fn enter(&mut self) -> io::Result<()> {
        let limit = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
        limit(Resource::Data, self.memory)?;
        limit(Resource::Core, 0)?;
        limit(Resource::Nofile, OPEN_FILES)?;
        limit(Resource::Fsize, WRITTEN_FILE)?;
        rustix::thread::set_no_new_privs(true)?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // Not everywhere allowed. A user namespace of its own gives the right to the other.
        // SAFETY: the file descriptors of other threads are not touched, and there are no other threads.
        let _ = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) };
        if let Some((files, calls)) = self.walls.take() {
            let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
            files.restrict_self().map_err(|_| refused())?;
            seccompiler::apply_filter(&calls).map_err(|_| refused())?;
        }
        Ok(())
    }
}

/// Allows a few paths and nothing else; no port, and no process outside.
fn files(program: &Path, folder: &Path) -> Result<RulesetCreated, Unconfinable> {
    let made = || -> Result<RulesetCreated, RulesetError> {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))?
            // What newer kernels add, where there is one.
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(ABI::V5))?
            .handle_access(AccessNet::from_all(ABI::V4))?
            .scope(Scope::from_all(ABI::V6))?
            .create()
    };
    let mut rules = made().map_err(Unconfinable::Files)?;
    let read = AccessFs::from_read(ABI::V5);
    let mut allow = |path: &Path, access: BitFlags<AccessFs>| {
        let opened = match PathFd::new(path) {
            Ok(opened) => opened,
            Err(_) if !path.exists() => return Ok(()),
            Err(error) => return Err(Unconfinable::Path(io::Error::other(error.to_string()))),
        };
        // Of a file, only what can be done with a file.
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI::V5) };
        (&mut rules).add_rule(PathBeneath::new(opened, access)).map(drop).map_err(Unconfinable::Files)
    };
    for path in SYSTEM {
        allow(Path::new(path), read)?;
    }
    allow(Path::new(DEV_NULL), read | AccessFs::WriteFile)?;
    allow(program, AccessFs::ReadFile | AccessFs::Execute)?;
    allow(folder, AccessFs::from_all(ABI::V5) & !(AccessFs::MakeBlock | AccessFs::MakeChar))?;
    Ok(rules)
}

fn calls() -> Result<BpfProgram, Unconfinable> {
    let refused: BTreeMap<i64, Vec<_>> = REFUSED.into_iter().map(|call| (call, Vec::new())).collect();
    let denied = SeccompAction::Errno(libc::EACCES as u32);
    let made = std::env::consts::ARCH
        .try_into()
        .and_then(|arch| SeccompFilter::new(refused, SeccompAction::Allow, denied, arch))
        .and_then(BpfProgram::try_from);
    made.map_err(Unconfinable::Network)
}

#[cfg(test)]
mod tests;
