//! Tells stories to `delivery`: so many as the first argument says, or until it is stopped. `make/simulate.sh` builds it.
//!
//! The pure rooms are compiled in here as they are, without the rest of Fairlead: optimised, all of it would take minutes to
//! build. What tests of theirs alone use is not used here.
#![allow(dead_code, unused_imports, reason = "each room has more than stories need")]

#[path = "../src/api/mod.rs"]
mod api;
#[path = "../src/delivery/mod.rs"]
mod delivery;
#[path = "../src/drift/mod.rs"]
mod drift;
#[path = "../src/health/mod.rs"]
mod health;
#[path = "../src/object/mod.rs"]
mod object;
#[path = "../src/plan/mod.rs"]
mod plan;
#[path = "../src/policy/mod.rs"]
mod policy;
#[path = "../src/region/mod.rs"]
mod region;
#[path = "../src/rollout/mod.rs"]
mod rollout;
#[path = "../src/state/mod.rs"]
mod state;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let held = delivery::simulation::stories::simulate(count, None);
    println!("stories: {} passed, {} failed", u8::from(held), u8::from(!held));
    if !held {
        std::process::exit(1);
    }
}
