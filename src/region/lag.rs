//! How far the data of a region are behind, as a probe of the team tells it.

use std::time::Duration;

use jiff::Timestamp;

/// How far the data here are behind, as far as a move may rely on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lag {
    /// By this much. Nothing older than the step that asks is meant.
    By(Duration),
    /// It is being measured.
    Awaited,
    /// Nothing measures it, or what does has failed.
    #[default]
    Unknown,
}

/// A number that is greater is none: it is a hundred years.
const LONGEST: f64 = 100.0 * 366.0 * 86_400.0;

/// Reads what a probe wrote into the termination message of its pod: how many seconds the data are behind, or up to which moment
/// they are complete, as the time of the last backup is. `ended` is when the pod did.
pub fn read_lag(text: &str, ended: Timestamp) -> Result<Duration, &'static str> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return match seconds {
            // Clocks of two servers differ by a little.
            behind if (-5.0..0.0).contains(&behind) => Ok(Duration::ZERO),
            behind if (0.0..=LONGEST).contains(&behind) => Ok(Duration::from_secs_f64(behind)),
            _ => Err("the number of seconds in the termination message of its pod is negative, or none"),
        };
    }
    let Ok(complete) = text.parse::<Timestamp>() else {
        return Err(
            "the termination message of its pod is neither a number of seconds (`12.5`) nor a time (`2026-01-31T08:00:00Z`)",
        );
    };
    Ok(Duration::try_from(ended.duration_since(complete)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_says_how_many_seconds_or_up_to_which_moment() {
        let ended: Timestamp = "2026-01-31T08:00:10Z".parse().unwrap();
        let read = |text: &str| read_lag(text, ended).map(|lag| lag.as_millis());
        assert_eq!(read("12.5\n"), Ok(12_500));
        assert_eq!(read(" 0 "), Ok(0));
        assert_eq!(read("-0.2"), Ok(0));
        assert_eq!(read("2026-01-31T08:00:00Z"), Ok(10_000));
        assert_eq!(read("2026-01-31T09:00:00+01:00"), Ok(10_000));
        assert_eq!(read("2026-01-31T08:00:11Z"), Ok(0), "a clock that is ahead");
        for wrong in ["", "soon", "12 s", "-60", "NaN", "inf", "1e300", "2026-01-31"] {
            assert!(read(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
