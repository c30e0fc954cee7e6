//! Rust source as a list of words and signs, enough to see which modules it names. Comments and literals are left out.

/// A word (`use`, `crate`, `r#type`) or one sign, and its line.
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// Something that a file names of its crate.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    pub line: usize,
    /// From the root of the crate.
    pub path: Vec<String>,
    /// What the file calls it from then on, where that is a `use`.
    pub name: Option<String>,
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

    /// The module that the file is, from the root of the crate.
    pub fn module(&self) -> Vec<String> {
        self.module.iter().map(|&name| name.to_owned()).collect()
    }

    /// Every path that leads to a module of this crate, but for those in inline tests.
    pub fn imports(&self) -> Vec<Import> {
        let mut found = Vec::new();
        let children = self.children();
        // The inline modules that are open here: their names, and their depth in braces.
        let mut inline: Vec<(&str, usize)> = Vec::new();
        let mut braces = 0;
        let mut at = 0;
        let mut in_use = false;
        while at < self.tokens.len() {
            let text = self.text(at);
            let begins = !self.follows_path_sign(at);
            match text {
                "mod" if self.text(at + 2) == "{" => {
                    inline.push((self.text(at + 1), braces));
                    braces += 1;
                    at += 3;
                    continue;
                }
                "{" => braces += 1,
                "}" => {
                    braces = braces.saturating_sub(1);
                    if inline.last().is_some_and(|(_, depth)| *depth == braces) {
                        inline.pop();
                    }
                }
                "use" => in_use = true,
                ";" => in_use = false,
                _ => {}
            }
            let base: Option<(Vec<String>, usize)> = match text {
                "crate" if begins && self.is_path_sign(at + 1) => Some((Vec::new(), at + 3)),
                "self" if begins && self.is_path_sign(at + 1) => Some((self.here(&inline), at + 3)),
                "super" if begins && self.is_path_sign(at + 1) => {
                    let (mut here, mut next) = (self.here(&inline), at);
                    while self.text(next) == "super" && self.is_path_sign(next + 1) {
                        here.pop();
                        next += 3;
                    }
                    Some((here, next))
                }
                child
                    if begins
                        && inline.is_empty()
                        && children.contains(&child)
                        && self.is_path_sign(at + 1) =>
                {
                    let mut here = self.here(&inline);
                    here.push(child.to_owned());
                    Some((here, at + 3))
                }
                _ => None,
            };
            let Some((base, next)) = base else {
                at += 1;
                continue;
            };
            let is_test = self.is_test || inline.iter().any(|(name, _)| *name == "tests");
            let mut leaves = Vec::new();
            at = self.leaves(base, next, &mut leaves);
            // What is named inside an inline module is no name of the file's.
            let named = in_use && inline.is_empty();
            found.extend(leaves.into_iter().filter(|_| !is_test).map(|(line, path, alias)| Import {
                line,
                name: alias.or_else(|| path.last().cloned()).filter(|_| named),
                path,
            }));
        }
        found
    }

    /// The modules that are files of their own below this one.
    fn children(&self) -> Vec<&'a str> {
        let all = 0..self.tokens.len();
        all.filter(|at| self.text(*at) == "mod" && self.text(at + 2) == ";")
            .map(|at| self.text(at + 1))
            .collect()
    }

    fn here(&self, inline: &[(&str, usize)]) -> Vec<String> {
        let inline = inline.iter().map(|(name, _)| *name);
        self.module.iter().copied().chain(inline).map(str::to_owned).collect()
    }

    /// Reads what follows a path's sign: the line, the whole path and the other name of each thing that is named. Says
    /// where it ends.
    fn leaves(
        &self,
        mut path: Vec<String>,
        mut at: usize,
        into: &mut Vec<(usize, Vec<String>, Option<String>)>,
    ) -> usize {
        let line = self.tokens.get(at).map_or(0, |token| token.line);
        loop {
            match self.text(at) {
                "{" => {
                    at += 1;
                    while at < self.tokens.len() && self.text(at) != "}" {
                        at = match self.text(at) {
                            "," => at + 1,
                            _ => self.leaves(path.clone(), at, into),
                        };
                    }
                    return at + 1;
                }
                word if is_word(word) && word != "self" => {
                    path.push(word.trim_start_matches("r#").to_owned())
                }
                // `*`, `self`, and what is no path any more.
                _ => {
                    into.push((line, path, None));
                    return at + 1;
                }
            }
            if self.is_path_sign(at + 1) && self.text(at + 3) != "<" {
                at += 3;
                continue;
            }
            let alias = (self.text(at + 1) == "as").then(|| self.text(at + 2).to_owned());
            at += if alias.is_some() { 3 } else { 1 };
            into.push((line, path, alias));
            return at;
        }
    }

    /// The types whose fields have names, and how many each has; a variant of an enum counts for itself.
    pub fn fields(&self) -> Vec<(usize, &'a str, usize)> {
        let mut found = Vec::new();
        for at in 0..self.tokens.len() {
            if !matches!(self.text(at), "struct" | "enum") || !is_word(self.text(at + 1)) {
                continue;
            }
            let name = self.text(at + 1);
            // The fields that are counted in each brace that is open, and the brackets within it.
            let mut open: Vec<(usize, usize)> = Vec::new();
            for at in at + 2..self.tokens.len() {
                match self.text(at) {
                    ";" if open.is_empty() => break,
                    "{" => open.push((0, 0)),
                    "(" | "[" | "<" => open.iter_mut().last().into_iter().for_each(|open| open.1 += 1),
                    // The arrow of a function's type closes nothing.
                    ">" if self.text(at - 1) == "-" => {}
                    ")" | "]" | ">" => {
                        open.iter_mut().last().into_iter().for_each(|open| open.1 = open.1.saturating_sub(1));
                    }
                    ":" if self.text(at + 1) != ":" && self.text(at - 1) != ":" => {
                        if let Some((fields, 0)) = open.last_mut() {
                            *fields += 1;
                        }
                    }
                    "}" => {
                        let Some((fields, _)) = open.pop() else { break };
                        if fields > 0 {
                            found.push((self.tokens[at].line, name, fields));
                        }
                        if open.is_empty() {
                            break;
                        }
                    }
                    _ => {}
                }
            }
        }
        found
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
