//! libgit2 as we want it in this process: without the machine's configuration, with time limits, with a small cache.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::{Once, OnceLock};

use git2::{ConfigLevel, opts};

/// To open a connection. A host that does not answer in this time will not in more.
const CONNECT_MILLISECONDS: i32 = 10_000;

/// Without a byte from the server. A server that counts objects of a large repository is silent for a while, but sends
/// keep-alives each 5 s (`uploadpack.keepAlive`).
const SILENCE_MILLISECONDS: i32 = 30_000;

/// Parsed objects that libgit2 keeps, over all repositories; its own default is 256 MB.
const CACHE_BYTES: isize = 8 << 20;

/// Objects of one fetch. All history of Kubernetes has some 1.6 million.
const MOST_OBJECTS: usize = 4_000_000;

/// Sets libgit2 up, once. All that opens a repository or a connection calls it first.
pub(super) fn ready() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: these set process-wide values of libgit2. Everything of this room that uses libgit2 comes through
        // here first, and nothing else in the process uses it.
        unsafe {
            // `url.*.insteadOf`, proxies and credential helpers of whoever runs us must not decide where we fetch from.
            for level in
                [ConfigLevel::System, ConfigLevel::Global, ConfigLevel::XDG, ConfigLevel::ProgramData]
            {
                let _ = opts::set_search_path(level, "");
            }
            // Who owns a repository matters to those who run its hooks; we read objects only.
            let _ = opts::set_verify_owner_validation(false);
            let _ = opts::set_server_connect_timeout_in_milliseconds(CONNECT_MILLISECONDS);
            let _ = opts::set_server_timeout_in_milliseconds(SILENCE_MILLISECONDS);
            let _ = opts::set_cache_max_size(CACHE_BYTES);
            // libgit2 makes room for as many objects as the first bytes of a pack claim.
            libgit2_sys::git_libgit2_opts(libgit2_sys::GIT_OPT_SET_PACK_MAX_OBJECTS as _, MOST_OBJECTS);
        }
    });
}

/// Tells libgit2 which folder is the home that holds `.ssh/known_hosts`, once for the whole process, and says which it is.
///
/// It reads that file for one thing only: to ask a server for a kind of key that the file has. Without it a server shows
/// the kind that libssh2 prefers, and a host that is known by another kind would look unknown. Whether a key is *trusted* is
/// decided by `known_hosts.rs` alone.
pub(super) fn home(folder: &Path) -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    ready();
    HOME.get_or_init(|| {
        if let Ok(path) = CString::new(folder.as_os_str().as_encoded_bytes()) {
            // SAFETY: the option takes one C string, which libgit2 copies; it is set once, before the first ssh
            // connection (`Remotes::get` is the only way to one).
            unsafe {
                libgit2_sys::git_libgit2_opts(libgit2_sys::GIT_OPT_SET_HOMEDIR as _, path.as_ptr());
            }
        }
        folder.to_owned()
    })
}
