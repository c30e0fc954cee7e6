//! Rust source as a list of words and signs, enough to see which modules it names. Comments and literals are left out.

/// A word (`use`, `crate`, `r#type`) or one sign, and its line.
struct Token<'a> {
    text: &'a str,
    line: usize,
}

pub struct Source<'a> {
    tokens: Vec<Token<'a>>,
    /// The module that the file is: `["plan", "diff"]` for src/plan/diff.rs.
    module: Vec<&'a str>,
    is_test: bool,
}

impl<'a> Source<'a> {
    /// `segments` is the path of the file below src/, without `.rs`.
    pub fn read(segments: &[&'a str], text: &'a str) -> Self {
        let mut module = segments.to_vec();
        if matches!(module.last(), Some(&"mod" | &"lib" | &"main")) {
            module.pop();
        }
        let is_test = segments.contains(&"tests");
        Self { tokens: tokens(text), module, is_test }
    }

    /// The top-level module of every path that begins with `crate::`, or with enough `super::` to reach the root.
    pub fn rooms_used(&self) -> Vec<(usize, String)> {
        let mut used = Vec::new();
        // The inline modules that are open here: their depth in braces.
        let mut inline: Vec<usize> = Vec::new();
        let mut braces = 0;
        let mut at = 0;
        while at < self.tokens.len() {
            match self.text(at) {
                "mod" if self.text(at + 2) == "{" => {
                    inline.push(braces);
                    braces += 1;
                    at += 3;
                }
                "{" => {
                    braces += 1;
                    at += 1;
                }
                "}" => {
                    braces = braces.saturating_sub(1);
                    if inline.last() == Some(&braces) {
                        inline.pop();
                    }
                    at += 1;
                }
                "crate" if self.is_path_sign(at + 1) => {
                    self.first_segments(at + 3, &mut used);
                    at += 3;
                }
                "super" if !self.follows_path_sign(at) => {
                    let mut supers = 0;
                    while self.text(at) == "super" && self.is_path_sign(at + 1) {
                        supers += 1;
                        at += 3;
                    }
                    if supers == self.module.len() + inline.len() && supers > 0 {
                        self.first_segments(at, &mut used);
                    }
                    at += usize::from(supers == 0);
                }
                _ => at += 1,
            }
        }
        used
    }

    /// Where something is async.
    pub fn waits(&self) -> Vec<usize> {
        self.tokens.iter().filter(|token| token.text == "async").map(|token| token.line).collect()
    }

    /// Where a banned method is allowed, tests apart.
    pub fn exemptions(&self) -> Vec<usize> {
        let mut lines = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            if token.text != "disallowed_methods" || self.is_test {
                continue;
            }
            // The attributes of one item stand within a few words of each other.
            let near = at.saturating_sub(12)..(at + 12).min(self.tokens.len());
            let of_tests = near.into_iter().any(|n| self.text(n) == "cfg" && self.text(n + 2) == "test");
            if !of_tests {
                lines.push(token.line);
            }
        }
        lines
    }

    /// In lib.rs: the modules in which banned methods are allowed.
    pub fn exempt_modules(&self) -> Vec<(usize, String)> {
        let mut modules = Vec::new();
        let mut exempt = false;
        for (at, token) in self.tokens.iter().enumerate() {
            match token.text {
                "disallowed_methods" => exempt = true,
                "mod" if exempt => {
                    modules.push((token.line, self.text(at + 1).to_owned()));
                    exempt = false;
                }
                _ => {}
            }
        }
        modules
    }

    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    fn is_path_sign(&self, at: usize) -> bool {
        self.text(at) == ":" && self.text(at + 1) == ":"
    }

    fn follows_path_sign(&self, at: usize) -> bool {
        at >= 2 && self.is_path_sign(at - 2)
    }

    /// The word at `at`, or, where a group begins there, the first word of each of its members.
    fn first_segments(&self, at: usize, into: &mut Vec<(usize, String)>) {
        let mut take = |at: usize| {
            if let Some(token) = self.tokens.get(at).filter(|token| is_word(token.text)) {
                into.push((token.line, token.text.trim_start_matches("r#").to_owned()));
            }
        };
        if self.text(at) != "{" {
            return take(at);
        }
        let mut depth = 0;
        for at in at..self.tokens.len() {
            match self.text(at) {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
            if depth == 1 && matches!(self.text(at), "{" | ",") {
                take(at + 1);
            }
        }
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let length = skipped(rest).unwrap_or_else(|| {
            let length = word(rest).max(rest.chars().next().map_or(1, char::len_utf8));
            if !rest.starts_with(char::is_whitespace) {
                tokens.push(Token { text: &rest[..length], line });
            }
            length
        });
        line += text[at..at + length].matches('\n').count();
        at += length;
    }
    tokens
}

/// The length of the word at the start, 0 where there is none.
fn word(text: &str) -> usize {
    let letters = |text: &str| {
        text.char_indices().find(|(_, c)| !c.is_alphanumeric() && *c != '_').map_or(text.len(), |(at, _)| at)
    };
    match text.strip_prefix("r#") {
        Some(raw) if is_word(raw) => 2 + letters(raw),
        _ => letters(text),
    }
}

/// The length of the comment or literal at the start.
fn skipped(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment(text));
    }
    for prefix in ["br", "cr", "r"] {
        if let Some(length) = text.strip_prefix(prefix).and_then(raw_string) {
            return Some(prefix.len() + length);
        }
    }
    if text.starts_with('"') {
        return Some(quoted(text, '"'));
    }
    // `'a'` is a character, `'a` a lifetime.
    let after = text.strip_prefix('\'')?;
    let mut letters = after.chars();
    match letters.next()? {
        '\\' => Some(quoted(text, '\'')),
        letter => (letters.next() == Some('\'')).then(|| letter.len_utf8() + 2),
    }
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.bytes().take_while(|&byte| byte == b'#').count();
    let body = text[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(hashes + 1 + body.find(&end).map_or(body.len(), |at| at + end.len()))
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}
