//! One CEL expression over an object: compiled once, bounded in size, and in the steps that it may take on an object.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::extractors::This;
use cel::objects::Map;
use cel::parser::PrattParser;
use cel::{Context, Env, ExecutionError, IdedExpr, Value as Cel};
use regex::Regex;
use serde_json::Value;

use super::patterns;
use super::tree::{Sizes, levels, nesting, patterns_of, steps, unknown_name};
use crate::health::read::conditions;

/// Longer than any rule that a person would read; parsing is linear in it.
const SOURCE_LIMIT: usize = 2048;

/// Expressions within expressions. Parsing recurses for each, and the end of a stack cannot be caught. (The crate's
/// default parser needs 100 KiB of stack for one pair of brackets in a debug build: hence the other one.)
const DEPTH_LIMIT: u16 = 24;

/// Nodes of the tree, macros expanded.
const NODE_LIMIT: usize = 1000;

/// Signs (`.`, `!`, `+`, `?` …) in an expression. Each can be one more level of the tree that is then walked by
/// recursion; the longest shipped rule has 150. Those inside of text are counted too: it is simpler to be sure of.
const SIGN_LIMIT: usize = 300;

/// Levels of the tree. `&&` and `||` chains are balanced by the parser, so only arithmetic and paths make many.
const LEVEL_LIMIT: usize = 48;

/// How deep lists may be walked within lists. Three covers "some container of some pod of some group".
const NESTING_LIMIT: usize = 3;

/// Steps that one expression may take on one object: some milliseconds. An object with 300 conditions that are each
/// compared with each other stays below it.
const STEP_LIMIT: u64 = 500_000;

/// Steps that all rules together may take on one object.
const ALL_STEPS_LIMIT: u64 = 2_000_000;

/// Patterns in one expression. Each that is in use takes memory for as long as the rule is there.
const PATTERNS_LIMIT: usize = 4;

/// What an expression may name.
const VARIABLES: [&str; 4] = ["object", "metadata", "spec", "status"];

#[derive(Debug)]
pub struct Expression {
    tree: IdedExpr,
    source: String,
    /// What its `matches` look for.
    _patterns: Vec<Arc<Regex>>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadExpression {
    #[error("it is empty")]
    Empty,
    #[error("it has {0} characters, at most {SOURCE_LIMIT} are allowed")]
    TooLong(usize),
    #[error("it has {0} signs and operators, at most {SIGN_LIMIT} are allowed")]
    TooManySigns(usize),
    #[error("it has {0} levels of operators, at most {LEVEL_LIMIT} are allowed")]
    TooManyLevels(usize),
    #[error("it is not CEL: {0}")]
    Syntax(String),
    #[error(
        "it names {0:?}, which does not exist: there are object, metadata, spec, status, the functions isTrue, isFalse, isUnknown, reason, message of a condition's type, and scaled(count or percentage, total)"
    )]
    UnknownName(String),
    #[error("it walks lists within lists {0} deep, at most {NESTING_LIMIT} are allowed")]
    TooDeep(usize),
    #[error(
        "the pattern of matches has to be a text that stands in the rule: it is compiled once, with the rule"
    )]
    PatternOfObject,
    #[error("the pattern {0:?} of matches cannot be used: {1}")]
    BadPattern(String, String),
    #[error("it has {0} patterns, at most {PATTERNS_LIMIT} are allowed")]
    TooManyPatterns(usize),
}

/// Why an expression gave no answer on an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    #[error("it would take more than {STEP_LIMIT} steps on this object")]
    TooCostly,
    #[error("the rules before it took {ALL_STEPS_LIMIT} steps on this object, and more are not allowed")]
    TooCostlyTogether,
    #[error("it gave {got}, not {wanted}")]
    WrongType { got: String, wanted: &'static str },
    #[error("{0}")]
    Failed(String),
}

impl Expression {
    pub fn compile(source: &str) -> Result<Self, BadExpression> {
        if source.trim().is_empty() {
            return Err(BadExpression::Empty);
        }
        if source.len() > SOURCE_LIMIT {
            return Err(BadExpression::TooLong(source.len()));
        }
        let signs =
            source.chars().filter(|c| c.is_ascii_punctuation() && !matches!(c, '_' | '\'' | '"')).count();
        if signs > SIGN_LIMIT {
            return Err(BadExpression::TooManySigns(signs));
        }
        let parser =
            PrattParser::new().max_recursion_depth(DEPTH_LIMIT).max_expression_node_count(NODE_LIMIT);
        let tree =
            parser.parse(source).map_err(|error| BadExpression::Syntax(first_line(&error.to_string())))?;
        // Chains such as `a + b + c` parse without recursion, and are run with it.
        let levels = levels(&tree);
        if levels > LEVEL_LIMIT {
            return Err(BadExpression::TooManyLevels(levels));
        }
        let depth = nesting(&tree);
        if depth > NESTING_LIMIT {
            return Err(BadExpression::TooDeep(depth));
        }
        let unknown = unknown_name(&tree, &mut VARIABLES.to_vec());
        if let Some(unknown) = unknown {
            return Err(BadExpression::UnknownName(unknown.to_owned()));
        }
        let found = patterns_of(&tree).ok_or(BadExpression::PatternOfObject)?;
        if found.len() > PATTERNS_LIMIT {
            return Err(BadExpression::TooManyPatterns(found.len()));
        }
        let compile = |pattern: &str| {
            let bad = |error: regex::Error| match error {
                regex::Error::CompiledTooBig(_) => "it is too large once it is compiled".to_owned(),
                error => error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
            };
            patterns::compile(pattern)
                .map_err(|error| BadExpression::BadPattern(pattern.to_owned(), bad(error)))
        };
        let _patterns = found.into_iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { tree, source: source.to_owned(), _patterns })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it holds. A field that is not there makes it false, as a rule is a claim about what the object says.
    pub fn holds(&self, input: &Input) -> Result<bool, NoAnswer> {
        match self.evaluate(input)? {
            Some(Cel::Bool(holds)) => Ok(holds),
            None => Ok(false),
            Some(other) => {
                Err(NoAnswer::WrongType { got: other.type_of().to_string(), wanted: "true or false" })
            }
        }
    }

    /// The text that it makes; none where a field is not there.
    pub fn text(&self, input: &Input) -> Result<Option<String>, NoAnswer> {
        match self.evaluate(input)? {
            Some(Cel::String(text)) => Ok(Some(text.to_string())),
            Some(Cel::Int(number)) => Ok(Some(number.to_string())),
            Some(Cel::Null) | None => Ok(None),
            Some(other) => Err(NoAnswer::WrongType { got: other.type_of().to_string(), wanted: "text" }),
        }
    }

    fn evaluate(&self, input: &Input) -> Result<Option<Cel>, NoAnswer> {
        let steps = steps(&self.tree, input.sizes);
        if steps > STEP_LIMIT {
            return Err(NoAnswer::TooCostly);
        }
        let all = input.steps.get().saturating_add(steps);
        if all > ALL_STEPS_LIMIT {
            return Err(NoAnswer::TooCostlyTogether);
        }
        input.steps.set(all);
        match input.context.resolve(&self.tree) {
            Ok(value) => Ok(Some(value)),
            Err(ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_)) => Ok(None),
            Err(error) => Err(NoAnswer::Failed(first_line(&error.to_string()))),
        }
    }
}

/// An object, made ready for any number of expressions.
pub struct Input {
    context: Context<'static, 'static>,
    sizes: Sizes,
    /// What was asked of it so far may have taken so many.
    steps: Cell<u64>,
}

impl Input {
    pub fn new(object: &Value) -> Self {
        let Sizes { longest, text } = Sizes::of(object);
        Self { context: context(object), sizes: Sizes { longest: longest.max(8), text }, steps: Cell::new(0) }
    }
}

fn context(object: &Value) -> Context<'static, 'static> {
    static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
    let mut context = Context::with_env(Arc::clone(&STANDARD));
    // A missing part reads as an empty map, so that `has(status.phase)` is false rather than an error.
    let part = |value: &Value| {
        if value.is_object() { to_cel(value) } else { to_cel(&Value::Object(Default::default())) }
    };
    context.add_variable_from_value("object", part(object));
    for name in ["metadata", "spec", "status"] {
        context.add_variable_from_value(name, part(&object[name]));
    }
    let said: Arc<HashMap<String, [String; 3]>> = Arc::new(
        conditions(object)
            .map(|c| {
                // What is said of an earlier generation is not known of this one.
                let status = if c.is_stale(object) { "Unknown" } else { c.status() };
                (c.kind().to_owned(), [status, c.reason(), c.message()].map(str::to_owned))
            })
            .collect(),
    );
    let get = |said: &Arc<HashMap<String, [String; 3]>>, part: usize| {
        let said = Arc::clone(said);
        move |kind: &str| said.get(kind).map(|parts| parts[part].clone()).unwrap_or_default()
    };
    let status = get(&said, 0);
    for (name, wanted) in [("isTrue", "True"), ("isFalse", "False"), ("isUnknown", "Unknown")] {
        let status = status.clone();
        // The name cannot be taken: these are not in CEL's standard library.
        let _ = context.add_function(name, move |kind: Arc<String>| status(&kind) == wanted);
    }
    let _ = context.add_function("matches", |This(text): This<Arc<String>>, pattern: Arc<String>| {
        // Of an expression that was compiled, each pattern is known.
        patterns::matches(&text, &pattern)
            .ok_or_else(|| ExecutionError::function_error("matches", "unknown pattern"))
    });
    let (reason, message) = (get(&said, 1), get(&said, 2));
    let _ = context.add_function("reason", move |kind: Arc<String>| reason(&kind));
    let _ = context.add_function("message", move |kind: Arc<String>| message(&kind));
    let _ = context.add_function("scaled", scaled);
    context
}

/// A count, or a percentage of a total, rounded up as Kubernetes does: `partition: 50%`. What is neither is nothing.
fn scaled(value: Cel, total: i64) -> i64 {
    match value {
        Cel::Int(count) => count,
        Cel::String(text) => match text.strip_suffix('%') {
            Some(percent) => {
                let percent = percent.trim().parse::<i64>().unwrap_or(0).clamp(0, 100);
                total.saturating_mul(percent).saturating_add(99) / 100
            }
            None => text.trim().parse().unwrap_or(0),
        },
        _ => 0,
    }
}

/// CEL tells signed numbers from unsigned ones and JSON does not, so all whole numbers are signed here.
fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(bool) => Cel::Bool(*bool),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cel::Int(whole),
            None => Cel::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Cel::from(text.as_str()),
        Value::Array(list) => Cel::List(Arc::new(list.iter().map(to_cel).collect())),
        Value::Object(map) => {
            let map = map.iter().map(|(key, value)| (key.as_str().into(), to_cel(value))).collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}
