//! Tells stories to the room: git, an API server, pods and people that do what they do in the wild, and agents that die at
//! any moment and come back with nothing but what was remembered; all in simulated time, from one seed.
//!
//! A [`story`] is a list of what happens from outside, and when. [`run`] goes from one moment at which something is due to the
//! next; the [`agent`] in it hears, decides and has its [`hands`] do what was decided, request by request, as those of
//! `agent/` do. [`checks`] has what must hold at every moment, [`rest`] what must hold once nothing more happens.
//!
//! That the stories see anything was tried by breaking the room on purpose. Each break, and the first story of a random seed
//! that saw it (most fail in many ways; a number is one try):
//!
//! | break | seen after |
//! | --- | --- |
//! | an answer of another ticket is taken | 28 |
//! | deletes that a commit overtook go on | 284 |
//! | a hook that ended well counts as due | 2 |
//! | a way back is remembered only with its first write | 3 |
//! | the commit of an older rollout is blamed | 3 |
//! | after a restart, or always, the newest commit is blamed | 5 |
//! | what went back with another app is never let go | 5 |
//! | the status says Ready of an app that waits, or is at a gate | 14, 1 |
//! | a word to try again is not remembered | 9 |
//! | a newer digest does not stop what is under way | 245 |
//! | a commit that does not render ends a restore | 73, row a |
//! | a failure to read in passing loses the restore | 383, row b |
//! | deletes do not wait until an app is forgotten | 222, row c |
//! | what was given up before its gates is not judged | 24 |

mod agent;
mod chance;
mod checks;
mod content;
mod drift_stories;
mod found;
mod git;
mod hands;
mod invent;
mod others;
mod outside;
mod pods;
mod policies;
mod records;
mod rows;
mod run;
mod script;
mod server;
mod shrink;
mod store;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the seed comes from outside, and how long it took is told")]
pub(crate) mod stories;
mod story;
mod view;
