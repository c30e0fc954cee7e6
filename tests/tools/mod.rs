//! Finds the tools that tests compare with.

use std::env;
use std::path::{Path, PathBuf};

/// Finds the program that a variable names. A test whose tool is missing fails: a comparison that did not happen proves
/// nothing.
#[track_caller]
pub fn tool(variable: &str) -> PathBuf {
    let Some(path) = env::var_os(variable) else {
        panic!(
            "{variable} names no program: `make test` sets it, and so does `source make/tools.sh; need helm`"
        );
    };
    assert!(Path::new(&path).is_file(), "{variable} names {}, and there is no such program", path.display());
    path.into()
}
