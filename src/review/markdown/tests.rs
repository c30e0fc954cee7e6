use proptest::prelude::*;

use super::*;
use crate::object::{DriftRecord, Principal};
use crate::review::drifted::Drifting;
use crate::review::fixtures::{app, change, report};
use crate::review::risk::RiskClass;

fn map(name: &str, value: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: {value:?}}}\n")
}

#[test]
fn a_small_change_reads_well() {
    let before = map("settings", "1") + &map("old", "1");
    let after = map("settings", "2\nlines") + &map("new", "1");
    let text = markdown(&report(&[change(&before, &after)]), LIMIT);
    let expected = "<!-- fairlead:report cluster=test environments=dev -->
## Fairlead: look at the risks before this is merged

Compared with `0123abcd` (where the change began); the cluster is `test`.

| Environment | Create | Update | Recreate | Delete | Restart | Unchanged | Errors | Warnings | Notes |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |
| `dev` | 1 | 1 | 0 | 1 | 0 | 0 | 0 | 1 | 0 |

### Risks

- **Warning** `deletes` `web`: ConfigMap `web/old` is deleted (`web/all.yaml:7`)

### Changes

<details><summary><code>web</code>: changed, 1 to delete, 1 to update, 1 to create</summary>

**create** `ConfigMap web/new` (`web/all.yaml:7`)

```diff
+ apiVersion: v1
+ data:
+   value: \"1\"
+ kind: ConfigMap
+ metadata:
+   labels:
+     applyset.kubernetes.io/part-of: applyset-wzMUHDZ0SD2DDC4A9ZoOW6Ny3yq-KDtfwB-fUL8mkH8-v1
+     fairlead.dev/app: web
+     fairlead.dev/environment: dev
+   name: new
+   namespace: web
```

**delete** `ConfigMap web/old` (`web/all.yaml:7`)

**update** `ConfigMap web/settings` (`web/all.yaml:2`)

```diff
@@ .data.value @@
- 1
+ 2
+ lines
```

</details>

";
    let without_id = |text: &str| {
        text.lines()
            .filter(|line| !line.contains("part-of"))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    assert_eq!(without_id(&text), without_id(expected));
    assert_eq!(Marker::find(&text), Some(Marker::new(Some("test"), &["dev"])));
}

#[test]
fn nothing_is_said_in_few_words() {
    let text = markdown(&report(&[change(&map("a", "1"), &map("a", "1"))]), LIMIT);
    assert!(text.contains("## Fairlead: nothing changes") && !text.contains("###"), "{text}");
}

#[test]
fn what_does_not_fit_is_counted_by_app() {
    let many =
        |count: usize, value: &str| (0..count).map(|n| map(&format!("m{n}"), value)).collect::<String>();
    let mut wide = change(&many(200, "1"), &many(200, "2"));
    let role = "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: z}\nrules: [{apiGroups: [''], resources: [secrets], verbs: [get]}]\n";
    let api = map("huge", &"x".repeat(9_000)) + role;
    wide.before.push(app("api", ""));
    wide.after.as_mut().unwrap().push(app("api", &api));
    let report = report(&[wide]);
    let whole = markdown(&report, LIMIT);
    assert!(!whole.contains("Left out"), "all of it fits");
    let text = markdown(&report, LEAST_LIMIT);
    assert!(text.chars().count() <= LEAST_LIMIT, "{}", text.chars().count());
    // The risk and its object come before what is only changed, and a large one takes no room from others.
    assert!(text.contains("**Error** `widensRbac`") && text.contains("+ kind: Role"), "{text}");
    assert!(text.contains("**create** `ConfigMap web/huge`") && !text.contains("xxxx"), "{text}");
    let shown = text.matches("- 1\n+ 2\n").count();
    assert!(shown > 0 && shown < 200, "{shown}");
    let left = format!("the fields of 1 object of `api`; the fields of {} objects of `web`", 200 - shown);
    assert!(text.contains(&left), "{left}\n{text}");
}

/// Everything that a comment must not be made to do.
const HOSTILE: &str = "[@#!`~<>|*_\\[\\]()&$\\-+\\\\:./a-f0-9 \n\r\t\u{202e}\u{200b}\u{2028}é✓]{0,40}|</details>|-->|<!-- fairlead:report cluster=x environments=y -->|\
                       ````\n```|@ada|GH-12|https://x\\.example/|\n# head\n|\n---\n";

fn risk_of(text: &str) -> Risk {
    Risk {
        app: Some(text.to_owned()),
        object: Some(text.to_owned()),
        field: Some(text.to_owned()),
        ..Risk::new(RiskClass::Deletes, Severity::Error, text)
    }
}

fn record_of(text: &str) -> DriftRecord {
    DriftRecord {
        path: text.to_owned(),
        manager: text.to_owned(),
        principal: Some(Principal {
            user: text.to_owned(),
            groups: Vec::new(),
            user_agent: None,
            source_address: None,
        }),
        rule: Some(text.to_owned()),
        ..drifted::tests::record("web", "/spec/replicas", "3")
    }
}

#[test]
fn who_changed_what_is_written_over_is_told_and_what_stays_is_beside_it() {
    let mut one = report(&[change(&map("a", "1"), &map("a", "2"))]);
    let environment = &mut one.environments[0];
    let record = drifted::tests::record("web", "/spec/replicas", "3");
    environment.drift = vec![Drift {
        app: "web".into(),
        object: "Deployment.apps web/web".into(),
        cause: DriftCause::Changed,
        changes: Vec::new(),
        records: vec![record.clone()],
    }];
    environment.stays = vec![Drifting {
        app: "web".into(),
        object: "Service web/web".into(),
        field: ".spec.type".into(),
        change: None,
        record: Some(record),
    }];
    let text = markdown(&one, LIMIT);
    let who = "was changed by `kubectl`, first seen `2026-11-30T12:00:00Z`; it is only reported";
    assert!(text.contains(&format!("- `.spec.replicas` {who}")), "{text}");
    let (_, stays) = text.split_once("### Otherwise in the cluster, and left as it is").expect("a section");
    assert!(stays.contains(&format!("`Service web/web` `.spec.type` {who}")), "{text}");
    assert!(!text.contains("3 times"), "what counts up would be one edit after the other: {text}");
}

proptest! {
    #[test]
    fn foreign_text_stays_within_its_bounds(texts in prop::collection::vec(HOSTILE, 1..12), limit in LEAST_LIMIT..16_000) {
        let mut report = report(&[change(&map("a", "1"), &map("a", "2"))]);
        let environment = &mut report.environments[0];
        let text = |n: usize| texts[n % texts.len()].clone();
        environment.risks = texts.iter().map(|text| risk_of(text)).collect();
        let template = environment.apps[0].objects[0].clone();
        for app in 0..3 {
            let objects = texts.iter().map(|text| {
                let mut object = template.clone();
                object.object.clone_from(text);
                object.changes[0].path.clone_from(text);
                object.changes[0].before = Some(text.as_str().into());
                object
            });
            let mut one = environment.apps[0].clone();
            (one.app, one.objects) = (text(app), objects.collect());
            environment.apps.push(one);
        }
        environment.drift = texts.iter().map(|text| Drift {
            app: text.clone(), object: text.clone(), cause: DriftCause::Changed, changes: template.changes.clone(),
            records: vec![record_of(text)],
        }).collect();
        environment.stays = texts.iter().map(|text| Drifting {
            app: text.clone(), object: text.clone(), field: text.clone(), change: template.changes.first().cloned(),
            record: Some(record_of(text)),
        }).collect();
        report.cluster = Some(text(1));
        let out = markdown(&report, limit);
        prop_assert!(out.chars().count() <= limit);
        prop_assert_eq!(out.matches("<!--").count(), 1, "{}", out);
        prop_assert!(Marker::find(&out).is_some());
        prop_assert_eq!(out.matches("<details>").count(), out.lines().filter(|line| *line == "</details>").count());
        let unseen = ['\u{202e}', '\u{200b}', '\u{2028}', '\r'];
        prop_assert!(!out.contains(unseen));
        // A fence ends with as many ticks as it began with.
        let mut open: Option<usize> = None;
        for line in out.lines() {
            let ticks = line.len() - line.trim_start_matches('`').len();
            match open {
                None if ticks >= 3 && !line.trim_start_matches('`').contains('`') => open = Some(ticks),
                Some(begun) if ticks >= begun && line.trim_start_matches('`').trim().is_empty() => open = None,
                _ => {}
            }
        }
        prop_assert_eq!(open, None, "{}", out);
        prop_assert_eq!(markdown(&report, limit), out);
    }
}
