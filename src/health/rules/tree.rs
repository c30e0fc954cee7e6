//! What can be said of an expression by looking at its tree: how large it is, what it may cost, what it names.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, LiteralValue};
use serde_json::Value;

/// Looks for a pattern in a text.
const MATCHES: &str = "matches";

/// What a walk and a look at a text may cost on an object.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// The length of its longest list or map.
    pub longest: u64,
    /// In steps, what it takes to look at its longest text.
    pub text: u64,
}

impl Sizes {
    pub fn of(value: &Value) -> Self {
        let width = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let with = |all: Self, one: Self| Self {
            longest: all.longest.max(one.longest),
            text: all.text.max(one.text),
        };
        match value {
            Value::Array(list) => {
                let own = Self { longest: width(list.len()), text: 0 };
                list.iter().map(Self::of).fold(own, with)
            }
            Value::Object(map) => {
                let own = Self { longest: width(map.len()), text: 0 };
                map.values().map(Self::of).fold(own, with)
            }
            // Looking at a text is cheap beside walking a list: a step for 64 characters.
            Value::String(text) => Self { longest: 0, text: width(text.len() / 64) },
            _ => Self { longest: 0, text: 0 },
        }
    }
}

/// Names of types, which `type(x) == string` compares with.
const TYPES: [&str; 10] =
    ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"];

/// Everything that is evaluated once when this expression is.
fn children(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Call(call) => call.target.iter().map(|target| &**target).chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entries(&entry.expr)).collect(),
        Expr::Struct(fields) => fields.entries.iter().flat_map(|entry| entries(&entry.expr)).collect(),
        Expr::Comprehension(walk) => vec![&walk.iter_range, &walk.accu_init, &walk.result],
        _ => Vec::new(),
    }
}

fn entries(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

/// What is evaluated once for each element of a walked list.
fn repeated(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Comprehension(walk) => vec![&walk.loop_cond, &walk.loop_step],
        _ => Vec::new(),
    }
}

/// The height of the tree, found without recursion.
pub(super) fn levels(expr: &IdedExpr) -> usize {
    let (mut level, mut levels) = (vec![expr], 0);
    while !level.is_empty() {
        levels += 1;
        level = level.iter().flat_map(|node| [children(&node.expr), repeated(&node.expr)].concat()).collect();
    }
    levels
}

pub(super) fn nesting(expr: &IdedExpr) -> usize {
    let once = children(&expr.expr).into_iter().map(nesting).max().unwrap_or(0);
    let inner = repeated(&expr.expr);
    let walked = inner.iter().map(|expr| nesting(expr) + 1).max().unwrap_or(0);
    once.max(walked)
}

/// The most steps it can take on an object of these sizes.
pub(super) fn steps(expr: &IdedExpr, sizes: Sizes) -> u64 {
    let sum = |list: Vec<&IdedExpr>| {
        list.into_iter().fold(0u64, |sum, expr| sum.saturating_add(steps(expr, sizes)))
    };
    let once = sum(children(&expr.expr));
    let each = sum(repeated(&expr.expr));
    let own = match &expr.expr {
        // A pattern looks at each character, some of them more than once.
        Expr::Call(call) if call.func_name == MATCHES => 2 + 4 * sizes.text,
        Expr::Call(call) if call.func_name == "contains" || call.func_name == "_+_" => 2 + sizes.text,
        // One may look at all of a list: `in`, `==`.
        Expr::Call(_) => 2,
        _ => 1,
    };
    own + once.saturating_add(each.saturating_mul(sizes.longest)).min(u64::MAX / 4)
}

/// The patterns that `matches` looks for; none where one of them is not a text that stands there.
pub(super) fn patterns_of(expr: &IdedExpr) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    if let Expr::Call(call) = &expr.expr
        && call.func_name == MATCHES
    {
        let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.last().map(|last| &last.expr)
        else {
            return None;
        };
        found.push(pattern.inner());
    }
    let parts = children(&expr.expr).into_iter().chain(repeated(&expr.expr));
    for part in parts {
        found.extend(patterns_of(part)?);
    }
    Some(found)
}

/// A name that nothing stands for. `scope` holds the variables that can be seen from here.
pub(super) fn unknown_name<'e>(expr: &'e IdedExpr, scope: &mut Vec<&'e str>) -> Option<&'e str> {
    match &expr.expr {
        Expr::Ident(name) if !scope.contains(&&**name) && !TYPES.contains(&&**name) => return Some(name),
        Expr::Call(call) if !is_function(&call.func_name) => return Some(&call.func_name),
        _ => {}
    }
    let Expr::Comprehension(walk) = &expr.expr else {
        return children(&expr.expr).into_iter().find_map(|expr| unknown_name(expr, scope));
    };
    if let Some(unknown) =
        [&walk.iter_range, &walk.accu_init].into_iter().find_map(|expr| unknown_name(expr, scope))
    {
        return Some(unknown);
    }
    let seen = scope.len();
    scope.extend([&*walk.iter_var, &*walk.accu_var]);
    scope.extend(walk.iter_var2.as_deref());
    let unknown = [&walk.loop_cond, &walk.loop_step, &walk.result]
        .into_iter()
        .find_map(|expr| unknown_name(expr, scope));
    scope.truncate(seen);
    unknown
}

fn is_function(name: &str) -> bool {
    const OWN: [&str; 6] = ["isTrue", "isFalse", "isUnknown", "reason", "message", "scaled"];
    const STANDARD: [&str; 14] = [
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "string",
        "int",
        "double",
        "uint",
        "bool",
        "max",
        "min",
        "type",
        "dyn",
    ];
    // Operators are functions with names that no one can write, such as `_&&_` and `@in`.
    OWN.contains(&name) || STANDARD.contains(&name) || !name.starts_with(|c: char| c.is_ascii_alphabetic())
}
