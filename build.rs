//! Tells Cargo for which checkout this is built, which `Cargo.toml` cannot say.
#![allow(
    clippy::disallowed_methods,
    reason = "the rooms are those of the program; cargo talks to this by its environment"
)]

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Cargo names artifacts by the place of a package in its workspace, so two checkouts that share a target folder
    // share them too. Tests read fixtures from where they were compiled: a change of the checkout compiles them anew.
    println!("cargo:rerun-if-env-changed=FAIRLEAD_CHECKOUT");
    println!("cargo:rustc-env=FAIRLEAD_CHECKOUT={}", std::env::var("FAIRLEAD_CHECKOUT").unwrap_or_default());
}
