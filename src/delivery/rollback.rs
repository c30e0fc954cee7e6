//! What a person may want back, and what that means of what is known.

use crate::object::{Digest, Revision};
use crate::plan::WantedApp;
use crate::state::{AppMemory, Asked, Good, Quarantine, Stage};

/// A beginning that is shorter names too much.
pub const SHORTEST: usize = 7;

/// What a person asks of one app.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub id: String,
    pub by: String,
    /// Why, in their own words.
    pub reason: Option<String>,
    /// What git said when they asked.
    pub from: Digest,
    /// A commit or a digest, or the beginning of one; what was good before where none is given.
    pub to: Option<String>,
}

/// What they ask, and where the app stands.
#[derive(Clone, Debug)]
pub struct Want {
    pub ask: Ask,
    /// What git says,
    pub desired: Digest,
    /// and what runs, or is to.
    pub present: Digest,
    /// Why nothing can be done now.
    pub obstacle: Option<&'static str>,
    pub retried: Option<String>,
}

/// Why nothing is put back.
#[derive(Clone, Debug, PartialEq)]
pub enum No {
    /// It is what git says or what runs.
    Same(String),
    Because(String),
}

/// What is set aside and what is put back, or why nothing is.
pub type Found = Result<(Quarantine, WantedApp), No>;

/// What is to be put back, and where it is.
#[derive(Debug, PartialEq)]
pub enum Choice<'a> {
    Stored(&'a Good),
    /// What the branch said at this commit.
    Revision(&'a str),
}

impl Want {
    /// Why nothing is looked for.
    pub fn refusal(&self) -> Option<String> {
        if self.ask.from != self.desired {
            let (then, now) = (self.ask.from.short(), self.desired.short());
            return Some(format!("git said {then} when it was asked, and says {now} by now"));
        }
        self.obstacle.map(str::to_owned)
    }

    /// What is set aside for what was found.
    pub fn quarantine(
        self,
        known: &AppMemory,
        good: &Digest,
        commit: Option<Revision>,
    ) -> Result<Quarantine, No> {
        if *good == self.desired {
            let hint = "`fairlead retry` tries it again where it was set aside";
            return Err(No::Same(format!("{} is what git says; {hint}", good.short())));
        }
        let lost = known.quarantined.as_ref().is_some_and(|aside| aside.stage == Stage::Lost);
        if *good == self.present && !lost {
            return Err(No::Same(format!("{} runs already, or is being put back", good.short())));
        }
        let at = commit.as_ref().map_or(String::new(), |commit| format!(" to commit {}", commit.short()));
        let because = self.ask.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        Ok(Quarantine {
            digest: self.desired,
            good: good.clone(),
            why: format!("rolled back{at} by {}{because}", self.ask.by),
            stage: Stage::Going,
            retried: self.retried,
            together: None,
            with: None,
            asked: Some(Asked { id: self.ask.id, by: self.ask.by, revision: commit }),
            secrets: None,
        })
    }
}

/// What is meant: the good one before what runs, or what a commit or digest names.
pub fn choose<'a>(known: &'a AppMemory, to: Option<&'a str>, present: &Digest) -> Result<Choice<'a>, String> {
    let Some(to) = to else {
        let before = known.last_good.iter().chain(&known.previous).find(|good| good.digest != *present);
        let none = || "nothing that passed its gates before is stored; name a commit with --to".to_owned();
        return before.map(Choice::Stored).ok_or_else(none);
    };
    if to.len() < SHORTEST || !to.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("{to:?} is neither a commit nor a digest: {SHORTEST} digits of one, or more"));
    }
    let names = |good: &&Good| {
        let revision = good.revision.as_ref().map_or("", Revision::as_str);
        good.digest.as_str().starts_with(to) || revision.starts_with(to)
    };
    if let Some(good) = known.goods().find(names) {
        return Ok(Choice::Stored(good));
    }
    // The digest of something that ran once: its commit says it again.
    let once = known.recent.iter().rev().filter(|record| record.digest.as_str().starts_with(to));
    let commit = once.filter_map(|record| record.commit.as_ref()).next();
    Ok(Choice::Revision(commit.map_or(to, |commit| commit.revision.as_str())))
}

/// What is stored of an app, in words.
pub fn kept(known: &AppMemory) -> String {
    let name = |good: &Good| match &good.revision {
        Some(revision) => format!("commit {} ({})", revision.short(), good.digest.short()),
        None => good.digest.short().to_owned(),
    };
    match known.goods().map(name).collect::<Vec<_>>() {
        names if names.is_empty() => "nothing is stored".to_owned(),
        names => format!("stored are {}", names.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Pieces;

    fn good(digest: &str, revision: &str) -> Good {
        let revision = Some(Revision::new(revision));
        Good { digest: digest.into(), revision, objects: 1, pieces: Pieces::default(), secrets: None }
    }

    fn known() -> AppMemory {
        AppMemory {
            last_good: Some(good("bbbbbbbbbb", "2222222222")),
            previous: Some(good("aaaaaaaaaa", "1111111111")),
            ..AppMemory::default()
        }
    }

    fn chosen(to: Option<&str>, present: &str) -> String {
        match choose(&known(), to, &present.into()) {
            Ok(Choice::Stored(good)) => good.digest.to_string(),
            Ok(Choice::Revision(rev)) => format!("git {rev}"),
            Err(why) => why,
        }
    }

    #[test]
    fn what_was_never_good_goes_back_to_the_last_good_and_what_is_to_the_one_before() {
        assert_eq!(chosen(None, "cccccccccc"), "bbbbbbbbbb");
        assert_eq!(chosen(None, "bbbbbbbbbb"), "aaaaaaaaaa");
        let none = choose(&AppMemory::default(), None, &"bbbbbbbbbb".into()).unwrap_err();
        assert!(none.contains("--to"), "{none}");
    }

    #[test]
    fn a_commit_or_digest_is_found_where_it_is_stored_and_in_git_where_it_is_not() {
        assert_eq!(chosen(Some("1111111"), "bbbbbbbbbb"), "aaaaaaaaaa");
        assert_eq!(chosen(Some("aaaaaaa"), "bbbbbbbbbb"), "aaaaaaaaaa");
        assert_eq!(chosen(Some("3333333"), "bbbbbbbbbb"), "git 3333333");
        for odd in ["", "111111", "HEAD~20", "main..old"] {
            assert!(chosen(Some(odd), "bbbbbbbbbb").contains("neither"), "{odd}");
        }
    }
}
