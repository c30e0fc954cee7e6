//! Runs the regions of an environment against each other: so many times as the first argument says, or until it is stopped.
//! `make/simulate-regions.sh` builds it.
//!
//! The room is compiled in here as it is, with the words that it uses and without the rest of Fairlead, and optimised. What tests of its own alone use is not
//! used here.
#![allow(dead_code, unused_imports, reason = "the room has more than runs need")]

#[path = "../src/object/mod.rs"]
mod object;
#[path = "../src/region/mod.rs"]
mod region;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let held = region::simulation::runs::simulate(count, None);
    println!("regions: {} passed, {} failed", u8::from(held), u8::from(!held));
    if !held {
        std::process::exit(1);
    }
}
