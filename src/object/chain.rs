//! Prints an error with its causes. Every room keeps the cause of an error as its `source`, and only the edge prints it.

use std::error::Error;

/// Prints an error and its causes on one line. A cause that the text before it already tells is left out: some libraries
/// repeat it in their own message.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Told>>);

    fn told(words: &[&'static str]) -> Told {
        let (first, rest) = words.split_first().expect("an error says something");
        Told(first, (!rest.is_empty()).then(|| Box::new(told(rest))))
    }

    #[test]
    fn causes_follow_in_their_order() {
        assert_eq!(chain(&told(&["asking failed", "no route", "down"])), "asking failed: no route: down");
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        assert_eq!(
            chain(&told(&["asking failed: no route", "no route", "down"])),
            "asking failed: no route: down"
        );
    }
}
