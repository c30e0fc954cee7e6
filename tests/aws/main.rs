//! The room `aws` against moto over real HTTP, with a proxy between them that counts, judges by AWS's own description of its
//! services, and breaks what it is told to.

#![allow(clippy::disallowed_methods, reason = "tests start processes and servers")]

mod bed;
mod children;
mod faults;
mod judge;
mod leaks;
mod news;
mod places;
mod proxy;
mod reading;

use fairlead::object::secret::WipingAllocator;

/// As in main.rs, so that what is freed can be looked for.
#[global_allocator]
static ALLOCATOR: WipingAllocator<std::alloc::System> = WipingAllocator(std::alloc::System);
