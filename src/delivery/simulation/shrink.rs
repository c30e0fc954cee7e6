//! Tells what fails again with ever less in it.

use super::run::tell;
use super::story::Story;

/// The same story with as little as possible in it that still fails, and how.
pub fn shrink(story: &Story) -> (Story, String) {
    let mut least = story.clone();
    let mut why = tell(story).err().unwrap_or_default();
    loop {
        let before = least.stimuli.len();
        for n in (0..before).rev() {
            let mut fewer = least.clone();
            fewer.stimuli.remove(n);
            if fewer.stimuli.is_empty() {
                continue;
            }
            if let Err(fault) = tell(&fewer) {
                (least, why) = (fewer, fault);
            }
        }
        if least.stimuli.len() == before {
            return (least, why);
        }
    }
}
