//! Tells stories to the room: git, an API server, pods and people that do what they do in the wild, and agents that die at
//! any moment and come back with nothing but what was remembered; all in simulated time, from one seed.
//!
//! A [`story`] is a list of what happens from outside, and when. [`run`] goes from one moment at which something is due to the
//! next; the [`agent`] in it hears, decides and has its [`hands`] do what was decided, request by request, as those of
//! `agent/` do. [`checks`] has what must hold at every moment, [`rest`] what must hold once nothing more happens.
//!
//! That the stories see anything was tried by breaking the room on purpose:
//!
//! | break | seen by |
//! | --- | --- |
//! | a newer digest does not stop what is under way | row f |
//! | a commit that does not render ends a restore | row a, stories |
//! | a failure to read in passing loses the restore | row b |
//! | deletes do not wait until an app is forgotten | row c |
//! | what was given up before its gates is not judged | one story in 2,000 |
//! | that an app is well is not remembered | every second story |
//! | a gate takes what is on its way for healthy | three stories in four |
//! | what could not be saved is dropped | one story in a hundred |
//! | that an app left git is not remembered | one story in a hundred, row c |
//! | edits are not put back while a gate waits | one story in 4,000 |
//!
//! Not seen in some thousand stories: an answer of another ticket is taken; deletes that a commit overtook go on; a hook that
//! ended well counts as due; a way back is remembered only with its first write; the commit of an older rollout is blamed;
//! what went back with another app stays there; the status says Ready of an app that is not.

mod agent;
mod chance;
mod checks;
mod content;
mod git;
mod hands;
mod pods;
mod rows;
mod run;
mod server;
mod shrink;
mod store;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the seed comes from outside, and how long it took is told")]
mod stories;
mod story;
mod view;
