use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::api::Span;

/// A time as people give it: so long ago, the begin of a day (of UTC), or a time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Ago(Duration),
    At(Timestamp),
}

impl Moment {
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(span) => now.saturating_sub(span).unwrap_or(Timestamp::MIN),
            Self::At(at) => at,
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = text.parse::<Span>() {
            return Ok(Self::Ago(span.duration()));
        }
        // A time that goes on behind its day reads as a day, too.
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self::At(at));
        }
        let day = text.parse::<Date>().ok().filter(|_| text.len() == 10);
        let day = day.and_then(|day| day.to_zoned(TimeZone::UTC).ok());
        day.map(|day| Self::At(day.timestamp())).ok_or_else(|| {
            "write a length of time such as 24h, a day such as 2026-11-30, or a time such as 2026-11-30T08:00:00Z"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_length_of_time_a_day_or_a_time() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Moment>().map(|moment| moment.at(now).to_string());
        assert_eq!(at("24h").unwrap(), "2026-11-29T12:00:00Z");
        assert_eq!(at("7d").unwrap(), "2026-11-23T12:00:00Z");
        assert_eq!(at("2026-11-01").unwrap(), "2026-11-01T00:00:00Z");
        assert_eq!(at("2026-11-01T08:30:00+01:00").unwrap(), "2026-11-01T07:30:00Z");
        for wrong in ["", "yesterday", "2026-13-01", "2026-11-01T08:30:00", "24"] {
            assert!(at(wrong).unwrap_err().contains("24h"), "{wrong}");
        }
    }
}
