//! Dotted paths into objects, `spec.containers.[name=web].image`, as replacements and variables write them.

use regex::Regex;

use super::fields::split_escaped;
use crate::yaml::{Map, Node, Text};

/// Splits at dots; `\.` is a dot in a key, and so is any dot in brackets.
pub(crate) fn split(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut raw = split_escaped(path, '.').into_iter();
    while let Some(mut part) = raw.next() {
        if part.starts_with('[') && !part.ends_with(']') {
            for more in raw.by_ref() {
                part.push('.');
                part.push_str(&more);
                if more.ends_with(']') {
                    break;
                }
            }
            if !part.contains('=') {
                part = part.trim_matches(['[', ']']).to_owned();
            }
        }
        parts.push(part);
    }
    parts
}

fn list_part(part: &str) -> Option<&str> {
    part.strip_prefix('[')?.strip_suffix(']')
}

fn field_and_value(part: &str) -> Result<(&str, &str), String> {
    part.split_once('=').ok_or_else(|| format!("`[{part}]` in a path must be `[field=value]`"))
}

/// The one value at a path. `None` where it is missing.
pub(crate) fn lookup<'a>(node: &'a Node, path: &[String]) -> Result<Option<&'a Node>, String> {
    let mut here = node;
    for part in path.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        let next = if let Ok(index) = part.parse::<i64>() {
            let index =
                usize::try_from(index).map_err(|_| "an index in a path cannot be negative".to_owned())?;
            items(here)?.get(index)
        } else if part == "-" {
            items(here)?.last()
        } else if part == "*" {
            return Err("`*` can stand in targets only".to_owned());
        } else if let Some(inner) = list_part(part) {
            let (field, value) = field_and_value(inner)?;
            items(here)?.iter().find(|item| match field {
                "" => item.scalar().as_deref() == Some(value),
                field => item.get(field).and_then(Node::scalar).as_deref() == Some(value),
            })
        } else {
            field(here, part)?
        };
        match next {
            Some(next) => here = next,
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

fn items(node: &Node) -> Result<&[Node], String> {
    match node {
        Node::List(items) => Ok(items),
        node if node.is_null() => Ok(&[]),
        node => Err(format!("the path expects a list and finds {}", node.what())),
    }
}

fn field<'a>(node: &'a Node, name: &str) -> Result<Option<&'a Node>, String> {
    match node {
        Node::Map(map) => Ok(map.get(name)),
        node if node.is_null() => Ok(None),
        node => Err(format!("the path expects a map and finds {}", node.what())),
    }
}

/// What a missing end of a path is made as.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Create {
    No,
    Scalar,
    List,
    Map,
}

pub(crate) type Set<'s> = &'s mut dyn FnMut(&mut Node) -> Result<(), String>;

/// Calls `set` for every value at a path of a target, making what is missing where that is wanted. Returns how many.
pub(crate) fn each(node: &mut Node, path: &[String], create: Create, set: Set<'_>) -> Result<usize, String> {
    let Some((part, rest)) = path.split_first() else {
        set(node)?;
        return Ok(1);
    };
    if let Ok(index) = part.parse::<usize>() {
        let Node::List(items) = node else {
            return Err(expects("list", node));
        };
        if items.len() == index && create != Create::No {
            items.push(make(rest.first(), create));
        }
        let count = items.len();
        let item =
            items.get_mut(index).ok_or_else(|| format!("the path asks for item {index} of {count}"))?;
        return each(item, rest, create, set);
    }
    if let Some(inner) = list_part(part) {
        let (field, value) = field_and_value(inner)?;
        let pattern =
            Regex::new(value).map_err(|_| "a value in a path is not a regular expression".to_owned())?;
        let Node::List(items) = node else {
            return Err(expects("list", node));
        };
        let found = matching(items, field, &pattern, rest, create, set)?;
        if found > 0 || create == Create::No {
            return Ok(found);
        }
        items.push(match field {
            "" => Node::Text(Text::loose(value)),
            field => Node::Map(Map::from([(field.to_owned(), Node::Text(Text::loose(value)))])),
        });
        return matching(items, field, &pattern, rest, create, set);
    }
    if part == "*" {
        let Node::List(items) = node else {
            return Err(expects("list", node));
        };
        let mut found = 0;
        for item in items {
            found += each(item, rest, create, set)?;
        }
        return Ok(found);
    }
    match node {
        Node::Map(map) => {
            if create == Create::No && !map.contains_key(part) {
                return Ok(0);
            }
            let field = map.get_or(part, || make(rest.first(), create));
            each(field, rest, create, set)
        }
        node if node.is_null() => Ok(0),
        node => Err(expects("map", node)),
    }
}

fn matching(
    items: &mut [Node],
    field: &str,
    pattern: &Regex,
    rest: &[String],
    create: Create,
    set: Set<'_>,
) -> Result<usize, String> {
    let mut found = 0;
    for item in items {
        if field.is_empty() {
            if item.scalar().is_some_and(|text| pattern.is_match(&text)) {
                set(item)?;
                found += 1;
            }
            continue;
        }
        let text = item.get(field).and_then(Node::scalar);
        if text.is_some_and(|text| pattern.is_match(&text)) {
            found += each(item, rest, create, set)?;
        }
    }
    Ok(found)
}

fn expects(what: &str, node: &Node) -> String {
    format!("the path expects a {what} and finds {}", node.what())
}

fn make(next: Option<&String>, create: Create) -> Node {
    match next {
        Some(next) if list_part(next).is_some() || next.parse::<usize>().is_ok() => Node::List(Vec::new()),
        Some(_) => Node::Map(Map::new()),
        None => match create {
            Create::Map => Node::Map(Map::new()),
            Create::List => Node::List(Vec::new()),
            Create::Scalar | Create::No => Node::Text(Text::loose("")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_at_dots_outside_brackets() {
        assert_eq!(split("a.b"), ["a", "b"]);
        assert_eq!(
            split(r"metadata.annotations.example\.com/x"),
            ["metadata", "annotations", "example.com/x"]
        );
        assert_eq!(split("a.[name=x.y].b"), ["a", "[name=x.y]", "b"]);
        assert_eq!(split("data.[a.b]"), ["data", "a.b"]);
        assert_eq!(split("a.0.b"), ["a", "0", "b"]);
    }
}
