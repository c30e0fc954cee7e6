use std::str::FromStr;

use jiff::civil::Time;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

/// The part of each day in which nobody works: from one time of the clock to another, which may be of the next day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Night {
    from: Time,
    to: Time,
    offset: Offset,
}

/// As people write it: `{from: "20:00", to: "06:00", offset: "+02:00"}`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    from: String,
    to: String,
    /// How far the clock is ahead of UTC; it is UTC where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<String>,
}

impl TryFrom<Written> for Night {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let time = |text: &str| match text.len() {
            5 => Time::strptime("%H:%M", text).map_err(|_| format!("{text:?} is no time such as \"20:00\"")),
            _ => Err(format!("{text:?} is no time such as \"20:00\"")),
        };
        let (from, to) = (time(&written.from)?, time(&written.to)?);
        if from == to {
            return Err(format!("a night from {} to {} has no end", written.from, written.to));
        }
        let offset = written.offset.as_deref().map_or(Ok(Offset::UTC), offset_of)?;
        Ok(Self { from, to, offset })
    }
}

fn offset_of(text: &str) -> Result<Offset, String> {
    let wrong = || format!("{text:?} is no offset such as \"+02:00\"");
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(wrong()),
    };
    let (hours, minutes) = rest.split_once(':').filter(|_| rest.len() == 5).ok_or_else(wrong)?;
    let number = |text: &str| i32::from_str(text).ok().filter(|n| (0..60).contains(n));
    let (hours, minutes) = number(hours).zip(number(minutes)).filter(|(h, _)| *h <= 18).ok_or_else(wrong)?;
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).map_err(|_| wrong())
}

impl From<Night> for Written {
    fn from(night: Night) -> Self {
        let time = |time: Time| format!("{:02}:{:02}", time.hour(), time.minute());
        let (seconds, sign) =
            (night.offset.seconds().abs(), if night.offset.is_negative() { '-' } else { '+' });
        Self {
            from: time(night.from),
            to: time(night.to),
            offset: (seconds != 0).then(|| format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60)),
        }
    }
}

impl Night {
    /// When the night began in which this is, and when it ends; `None` by day.
    pub fn around(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        self.nights(now).into_iter().find(|(begin, end)| (begin..end).contains(&&now))
    }

    /// When the next night begins, or this one ends.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.nights(now).into_iter().flat_map(|(begin, end)| [begin, end]).filter(|at| *at > now).min()
    }

    /// The nights that begin on the day of this time, the one before and the one after.
    fn nights(&self, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let of = |time: Time| i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60;
        let long = SignedDuration::from_secs((of(self.to) - of(self.from)).rem_euclid(24 * 3600));
        let today = self.offset.to_datetime(now).date();
        let begin = |days: i64| {
            let day = today.checked_add(days.days()).ok()?;
            self.offset.to_timestamp(day.to_datetime(self.from)).ok()
        };
        (-1..=1).filter_map(begin).map(|begin| (begin, begin + long)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn night(text: &str) -> Result<Night, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_night_begins_on_one_day_and_ends_on_the_next() {
        let night = night(r#"{"from": "20:00", "to": "06:00", "offset": "+02:00"}"#).expect("a night");
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let whole = Some((at("2026-11-30T18:00:00Z"), at("2026-12-01T04:00:00Z")));
        for (now, around, next) in [
            ("2026-11-30T17:59:59Z", None, "2026-11-30T18:00:00Z"),
            ("2026-11-30T18:00:00Z", whole, "2026-12-01T04:00:00Z"),
            ("2026-11-30T23:30:00Z", whole, "2026-12-01T04:00:00Z"),
            ("2026-12-01T03:59:59Z", whole, "2026-12-01T04:00:00Z"),
            ("2026-12-01T04:00:00Z", None, "2026-12-01T18:00:00Z"),
        ] {
            assert_eq!(night.around(at(now)), around, "{now}");
            assert_eq!(night.next(at(now)), Some(at(next)), "{now}");
        }
    }

    #[test]
    fn it_is_written_as_it_was_read_and_what_is_none_is_refused() {
        for text in [r#"{"from":"20:00","to":"06:30"}"#, r#"{"from":"01:00","to":"05:00","offset":"-03:30"}"#]
        {
            assert_eq!(serde_json::to_string(&night(text).expect(text)).expect("JSON"), text);
        }
        for text in [
            r#"{"from": "20", "to": "06:00"}"#,
            r#"{"from": "25:00", "to": "06:00"}"#,
            r#"{"from": "20:00", "to": "20:00"}"#,
            r#"{"from": "20:00", "to": "06:00", "offset": "Europe/Berlin"}"#,
            r#"{"from": "20:00", "to": "06:00", "offset": "+99:00"}"#,
            r#"{"from": "20:00"}"#,
        ] {
            assert!(night(text).is_err(), "{text}");
        }
    }
}
