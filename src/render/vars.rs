//! `vars`, the elder of `replacements`: `$(NAME)` in the places that the rules name becomes a field of an object.

use super::cursor::{Cursor, Found};
use super::fields::{Fields, Make, NotThere, visit};
use super::id::{GvkFilter, Id, is_cluster_scoped};
use super::kustomization::At;
use super::layer::{Build, Layer};
use super::paths;
use super::resource::Resource;
use crate::object::Problem;
use crate::yaml::{Looks, Node, Text, plain};

#[derive(Clone, Debug)]
pub(crate) struct Var {
    pub name: String,
    gvk: GvkFilter,
    object: String,
    namespace: String,
    field_path: String,
}

impl Var {
    pub fn read(item: &Cursor<'_>, found: &mut Found) -> Self {
        let mut this = Self {
            name: String::new(),
            gvk: GvkFilter::default(),
            object: String::new(),
            namespace: String::new(),
            field_path: "metadata.name".to_owned(),
        };
        for (name, field) in item.fields(&["name", "objref", "fieldref"], found) {
            match name {
                "name" => this.name = field.text(found),
                "objref" => this.read_object(&field, found),
                _ => {
                    for (_, field) in field.fields(&["fieldPath"], found) {
                        let path = field.text(found);
                        if !path.is_empty() {
                            this.field_path = path;
                        }
                    }
                }
            }
        }
        this
    }

    fn read_object(&mut self, item: &Cursor<'_>, found: &mut Found) {
        let mut api_version = String::new();
        for (name, field) in
            item.fields(&["apiVersion", "group", "version", "kind", "name", "namespace"], found)
        {
            let text = field.text(found);
            match name {
                "apiVersion" => api_version = text,
                "group" => self.gvk.group = text,
                "version" => self.gvk.version = text,
                "kind" => self.gvk.kind = text,
                "name" => self.object = text,
                _ => self.namespace = text,
            }
        }
        match api_version.split('/').collect::<Vec<_>>().as_slice() {
            [""] => {}
            [version] => self.gvk.version = (*version).to_owned(),
            [group, version] => {
                self.gvk.group = (*group).to_owned();
                self.gvk.version = (*version).to_owned();
            }
            _ => found.push(item.problem("`apiVersion` is not one")),
        }
    }

    fn api_version(&self) -> String {
        match self.gvk.group.as_str() {
            "" => self.gvk.version.clone(),
            group => format!("{group}/{}", self.gvk.version),
        }
    }

    /// What it takes its value from, for people.
    fn source(&self) -> String {
        format!("{} of {} {}", self.field_path, self.gvk.kind, self.object)
    }

    fn is(&self, id: &Id) -> bool {
        let api_version = self.api_version();
        let is_exact = !self.namespace.is_empty() || is_cluster_scoped(&api_version, &self.gvk.kind);
        id.api_version == api_version
            && id.kind == self.gvk.kind
            && id.name == self.object
            && (!is_exact || *id == Id::new(&api_version, &self.gvk.kind, &self.object, &self.namespace))
    }
}

/// Ties a variable to the object that it takes its value from, by the names of this layer.
pub(crate) fn find(build: &mut Build<'_>, var: &At<Var>, layer: &mut Layer) {
    let places: Vec<usize> =
        (0..layer.objects.len()).filter(|at| layer.objects[*at].ids().any(|id| var.it.is(&id))).collect();
    if places.len() > 1 {
        let message = format!("the variable {} may mean {} objects", var.it.name, places.len());
        build.found.push(Problem::at(var.place.clone(), message).hint("give its `objref` a namespace"));
        return;
    }
    if let Some(at) = places.first() {
        layer.objects[*at].vars.push(var.it.name.clone());
    }
    build.add_var(var.clone(), layer);
}

/// Puts the values in, at the top, when all names are what they will be.
pub(crate) fn resolve(build: &mut Build<'_>, vars: &[At<Var>], fields: &Fields, objects: &mut [Resource]) {
    if vars.is_empty() {
        return;
    }
    let mut values = Vec::new();
    for var in vars {
        match value_of(&var.it, objects) {
            Ok(value) => values.push((var.it.name.clone(), value)),
            Err(message) => build.found.push(Problem::at(var.place.clone(), message)),
        }
    }
    for object in objects.iter_mut() {
        let (api_version, kind) = (object.api_version().to_owned(), object.kind().to_owned());
        for spec in fields.var_reference.iter().filter(|spec| spec.gvk.selects(&api_version, &kind)) {
            let set =
                visit(&mut object.node, &spec.path, false, Make::Nothing, &mut |node| put(node, &values));
            if let Err(NotThere(message)) = set {
                let message = format!(
                    "{message} (putting variables into {} of {kind} {})",
                    spec.path.join("."),
                    object.name()
                );
                build.found.push(Problem::at(object.origin.place.clone(), message));
            }
        }
        if let Some(trace) = &mut object.trace {
            for change in trace.note(&object.node, "vars", &vars[0].place) {
                let before = change.before.as_ref().map(ToString::to_string).unwrap_or_default();
                if let Some(var) = vars.iter().find(|var| before.contains(&format!("$({})", var.it.name))) {
                    change.place = var.place.clone();
                    change.from = Some(var.it.source());
                }
            }
        }
    }
}

fn value_of(var: &Var, objects: &[Resource]) -> Result<Node, String> {
    let object = objects.iter().find(|object| object.vars.contains(&var.name));
    let object = object.ok_or_else(|| format!("the variable {} names no object that there is", var.name))?;
    let mut parts = Vec::new();
    for part in paths::split(&var.field_path) {
        // `containers[0]` is two parts.
        match part.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) {
            Some((name, index)) if index.bytes().all(|byte| byte.is_ascii_digit()) && !index.is_empty() => {
                parts.extend((!name.is_empty()).then(|| name.to_owned()));
                parts.push(index.to_owned());
            }
            _ => parts.push(part),
        }
    }
    let found = paths::lookup(&object.node, &parts)?;
    let found = found
        .ok_or_else(|| format!("the variable {}: {} has no {}", var.name, object.id(), var.field_path))?;
    read_by_go(found).ok_or_else(|| {
        format!(
            "the variable {}: {} of {} is a number that kustomize does not read here; write it in decimal digits",
            var.name,
            var.field_path,
            object.id()
        )
    })
}

/// Numbers are read once more from how they are written, as decimal digits whatever they begin with.
fn read_by_go(node: &Node) -> Option<Node> {
    let text = match node {
        Node::Text(_) | Node::List(_) | Node::Map(_) | Node::Bool(_) => return Some(node.clone()),
        node => node.scalar()?,
    };
    match Looks::of(&text) {
        Looks::Int => text.parse::<i64>().ok().map(|number| Node::Number(number.into())),
        Looks::Float => text.parse::<f64>().ok().map(|number| plain(&number.to_string())),
        Looks::Bool => Some(plain(&text.to_ascii_lowercase())),
        Looks::Null | Looks::Text => Some(Node::text(text)),
    }
}

fn put(node: &mut Node, values: &[(String, Node)]) -> Result<(), NotThere> {
    match node {
        Node::Text(text) => *node = expand(&text.value, values),
        Node::Map(map) => {
            for value in map.values_mut() {
                if let Node::Text(text) = value {
                    *value = expand(&text.value, values);
                }
            }
        }
        Node::List(items) => {
            for item in items {
                match item {
                    Node::Text(text) => *item = expand(&text.value, values),
                    item => {
                        return Err(NotThere(format!("an item of the list is {}, not text", item.what())));
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// `$(NAME)` becomes its value, `$$` a dollar. A text that is nothing but one variable takes the value's type.
fn expand(text: &str, values: &[(String, Node)]) -> Node {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (length, part) = match after.chars().next() {
            None => {
                out.push('$');
                (0, String::new())
            }
            Some('$') => (1, "$".to_owned()),
            Some('(') => match after.find(')') {
                Some(end) => {
                    let name = &after[1..end];
                    let value = values.iter().find(|(known, value)| known == name && value.is_scalar());
                    match value {
                        Some((_, value)) if text.len() == end + 2 => return value.clone(),
                        Some((_, value)) => (end + 1, value.scalar().unwrap_or_default()),
                        None => (end + 1, format!("$({name})")),
                    }
                }
                None => (1, "$(".to_owned()),
            },
            Some(letter) => (letter.len_utf8(), format!("${letter}")),
        };
        out.push_str(&part);
        rest = &after[length..];
    }
    out.push_str(rest);
    Node::Text(Text::new(out, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_in_container_arguments() {
        let values = [("A".to_owned(), Node::text("x")), ("N".to_owned(), Node::Number(5.into()))];
        for (text, wanted) in [
            ("$(A)", Node::text("x")),
            ("$(N)", Node::Number(5.into())),
            ("a-$(A)-$(N)", Node::text("a-x-5")),
            ("$$(A)", Node::text("$(A)")),
            ("$(B)", Node::text("$(B)")),
            ("$A $", Node::text("$A $")),
            ("$(A", Node::text("$(A")),
        ] {
            assert_eq!(expand(text, &values), wanted, "{text}");
        }
    }
}
