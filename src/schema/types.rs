//! Types of the built-in kinds: fields, what each may hold, and how lists of them merge.

use std::collections::HashMap;

use super::Builtin;

/// What a value must be. Null is taken everywhere, and means absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    Text,
    Integer,
    Number,
    Boolean,
    /// A map of any content.
    Object,
    Anything,
    IntegerOrText,
    /// `500m`, `1Gi`, or a number.
    Quantity,
    Time,
    Base64,
    /// A type of its own; see [`TypeRef::resolve`].
    Type(u32),
    List(Box<Shape>),
    Map(Box<Shape>),
}

/// How a list is owned and merged by server-side apply; for maps only `Atomic` and `Granular` exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Items {
    /// Nothing is said: maps are granular then, lists are atomic.
    Unsaid,
    Atomic,
    /// The values themselves are the keys.
    Set,
    /// Items are told apart by these fields.
    Keyed(Vec<String>),
}

/// How strategic merge treats a field, by the 1.36 API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    pub merge: bool,
    pub retain_keys: bool,
    pub replace: bool,
    pub merge_key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub shape: Shape,
    /// The server refuses an object without it.
    pub required: bool,
    pub items: Items,
    pub patch: Option<Patch>,
}

#[derive(Debug)]
pub(super) struct Type {
    pub name: String,
    pub fields: HashMap<String, Field>,
}

/// A type, with the data that its own references point into.
#[derive(Clone, Copy, Debug)]
pub struct TypeRef<'a> {
    pub(super) all: &'a Builtin,
    pub(super) at: u32,
}

impl<'a> TypeRef<'a> {
    fn get(self) -> Option<&'a Type> {
        self.all.types.get(self.at as usize)
    }

    /// `core.v1.PodSpec`
    pub fn name(self) -> &'a str {
        self.get().map_or("", |it| &it.name)
    }

    pub fn field(self, name: &str) -> Option<&'a Field> {
        self.get()?.fields.get(name)
    }

    pub fn fields(self) -> impl Iterator<Item = (&'a str, &'a Field)> {
        self.get().into_iter().flat_map(|it| &it.fields).map(|(name, field)| (name.as_str(), field))
    }

    /// The type that a shape names: its own, or that of its items or values.
    pub fn resolve(self, shape: &Shape) -> Option<Self> {
        match shape {
            Shape::Type(at) => Some(Self { all: self.all, at: *at }),
            Shape::List(inner) | Shape::Map(inner) => self.resolve(inner),
            _ => None,
        }
    }
}
