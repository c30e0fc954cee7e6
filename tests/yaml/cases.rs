//! The cases on which our reading is compared with kubectl's and kustomize's; shared by the table test and the live one.

/// A YAML body under the usual header, and the name it goes by in `expected.json`.
pub struct Case {
    pub name: String,
    pub body: String,
}

pub const HEADER: &str = "apiVersion: example.com/v1\nkind: Foo\nmetadata: {name: a}\n";

/// Every line of scalars.txt is a value, every line of keys.txt a key, every `===` in blocks.txt begins a body.
pub fn cases() -> Vec<Case> {
    let scalar = |line: &str| Case { name: format!("value {line}"), body: format!("spec: {line}\n") };
    let key = |line: &str| Case { name: format!("key {line}"), body: format!("spec:\n  {line}: v\n") };
    let block = |text: &str| {
        let (name, body) = text.split_once('\n').expect("a name and a body");
        Case { name: name.to_owned(), body: body.to_owned() }
    };
    let scalars = include_str!("scalars.txt").lines().map(scalar);
    let keys = include_str!("keys.txt").lines().map(key);
    let blocks = include_str!("blocks.txt").split("=== ").skip(1).map(block);
    scalars.chain(keys).chain(blocks).collect()
}
