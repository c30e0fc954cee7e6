//! Whether a region moves the environment to itself, nobody having said so.
//!
//! Only where `automatic` says so, on at least two signals of sources that cannot fail together, all of which have said for
//! long enough that the active region is lost; and never twice in a day.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::run::passed;
use super::settings::{Automatic, Role, Settings};
use super::{RegionName, State};

/// A second move within this time would be one back and forth: a person has to look.
pub const AT_MOST_ONCE_IN: Duration = Duration::from_secs(24 * 3600);

/// The signal that the holder is silent in the shared place. Every other is a file with a Job of the team, which fails where the active
/// region does not answer.
pub const SHARED_PLACE: &str = "sharedPlace";

/// What one source says of the active region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Where it comes from: two signals of one source are one.
    pub source: String,
    /// Since when it says that the region is lost; nothing where it does not, or cannot be asked.
    pub lost_since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Move,
    Stay(Stays),
}

/// Why nothing moves by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stays {
    #[error("nothing moves by itself here")]
    NotConfigured,
    #[error("this region is no standby")]
    NoStandby,
    #[error("{agree} of {needed} independent signals say for long enough that the active region is lost")]
    Signals { agree: usize, needed: usize },
    #[error("it moved at {at}, and nothing moves by itself within a day of that")]
    MovedAlready { at: Timestamp },
    #[error("a re-point or a drill is under way")]
    Busy,
}

pub fn judge(
    settings: &Settings,
    me: &RegionName,
    state: &State,
    signals: &BTreeMap<String, Signal>,
    now: Timestamp,
) -> Verdict {
    let Some(Automatic { after, signals: names }) = &settings.automatic else {
        return Verdict::Stay(Stays::NotConfigured);
    };
    if !matches!(settings.role(me), Role::Standby(_)) || state.serving().is_some() {
        return Verdict::Stay(Stays::NoStandby);
    }
    if state.run().is_some_and(|run| !run.is_ended()) {
        return Verdict::Stay(Stays::Busy);
    }
    // A clock that was set back shows a move of the future: then it is not yet a day ago, either.
    if let Some(at) = state.moved.filter(|at| passed(*at, now) < AT_MOST_ONCE_IN) {
        return Verdict::Stay(Stays::MovedAlready { at });
    }
    let says = |name: &String| {
        let signal = signals.get(name)?;
        let since = signal.lost_since?;
        (passed(since, now) >= *after).then_some(signal.source.as_str())
    };
    let mut sources: Vec<&str> = names.iter().filter_map(says).collect();
    let all_agree = sources.len() == names.len();
    sources.sort_unstable();
    sources.dedup();
    let needed = names.len().max(2);
    if !all_agree || sources.len() < 2 {
        return Verdict::Stay(Stays::Signals { agree: sources.len(), needed });
    }
    Verdict::Move
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::settings::settings;
    use crate::region::{Epoch, Fence, Here, Mode, Source, TIMING, Word};

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn judged(signals: &[(&str, &str, Option<i64>)], moved: Option<i64>, now: i64) -> Verdict {
        let mut settings = settings("a", &["b"], 1);
        let names = signals.iter().map(|(name, ..)| (*name).to_owned()).collect();
        settings.automatic = Some(Automatic { after: Duration::from_secs(300), signals: names });
        let mut state = State::default();
        let from = Source::Git { commit: "c".into() };
        let active = RegionName::new("a").unwrap();
        state.words.hear_git(Word { epoch: Epoch(1), active, mode: Mode::Graceful, from }).unwrap();
        state.moved = moved.map(time);
        let signals = signals.iter().map(|(name, source, since)| {
            ((*name).to_owned(), Signal { source: (*source).to_owned(), lost_since: since.map(time) })
        });
        judge(&settings, &RegionName::new("b").unwrap(), &state, &signals.collect(), time(now))
    }

    #[test]
    fn two_sources_have_to_agree_for_long_enough() {
        let both = [("probe", "http", Some(0)), ("lease", "place", Some(10))];
        assert_eq!(judged(&both, None, 310), Verdict::Move);
        let stays = |agree| Verdict::Stay(Stays::Signals { agree, needed: 2 });
        assert_eq!(judged(&both, None, 309), stays(1));
        assert_eq!(judged(&[("probe", "http", Some(0)), ("lease", "place", None)], None, 900), stays(1));
        assert_eq!(judged(&[("probe", "http", Some(0)), ("other", "http", Some(0))], None, 900), stays(1));
        assert_eq!(judged(&[("probe", "http", Some(0))], None, 900), stays(1));
    }

    #[test]
    fn a_move_by_itself_is_a_word_with_the_next_epoch_and_the_last_one_of_that_day() {
        let mut state = State::default();
        let from = Source::Git { commit: "c".into() };
        let (me, active) = (RegionName::new("b").unwrap(), RegionName::new("a").unwrap());
        state.words.hear_git(Word { epoch: Epoch(4), active, mode: Mode::Graceful, from }).unwrap();
        let mut settings = settings("a", &["b"], 4);
        settings.automatic = Some(Automatic { after: Duration::ZERO, signals: vec!["x".into(), "y".into()] });
        let here = Here { me: &me, settings: &settings, now: Duration::ZERO, time: time(50) };
        let fence = Fence::new(me.clone(), 1, TIMING);
        state.move_by_itself("all say so".to_owned(), here, &fence).unwrap();
        let word = state.words.wanted().unwrap();
        assert_eq!((word.epoch, &word.active, word.mode), (Epoch(5), &me, Mode::Ungraceful));
        assert_eq!(word.from.to_string(), "automatic: all say so");
        let lost = |source: &str| {
            (source.to_owned(), Signal { source: source.to_owned(), lost_since: Some(time(0)) })
        };
        let verdict = judge(&settings, &me, &state, &BTreeMap::from([lost("x"), lost("y")]), time(60));
        assert_eq!(verdict, Verdict::Stay(Stays::MovedAlready { at: time(50) }));
    }

    #[test]
    fn nothing_moves_twice_in_a_day_whatever_the_clock_says() {
        let both = [("probe", "http", Some(-90_000)), ("lease", "place", Some(-90_000))];
        let day = 24 * 3600;
        assert_eq!(judged(&both, Some(0), day), Verdict::Move);
        for now in [0, 100, day - 1, -day] {
            let stays = Verdict::Stay(Stays::MovedAlready { at: time(0) });
            assert_eq!(judged(&both, Some(0), now), stays, "at {now}");
        }
    }

    #[test]
    fn a_region_that_is_no_standby_takes_nothing() {
        let mut settings = settings("a", &["b"], 1);
        let me = |name| RegionName::new(name).unwrap();
        let none = BTreeMap::new();
        let state = State::default();
        assert_eq!(judge(&settings, &me("b"), &state, &none, time(0)), Verdict::Stay(Stays::NotConfigured));
        settings.automatic = Some(Automatic { after: Duration::ZERO, signals: Vec::new() });
        for name in ["a", "c"] {
            assert_eq!(judge(&settings, &me(name), &state, &none, time(0)), Verdict::Stay(Stays::NoStandby));
        }
        // Without a signal all of them agree: it is not enough.
        assert!(matches!(judge(&settings, &me("b"), &state, &none, time(0)), Verdict::Stay(_)));
    }
}
