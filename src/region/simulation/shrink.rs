//! Tells what fails again with ever less in it.

use super::rest::tell;
use super::story::Story;

/// The same story with as little as possible in it that still fails, and how.
pub fn shrink(story: &Story) -> (Story, String) {
    let mut least = story.clone();
    let mut why = tell(story, false).err().unwrap_or_default();
    loop {
        let before = least.clone();
        for n in (0..least.stimuli.len()).rev() {
            let mut fewer = least.clone();
            fewer.stimuli.remove(n);
            if let Err(fault) = tell(&fewer, false) {
                (least, why) = (fewer, fault);
            }
        }
        for simpler in [Story { regions: 2, ..least.clone() }, Story { lag: 0, ..least.clone() }] {
            if simpler != least
                && simpler.is_sound()
                && let Err(fault) = tell(&simpler, false)
            {
                (least, why) = (simpler, fault);
            }
        }
        if least == before {
            return (least, why);
        }
    }
}
