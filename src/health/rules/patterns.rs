//! The patterns of `matches`: compiled when a rule is read, and never again.
//!
//! The function knows a pattern by its text alone, so all that are in use stand in one list.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock, Weak};

use regex::{Regex, RegexBuilder};

/// In bytes, of a pattern and of what it remembers while it runs. `\w{100}` would be as large as ten others, and take twenty
/// milliseconds to compile.
const PATTERN_LIMIT: usize = 128 * 1024;

static IN_USE: LazyLock<RwLock<HashMap<String, Weak<Regex>>>> = LazyLock::new(RwLock::default);

/// Compiles a pattern, unless it is in use already. It stays for as long as what is given back.
pub(super) fn compile(pattern: &str) -> Result<Arc<Regex>, regex::Error> {
    if let Some(known) = in_use(pattern) {
        return Ok(known);
    }
    let mut builder = RegexBuilder::new(pattern);
    let made = Arc::new(builder.size_limit(PATTERN_LIMIT).dfa_size_limit(PATTERN_LIMIT).build()?);
    let mut all = IN_USE.write().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, pattern| pattern.strong_count() > 0);
    all.insert(pattern.to_owned(), Arc::downgrade(&made));
    Ok(made)
}

/// Whether a text matches a pattern; none where the pattern is in nobody's rule.
pub(super) fn matches(text: &str, pattern: &str) -> Option<bool> {
    in_use(pattern).map(|pattern| pattern.is_match(text))
}

fn in_use(pattern: &str) -> Option<Arc<Regex>> {
    IN_USE.read().unwrap_or_else(PoisonError::into_inner).get(pattern)?.upgrade()
}
