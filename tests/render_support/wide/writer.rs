//! Writes templates of a small language with names that there are.
//!
//! A line that starts with `?30` is kept in thirty of a hundred, with all that is
//! indented more; `‹a|b›` is one of the two; `%word` stands for what `Writer::word` gives; a line that is `%%word` is
//! another template, at that indentation.

use fastrand::Rng;

use super::objects::{KINDS, Kind};
use super::pods::{METADATA, POD};

pub const NAMES: [&str; 5] = ["web", "db", "api", "settings", "keys"];

const SCALARS: &[&str] = &[
    "plain",
    "\"quoted\"",
    "5",
    "\"5\"",
    "true",
    "\"true\"",
    "1.10",
    "'single'",
    "no",
    "\"no\"",
    "0644",
    "1e3",
    "several plain words",
    "\"\"",
    "8080",
    "~",
    "null",
    "2024-01-02",
    "\"2024-01-02\"",
    "'it''s'",
    "\"a\\tb\\u00e9\"",
    "http://x/y#z",
    "\"line one\\nline two\"",
    "'a: b'",
    "\"- x\"",
    "-1",
    "0x1F",
    "1_000",
    ".5",
    "\"null\"",
    "True",
    "2024-01-02T03:04:05Z",
    "!!str 5",
    "on",
    "\" space \"",
    "a-b_c.d/e@f",
];

/// What a template's words mean: the names that there are, most of all.
pub struct Writer<'r> {
    pub rng: &'r mut Rng,
    /// What a layer sees.
    pub made: Vec<Made>,
    /// What there is anywhere.
    pub taken: Vec<Made>,
}

#[derive(Clone)]
pub struct Made {
    pub kind: &'static str,
    pub api: &'static str,
    pub name: String,
    pub namespace: Option<&'static str>,
}

impl Writer<'_> {
    pub fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.rng.usize(..from.len())]
    }

    /// An object of some kinds (of any where none is given) that there is.
    pub fn some(&mut self, kinds: &[&str]) -> Option<Made> {
        let fit: Vec<&Made> =
            self.made.iter().filter(|made| kinds.is_empty() || kinds.contains(&made.kind)).collect();
        (!fit.is_empty()).then(|| fit[self.rng.usize(..fit.len())].clone())
    }

    fn name_of(&mut self, kinds: &[&str], otherwise: &str) -> String {
        match self.some(kinds) {
            Some(made) if self.chance(60) => made.name,
            _ if self.chance(50) => otherwise.to_owned(),
            _ => self.pick(&NAMES).to_owned(),
        }
    }

    fn word(&mut self, word: &str) -> String {
        match word {
            "cm" => self.name_of(&["ConfigMap"], "settings"),
            "secret" => self.name_of(&["Secret"], "keys"),
            "sa" => self.name_of(&["ServiceAccount"], "default"),
            "svc" => self.name_of(&["Service"], "web"),
            "role" => self.name_of(&["Role", "ClusterRole"], "web"),
            "workload" => self.name_of(&["Deployment", "StatefulSet", "ReplicaSet"], "web"),
            "name" => self.name_of(&[], "web"),
            "ns" => self.pick(&["prod", "dev", "default"]).to_owned(),
            "app" => self.pick(&["web", "web", "db", "\"web\"", "api"]).to_owned(),
            "image" => self
                .pick(&[
                    "nginx",
                    "nginx:1.25",
                    "reg.local:5000/a/app:v1",
                    "\"busybox@sha256:abcd\"",
                    "reg.local/app:v2@sha256:ef",
                    "'$(V1)'",
                    "ghcr.io/team/api",
                ])
                .to_owned(),
            "scalar" => self.pick(SCALARS).to_owned(),
            other => panic!("no word {other}"),
        }
    }

    pub fn write(&mut self, template: &str) -> String {
        let mut out = String::new();
        let mut left_out: Option<(usize, bool)> = None;
        for line in template.lines() {
            let mut rest = line.trim_start();
            let indent = line.len() - rest.len();
            let is_item = rest.starts_with("- ") || (rest.starts_with('?') && rest.contains(" - "));
            if let Some((limit, is_key)) = left_out
                && (indent > limit || (is_key && is_item && indent == limit))
            {
                continue;
            }
            left_out = None;
            if let Some((percent, after)) = rest.strip_prefix('?').and_then(|rest| rest.split_once(' ')) {
                if !self.chance(percent.parse().expect("a percentage")) {
                    left_out = Some((indent, after.ends_with(':')));
                    continue;
                }
                rest = after;
            }
            let lead = " ".repeat(indent);
            if let Some(name) = rest.strip_prefix("%%") {
                let inner = match name {
                    "pod" => self.write(POD),
                    other => panic!("no template {other}"),
                };
                for line in inner.lines() {
                    out.push_str(&format!("{lead}{line}\n"));
                }
                continue;
            }
            out.push_str(&lead);
            let line = self.line(rest);
            out.push_str(&line);
            out.push('\n');
        }
        out
    }

    fn line(&mut self, line: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        while let Some(at) = rest.find(['‹', '%']) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(inner) = rest.strip_prefix('‹') {
                let (choices, after) = inner.split_once('›').expect("a choice ends");
                let choices: Vec<&str> = choices.split('|').collect();
                let choice = self.pick(&choices);
                out.push_str(&self.line(choice));
                rest = after;
            } else {
                let length = rest[1..].bytes().take_while(u8::is_ascii_lowercase).count();
                let word = &rest[1..=length];
                out.push_str(&if word.is_empty() { "%".to_owned() } else { self.word(word) });
                rest = &rest[1 + length..];
            }
        }
        out.push_str(rest);
        out
    }

    /// An object that is not there yet, or nothing where none was found.
    pub fn object(&mut self, may: impl Fn(&Kind) -> bool) -> Option<String> {
        let kinds: Vec<&Kind> = KINDS.iter().filter(|kind| may(kind)).collect();
        let kind = kinds[self.rng.usize(..kinds.len())];
        let name = self.pick(&NAMES);
        let is_there =
            |made: &Made| made.kind == kind.kind && (made.name == name || made.kind == "Namespace");
        if self.taken.iter().any(is_there) && !self.chance(2) {
            return None;
        }
        let namespace =
            (!kind.is_of_cluster && self.chance(12)).then(|| self.pick(&["prod", "dev", "default"]));
        let head = header(kind.kind, kind.api, name, namespace);
        let metadata = self.write(METADATA);
        let mut text = head;
        for line in metadata.lines() {
            text.push_str(&format!("  {line}\n"));
        }
        text.push_str(&self.write(kind.body));
        let made = Made { kind: kind.kind, api: kind.api, name: name.to_owned(), namespace };
        self.made.push(made.clone());
        self.taken.push(made);
        Some(text)
    }
}

pub fn header(kind: &str, api: &str, name: &str, namespace: Option<&str>) -> String {
    let namespace = namespace.map(|namespace| format!("  namespace: {namespace}\n")).unwrap_or_default();
    format!("apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {name}\n{namespace}")
}
