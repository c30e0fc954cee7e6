//! The pure rooms that read what others wrote, and what a fuzzer does with them.

#[path = "../../src/object/mod.rs"]
pub mod object;
/// What a git server sends, looked at before libgit2 is given it.
#[path = "../../src/git/pack.rs"]
pub mod pack;
#[path = "../../src/render/mod.rs"]
pub mod render;
#[path = "../../src/schema/mod.rs"]
pub mod schema;
#[path = "../../src/yaml/mod.rs"]
pub mod yaml;

pub mod target;
