//! Strategic merge, as kustomize does it: maps merge, lists that have merge keys merge by item, everything else is
//! replaced, null deletes, `$patch` says otherwise.
//!
//! Of a merged list the patch's items come first, in the patch's order, then the remaining originals. What kustomize
//! loses, doubles or leaves in the output as it stands is refused here; `docs/overlays.md` lists each case.

use std::collections::{HashMap, HashSet};

use super::schema::{Schema, Schemas};
use crate::yaml::{Map, Node, Text, is_old_boolean};

const DIRECTIVE: &str = "$patch";

/// Why a patch cannot be applied, and the path in the object where.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub path: String,
    pub message: String,
    pub hint: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

pub(crate) struct Merger<'a> {
    schemas: &'a Schemas,
    path: Vec<String>,
}

type Merged = Result<Option<Node>, Fault>;

impl<'a> Merger<'a> {
    pub fn new(schemas: &'a Schemas) -> Self {
        Self { schemas, path: Vec::new() }
    }

    /// Merges a patch into an object. `None` where the patch deletes the object.
    pub fn apply(&mut self, object: Node, patch: Node) -> Merged {
        if let Some(Directive::Replace) =
            patch.as_map().and_then(|map| map.get(DIRECTIVE)).and_then(directive_of)
        {
            return Err(self.fault(
                "`$patch: replace` does nothing on a whole object",
                Some("delete the object with `$patch: delete` and add the new one to `resources`"),
            ));
        }
        self.merge(Some(object), Some(patch), None)
    }

    fn fault(&self, message: impl Into<String>, hint: Option<&'static str>) -> Fault {
        Fault { path: self.path.join("."), message: message.into(), hint }
    }

    fn within<T>(&mut self, part: &str, run: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.path.push(part.to_owned());
        let result = run(self);
        self.path.pop();
        result
    }

    fn schema_of(&self, dest: Option<&Node>, patch: Option<&Node>) -> Option<Schema<'a>> {
        let schemas = self.schemas;
        [dest, patch].into_iter().flatten().find_map(|node| {
            let (api, kind) = (node.get("apiVersion")?.as_str()?, node.get("kind")?.as_str()?);
            schemas.of(api, kind)
        })
    }

    fn merge(&mut self, dest: Option<Node>, patch: Option<Node>, schema: Option<Schema<'a>>) -> Merged {
        let schema = schema.or_else(|| self.schema_of(dest.as_ref(), patch.as_ref()));
        let solid = |node: &Option<Node>| node.as_ref().filter(|node| !node.is_null()).map(kind_of);
        match (solid(&dest), solid(&patch)) {
            (Some(one), Some(other)) if one != other => {
                let (dest, patch) =
                    (dest.as_ref().map_or("", Node::what), patch.as_ref().map_or("", Node::what));
                Err(self.fault(format!("the patch has {patch} where the object has {dest}"), None))
            }
            (Some(Kind::List), _) | (None, Some(Kind::List)) => self.merge_lists(dest, patch, schema),
            (Some(Kind::Scalar), _) | (None, Some(Kind::Scalar)) => Ok(patch.or(dest)),
            _ => self.merge_maps(dest, patch, schema),
        }
    }

    fn merge_maps(&mut self, dest: Option<Node>, patch: Option<Node>, schema: Option<Schema<'a>>) -> Merged {
        let Some(dest) = dest.filter(|dest| !dest.is_null() || patch.is_none()) else {
            return match patch {
                Some(patch) => self.clean(patch, schema),
                None => Ok(None),
            };
        };
        let Some(mut patch) = patch else {
            // A null that is written out stays, one that is only left open goes.
            if dest.is_null() {
                return Ok((dest.scalar().as_deref() != Some("")).then_some(dest));
            }
            let mut dest = dest;
            self.settle(&mut dest, schema)?;
            return Ok(Some(dest));
        };
        if patch.is_null() {
            return Ok(None);
        }
        match self.take_directive(&mut patch)? {
            Directive::Delete => Ok(None),
            Directive::Replace => self.clean(patch, schema),
            Directive::Merge => self.merge_fields(dest, Some(patch), schema),
        }
    }

    fn merge_fields(&mut self, dest: Node, patch: Option<Node>, schema: Option<Schema<'a>>) -> Merged {
        let Node::Map(mut dest) = dest else {
            return Ok(Some(dest));
        };
        let patch = match patch {
            Some(Node::Map(patch)) => patch,
            _ => Map::new(),
        };
        self.settle_fields(&mut dest, Some(&patch), schema)?;
        for (key, change) in patch {
            let below = schema.map(|schema| schema.field(&key));
            let Some(place) = dest.get_mut(&key) else {
                self.check_key(&key)?;
                let new = self.within(&key, |this| this.merge(None, Some(change), below))?;
                if let Some(new) = new.filter(|new| !new.is_null()) {
                    dest.insert(key, written_anew(new));
                }
                continue;
            };
            let value = std::mem::replace(place, Node::Null);
            let quoted = value.is_scalar().then(|| value.is_quoted());
            let merged = self.within(&key, |this| this.merge(Some(value), Some(change), below))?;
            match merged.filter(|merged| !merged.is_null()) {
                Some(merged) => {
                    *place = put_over(quoted, merged);
                }
                None => {
                    dest.remove(&key);
                }
            }
        }
        Ok(Some(Node::Map(dest)))
    }

    /// What happens to parts of the object that the patch does not speak of: what was only left open goes, and of two
    /// items of one key the last one stays.
    fn settle_fields(
        &mut self,
        map: &mut Map,
        except: Option<&Map>,
        schema: Option<Schema<'a>>,
    ) -> Result<(), Fault> {
        let mut open = Vec::new();
        for (key, value) in map.iter_mut() {
            if except.is_some_and(|except| except.contains_key(key)) {
                continue;
            }
            if let Node::Text(text) = value {
                text.settle();
                continue;
            }
            if value.is_null() {
                // A null that is written out stays.
                if value.scalar().as_deref() == Some("") {
                    open.push(key.clone());
                }
                continue;
            }
            if !value.is_scalar() {
                let below = schema.map(|schema| schema.field(key));
                self.path.push(key.clone());
                self.settle(value, below)?;
                self.path.pop();
            }
        }
        for key in open {
            map.remove(&key);
        }
        Ok(())
    }

    fn settle(&mut self, node: &mut Node, schema: Option<Schema<'a>>) -> Result<(), Fault> {
        let schema = schema.or_else(|| self.schema_of(Some(node), None));
        match node {
            Node::Map(map) => self.settle_fields(map, None, schema),
            Node::List(_) if schema.is_some_and(|schema| schema.merge_keys().is_some()) => {
                let list = std::mem::replace(node, Node::Null);
                *node = self.merge_lists(Some(list), None, schema)?.unwrap_or(Node::Null);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What a part of a patch becomes where there was nothing before: without nulls and directives.
    fn clean(&mut self, patch: Node, schema: Option<Schema<'a>>) -> Merged {
        let schema = schema.or_else(|| self.schema_of(None, Some(&patch)));
        match patch {
            Node::Map(_) => {
                let mut patch = patch;
                if self.take_directive(&mut patch)? == Directive::Delete {
                    return Ok(None);
                }
                let Node::Map(fields) = patch else {
                    return Ok(Some(patch));
                };
                let mut cleaned = Map::new();
                for (key, value) in fields {
                    self.check_key(&key)?;
                    let below = schema.map(|schema| schema.field(&key));
                    if let Some(value) = self.within(&key, |this| this.clean(value, below))? {
                        cleaned.insert(key, value);
                    }
                }
                Ok(Some(Node::Map(cleaned)))
            }
            Node::List(_) => self.merge_lists(None, Some(patch), schema),
            value if value.is_null() => Ok(None),
            value => Ok(Some(written_anew(value))),
        }
    }

    fn merge_lists(&mut self, dest: Option<Node>, patch: Option<Node>, schema: Option<Schema<'a>>) -> Merged {
        let Some(keys) = schema.and_then(Schema::merge_keys) else {
            if let Some(Node::List(items)) = &patch
                && items.iter().any(|item| item.get(DIRECTIVE).is_some())
            {
                return Err(self.fault(
                    "`$patch` in a list that has no merge key would stay in the object",
                    Some("write the whole list, or use a JSON patch (RFC 6902)"),
                ));
            }
            return Ok(patch.or(dest));
        };
        if dest.as_ref().is_some_and(|dest| !dest.is_null()) && patch.as_ref().is_some_and(Node::is_null) {
            return Ok(None);
        }
        let into_items = |node: Option<Node>| match node {
            Some(Node::List(items)) => Some(items),
            _ => None,
        };
        let (mut dest, mut patch) = (into_items(dest).unwrap_or_default(), into_items(patch));
        if let Some(items) = &mut patch {
            match self.take_list_directive(items)? {
                Directive::Delete => return Ok(None),
                Directive::Replace => dest.clear(),
                Directive::Merge => {}
            }
        }
        let below = schema.map(Schema::items);
        let odd = |item: &&Node| item.as_map().is_none() && !item.is_null();
        if keys.first().is_some_and(|key| !key.is_empty())
            && let Some(item) = dest.iter().chain(patch.iter().flatten()).find(odd)
        {
            return Err(self.fault(format!("an item of this list is {}, not a map", item.what()), None));
        }
        let merged = match keys {
            [only] if only.is_empty() => merge_values(dest, patch.unwrap_or_default()),
            [key] => self.merge_by_key(dest, patch.unwrap_or_default(), key, below)?,
            keys => super::strategic_ports::merge(self, dest, patch.unwrap_or_default(), keys, below)?,
        };
        Ok(Some(Node::List(merged)))
    }

    fn merge_by_key(
        &mut self,
        dest: Vec<Node>,
        patch: Vec<Node>,
        key: &str,
        schema: Option<Schema<'a>>,
    ) -> Result<Vec<Node>, Fault> {
        let mut originals: Vec<(String, Option<Node>)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for item in dest.into_iter().filter(|item| !item.is_empty()) {
            let name = self.key_of(&item, key, "the object")?;
            // Of two items of one name the last one counts, at the place of the first.
            match places.get(&name) {
                Some(at) => originals[*at].1 = Some(item),
                None => {
                    places.insert(name.clone(), originals.len());
                    originals.push((name, Some(item)));
                }
            }
        }
        let mut merged = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        for item in patch {
            let name = self.key_of(&item, key, "the patch")?;
            if seen.contains(&name) {
                return Err(self
                    .fault(format!("the patch has two items of one {key}"), Some("merge the two into one")));
            }
            let original = places.get(&name).and_then(|at| originals[*at].1.take());
            if original.is_some() {
                self.refuse_item_replace(&item)?;
            }
            let part = format!("[{key}={name}]");
            let result = self.within(&part, |this| match original {
                Some(original) => this.merge(Some(original), Some(item), schema),
                None => this.clean(item, schema),
            })?;
            merged.extend(result.filter(|item| !item.is_empty()));
            seen.insert(name);
        }
        for (name, item) in originals {
            if let Some(mut item) = item {
                self.path.push(name);
                self.settle(&mut item, schema)?;
                self.path.pop();
                merged.push(item);
            }
        }
        Ok(merged)
    }

    pub(super) fn merge_item(
        &mut self,
        dest: Option<Node>,
        patch: Option<Node>,
        schema: Option<Schema<'a>>,
    ) -> Merged {
        if let (Some(_), Some(item)) = (&dest, &patch) {
            self.refuse_item_replace(item)?;
        }
        match (dest, patch) {
            (None, Some(patch)) => self.clean(patch, schema),
            (dest, patch) => self.merge(dest, patch, schema),
        }
    }

    fn refuse_item_replace(&self, item: &Node) -> Result<(), Fault> {
        match item.get(DIRECTIVE).and_then(directive_of) {
            Some(Directive::Replace) => Err(self.fault(
                "`$patch: replace` does nothing on an item of a list",
                Some(
                    "replace the whole list with an item `- $patch: replace`, or use a JSON patch (RFC 6902)",
                ),
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn lost_item(&self) -> Fault {
        self.fault(
            "an item of this list would be lost, because one of its merge keys is given on one side only",
            Some("give all merge keys (of ports: the protocol too) in the object and in the patch"),
        )
    }

    fn key_of(&self, item: &Node, key: &str, whose: &str) -> Result<String, Fault> {
        let value = item.get(key).filter(|value| !value.is_empty()).and_then(Node::scalar);
        value.ok_or_else(|| {
            self.fault(
                format!("an item of {whose} has no {key}, by which the items of this list are merged"),
                Some("give each item its key"),
            )
        })
    }

    fn check_key(&self, key: &str) -> Result<(), Fault> {
        let stays = ["$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys"];
        if stays.iter().any(|prefix| key.starts_with(prefix)) {
            let name = key.split('/').next().unwrap_or_default();
            return Err(self.fault(
                format!("the directive `{name}` is kubectl's and would stay in the object"),
                Some("write the list or map as it shall be, with `$patch: replace`"),
            ));
        }
        Ok(())
    }

    fn take_directive(&self, patch: &mut Node) -> Result<Directive, Fault> {
        let Some(map) = patch.as_map_mut() else {
            return Ok(Directive::Merge);
        };
        match map.remove(DIRECTIVE) {
            None => Ok(Directive::Merge),
            Some(value) => directive_of(&value).ok_or_else(|| self.unknown_directive()),
        }
    }

    /// An item that is nothing but `$patch` speaks for the whole list.
    fn take_list_directive(&self, items: &mut Vec<Node>) -> Result<Directive, Fault> {
        let sole =
            |item: &Node| item.as_map().is_some_and(|map| map.len() == 1 && map.contains_key(DIRECTIVE));
        let Some(at) = items.iter().position(sole) else {
            return Ok(Directive::Merge);
        };
        let directive =
            items[at].get(DIRECTIVE).and_then(directive_of).ok_or_else(|| self.unknown_directive())?;
        items.retain(|item| !sole(item));
        Ok(directive)
    }

    fn unknown_directive(&self) -> Fault {
        self.fault("`$patch` must be `merge`, `replace` or `delete`", None)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Scalar,
    List,
    Map,
}

fn kind_of(node: &Node) -> Kind {
    match node {
        Node::List(_) => Kind::List,
        Node::Map(_) => Kind::Map,
        _ => Kind::Scalar,
    }
}

fn directive_of(value: &Node) -> Option<Directive> {
    match value.as_str()? {
        "merge" => Some(Directive::Merge),
        "replace" => Some(Directive::Replace),
        "delete" => Some(Directive::Delete),
        _ => None,
    }
}

/// What is put over a scalar takes its quotes on, and with quotes it is text.
fn put_over(quoted: Option<bool>, value: Node) -> Node {
    match (quoted, value) {
        (Some(quoted), Node::Text(text)) => Node::Text(Text::new(text.value, quoted)),
        (Some(true), value) if value.is_scalar() => Node::quoted(value.scalar().unwrap_or_default()),
        (_, value) => value,
    }
}

/// Words like `yes` are written in quotes where a field is new.
fn written_anew(value: Node) -> Node {
    match value {
        Node::Text(text) if !text.is_quoted() && is_old_boolean(&text.value) => Node::quoted(text.value),
        value => value,
    }
}

/// Lists of plain values, like finalizers: the patch's first, then those that it does not name.
fn merge_values(dest: Vec<Node>, patch: Vec<Node>) -> Vec<Node> {
    let mut merged: Vec<Node> = Vec::new();
    for value in patch.into_iter().chain(dest) {
        if !merged.iter().any(|known| known.scalar() == value.scalar()) {
            merged.push(value);
        }
    }
    merged
}
