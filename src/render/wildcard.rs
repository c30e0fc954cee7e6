//! Regular expressions that hold nothing but plain characters, `.` and `.*`, which most of those in overlays are: dots of
//! registries, and names with something before or after. To make a real one takes longer than to render ten objects.

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Plain(char),
    /// `.`: one character, whatever it is.
    One,
    /// `.*`: any number of them.
    Run,
}

impl Unit {
    fn takes(self, character: char) -> bool {
        match self {
            Self::Plain(plain) => plain == character,
            Self::One | Self::Run => true,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Wildcard(Vec<Unit>);

impl Wildcard {
    /// `None` where anything else in the expression means something, or may.
    pub fn new(expression: &str) -> Option<Self> {
        let mut units = Vec::with_capacity(expression.len());
        let mut rest = expression.chars().peekable();
        while let Some(character) = rest.next() {
            units.push(match character {
                '.' if rest.next_if_eq(&'*').is_some() => Unit::Run,
                '.' => Unit::One,
                '-' | '_' | '/' | ':' => Unit::Plain(character),
                _ if character.is_ascii_alphanumeric() => Unit::Plain(character),
                _ => return None,
            });
        }
        // `.*?`, `.+` and the like were refused with their second sign.
        Some(Self(units))
    }

    /// Whether all of a text fits. No dot fits a line break, and nothing else here does.
    pub fn fits(&self, text: &str) -> bool {
        if text.contains('\n') {
            return false;
        }
        let (mut at, mut rest) = (0, text);
        // The unit after the last run, and from where in the text it was tried.
        let mut run: Option<(usize, &str)> = None;
        loop {
            match (self.0.get(at), next(rest)) {
                (Some(Unit::Run), _) => {
                    at += 1;
                    run = Some((at, rest));
                    continue;
                }
                (Some(unit), Some((character, after))) if unit.takes(character) => {
                    (at, rest) = (at + 1, after);
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            // The last run takes one more.
            let Some((unit, Some((_, after)))) = run.map(|(unit, from)| (unit, next(from))) else {
                return false;
            };
            run = Some((unit, after));
            (at, rest) = (unit, after);
        }
    }

    /// What follows in a text that begins so; `None` where it does not, or where there may be several such.
    pub fn rest<'a>(&self, text: &'a str) -> Option<&'a str> {
        self.0.iter().try_fold(text, |text, unit| {
            let (character, after) = next(text)?;
            (*unit != Unit::Run && character != '\n' && unit.takes(character)).then_some(after)
        })
    }

    pub fn has_runs(&self) -> bool {
        self.0.contains(&Unit::Run)
    }
}

fn next(text: &str) -> Option<(char, &str)> {
    let mut characters = text.chars();
    characters.next().map(|character| (character, characters.as_str()))
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn fits_what_the_regular_expression_fits() {
        let mut random = fastrand::Rng::with_seed(11);
        let pick = |random: &mut fastrand::Rng, from: &[&str], most: usize| -> String {
            (0..random.usize(..=most)).map(|_| from[random.usize(..from.len())]).collect()
        };
        let mut fitted = 0;
        for _ in 0..4_000 {
            let expression = pick(&mut random, &["a", "b", "-", ".", ".*", ".*", "/"], 6);
            let text = pick(&mut random, &["a", "b", "-", "/", "ä", "a", "b"], 8);
            let text = if random.u8(..20) == 0 { text + "\n" } else { text };
            let wildcard = Wildcard::new(&expression).unwrap();
            let regex = Regex::new(&format!("^(?:{expression})$")).unwrap();
            assert_eq!(wildcard.fits(&text), regex.is_match(&text), "{expression:?} on {text:?}");
            fitted += usize::from(wildcard.fits(&text));
            if !wildcard.has_runs() {
                let begins = Regex::new(&format!("^(?:{expression})")).unwrap();
                let rest = begins.find(&text).map(|found| &text[found.end()..]);
                assert_eq!(wildcard.rest(&text), rest, "{expression:?} on {text:?}");
            }
        }
        assert!(fitted > 100, "{fitted}");
    }

    #[test]
    fn what_means_more_is_left_to_the_regular_expression() {
        for expression in
            ["a+", "a*", ".+", ".*?", "a|b", "[ab]", "a?", "^a", "a$", "\\.", "(a)", "a{2}", "ä", " "]
        {
            assert!(Wildcard::new(expression).is_none(), "{expression}");
        }
        assert!(Wildcard::new("ghcr.io:443/team/web-.*").is_some());
    }
}
