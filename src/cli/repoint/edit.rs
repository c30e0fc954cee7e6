//! Changes the region in the text of an `environment.yaml`, and nothing else of it: comments and order stay.
//!
//! The places of the fields come from the reader of YAML. What was changed is read again, and has to be what it was but for the
//! fields that were to change; text that this does not understand is left alone, and a person told what to write.

use serde_json::{Value, json};

use crate::object::{Problem, TreePath};
use crate::yaml::{self, Document};

/// What is to stand there.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<'a> {
    pub active: &'a str,
    pub epoch: u64,
    pub mode: &'a str,
}

const REGION: &str = "/spec/region";

/// The text with the change in it, or nothing where it cannot be changed with certainty.
pub fn edit(text: &str, path: &TreePath, change: &Change<'_>) -> Result<Option<String>, Problem> {
    let document = read(text, path)?;
    let Some(wanted) = wanted(document.value(), change) else { return Ok(None) };
    let Some(edited) = rewrite(text, &document, change) else { return Ok(None) };
    let is_right = read(&edited, path).is_ok_and(|found| *found.value() == wanted);
    Ok(is_right.then_some(edited))
}

fn read(text: &str, path: &TreePath) -> Result<Document, Problem> {
    let mut all = yaml::read(text.as_bytes(), path, yaml::Dialect::Config, &yaml::Limits::default())?;
    match (all.pop(), all.is_empty()) {
        (Some(document), true) => Ok(document),
        _ => Err(Problem::new(format!("{path} does not hold one document"))),
    }
}

/// The document as it is to read afterwards: the old active region takes the place of the new one among the standbys.
fn wanted(value: &Value, change: &Change<'_>) -> Option<Value> {
    let mut wanted = value.clone();
    let region = wanted.pointer_mut(REGION)?;
    let from = region["active"].as_str()?.to_owned();
    let standby = region["standby"].as_array_mut()?;
    let place = standby.iter().position(|one| name_of(one) == Some(change.active))?;
    match &mut standby[place] {
        Value::String(name) => *name = from,
        of => of["region"] = from.into(),
    }
    region["active"] = change.active.into();
    region["epoch"] = change.epoch.into();
    if region["mode"].as_str().unwrap_or("graceful") != change.mode {
        region["mode"] = change.mode.into();
    }
    Some(wanted)
}

fn name_of(standby: &Value) -> Option<&str> {
    standby.as_str().or_else(|| standby["region"].as_str())
}

fn rewrite(text: &str, document: &Document, change: &Change<'_>) -> Option<String> {
    let region = document.value().pointer(REGION)?;
    let from = region["active"].as_str()?;
    let standby = region["standby"].as_array()?;
    let place = standby.iter().position(|one| name_of(one) == Some(change.active))?;
    let active = field(text, document, "active")?;
    let other = match &standby[place] {
        Value::String(_) => scalar(text, offset(text, document, &format!("{REGION}/standby/{place}"))?)?,
        _ => field(text, document, &format!("standby/{place}/region"))?,
    };
    let mut edits = vec![(active, change.active.to_owned()), (other, from.to_owned())];
    let mut missing = Vec::new();
    for (name, value, is_needed) in [
        ("epoch", change.epoch.to_string(), true),
        ("mode", change.mode.to_owned(), region["mode"].as_str().unwrap_or("graceful") != change.mode),
    ] {
        match region.get(name) {
            Some(_) => edits.push((field(text, document, name)?, value)),
            None if is_needed => missing.push(format!("{name}: {value}")),
            None => {}
        }
    }
    // What is new comes after `active`, in the way in which that is written.
    let key = offset(text, document, &format!("{REGION}/active"))?;
    let line = text[..key].rfind('\n').map_or(0, |end| end + 1);
    let indent = &text[line..key];
    let end = if indent.trim().is_empty() {
        text[active.1..].find('\n').map_or(text.len(), |end| active.1 + end)
    } else {
        active.1
    };
    let added: String = missing
        .iter()
        .map(
            |field| {
                if indent.trim().is_empty() { format!("\n{indent}{field}") } else { format!(", {field}") }
            },
        )
        .collect();
    edits.push(((end, end), added));
    edits.sort_by_key(|((begin, end), _)| (*begin, *end));
    let mut edited = text.to_owned();
    for ((begin, end), with) in edits.into_iter().rev() {
        edited.replace_range(begin..end, &with);
    }
    Some(edited)
}

/// Where the value of a field of the region stands, from byte to byte.
fn field(text: &str, document: &Document, name: &str) -> Option<(usize, usize)> {
    let key = offset(text, document, &format!("{REGION}/{name}"))?;
    let word = name.rsplit('/').next()?;
    let after = text[key..].strip_prefix(word)?.trim_start_matches([' ', '\t']).strip_prefix(':')?;
    let value = after.trim_start_matches([' ', '\t']);
    scalar(text, text.len() - value.len())
}

/// The byte at which a node begins; that of its key, where it has one.
fn offset(text: &str, document: &Document, pointer: &str) -> Option<usize> {
    let place = document.place_of(pointer);
    let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
    let begin = text.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
    let within = text.get(begin..)?.char_indices().nth(column)?.0;
    Some(begin + within)
}

/// From where to where a short scalar goes that begins there: a word or a number, quoted or not.
fn scalar(text: &str, begin: usize) -> Option<(usize, usize)> {
    let rest = text.get(begin..)?;
    let length = match rest.chars().next()? {
        quote @ ('"' | '\'') => rest[1..].find(quote)? + 2,
        first if first.is_ascii_alphanumeric() => {
            rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len())
        }
        _ => return None,
    };
    Some((begin, begin + length))
}

/// What a person would have to write, where the text cannot be changed with certainty.
pub fn by_hand(change: &Change<'_>, from: &str) -> String {
    let what = json!({"active": change.active, "epoch": change.epoch, "mode": change.mode});
    format!("write in spec.region: {what}, and {from} among `standby` in place of {}", change.active)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: Change<'_> = Change { active: "eu-central-1", epoch: 4, mode: "ungraceful" };

    fn edited(region: &str) -> Option<String> {
        let text = format!("# Ours.\nkind: EnvironmentConfig\nspec:\n  apps: [] # none\n{region}");
        let path = TreePath::new("environments/production/environment.yaml").unwrap();
        let edited = edit(&text, &path, &CHANGE).unwrap()?;
        let head = "# Ours.\nkind: EnvironmentConfig\nspec:\n  apps: [] # none\n";
        Some(edited.strip_prefix(head).expect("all above stays").to_owned())
    }

    #[test]
    fn each_way_to_write_it_keeps_its_comments_and_its_order() {
        for (region, wanted) in [
            (
                "  region:\n    active: eu-west-1 # home\n    standby: [us-east-1, eu-central-1] # two\n    epoch: 3\n",
                "  region:\n    active: eu-central-1 # home\n    mode: ungraceful\n    standby: [us-east-1, eu-west-1] # two\n    epoch: 4\n",
            ),
            (
                "  region: {active: eu-west-1, standby: [eu-central-1], epoch: 3, mode: graceful}",
                "  region: {active: eu-central-1, standby: [eu-west-1], epoch: 4, mode: ungraceful}",
            ),
            (
                "  region: {standby: [eu-central-1], active: eu-west-1}\n",
                "  region: {standby: [eu-west-1], active: eu-central-1, epoch: 4, mode: ungraceful}\n",
            ),
            (
                "  region:\n    # first\n    epoch: 3\n    standby:\n      - region: 'eu-central-1' # cold\n        kind: cold\n    active: \"eu-west-1\"",
                "  region:\n    # first\n    epoch: 4\n    standby:\n      - region: eu-west-1 # cold\n        kind: cold\n    active: eu-central-1\n    mode: ungraceful",
            ),
        ] {
            assert_eq!(edited(region).as_deref(), Some(wanted), "{region}");
        }
    }

    #[test]
    fn what_cannot_be_changed_with_certainty_is_left_alone() {
        for region in [
            "  region: {active: eu-west-1}\n",
            "  region: {active: eu-west-1, standby: [us-east-1]}\n",
            "  region: {active: &here eu-west-1, standby: [eu-central-1], epoch: 3}\n",
            "  region:\n    active: >-\n      eu-west-1\n    standby: [eu-central-1]\n",
            "  region:\n    active: &a eu-west-1\n    standby: [eu-central-1]\n    epoch: 3\n  previews: {label: *a}\n",
        ] {
            assert_eq!(edited(region), None, "{region}");
        }
    }
}
