use serde_json::json;

use super::*;

const DIALECTS: [Dialect; 3] = [Dialect::Kustomize, Dialect::Kubectl, Dialect::Config];

fn path() -> TreePath {
    TreePath::new("a.yaml").unwrap()
}

fn docs(text: &str, dialect: Dialect) -> Result<Vec<Document>, crate::object::Problem> {
    read(text.as_bytes(), &path(), dialect, &Limits::default())
}

fn one(text: &str, dialect: Dialect) -> Value {
    let mut docs = docs(text, dialect).unwrap();
    assert_eq!(docs.len(), 1, "{text:?}");
    docs.remove(0).into_value()
}

fn refused(text: &str) -> String {
    docs(text, Dialect::Kustomize).expect_err(text).to_string()
}

#[test]
fn each_node_knows_its_place() {
    let text = "# a comment\napiVersion: v1\nspec:\n  containers:\n  - name: a\n    image: b\n  - name: c\n  a/b~c: 1\n";
    let doc = &docs(text, Dialect::Kubectl).unwrap()[0];
    let line = |pointer: &str| doc.place_of(pointer).line;
    assert_eq!(doc.place().line, 2);
    assert_eq!(line("/spec"), 3);
    assert_eq!(line("/spec/containers/0/image"), 6);
    assert_eq!(line("/spec/containers/1"), 7);
    assert_eq!(line("/spec/a~1b~0c"), 8);
    assert_eq!(line("/spec/containers/1/missing/deep"), 7, "the nearest ancestor");
    assert_eq!(doc.place_of("/spec/containers/0/image").column, 5);
}

#[test]
fn a_merged_key_stands_where_the_merge_stands() {
    let doc = &docs("a: &a\n  x: 1\nb:\n  z: 2\n  <<: *a\n", Dialect::Kubectl).unwrap()[0];
    assert_eq!(doc.value(), &json!({"a": {"x": 1}, "b": {"x": 1, "z": 2}}));
    assert_eq!(doc.place_of("/b/x").line, 5);
}

#[test]
fn a_key_given_twice_names_both_places() {
    let problem = refused("a:\n  b: hidden\n  c: 1\n  b: hidden\n");
    assert_eq!(problem, "a.yaml:4: a: the key \"b\" is given twice, first in line 2 (remove one of the two)");
    // kubectl takes the one or the other, by chance.
    assert!(docs("a:\n  1: a\n  \"1\": b\n", Dialect::Kubectl).is_err());
}

#[test]
fn documents_without_content_are_left_out() {
    let text = "# only a comment\n---\n---\na: 1\n...\n---\n~\n---\nb: 2\n";
    assert_eq!(docs(text, Dialect::Kustomize).unwrap().len(), 2);
    assert!(docs("", Dialect::Kubectl).unwrap().is_empty());
}

#[test]
fn what_is_not_utf8_text_is_refused() {
    let problem =
        |bytes: &[u8]| read(bytes, &path(), Dialect::Kubectl, &Limits::default()).unwrap_err().to_string();
    assert!(problem(b"\xFF\xFEa\0:\0").contains("UTF-16"));
    assert!(problem(b"a\0:\0").contains("UTF-16"));
    assert!(problem(b"a: 1\nb: \xFF\xFF\n").starts_with("a.yaml:2: this file is not UTF-8"));
    assert!(problem(b"a: 1\nb: \x07\n").starts_with("a.yaml:2: a control character"));
    assert_eq!(one("\u{FEFF}a: 1\r\nb: 2\r\n", Dialect::Kubectl), json!({"a": 1, "b": 2}));
}

#[test]
fn depth_is_refused_without_stack() {
    for text in [
        "[".repeat(20_000),
        "{a: ".repeat(20_000),
        "- ".repeat(20_000),
        (0..1_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>(),
        "[{a: ".repeat(20_000) + &"}]".repeat(20_000),
    ] {
        let problem = refused(&text);
        assert!(problem.contains("nested more than 100 deep"), "{problem}");
    }
}

#[test]
fn aliases_cannot_explode() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
    }
    assert!(refused(&bomb).contains("aliases"), "{}", refused(&bomb));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1000].join(", "));
    assert!(refused(&long).contains("aliases"));
    let chain: String = (1..200).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
    assert!(refused(&format!("a0: &a0 []\n{chain}")).contains("nested more than"));
    assert!(refused("a: &a [*a]\n").contains("inside what it names"));
    assert!(refused("a: *b\n").contains("names an anchor"));
}

#[test]
fn limits_hold() {
    let limits = Limits { file_bytes: 10, documents: 2, ..Limits::default() };
    let read = |text: &str| read(text.as_bytes(), &path(), Dialect::Kubectl, &limits);
    assert!(read("aaaaaaaaaaaaaaa").unwrap_err().to_string().contains("15 bytes; the limit is 10"));
    let limits = Limits { documents: 2, ..Limits::default() };
    let three = super::read(b"a: 1\n---\nb: 1\n---\nc: 1\n", &path(), Dialect::Kubectl, &limits);
    assert!(three.unwrap_err().to_string().contains("more than 2 documents"));
}

#[test]
fn a_problem_never_quotes_a_value() {
    for text in [
        "password: @hunter2",
        "password: `hunter2",
        "a: hunter2\n\tb: 1",
        "a: 'hunter2",
        "a: \"hunter2\\q\"",
        "a: {hunter2",
        "a: hunter2: b",
        "a: !!int hunter2",
        "a: %hunter2",
        "a: *hunter2",
        "<<: hunter2",
        "a: [hunter2]]",
        "%FOO hunter2\n--- a\n--- b: c: d",
    ] {
        for dialect in DIALECTS {
            if let Err(problem) = docs(text, dialect) {
                assert!(!problem.to_string().contains("hunter2"), "{problem}");
                assert!(problem.place.is_some_and(|place| place.line > 0));
            }
        }
    }
}

#[test]
fn what_the_tools_read_differently_is_named() {
    let text = "\
a: yes
b: [1, 0o14, hidden]
c: 2020-01-01
d: {e: , f: 1}
n: hidden
1: hidden
g: >
  hidden
    hidden
h: &h {x: 1}
i:
  x: 2
  <<: *h
k: 'yes'
l: |
  hidden";
    let notes = ambiguous(text.as_bytes(), &path(), &Limits::default()).unwrap();
    let notes: Vec<String> =
        notes.iter().map(|note| format!("{}: {}", note.place.as_ref().unwrap(), note.message)).collect();
    assert_eq!(
        notes,
        [
            "a.yaml:1: a: kustomize reads text here, kubectl a boolean; write true or false for a boolean, or put it \
             in quotes for text",
            "a.yaml:3: c: kustomize turns this date into a time, kubectl leaves it as it is; put it in quotes",
            "a.yaml:4: d.e: kustomize reads empty text here, kubectl null; write null, or \"\" for empty text",
            "a.yaml:5: kubectl reads this key as another word; put it in quotes",
            "a.yaml:6: kustomize refuses this key, which is not text; put it in quotes",
            "a.yaml:7: g: kustomize reads other line breaks in this folded block than kubectl; write it as a literal \
             block (|)",
            "a.yaml:13: i: what << brings here wins over earlier keys for kubectl, and loses to them for kustomize; \
             write << first",
            "a.yaml:15: l: kustomize and kubectl read different text here; end the file with a line break",
        ]
    );
}

#[test]
fn yaml_is_written_as_people_write_it() {
    let value = json!({
        "args": ["--a=b", "-c", "x: y", "it's", "\"q\""],
        "empty": {"list": [], "map": {}, "none": null, "text": ""},
        "nested": [[1, [2]], {"a": 1, "b": [true]}],
        "script": "#!/bin/sh\n\necho hi\n",
        "words": ["yes", "12", "1.2.3", "v1.2", "2020-01-01", "a:b", "10.0.0.1", "é", "a\tb", "trailing "],
    });
    let wanted = "\
args:
- --a=b
- -c
- \"x: y\"
- \"it's\"
- '\"q\"'
empty:
  list: []
  map: {}
  none: null
  text: \"\"
nested:
- - 1
  - - 2
- a: 1
  b:
  - true
script: |
  #!/bin/sh

  echo hi
words:
- \"yes\"
- \"12\"
- \"1.2.3\"
- v1.2
- \"2020-01-01\"
- a:b
- \"10.0.0.1\"
- \"é\"
- \"a\\tb\"
- \"trailing \"
";
    assert_eq!(write(&value), wanted);
}

#[test]
fn a_stream_is_read_to_its_end() {
    let names = |text: &str| -> Vec<Value> {
        docs(text, Dialect::Kubectl)
            .unwrap_or_else(|problem| panic!("{text:?}: {problem}"))
            .into_iter()
            .map(Document::into_value)
            .collect()
    };
    let two = [json!({"a": 1}), json!({"b": 2})];
    for text in [
        "a: 1\n---\nb: 2\n",
        "--- # one\na: 1\n--- # two\nb: 2\n",
        "--- {a: 1}\n--- {b: 2}\n",
        "---\n---\na: 1\n---\n# nothing\n---\nb: 2\n---\n",
        "a: 1\n...\nb: 2\n...\n",
        "a: 1\n...\n---\nb: 2",
        "\u{FEFF}%YAML 1.1\n---\na: 1\n...\n%YAML 1.2\n---\nb: 2\n",
        "a: 1\r\n---\r\nb: 2\r\n",
        "---\na: &x 1\n---\nb: &x 2\n",
    ] {
        assert_eq!(names(text), two, "{text:?}");
    }
    assert!(refused("a: &x 1\n---\nb: *x\n").starts_with("a.yaml:3"), "an anchor ends with its document");
    assert!(
        refused("a: 1\n--- \nb: 2\nb: 3\n")
            .contains("a.yaml:4: the key \"b\" is given twice, first in line 3")
    );
}

#[test]
fn a_last_block_without_its_line_break_is_as_the_tool_has_it() {
    let text = "a: |\n  one\n---\nb: |\n  two";
    let second = |dialect| docs(text, dialect).unwrap().remove(1).into_value();
    assert_eq!(second(Dialect::Kubectl), json!({"b": "two\n"}));
    assert_eq!(second(Dialect::Kustomize), json!({"b": "two"}));
    assert_eq!(one("a: |\n  one\n  ", Dialect::Kustomize), json!({"a": "one\n"}));
    assert_eq!(one("a: |\n  one\n# c", Dialect::Kustomize), json!({"a": "one\n"}));
}
