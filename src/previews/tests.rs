use super::*;
use crate::api::EnvironmentConfig;
use crate::object::{AppName, EnvironmentName, MemoryTree, TreePath};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

const HOUR: i64 = 3600;

fn rules() -> Rules {
    Rules {
        label: Some("preview".into()),
        idle: SignedDuration::from_hours(72),
        cap: SignedDuration::from_hours(14 * 24),
        max: 2,
        night: None,
        forks: false,
    }
}

fn pull() -> Pull {
    Pull {
        head: Revision::new("aaa"),
        base: Revision::new("bbb"),
        is_over: false,
        labels: vec!["preview".into()],
        unlabelled_since: None,
        is_fork: false,
        active: at(0),
    }
}

fn preview(number: u64) -> Preview {
    Preview {
        number,
        head: Revision::new("aaa"),
        base: Revision::new("bbb"),
        is_asked: false,
        is_fork: false,
        is_asleep: false,
        since: at(0),
        active: at(0),
        ended: None,
        is_suspended: false,
        namespace: NamespaceState::There { is_going: false },
    }
}

#[derive(Default)]
struct Bed {
    pulls: BTreeMap<u64, Pull>,
    previews: BTreeMap<u64, Preview>,
    wishes: BTreeMap<u64, Wish>,
}

impl Bed {
    fn pull(mut self, number: u64, pull: Pull) -> Self {
        self.pulls.insert(number, pull);
        self
    }

    fn preview(mut self, preview: Preview) -> Self {
        self.previews.insert(preview.number, preview);
        self
    }

    fn wish(mut self, number: u64, wish: Wish) -> Self {
        self.wishes.insert(number, wish);
        self
    }

    fn decide(&self, rules: Option<&Rules>, now: i64) -> Decision {
        let Self { pulls, previews, wishes } = self;
        decide(&World { rules, pulls, previews, wishes }, at(now))
    }

    fn steps(&self, now: i64) -> Vec<(u64, Step)> {
        self.decide(Some(&rules()), now).steps
    }
}

#[test]
fn a_labelled_pull_request_is_made_fenced_and_opened_in_that_order() {
    let (head, base) = (pull().head, pull().base);
    let bed = Bed::default().pull(7, pull());
    assert_eq!(bed.steps(5), [(7, Step::Make { head, base, is_asked: false })]);
    let made = Preview { is_suspended: true, namespace: NamespaceState::Absent, ..preview(7) };
    let bed = bed.preview(made.clone());
    assert_eq!(bed.steps(5), [(7, Step::Fence)]);
    let bed = bed.preview(Preview { namespace: NamespaceState::There { is_going: false }, ..made.clone() });
    assert_eq!(bed.steps(5), [(7, Step::Open)]);
    let bed = bed.preview(Preview { namespace: NamespaceState::Foreign, ..made.clone() });
    assert_eq!(bed.steps(5), [], "a namespace of somebody else is not touched");
    let bed = bed.preview(Preview { namespace: NamespaceState::There { is_going: true }, ..made });
    assert_eq!(bed.steps(5), [], "what goes has to be gone first");
    assert_eq!(bed.preview(preview(7)).steps(5), []);
}

#[test]
fn a_push_goes_into_it_and_counts_as_a_look() {
    let pushed = Pull { head: Revision::new("ccc"), active: at(600), ..pull() };
    let bed = Bed::default().pull(7, pushed.clone()).preview(preview(7));
    let expected = Step::Update {
        head: pushed.head,
        base: pushed.base,
        active: at(600),
        since: at(0),
        is_asked: false,
        is_asleep: false,
    };
    assert_eq!(bed.steps(610), [(7, expected)]);
    let looked = Pull { active: at(30), ..pull() };
    assert_eq!(Bed::default().pull(7, looked).preview(preview(7)).steps(40), [], "to the minute");
}

#[test]
fn it_ends_by_what_is_known_for_certain_and_by_nothing_else() {
    let ended = |bed: &Bed, now| match bed.steps(now).as_slice() {
        [(7, Step::End(ended))] => Some(*ended),
        [] => None,
        other => panic!("{other:?}"),
    };
    let with = |pull: Pull| Bed::default().pull(7, pull).preview(preview(7));
    assert_eq!(ended(&with(Pull { is_over: true, ..pull() }), 5), Some(Ended::Closed));
    // A list that does not have it, for however long.
    assert_eq!(ended(&Bed::default().preview(preview(7)), 80 * HOUR), None);
    let unlabelled = Pull { labels: Vec::new(), unlabelled_since: Some(at(0)), ..pull() };
    assert_eq!(ended(&with(unlabelled.clone()), 29), None);
    assert_eq!(ended(&with(unlabelled.clone()), 30), Some(Ended::Unlabelled));
    let asked = Bed::default().pull(7, unlabelled.clone()).preview(Preview { is_asked: true, ..preview(7) });
    assert_eq!(ended(&asked, 30), None, "somebody asked for it");
    // Rules that cannot be read end nothing.
    for (pull, now) in [(unlabelled, 100), (pull(), 20 * 24 * HOUR)] {
        assert_eq!(with(pull).decide(None, now).steps, []);
    }
    assert_eq!(ended(&with(pull()), 72 * HOUR), Some(Ended::Idle));
    let since = Preview { active: at(HOUR), ..preview(7) };
    assert_eq!(
        ended(&Bed::default().pull(7, pull()).preview(since), 72 * HOUR),
        None,
        "somebody looked at it since"
    );
    let busy = Pull { active: at(14 * 24 * HOUR - 5), ..pull() };
    assert_eq!(ended(&with(busy), 14 * 24 * HOUR), Some(Ended::Cap));
    assert_eq!(ended(&with(pull()).wish(7, Wish::Stop), 5), Some(Ended::Stopped));
}

#[test]
fn to_be_kept_it_is_asked_for_and_counts_anew() {
    let kept = Bed::default().pull(7, pull()).preview(preview(7)).wish(7, Wish::Keep);
    let now = 72 * HOUR;
    let expected = Step::Update {
        head: pull().head,
        base: pull().base,
        active: at(now),
        since: at(now),
        is_asked: false,
        is_asleep: false,
    };
    assert_eq!(kept.steps(now), [(7, expected)]);
}

#[test]
fn what_ended_is_cleared_away_and_remembered_until_nobody_can_ask_for_it() {
    let over = |ended, namespace| Preview { ended: Some(ended), is_suspended: true, namespace, ..preview(7) };
    let there = NamespaceState::There { is_going: false };
    let bed = Bed::default().pull(7, Pull { is_over: true, ..pull() });
    let bed = bed.preview(over(Ended::Closed, there.clone()));
    assert_eq!(bed.steps(5), [(7, Step::Clear)]);
    let bed = bed.preview(over(Ended::Closed, NamespaceState::There { is_going: true }));
    assert_eq!(bed.steps(5), [(7, Step::Clear)], "it is looked at until it is gone");
    let bed = bed.preview(over(Ended::Closed, NamespaceState::Unknown));
    assert_eq!(bed.steps(5), [], "nobody knows whether it is gone");
    let bed = bed.preview(over(Ended::Closed, NamespaceState::Absent));
    assert_eq!(bed.steps(5), [(7, Step::Forget)]);
    // One that a person stopped stays stopped while the label is there, and is forgotten with the pull request.
    let stopped = Bed::default().pull(7, pull()).preview(over(Ended::Stopped, NamespaceState::Absent));
    assert_eq!(stopped.steps(5), []);
    let stopped = stopped.pull(7, Pull { is_over: true, ..pull() });
    assert_eq!(stopped.steps(5), [(7, Step::Forget)]);
    // One whose time was over comes back with the next push, and at somebody's word.
    let idle = || Bed::default().preview(over(Ended::Idle, NamespaceState::Absent));
    assert_eq!(idle().pull(7, pull()).steps(5), []);
    let pushed = idle().pull(7, Pull { head: Revision::new("ccc"), ..pull() });
    assert!(matches!(pushed.steps(5).as_slice(), [(7, Step::Revive { .. })]));
    let asked = idle().pull(7, pull()).wish(7, Wish::Start);
    assert!(matches!(asked.steps(5).as_slice(), [(7, Step::Revive { is_asked: true, .. })]));
}

#[test]
fn places_have_an_end_and_who_is_longest_idle_makes_room() {
    let full = |active: i64| {
        let mut bed = Bed::default().preview(preview(1)).preview(preview(2));
        for number in [1, 2, 3, 4] {
            bed = bed.pull(number, Pull { active: at(active + number as i64), ..pull() });
        }
        bed
    };
    let decision = full(0).decide(Some(&rules()), 30);
    assert_eq!((decision.queue.as_slice(), decision.steps.as_slice()), (&[3, 4][..], &[][..]));
    assert_eq!(decision.again, Some(at(1) + YIELDS));
    let decision = full(0).decide(Some(&rules()), 4 * HOUR + 1);
    assert_eq!(decision.steps, [(1, Step::End(Ended::Yielded))]);
    // One at a time: who goes frees a place.
    let mut going = full(0);
    going.previews.insert(1, Preview { ended: Some(Ended::Yielded), ..preview(1) });
    let decision = going.decide(Some(&rules()), 4 * HOUR + 5);
    assert!(decision.steps.iter().all(|(number, step)| *number == 1 && *step == Step::Clear), "{decision:?}");
    going
        .previews
        .insert(1, Preview { ended: Some(Ended::Yielded), namespace: NamespaceState::Absent, ..preview(1) });
    let decision = going.decide(Some(&rules()), 4 * HOUR + 6);
    // The next one has waited for long, too, and gets the place of the next.
    let made = matches!(decision.steps.as_slice(), [(3, Step::Make { .. }), (2, Step::End(Ended::Yielded))]);
    assert!(made, "{decision:?}");
    assert_eq!(decision.queue, [4]);
}

#[test]
fn a_fork_gets_none_by_itself_and_where_it_may_it_stays_at_the_commit_that_was_named() {
    let fork = Pull { is_fork: true, ..pull() };
    assert_eq!(Bed::default().pull(7, fork.clone()).steps(5), []);
    assert_eq!(Bed::default().pull(7, fork.clone()).wish(7, Wish::Start).steps(5), [], "off by default");
    let may = Rules { forks: true, ..rules() };
    let steps = |bed: &Bed, now| bed.decide(Some(&may), now).steps;
    assert_eq!(steps(&Bed::default().pull(7, fork.clone()), 5), [], "a label asks for none");
    let asked = Bed::default().pull(7, fork.clone()).wish(7, Wish::Start);
    assert!(matches!(steps(&asked, 5).as_slice(), [(7, Step::Make { is_asked: true, .. })]));
    // What it pushes then is another commit, which nobody looked at.
    let there = Preview { is_fork: true, is_asked: true, ..preview(7) };
    let pushed = Pull { head: Revision::new("ccc"), active: at(30), ..fork.clone() };
    let bed = || Bed::default().pull(7, pushed.clone()).preview(there.clone());
    assert_eq!(steps(&bed(), 40), []);
    let head = |bed: &Bed| match steps(bed, 40).as_slice() {
        [(7, Step::Update { head, .. })] => head.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(head(&bed().wish(7, Wish::Keep)), "aaa", "to keep it is not to let another commit run");
    assert_eq!(head(&bed().wish(7, Wish::Start)), "ccc");
    // One that is taken for none of a fork by mistake goes nowhere either.
    let odd = Bed::default().pull(7, pushed.clone()).preview(Preview { is_asked: true, ..preview(7) });
    assert_eq!(steps(&odd, 40), []);
    // One whose time was over comes back at a person's word alone.
    let over = Preview { ended: Some(Ended::Idle), namespace: NamespaceState::Absent, ..there.clone() };
    assert_eq!(steps(&Bed::default().pull(7, pushed.clone()).preview(over), 40), []);
    assert_eq!(bed().decide(Some(&rules()), 40).steps, [(7, Step::End(Ended::Stopped))], "it may no longer");
    assert_eq!(bed().decide(None, 40).steps, [], "what cannot be read ends nothing");
}

#[test]
fn the_fence_of_a_fork_lets_nothing_out() {
    let egress =
        |is_fork| objects("preview-dev-7", &BTreeMap::new(), &[], is_fork)[2]["spec"]["egress"].clone();
    assert_eq!(egress(true), serde_json::json!([{"to": [{"podSelector": {}}]}]));
    assert_eq!(egress(false).as_array().map(Vec::len), Some(2), "and DNS");
}

#[test]
fn at_night_nothing_runs_of_what_nobody_looks_at() {
    let night: Night = serde_json::from_str(r#"{"from": "20:00", "to": "06:00"}"#).expect("a night");
    let rules = Rules { night: Some(night), ..rules() };
    // at(0) is 8 o'clock.
    let (evening, morning) = (12 * HOUR, 22 * HOUR);
    let decide = |active: i64, is_asleep: bool, now: i64| {
        let there = Preview { is_asleep, active: at(active), ..preview(7) };
        let decision = Bed::default()
            .pull(7, Pull { active: at(active), ..pull() })
            .preview(there)
            .decide(Some(&rules), now);
        let sleeps = decision.steps.iter().map(|(_, step)| match step {
            Step::Update { is_asleep, .. } => *is_asleep,
            other => panic!("{other:?}"),
        });
        (sleeps.collect::<Vec<_>>(), decision.again)
    };
    assert_eq!(decide(0, false, evening - 1), (vec![], Some(at(evening))));
    assert_eq!(decide(0, false, evening), (vec![true], Some(at(morning))));
    assert_eq!(decide(0, true, morning - 1), (vec![], Some(at(morning))));
    assert_eq!(decide(0, true, morning), (vec![false], Some(at(morning + 14 * HOUR))));
    assert_eq!(decide(evening + 60, true, evening + 90).0, [false], "somebody looks at it");
    assert_eq!(decide(evening + 60, false, evening + 3600).0, Vec::<bool>::new());
    let kept = Bed::default().pull(7, pull()).preview(Preview { is_asleep: true, ..preview(7) });
    let kept = kept.wish(7, Wish::Keep).decide(Some(&rules), evening + 60).steps;
    assert!(matches!(kept.as_slice(), [(7, Step::Update { is_asleep: false, .. })]), "{kept:?}");
    // Where the rules cannot be read it stays as it is.
    let asleep = Bed::default().pull(7, pull()).preview(Preview { is_asleep: true, ..preview(7) });
    assert_eq!(asleep.decide(None, morning).steps, []);
}

#[test]
fn names_and_hosts_are_safe_whatever_they_are_made_of() {
    let name_of = |of: &str, number| name(&EnvironmentName::new(of).expect("a name"), number);
    assert_eq!(name_of("dev", 7), "preview-dev-7");
    let long = name_of(&"a".repeat(63), u64::MAX);
    assert!(long.len() <= 63 && long.starts_with("preview-"), "{long}");
    assert_ne!(long, name_of(&format!("{}b", "a".repeat(62)), u64::MAX));
    let web = AppName::new("web").expect("a name");
    assert_eq!(host("{app}-{pr}.preview.example", &web, 7).as_deref(), Ok("web-7.preview.example"));
    for wrong in [
        "{app}.preview.example",
        "{app}{pr}.preview.example",
        "{pr}.preview.example",
        "{app}-{app}-{pr}.x.example",
        "{pr}",
        "{app}-1{pr}.x.example",
        "{pr}1.{app}.x.example",
        "{pr}..example",
        "{pr}.-x.example",
        "{pr}.Example",
        "{pr}/x.y",
        "*.{pr}.x",
    ] {
        assert!(host(wrong, &web, 7).is_err(), "{wrong}");
    }
}

#[test]
fn the_files_of_a_preview_put_every_app_into_its_namespace() {
    let tree = MemoryTree::new([
        ("overlays/dev/web/kustomization.yaml", "resources: [web.yaml]\n"),
        ("plain/a.yaml", "kind: ConfigMap\n"),
        ("plain/more/b.yml", "kind: ConfigMap\n"),
        ("plain/.hidden.yaml", "kind: ConfigMap\n"),
        ("plain/notes.txt", "x"),
    ])
    .expect("a tree");
    let config: EnvironmentConfig = serde_json::from_str(
        r#"{"apps": [{"name": "web", "path": "overlays/dev/web", "dependsOn": ["plain", "other"]},
            {"name": "plain", "path": "plain"}, {"name": "db", "chart": "charts/db", "namespace": "theirs"},
            {"name": "other", "path": "nowhere"}], "previews": {"label": "x"}}"#,
    )
    .expect("a config");
    let apps = ["web", "plain", "db"].map(|name| AppName::new(name).expect("a name"));
    let composed =
        compose(&tree, &config, ("preview-dev-7", 7), Some(&apps), Some("{app}-{pr}.x.example"), false)
            .expect("files");
    let text = |path: &str| {
        let path = TreePath::new(path).expect("a path");
        String::from_utf8(composed.files[&path].clone()).expect("text")
    };
    let file = text(".fairlead-preview/environment.yaml");
    assert!(file.contains("preview-dev-7") && !file.contains("theirs") && !file.contains("other"), "{file}");
    assert!(!file.contains("previews"), "a preview has no previews: {file}");
    let web = text(".fairlead-preview/web/kustomization.yaml");
    assert!(web.contains("../../overlays/dev/web") && web.contains("web-7.x.example"), "{web}");
    for kind in ["NetworkPolicy", "ResourceQuota", "LimitRange", "Namespace"] {
        assert!(web.contains(kind), "{kind}: {web}");
    }
    assert!(!web.contains("replicas"), "{web}");
    let asleep = compose(&tree, &config, ("preview-dev-7", 7), Some(&apps), None, true).expect("files");
    let path = TreePath::new(".fairlead-preview/web/kustomization.yaml").expect("a path");
    let web = String::from_utf8(asleep.files[&path].clone()).expect("text");
    for part in ["/spec/replicas", "/spec/suspend", "HorizontalPodAutoscaler"] {
        assert!(web.contains(part), "{part}: {web}");
    }
    assert_eq!(text("plain/kustomization.yaml"), r#"{"resources":["a.yaml","more/b.yml"]}"#);
    assert!(compose(&tree, &config, ("preview-dev-7", 7), Some(&[]), None, false).is_err());
}

#[test]
fn the_fences_are_restricted_and_the_platform_may_say_more() {
    let fences = objects(
        "preview-dev-7",
        &[("pods".to_owned(), "3".to_owned())].into(),
        &["ingress".to_owned()],
        false,
    );
    let quota = &fences[0]["spec"]["hard"];
    assert_eq!((&quota["pods"], &quota["services.loadbalancers"]), (&"3".into(), &"0".into()));
    let policy = &fences[2]["spec"];
    assert_eq!(policy["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
    assert_eq!(policy["ingress"][0]["from"].as_array().map(Vec::len), Some(2));
    let labels = &namespace("preview-dev-7")["metadata"]["labels"];
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    assert_eq!(labels[NAMESPACE_LABEL], "preview-dev-7");
}
