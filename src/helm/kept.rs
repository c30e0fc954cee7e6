//! What was rendered before, by digest of all that it was made of. Bounded; what was not asked for longest goes first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::object::{Again, ChartFailure, ChartOutput, Digest};

/// Bytes of outputs.
const BYTES: usize = 64 << 20;
const ENTRIES: usize = 1_000;

/// What took too much is not tried again for so long: it would take as much again.
pub const RESPITE: Duration = Duration::from_secs(600);

type Answer = Result<Arc<ChartOutput>, ChartFailure>;

#[derive(Default)]
pub(super) struct KeptCharts {
    all: HashMap<Digest, (u64, Answer)>,
    exhausted: HashMap<Digest, Instant>,
    bytes: usize,
    /// Counts up with each question.
    time: u64,
}

fn size(answer: &Answer) -> usize {
    match answer {
        Ok(output) => match &output.again {
            Some(Again::Text(again)) => output.text.len() + again.len(),
            _ => output.text.len(),
        },
        Err(_) => 0,
    }
}

impl KeptCharts {
    pub fn get(&mut self, key: &Digest, now: Instant) -> Option<Answer> {
        self.exhausted.retain(|_, until| now < *until);
        self.time += 1;
        let (asked, answer) = self.all.get_mut(key)?;
        if matches!(answer, Err(ChartFailure::Exhausted(_))) && !self.exhausted.contains_key(key) {
            return None;
        }
        *asked = self.time;
        Some(answer.clone())
    }

    pub fn put(&mut self, key: Digest, answer: Answer, now: Instant) {
        self.time += 1;
        if matches!(answer, Err(ChartFailure::Exhausted(_))) {
            self.exhausted.insert(key.clone(), now + RESPITE);
        }
        self.bytes += size(&answer);
        if let Some((_, before)) = self.all.insert(key, (self.time, answer)) {
            self.bytes -= size(&before);
        }
        while (self.bytes > BYTES || self.all.len() > ENTRIES) && self.all.len() > 1 {
            let Some(oldest) =
                self.all.iter().min_by_key(|(_, (asked, _))| *asked).map(|(key, _)| key.clone())
            else {
                break;
            };
            if let Some((_, answer)) = self.all.remove(&oldest) {
                self.bytes -= size(&answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Problem;

    fn output(size: usize) -> Answer {
        Ok(Arc::new(ChartOutput { text: "x".repeat(size).into(), again: None, warnings: Vec::new() }))
    }

    fn key(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    #[test]
    fn what_was_not_asked_for_longest_goes_first() {
        let (mut kept, now) = (KeptCharts::default(), Instant::now());
        kept.put(key("a"), output(BYTES / 3), now);
        kept.put(key("b"), output(BYTES / 3), now);
        kept.put(key("a"), output(BYTES / 3), now);
        assert!(kept.get(&key("a"), now).is_some() && kept.get(&key("b"), now).is_some());
        assert!(kept.get(&key("a"), now).is_some());
        kept.put(key("c"), output(BYTES / 2), now);
        assert!(kept.get(&key("b"), now).is_none());
        assert!(kept.get(&key("a"), now).is_some() && kept.get(&key("c"), now).is_some());
        assert_eq!(kept.bytes, BYTES / 3 + BYTES / 2);
    }

    #[test]
    fn what_took_too_much_has_a_respite() {
        let (mut kept, now) = (KeptCharts::default(), Instant::now());
        kept.put(key("a"), Err(ChartFailure::Exhausted(Problem::new("too long"))), now);
        kept.put(key("b"), Err(ChartFailure::Refused("no".to_owned())), now);
        assert!(kept.get(&key("a"), now + RESPITE / 2).is_some());
        assert!(kept.get(&key("a"), now + RESPITE).is_none());
        assert!(kept.get(&key("b"), now + RESPITE).is_some());
    }
}
