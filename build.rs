//! What Cargo.toml cannot say: for which checkout this is built, and how a release is linked.
#![allow(
    clippy::disallowed_methods,
    reason = "the rooms are those of the program; cargo talks to this by its environment"
)]

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Cargo names artifacts by the place of a package in its workspace, so two checkouts that share a target folder
    // share them too. Tests read fixtures from where they were compiled: a change of the checkout compiles them anew.
    println!("cargo:rerun-if-env-changed=FAIRLEAD_CHECKOUT");
    println!("cargo:rustc-env=FAIRLEAD_CHECKOUT={}", env::var("FAIRLEAD_CHECKOUT").unwrap_or_default());
    // Where `lld` links, which is what rustc brings for this target.
    let is_lld = env::var("TARGET").is_ok_and(|target| target == "x86_64-unknown-linux-gnu");
    if is_lld && env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        small_at_once();
    }
}

/// A command of a few milliseconds spends most of its time and memory on being loaded. See docs/decisions/0014.
fn small_at_once() {
    let link = |argument: &str| println!("cargo:rustc-link-arg-bins={argument}");
    // Relocations in a fiftieth of the room: all of them are read before `main` begins.
    link("-Wl,-z,pack-relative-relocs");
    // What a short command runs through stands together, and not on a page of each crate.
    let hot = Path::new(env!("CARGO_MANIFEST_DIR")).join("make/hot.ld");
    println!("cargo:rerun-if-changed={}", hot.display());
    link(&format!("-Wl,-T,{}", hot.display()));
    // Shared libraries are relocated whether or not anything is asked of them; OpenSSL's have 8,000 relocations.
    let Some(system) = archives() else { return };
    let first = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where")).join("static");
    fs::create_dir_all(&first).expect("a folder is made");
    for name in ["libssl.a", "libcrypto.a", "libz.a"] {
        let (from, to) = (system.join(name), first.join(name));
        if from.exists() && !to.exists() {
            std::os::unix::fs::symlink(from, to).expect("a link is made");
        }
    }
    println!("cargo:rustc-link-search=native={}", first.display());
}

/// Where Debian keeps static libraries, if it is one, they are there, and ask for nothing more.
fn archives() -> Option<PathBuf> {
    let folder = PathBuf::from("/usr/lib/x86_64-linux-gnu");
    let is_there = ["libssl.a", "libcrypto.a"].iter().all(|name| folder.join(name).exists());
    let about = fs::read_to_string(folder.join("pkgconfig/libcrypto.pc")).ok()?;
    // Some are built with compressions of their own.
    let needs = about.lines().find_map(|line| line.strip_prefix("Libs.private:")).unwrap_or_default();
    let is_alone = needs.split_whitespace().all(|need| matches!(need, "-ldl" | "-pthread"));
    (is_there && is_alone).then_some(folder)
}
