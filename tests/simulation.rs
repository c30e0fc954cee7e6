//! Tells stories to `delivery`, or with `secrets` as its first argument to `secrets`: so many as the next argument says, or until
//! it is stopped. `make/simulate.sh` builds it.
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
#[path = "../src/secrets/mod.rs"]
mod secrets;
#[path = "../src/state/mod.rs"]
mod state;

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let is_of_secrets = arguments.next_if_eq("secrets").is_some();
    let count = arguments.next().and_then(|count| count.parse().ok());
    let (name, held) = match is_of_secrets {
        true => ("secrets", secrets::simulation::tales::simulate(count)),
        false => ("stories", delivery::simulation::stories::simulate(count, None)),
    };
    println!("{name}: {} passed, {} failed", u8::from(held), u8::from(!held));
    if !held {
        std::process::exit(1);
    }
}
