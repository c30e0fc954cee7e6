//! How many objects may be deleted without a person's word: git's budget, within the platform's, and a raise of it only from
//! the commit after the one that raises it. So no commit lets itself delete.

use serde::{Deserialize, Serialize};

use crate::object::Revision;

/// How many objects may be deleted without asking anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    pub max: u32,
    /// Of the environment's objects, rounded up; 0 asks always.
    pub percent: u8,
}

impl Budget {
    pub fn allows(&self, total: usize) -> usize {
        let share = (total * usize::from(self.percent)).div_ceil(100);
        share.min(usize::try_from(self.max).unwrap_or(usize::MAX))
    }

    /// The smaller of two, in each respect.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self { max: self.max.min(other.max), percent: self.percent.min(other.percent) }
    }
}

/// What git said of its budget, and what of that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budgets {
    /// What counts, whatever the newest commit says.
    settled: Budget,
    /// A commit that says more, and what it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raised: Option<Raise>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raise {
    commit: Option<Revision>,
    to: Budget,
}

impl Budgets {
    /// What counts where nothing was said before.
    pub fn settled(budget: Budget) -> Self {
        Self { settled: budget, raised: None }
    }

    /// Takes what a commit says; the same commit may be told again.
    #[must_use]
    pub fn then(&self, commit: Option<&Revision>, says: Budget) -> Self {
        let before = match &self.raised {
            Some(raise) if raise.commit.as_ref() != commit => raise.to,
            _ => self.settled,
        };
        let settled = before.within(says);
        let raised = (settled != says).then(|| Raise { commit: commit.cloned(), to: says });
        // While the raise is pending what stood before counts, so that it is known when the same commit is told again.
        Self { settled: if raised.is_some() { before } else { settled }, raised }
    }

    /// What may be deleted by git's word.
    pub fn counts(&self) -> Budget {
        match &self.raised {
            Some(raise) => self.settled.within(raise.to),
            None => self.settled,
        }
    }

    /// Whether the newest commit says more than counts.
    pub fn is_raised(&self) -> bool {
        self.raised.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(max: u32, percent: u8) -> Budget {
        Budget { max, percent }
    }

    fn commit(name: &str) -> Option<Revision> {
        Some(Revision::new(name))
    }

    #[test]
    fn a_raise_counts_from_the_next_commit_on_and_a_cut_at_once() {
        let all = budget(100_000, 100);
        let first = Budgets::settled(budget(10, 20));
        let raised = first.then(commit("a").as_ref(), all);
        assert_eq!(raised.counts(), budget(10, 20));
        assert!(raised.is_raised());
        // However often the same commit is told, also after a restart.
        assert_eq!(raised.then(commit("a").as_ref(), all), raised);
        let next = raised.then(commit("b").as_ref(), all);
        assert_eq!((next.counts(), next.is_raised()), (all, false));
        let cut = next.then(commit("c").as_ref(), budget(5, 100));
        assert_eq!(cut.counts(), budget(5, 100));
        let mixed = cut.then(commit("d").as_ref(), budget(50, 10));
        assert_eq!(mixed.counts(), budget(5, 10), "what it cuts is cut");
        assert_eq!(mixed.then(commit("d").as_ref(), budget(50, 10)), mixed);
        assert_eq!(mixed.then(commit("e").as_ref(), budget(50, 10)).counts(), budget(50, 10));
    }

    #[test]
    fn a_raise_that_is_taken_back_never_counted() {
        let first = Budgets::settled(budget(10, 20));
        let back =
            first.then(commit("a").as_ref(), budget(99, 99)).then(commit("b").as_ref(), budget(10, 20));
        assert_eq!(back, first);
    }

    #[test]
    fn the_smaller_counts_in_each_respect() {
        assert_eq!(budget(10, 20).within(budget(5, 50)), budget(5, 20));
        assert_eq!(budget(100, 20).allows(40), 8);
        assert_eq!(budget(100, 1).allows(40), 1);
        assert_eq!(budget(100, 0).allows(40), 0);
        assert_eq!(budget(5, 100).allows(40), 5);
    }
}
