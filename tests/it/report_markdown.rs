//! Comments of hostile manifests, through GitHub's own renderer of Markdown and a sanitiser.

use std::io::Write;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use serde_json::{Value, json};

use fairlead::object::field_path::FieldPath;
use fairlead::object::{
    AppName, DriftAction, DriftClass, DriftRecord, EnvironmentName, ObjectKey, Place, Principal, RecordId,
    TreePath,
};
use fairlead::plan::{FieldChange, Reason};
use fairlead::report::{AppPlan, PlanReport, StepReport};
use fairlead::review::markdown::LEAST_LIMIT;
use fairlead::review::{
    Action, AppReport, AppState, Counts, Drift, DriftCause, DriftSides, Drifting, EnvironmentReport,
    ObjectChange, Report, Risk, RiskClass, SecretUse, Severity, Side, Verdict, drift_markdown, markdown,
};

/// Texts that have meaning to a forge, a browser or a terminal.
const BAD: &[&str] = &[
    "@ada",
    "@org/team",
    "#123",
    "org/repo#12",
    "GH-99",
    "!42",
    "$7",
    "~bug",
    "&3",
    ":tada:",
    "PROJ-12",
    "3f2a1bc07e9d",
    "https://evil.example/x",
    "www.evil.example",
    "mailto:a@b.example",
    "ada@b.example",
    "`",
    "``",
    "```",
    "````",
    "~~~",
    "\n```\n",
    "\n~~~~\n",
    "\n</details>\n",
    "</summary>",
    "<details>",
    "</code></pre>",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<a href=x>y</a>",
    "<!--",
    "-->",
    "\n<!-- fairlead:report cluster=x environments=y -->\n",
    "<?php ?>",
    "<![CDATA[x]]>",
    "<!DOCTYPE html>",
    "[x](javascript:alert(1))",
    "![x](y)",
    "[x]: y",
    "\n# heading\n",
    "\n---\n",
    "\n===\n",
    "| a | b |",
    "\n|-|-|\n",
    "* x",
    "1. x",
    "    code",
    "\\",
    "\\`",
    "**",
    "__",
    "&lt;",
    "&#64;ada",
    "&commat;ada",
    "\u{202e}gnp",
    "\u{200b}",
    "\u{2066}",
    "\u{feff}",
    "\u{7}",
    "\u{1b}[31m",
    "\r\n",
    "\t",
    "\u{2028}",
    "é",
    "✓",
    "\u{1f600}",
    "plain words",
    "x",
    " ",
    "",
];

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % below
    }

    fn text(&mut self) -> String {
        (0..1 + self.roll(6))
            .map(|_| BAD[self.roll(BAD.len())])
            .collect::<Vec<_>>()
            .join(["", " ", "\n"][self.roll(3)])
    }

    fn some<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.roll(most + 1)).map(|_| make(self)).collect()
    }

    fn value(&mut self) -> Option<Value> {
        match self.roll(5) {
            0 => None,
            1 => Some(json!({self.text(): self.text(), "list": [self.text(), 1, true]})),
            2 => Some(json!(self.roll(100))),
            _ => Some(self.text().into()),
        }
    }

    fn place(&mut self) -> Place {
        Place::at(TreePath::root().child(&self.text().replace('\0', "")), 3, 1)
    }

    fn changes(&mut self) -> Vec<FieldChange> {
        self.some(5, |dice| FieldChange {
            path: format!(".{}", dice.text()),
            before: dice.value(),
            after: dice.value(),
        })
    }

    fn risk(&mut self) -> Risk {
        let class = RiskClass::ALL[self.roll(RiskClass::ALL.len())];
        let severity = Severity::ALL[self.roll(3)];
        let app = (self.roll(2) == 0).then(|| self.text());
        let place = (self.roll(2) == 0).then(|| self.place());
        Risk {
            app,
            object: Some(self.text()),
            place,
            field: Some(self.text()),
            ..Risk::new(class, severity, self.text())
        }
    }

    fn object(&mut self) -> ObjectChange {
        let action =
            [Action::Create, Action::Update, Action::Delete, Action::Recreate, Action::Restart][self.roll(5)];
        ObjectChange {
            action,
            object: self.text(),
            place: self.place(),
            moved_from: (self.roll(4) == 0).then(|| self.text()),
            changes: self.changes(),
            secrets: self.some(2, |dice| SecretUse {
                secret: dice.text(),
                before: Some(dice.text()),
                after: None,
            }),
            made: if action == Action::Create { self.value() } else { None },
        }
    }

    fn environment(&mut self) -> EnvironmentReport {
        EnvironmentReport {
            environment: self.text(),
            verdict: Verdict::Risky,
            live: true,
            unseen: (self.roll(3) == 0).then(|| self.text()),
            counts: Counts { create: self.roll(90_000), ..Counts::default() },
            risks: self.some(12, Self::risk),
            apps: self.some(6, |dice| AppReport {
                app: dice.text(),
                state: AppState::Changed,
                digest: None,
                problems: Vec::new(),
                objects: dice.some(12, Self::object),
            }),
            drift: self.some(4, |dice| Drift {
                app: dice.text(),
                object: dice.text(),
                cause: DriftCause::Changed,
                changes: dice.changes(),
                records: dice.drift().0.into_iter().take(2).collect(),
            }),
            stays: self.some(6, |dice| Drifting {
                app: dice.text(),
                object: dice.text(),
                field: dice.text(),
                change: dice.changes().pop(),
                record: dice.drift().0.pop(),
            }),
            prune: None,
        }
    }
}

impl Dice {
    /// Records of drift, and a plan that writes over some of it.
    fn drift(&mut self) -> (Vec<DriftRecord>, PlanReport) {
        let at = Timestamp::UNIX_EPOCH;
        let records = self.some(40, |dice| DriftRecord {
            id: RecordId::new(at, 1),
            cluster: String::new(),
            environment: EnvironmentName::new("dev").expect("a name"),
            app: AppName::new(["web", "api", "db"][dice.roll(3)]).ok(),
            revision: None,
            object: ObjectKey::new(&dice.text(), &dice.text(), Some(&dice.text()), &dice.text()),
            uid: dice.text(),
            path: format!("/{}", dice.text()),
            desired: Some(dice.text()),
            live: dice.value().map(|value| value.to_string()),
            class: [DriftClass::Changed, DriftClass::Missing, DriftClass::Deleted][dice.roll(3)],
            cause: None,
            manager: dice.text(),
            operation: None,
            subresource: None,
            principal: (dice.roll(2) == 0).then(|| Principal { user: dice.text(), ..Principal::default() }),
            first_seen: at,
            last_seen: at,
            count: 1 + dice.roll(900) as u64,
            action: [DriftAction::Reported, DriftAction::Held, DriftAction::Fought][dice.roll(3)],
            rule: (dice.roll(2) == 0).then(|| dice.text()),
            result: None,
            latency_ms: None,
            closed: None,
        });
        let step = |object: String, path: String, dice: &mut Self| StepReport {
            wave: 0,
            wave_name: String::new(),
            action: "update",
            object,
            place: dice.place(),
            reason: Reason::Drifted { fields: vec![FieldPath::of(&[&dice.text()])] },
            proof: None,
            changes: vec![FieldChange { path, before: dice.value(), after: dice.value() }],
            live: None,
        };
        let mut steps = self.some(5, |dice| step(dice.text(), dice.text(), dice));
        for record in records.iter().step_by(3) {
            steps.push(step(record.object.to_string(), format!(".{}", &record.path[1..]), self));
        }
        let app = AppPlan { steps, ..AppPlan::broken(&self.text(), Vec::new()) };
        (records, PlanReport { environment: "dev".into(), revision: None, apps: vec![app], prune: None })
    }
}

/// What the judge says of these cases; fails where it cannot be had: a test that skips itself proves nothing.
fn judge(cases: &[Value]) -> (bool, String) {
    let python = std::env::var_os("FAIRLEAD_GFM").expect(
        "FAIRLEAD_GFM is not set: `source make/tools.sh; need gfm` installs GitHub's renderer and says where it is",
    );
    let mut child = Command::new(&python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/markdown/judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the judge starts");
    let mut input = child.stdin.take().expect("it is piped");
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("the judge ends");
    let _ = writer.join();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    (output.status.success(), said)
}

#[test]
fn hostile_manifests_stay_within_a_comment() {
    let mut cases = Vec::new();
    for seed in 1..=200 {
        let mut dice = Dice(seed * 7_919);
        let environments: Vec<EnvironmentReport> = (0..=dice.roll(3)).map(|_| dice.environment()).collect();
        let side = Side { revision: Some(dice.text()), what: dice.text() };
        let report = Report {
            version: 1,
            cluster: Some(dice.text()),
            base: side.clone(),
            head: side,
            verdict: Verdict::Risky,
            environments,
        };
        let limit = [LEAST_LIMIT, 12_000, 20_000, 60_000][dice.roll(4)];
        cases.push(json!({"markdown": markdown(&report, limit), "limit": limit, "secrets": []}));
    }
    let (fine, said) = judge(&cases);
    assert!(fine, "{said}");
    assert!(said.contains("\"cases\": 200"), "{said}");
}

#[test]
fn hostile_drift_stays_within_a_comment() {
    let mut cases = Vec::new();
    for seed in 1..=200 {
        let mut dice = Dice(seed * 104_729);
        let (records, plan) = dice.drift();
        let (cluster, branch) = (dice.text(), dice.text());
        let environment = EnvironmentName::new("dev").expect("a name");
        let sides = DriftSides {
            cluster: Some(&cluster),
            environment: &environment,
            branch: &branch,
            records: &records,
            plan: (dice.roll(4) > 0).then_some(&plan),
        };
        let limit = [LEAST_LIMIT, 12_000, 20_000, 60_000][dice.roll(4)];
        cases.push(json!({"markdown": drift_markdown(&sides, limit), "limit": limit, "secrets": []}));
    }
    let (fine, said) = judge(&cases);
    assert!(fine, "{said}");
    assert!(said.contains("\"cases\": 200"), "{said}");
}

#[test]
fn the_judge_sees_what_is_wrong() {
    let fine = "<!-- fairlead:report cluster= environments=dev -->\n## Fairlead: x\n\n### Risks\n\n- `@ada` **x**\n\n\
                <details><summary><code>a</code>: x</summary>\n\n```diff\n+ x\n```\n\n</details>\n";
    let case = |markdown: &str| json!({"markdown": markdown, "limit": 4_000, "secrets": ["canary"]});
    let (good, said) = judge(&[case(fine)]);
    assert!(good, "{said}");
    for (from, to) in [
        ("`@ada`", "@ada"),
        ("`@ada`", "see #12"),
        ("`@ada`", "at 3f2a1bc07e"),
        ("`@ada`", "https://evil.example"),
        ("`@ada`", "<b>x</b>"),
        ("`@ada`", "canary"),
        ("`@ada`", "\u{202e}"),
        ("`@ada`", "<!-- fairlead:report cluster=x environments=y -->"),
        ("```\n\n</details>", "</details>"),
        ("\n</details>\n", "\n"),
        ("```\n\n</details>", "```\n\n</details>\n\n</details>"),
        ("<!-- fairlead", "\n<!-- fairlead"),
        ("### Risks", "### Risks\n\n<details><summary>x</summary>\n\n</details>\n\n # x"),
    ] {
        assert!(fine.contains(from), "{from}");
        let (good, said) = judge(&[case(&fine.replace(from, to))]);
        assert!(!good, "{to:?} was let through: {said}");
    }
    let (good, _) = judge(&[case(&format!("{fine}{}", "x ".repeat(2_000)))]);
    assert!(!good, "too long");
}
