//! Properties: what is written reads back as it was, whoever reads it; and no bytes bring the reader down.

use proptest::prelude::*;
use serde_json::{Map, Number, Value};

use super::{Dialect, Limits, read, write, write_all};
use crate::object::TreePath;

const DIALECTS: [Dialect; 3] = [Dialect::Kustomize, Dialect::Kubectl, Dialect::Config];

/// Text as it is found, and text that YAML readers stumble over.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9./:_-]{0,12}",
        "[-+.]?[0-9_]{0,6}[.:eExob]?[-+]?[0-9a-f_]{0,6}",
        "[ \t\n#:'\"\\\\a|>{}\\[\\],&*!%@`?~=<-]{0,10}",
        "([a-z\t #-]{0,6}\n){0,5}[a-z ]{0,3}",
        any::<String>(),
        proptest::sample::select(
            [
                "yes",
                "No",
                "on",
                "OFF",
                "y",
                "N",
                "true",
                "False",
                "null",
                "~",
                "",
                "<<",
                "=",
                ".inf",
                "-.INF",
                ".nan",
                "2020-01-01",
                "2020-01-01T00:00:00Z",
                "0o14",
                "012",
                "1_000",
                "1e3",
                "1:30",
                "---",
                "...",
                "--- a",
                "- a",
                "a: b",
                "a #b",
                "\u{FEFF}a",
                "a\u{85}b",
                "a\u{2028}b",
                "\u{7F}",
                "\r\n",
                "a\r\nb",
                "%YAML",
                "{{ a }}",
                "a\n",
                "a\n\n",
                "\na",
                " a\nb",
                "a\n b\n",
                "a\n\tb\n",
                "a \nb",
                "0b-1",
                "NaN",
            ]
            .map(str::to_owned)
            .to_vec()
        ),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let float = any::<f64>().prop_filter_map("a float that is no integer", |float| {
        (float.is_finite() && float.fract() != 0.0).then(|| Number::from_f64(float)).flatten()
    });
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        float.prop_map(Value::Number),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec((text(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_is_written_reads_back_the_same(values in proptest::collection::vec(value(), 1..4)) {
        let wanted: Vec<Value> = values.iter().filter(|value| !value.is_null()).cloned().collect();
        let written = write_all(&values);
        for dialect in DIALECTS {
            let documents = read(written.as_bytes(), &TreePath::root(), dialect, &Limits::default());
            let found: Vec<_> = documents
                .map_err(|problem| TestCaseError::fail(format!("{problem}\n{written}")))?
                .into_iter()
                .map(super::Document::into_value)
                .collect();
            prop_assert_eq!(&found, &wanted, "{:?} reads\n{}", dialect, written);
        }
    }

    #[test]
    fn no_bytes_bring_the_reader_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for dialect in DIALECTS {
            let _ = read(&bytes, &TreePath::root(), dialect, &Limits::default());
        }
    }

    #[test]
    fn no_text_brings_the_reader_down(text in "([-?:,\\[\\]{}#&*!|>'\"%@`<~=.+ \t\n\r0-9a-eEoOxXyYnN_\u{85}\u{2028}é🎉]|- |: |\n  |!!int |&a |\\*a |<<: |--- )*") {
        for dialect in DIALECTS {
            if let Ok(documents) = read(text.as_bytes(), &TreePath::root(), dialect, &Limits::default()) {
                for document in documents {
                    let again = write(document.value());
                    let again = read(again.as_bytes(), &TreePath::root(), dialect, &Limits::default());
                    let again = again.expect("what we write is YAML");
                    prop_assert_eq!(again[0].value(), document.value());
                }
            }
        }
    }
}
