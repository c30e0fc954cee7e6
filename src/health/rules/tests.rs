use serde_json::json;

use super::*;
use crate::health::assess_with;

fn rules(yaml: &str) -> Result<Rules, Vec<RuleError>> {
    Rules::compile(&serde_saphyr::from_str::<Vec<Rule>>(yaml).unwrap())
}

fn refused(yaml: &str) -> String {
    let errors = rules(yaml).unwrap_err();
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn widget(status: serde_json::Value) -> Value {
    json!({"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "w"}, "status": status})
}

const WIDGET: &str = "
- group: example.org
  kind: Widget
  healthy: status.color == 'blue'
  failed: status.color == 'black' || isTrue('Broken')
  message: \"'it is ' + status.color\"
";

#[test]
fn every_shipped_rule_compiles() {
    for (file, text) in shipped::FILES {
        let rules: Vec<Rule> = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        for rule in rules {
            if let Err(problems) = Compiled::new(&rule, None) {
                panic!("{file}, {}: {}", rule.kind, problems[0]);
            }
        }
    }
}

#[test]
fn a_teams_rule_goes_before_all_others() {
    let rules = rules(WIDGET).unwrap();
    let judge = |status| assess_with(&widget(status), &rules);
    let blue = judge(
        json!({"color": "blue", "conditions": [{"type": "Ready", "status": "False", "reason": "Error"}]}),
    );
    assert_eq!((blue.status, &*blue.message), (Status::Healthy, "it is blue"));
    assert_eq!(judge(json!({"color": "black"})).status, Status::Failed);
    assert_eq!(judge(json!({"conditions": [{"type": "Broken", "status": "True"}]})).status, Status::Failed);
}

#[test]
fn where_no_claim_holds_it_is_not_healthy_yet() {
    let rules = rules(WIDGET).unwrap();
    assert_eq!(assess_with(&widget(json!({"color": "green"})), &rules).status, Status::Progressing);
    assert_eq!(assess_with(&widget(json!({})), &rules).status, Status::Progressing);
}

#[test]
fn a_rule_counts_only_once_the_object_was_observed() {
    let rules = rules(WIDGET).unwrap();
    let mut object = widget(json!({"color": "blue", "observedGeneration": "3"}));
    object["metadata"]["generation"] = json!(4);
    assert_eq!(assess_with(&object, &rules).status, Status::Progressing);
}

#[test]
fn a_rule_for_a_family_of_groups_fits_each_of_them() {
    let rules = rules("[{group: '*.org', kind: '*', healthy: 'true'}]").unwrap();
    assert_eq!(assess_with(&widget(json!({"phase": "Failed"})), &rules).status, Status::Healthy);
    let other = json!({"apiVersion": "example.com/v1", "kind": "Widget", "status": {"phase": "Failed"}});
    assert_eq!(assess_with(&other, &rules).status, Status::Failed);
}

#[test]
fn all_that_is_wrong_with_rules_is_said_at_once() {
    let said = refused(
        "[{group: a.b, kind: C, healthy: 'status.x ==', failed: 'stat.x == 1'}, {group: a.b, kind: D},
          {group: a.b, kind: '', healthy: 'true'}, {group: a.b, kind: E, healthy: 'isReady()'}]",
    );
    for part in [
        "healthy: it is not CEL",
        "it names \"stat\"",
        "it claims nothing",
        "no kind",
        "it names \"isReady\"",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn a_rule_that_is_too_long_or_too_deep_is_refused() {
    let long = format!("[{{group: a.b, kind: C, healthy: \"{}true\"}}]", "true && ".repeat(400));
    assert!(refused(&long).contains("at most 2048"));
    let deep = "[{group: a.b, kind: C, healthy: 'status.l.all(a, a.all(b, b.all(c, c.all(d, true))))'}]";
    assert!(refused(deep).contains("at most 3"));
    let nested =
        format!("[{{group: a.b, kind: C, healthy: \"{}true{}\"}}]", "[".repeat(100), "]".repeat(100));
    assert!(refused(&nested).contains("recursion limit"));
    let signs = format!("[{{group: a.b, kind: C, healthy: 'status{}'}}]", ".a".repeat(400));
    assert!(refused(&signs).contains("at most 300"));
}

/// Whatever is accepted must neither be parsed, nor walked, nor run until the stack ends. Tests run on 2 MiB of it.
#[test]
fn no_accepted_expression_ends_the_stack() {
    let brackets = |n: usize| format!("{}true{}", "(".repeat(n), ")".repeat(n));
    let worst = [
        brackets(23),
        brackets(100),
        format!("{}1{}", "[".repeat(23), "]".repeat(23)),
        format!("1{} == 1", "+1".repeat(44)),
        format!("status{}", ".a".repeat(46)),
        format!("{}true", "!".repeat(300)),
        format!("{}1 == 1", "-".repeat(296)),
        format!("status{}", ".a".repeat(300)),
        format!("1{} == 1", "+1".repeat(296)),
        format!("true{}", "||true".repeat(150)),
        format!("{}true", "true?true:".repeat(150)),
        format!("[1{}].all(x, x == 1)", ",1".repeat(280)),
        format!("status.a{}", "['a']".repeat(149)),
        format!("status.l{}", ".map(x, x)".repeat(70)),
    ];
    for source in worst {
        if let Ok(made) = Expression::compile(&source) {
            let _ = made.holds(&Input::new(&widget(json!({"l": [1, 2, 3]}))));
        }
    }
}

#[test]
fn a_rule_that_would_take_too_long_on_an_object_is_not_run() {
    let rules =
        rules("[{group: example.org, kind: Widget, healthy: 'status.l.all(a, status.l.all(b, a == b))'}]")
            .unwrap();
    assert_eq!(assess_with(&widget(json!({"l": vec![1; 20]})), &rules).status, Status::Healthy);
    let health = assess_with(&widget(json!({"l": vec![1; 5000]})), &rules);
    assert_eq!((health.status, &*health.reason), (Status::Unknown, "RuleTooCostly"));
}

#[test]
fn a_claim_that_is_no_claim_is_unknown_and_says_so() {
    let rules = rules("[{group: example.org, kind: Widget, healthy: 'status.color'}]").unwrap();
    let health = assess_with(&widget(json!({"color": "blue"})), &rules);
    assert_eq!((health.status, &*health.reason), (Status::Unknown, "RuleFailed"));
    assert!(health.message.contains("`status.color`"), "{}", health.message);
}

#[test]
fn whole_numbers_compare_with_each_other() {
    let rules = rules(
        "[{group: example.org, kind: Widget, healthy: 'status.n == 3 && status.n > -1 && status.n < 3.5'}]",
    );
    assert_eq!(assess_with(&widget(json!({"n": 3})), &rules.unwrap()).status, Status::Healthy);
}

#[test]
fn a_pattern_is_compiled_once_and_stands_in_the_rule() {
    let rule = |healthy: &str| format!("[{{group: example.org, kind: Widget, healthy: \"{healthy}\"}}]");
    for (healthy, why) in [
        ("status.name.matches(spec.pattern)", "has to be a text that stands in the rule"),
        ("status.name.matches('a' + 'b')", "has to be a text that stands in the rule"),
        ("status.l.all(x, matches(x, status.pattern))", "has to be a text that stands in the rule"),
        ("status.name.matches('(')", "\"(\" of matches cannot be used: error: unclosed group"),
        ("status.name.matches('[a-z]{1000000}')", "cannot be used: "),
        (r"status.name.matches('\\\\w{100}')", "it is too large once it is compiled"),
        (&["status.n.matches('a')"; 5].join("||").replace("'a'", "'aa'"), "it has 5 patterns, at most 4"),
    ] {
        let why_not = refused(&rule(healthy));
        assert!(why_not.contains(why), "{healthy}: {why_not}");
    }
    let rules = rules(&rule("status.l.all(x, x.matches('^v[0-9]+$')) && matches(status.l[0], '1')")).unwrap();
    let of = |last: &str| assess_with(&widget(json!({"l": ["v1", "v22", last]})), &rules).status;
    assert_eq!([of("v333"), of("latest")], [Status::Healthy, Status::Progressing]);
}

/// Of 10,000 entries each is matched with a pattern: this took almost four minutes when each match compiled it.
#[test]
fn looking_at_many_texts_costs_by_their_size() {
    let rules = rules(
        "[{group: example.org, kind: Widget, healthy: \"status.l.exists(e, e.name.matches('x{40}$'))\", otherwise: suspended}]",
    )
    .unwrap();
    let of = |count: usize, length: usize| {
        let list: Vec<_> = (0..count).map(|_| json!({"name": "x".repeat(length)})).collect();
        assess_with(&widget(json!({"l": list})), &rules)
    };
    assert_eq!(of(10_000, 20).status, Status::Suspended);
    assert_eq!(of(10, 10_000).status, Status::Healthy);
    assert_eq!(of(10_000, 1000).reason, "RuleTooCostly");
}

#[test]
fn what_all_rules_take_on_one_object_is_bounded() {
    let many: Vec<String> = (0..200)
        .map(|n| format!("{{group: example.org, kind: '*', failed: 'status.l.all(a, a > {n}) && false'}}"))
        .collect();
    let rules = rules(&format!("[{}]", many.join(", "))).unwrap();
    assert_ne!(assess_with(&widget(json!({"l": vec![1000; 100]})), &rules).reason, "RuleTooCostly");
    let health = assess_with(&widget(json!({"l": vec![1000; 10_000]})), &rules);
    assert_eq!((health.status, &*health.reason), (Status::Unknown, "RuleTooCostly"));
}

#[test]
fn a_condition_of_an_earlier_generation_is_unknown_to_a_rule() {
    let rules =
        rules("[{group: example.org, kind: Widget, healthy: isTrue('Ready'), failed: isFalse('Ready')}]");
    let rules = rules.unwrap();
    for (status, now) in [("True", Status::Healthy), ("False", Status::Failed)] {
        let ready = json!({"type": "Ready", "status": status, "observedGeneration": 3});
        let mut object = widget(json!({"conditions": [ready]}));
        object["metadata"]["generation"] = json!(3);
        assert_eq!(assess_with(&object, &rules).status, now);
        object["metadata"]["generation"] = json!(4);
        assert_eq!(assess_with(&object, &rules).status, Status::Progressing);
    }
}

#[test]
fn a_percentage_of_a_total_is_rounded_up() {
    let rules =
        rules("[{group: example.org, kind: Widget, healthy: 'scaled(status.a, 3) == status.b'}]").unwrap();
    for (given, count) in [
        (json!(2), 2),
        (json!("2"), 2),
        (json!("50%"), 2),
        (json!("0%"), 0),
        (json!("400%"), 3),
        (json!([]), 0),
    ] {
        let health = assess_with(&widget(json!({"a": given, "b": count})), &rules);
        assert_eq!(health.status, Status::Healthy, "{given}: {health}");
    }
}
