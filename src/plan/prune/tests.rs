use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::stamp::tests::{object, wanted};
use super::*;
use crate::plan::WantedApp;

const ENVIRONMENT: &str = "fairlead.dev/environment";
const APP: &str = "fairlead.dev/app";
const PART_OF: &str = "applyset.kubernetes.io/part-of";
const MARKS: Marks = Marks {
    app_label: APP,
    environment_label: ENVIRONMENT,
    environment: "dev",
    part_of_label: PART_OF,
    part_of: "applyset-dev-v1",
};

/// An object as we leave it in a cluster.
fn ours(kind: &str, app: &str, name: &str) -> Value {
    let fields: Value =
        [ENVIRONMENT, APP, PART_OF].iter().map(|label| (format!("f:{label}"), json!({}))).collect();
    json!({
        "apiVersion": if kind == "Deployment" { "apps/v1" } else { "v1" }, "kind": kind, "metadata": {
            "name": name, "namespace": "web", "uid": format!("uid-{name}"), "resourceVersion": "7",
            "labels": {ENVIRONMENT: "dev", APP: app, PART_OF: "applyset-dev-v1"},
            "annotations": {crate::object::APPLIED: format!("digest-{name}")},
            "managedFields": [{"manager": "fairlead", "operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": fields}}}],
        }
    })
}

fn live(object: Value) -> Arc<Live> {
    Arc::new(Live::read(&object).unwrap())
}

fn name(text: &str) -> AppName {
    AppName::new(text).unwrap()
}

/// An app that wants these ConfigMaps.
fn claim(app: &str, names: &[&str]) -> Claim {
    let objects = names.iter().map(|name| object("v1", "ConfigMap", name)).collect();
    let wanted = WantedApp { app: name(app), ..wanted(objects).unwrap() };
    Claim { app: name(app), wanted: Some(Arc::new(wanted)), depends_on: Vec::new() }
}

struct World {
    claims: Vec<Claim>,
    live: Vec<Arc<Live>>,
    budget: Budget,
    approval: Approval,
    unready: Vec<AppName>,
    known: BTreeMap<Box<str>, Known>,
}

impl World {
    fn new(claims: Vec<Claim>, live: Vec<Arc<Live>>) -> Self {
        let budget = Budget { max: 10, percent: 100 };
        Self {
            claims,
            live,
            budget,
            approval: Approval::default(),
            unready: Vec::new(),
            known: BTreeMap::new(),
        }
    }

    fn look(&self) -> PrunePlan {
        let view = PruneView {
            marks: MARKS,
            claims: &Claims::new(&self.claims),
            total: self.live.len(),
            budget: self.budget,
            bound: Bound::Git,
            approval: &self.approval,
            known: &|live| self.known.get(&live.key.name).copied().unwrap_or(Known::Same),
            granted: &|live| live.key.namespace.as_deref().is_none_or(|namespace| namespace == "web"),
            ready: &|app| !self.unready.contains(app),
        };
        prune(&view, &self.live)
    }

    fn due(&self) -> Vec<String> {
        let plan = self.look();
        let objects = plan.due().iter().flat_map(|due| due.objects());
        objects.map(|object| object.live.key.name.to_string()).collect()
    }
}

/// One object that no app wants, and what is decided about it.
fn stray(change: impl FnOnce(&mut Value)) -> Result<(), SkipReason> {
    let mut object = ours("ConfigMap", "web", "stray");
    change(&mut object);
    let plan = World::new(vec![claim("web", &["kept"])], vec![live(object)]).look();
    match plan.kept.first() {
        Some(kept) => Err(kept.why.clone()),
        None => {
            assert_eq!(plan.doomed.len(), 1);
            Ok(())
        }
    }
}

#[test]
fn what_leaves_git_goes_and_what_stays_stays() {
    let world = World::new(
        vec![claim("web", &["kept"])],
        vec![live(ours("ConfigMap", "web", "kept")), live(ours("ConfigMap", "web", "stray"))],
    );
    assert_eq!(world.due(), ["stray"]);
}

#[test]
fn an_object_of_another_uid_stays_and_one_that_nobody_remembers_asks() {
    let mut world = World::new(
        vec![claim("web", &["kept"])],
        vec![live(ours("ConfigMap", "web", "kept")), live(ours("ConfigMap", "web", "stray"))],
    );
    world.known.insert("stray".into(), Known::Another);
    let plan = world.look();
    assert_eq!((plan.kept[0].why.clone(), plan.doomed.len()), (SkipReason::Replaced, 0));
    world.known.insert("stray".into(), Known::Not);
    let plan = world.look();
    assert_eq!((plan.halts.as_slice(), plan.due().len()), (&[PruneHalt::Unrecorded { count: 1 }][..], 0));
    world.approval.digest = Some(plan.digest);
    assert_eq!(world.due(), ["stray"]);
}

#[test]
fn the_jobs_of_hooks_are_the_apps_own_and_go_with_it_by_their_uid() {
    let job = |app: &str| {
        let mut object = ours("Job", app, "migrate-1");
        object["apiVersion"] = json!("batch/v1");
        object["metadata"]["labels"][crate::object::HOOK] = json!("migrate");
        object["metadata"]["managedFields"][0]["operation"] = json!("Update");
        object["metadata"]["annotations"] = json!({});
        live(object)
    };
    let world = World::new(vec![claim("web", &["kept"])], vec![job("web")]);
    let plan = world.look();
    assert!(plan.doomed.is_empty() && plan.kept.is_empty(), "whatever git says now");
    let mut world = World::new(vec![claim("web", &["kept"])], vec![job("gone")]);
    assert_eq!(world.due(), ["migrate-1"]);
    for (known, doomed) in [(Known::Not, 0), (Known::Another, 0), (Known::Same, 1)] {
        world.known.insert("migrate-1".into(), known);
        assert_eq!(world.look().doomed.len(), doomed, "{known:?}");
    }
}

#[test]
fn labels_alone_make_nothing_ours() {
    let bare = |object: &mut Value| object["metadata"]["managedFields"] = json!([]);
    assert!(matches!(stray(bare), Err(SkipReason::NotApplied { .. })));
    let updated = |object: &mut Value| object["metadata"]["managedFields"][0]["operation"] = json!("Update");
    assert!(matches!(stray(updated), Err(SkipReason::NotApplied { .. })));
    let anothers = |object: &mut Value| object["metadata"]["managedFields"][0]["manager"] = json!("helm");
    assert!(matches!(stray(anothers), Err(SkipReason::NotApplied { .. })));
}

#[test]
fn a_label_that_we_did_not_apply_is_no_evidence() {
    for label in [ENVIRONMENT, APP, PART_OF] {
        let forged = |object: &mut Value| {
            let labels = &mut object["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"]["f:labels"];
            labels.as_object_mut().unwrap().remove(&format!("f:{label}"));
        };
        assert!(matches!(stray(forged), Err(SkipReason::NotApplied { .. })), "{label}");
    }
}

#[test]
fn an_object_without_our_digest_is_kept() {
    let stripped = |object: &mut Value| object["metadata"]["annotations"] = json!({});
    assert!(matches!(stray(stripped), Err(SkipReason::NotApplied { .. })));
}

#[test]
fn another_applysets_object_is_kept() {
    let other = |object: &mut Value| object["metadata"]["labels"][PART_OF] = json!("applyset-other-v1");
    assert_eq!(stray(other), Err(SkipReason::NotPartOf));
}

#[test]
fn another_environments_object_is_not_even_looked_at() {
    let mut object = ours("ConfigMap", "web", "stray");
    object["metadata"]["labels"][ENVIRONMENT] = json!("staging");
    let plan = World::new(vec![claim("web", &["kept"])], vec![live(object)]).look();
    assert!(plan.is_empty() && plan.kept.is_empty());
}

#[test]
fn a_copy_of_what_is_wanted_is_kept() {
    let claim = claim("web", &["kept"]);
    let original = claim.wanted.as_ref().unwrap().objects[0].clone();
    let mut copy = ours("ConfigMap", "web", "copy");
    copy["metadata"]["annotations"][crate::object::APPLIED] = json!(original.digest.as_str());
    let plan = World::new(vec![claim], vec![live(copy)]).look();
    assert_eq!(plan.kept[0].why, SkipReason::Copy { of: original.key.clone() });
}

#[test]
fn what_a_controller_owns_is_the_controllers() {
    let owned = |object: &mut Value| {
        object["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "s", "controller": true}]);
    };
    assert_eq!(stray(owned), Err(SkipReason::Controlled { by: "Service web".into() }));
}

#[test]
fn what_is_being_deleted_is_not_deleted_again() {
    let going = |object: &mut Value| object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(stray(going), Err(SkipReason::BeingDeleted));
}

#[test]
fn volumes_namespaces_and_definitions_go_only_where_they_say_so() {
    for (api_version, kind) in [
        ("v1", "PersistentVolumeClaim"),
        ("v1", "PersistentVolume"),
        ("v1", "Namespace"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ] {
        let of_kind = |object: &mut Value| {
            object["apiVersion"] = json!(api_version);
            object["kind"] = json!(kind);
        };
        assert_eq!(stray(of_kind), Err(SkipReason::Protected { kind: kind.into() }));
        let allowed = |object: &mut Value| {
            of_kind(object);
            object["metadata"]["annotations"][crate::object::PRUNE] = json!("allowed");
        };
        assert_eq!(stray(allowed), Ok(()), "{kind}");
    }
}

#[test]
fn never_means_never_and_an_unknown_word_means_no() {
    let says = |word: &'static str| {
        move |object: &mut Value| object["metadata"]["annotations"][crate::object::PRUNE] = json!(word)
    };
    assert_eq!(stray(says("never")), Err(SkipReason::Never));
    assert_eq!(stray(says("Allowed")), Err(SkipReason::UnknownWord { word: "Allowed".into() }));
    assert_eq!(stray(says("allowed")), Ok(()));
}

#[test]
fn nothing_is_deleted_where_the_environment_may_not_write() {
    let elsewhere = |object: &mut Value| object["metadata"]["namespace"] = json!("other");
    assert_eq!(stray(elsewhere), Err(SkipReason::NotGranted));
}

#[test]
fn an_object_that_moves_to_another_app_is_wanted() {
    let world = World::new(
        vec![claim("web", &["kept"]), claim("api", &["moved"])],
        vec![live(ours("ConfigMap", "web", "moved"))],
    );
    assert!(world.look().is_empty());
}

#[test]
fn a_renamed_app_keeps_its_objects() {
    let world = World::new(
        vec![claim("shop", &["a", "b"])],
        vec![live(ours("ConfigMap", "web", "a")), live(ours("ConfigMap", "web", "b"))],
    );
    assert!(world.look().is_empty());
}

#[test]
fn while_one_app_is_unknown_nothing_is_deleted() {
    let broken = Claim { app: name("api"), wanted: None, depends_on: Vec::new() };
    let world =
        World::new(vec![claim("web", &["kept"]), broken], vec![live(ours("ConfigMap", "web", "stray"))]);
    let plan = world.look();
    assert!(plan.is_empty() && plan.due().is_empty());
    assert_eq!(plan.waits, [PruneWait::Unrendered { apps: vec![name("api")] }]);
}

#[test]
fn nothing_goes_before_the_gates_of_its_app() {
    let mut world = World::new(
        vec![claim("web", &["kept"]), claim("api", &["x"])],
        vec![live(ours("ConfigMap", "web", "stray")), live(ours("ConfigMap", "api", "old"))],
    );
    world.unready = vec![name("web")];
    assert_eq!(world.due(), ["old"], "one team's rollout does not hold up the other");
    assert_eq!(world.look().waits, [PruneWait::NotReady { apps: vec![name("web")] }]);
}

#[test]
fn nothing_goes_while_an_app_that_depends_on_it_still_runs_the_old() {
    let mut front = claim("front", &["f"]);
    front.depends_on = vec![name("api")];
    let mut api = claim("api", &["x"]);
    api.depends_on = vec![name("db")];
    let mut world =
        World::new(vec![front, api, claim("db", &["d"])], vec![live(ours("ConfigMap", "db", "old"))]);
    world.unready = vec![name("front")];
    assert!(world.due().is_empty(), "front depends on db by way of api");
    world.unready.clear();
    assert_eq!(world.due(), ["old"]);
}

#[test]
fn what_a_removed_app_leaves_waits_for_all_others() {
    let mut world = World::new(
        vec![claim("web", &["kept"]), claim("api", &["x"])],
        vec![live(ours("ConfigMap", "gone", "left"))],
    );
    world.unready = vec![name("api")];
    assert!(world.due().is_empty());
    world.unready.clear();
    assert_eq!(world.due(), ["left"]);
}

#[test]
fn an_app_that_renders_to_nothing_asks_first() {
    let world = World::new(vec![claim("web", &[])], vec![live(ours("ConfigMap", "web", "a"))]);
    let plan = world.look();
    assert_eq!(plan.halts, [PruneHalt::Emptied { app: "web".into(), count: 1 }]);
    assert!(plan.due().is_empty());
}

#[test]
fn an_environment_that_lost_all_its_apps_asks_first() {
    let plan = World::new(Vec::new(), vec![live(ours("ConfigMap", "web", "a"))]).look();
    assert_eq!(plan.halts, [PruneHalt::NoApps]);
    assert!(plan.due().is_empty());
}

#[test]
fn a_budget_is_a_number_and_a_share() {
    for (max, percent, total, allowed) in
        [(10, 20, 100, 10), (10, 20, 20, 4), (10, 20, 3, 1), (0, 100, 50, 0), (10, 0, 50, 0), (10, 20, 0, 0)]
    {
        assert_eq!(Budget { max, percent }.allows(total), allowed, "{max} {percent} {total}");
    }
}

fn many(count: usize) -> Vec<Arc<Live>> {
    (0..count).map(|n| live(ours("ConfigMap", "web", &format!("c{n:02}")))).collect()
}

#[test]
fn more_than_the_budget_deletes_nothing_at_all() {
    let world = World::new(vec![claim("web", &["kept"])], many(11));
    let plan = world.look();
    assert_eq!(plan.doomed.len(), 11);
    assert!(matches!(plan.halts[..], [PruneHalt::OverBudget { count: 11, allowed: 10, .. }]));
    assert!(plan.due().is_empty());
}

#[test]
fn what_git_wants_in_another_region_goes_beyond_the_budget_and_nothing_else_does() {
    let elsewhere = |count: usize, of: Claim| {
        let wanted = of.wanted.as_deref().cloned().unwrap();
        let elsewhere = many(count).iter().map(|live| live.key.clone()).collect();
        Claim { wanted: Some(Arc::new(WantedApp { elsewhere, ..wanted })), ..of }
    };
    let world = World::new(vec![elsewhere(11, claim("web", &["kept"]))], many(11));
    assert_eq!((world.look().halts, world.due().len()), (vec![], 11));
    let mut world = World::new(vec![elsewhere(11, claim("web", &[]))], many(11));
    assert_eq!(world.look().halts, [], "an app of which nothing is here is not one that was emptied");
    world.budget.max = 2;
    world.live.extend((0..3).map(|n| live(ours("ConfigMap", "web", &format!("x{n}")))));
    let halts = world.look().halts;
    assert!(
        matches!(
            halts[..],
            [PruneHalt::Emptied { count: 3, .. }, PruneHalt::OverBudget { count: 3, allowed: 2, .. }]
        ),
        "{halts:?}"
    );
    assert!(world.due().is_empty());
    let mut world = World::new(vec![elsewhere(11, claim("web", &["kept"]))], many(11));
    world.known = many(1).iter().map(|live| (live.key.name.clone(), Known::Not)).collect();
    assert_eq!(
        world.look().halts,
        [PruneHalt::Unrecorded { count: 1 }],
        "what nobody remembers is asked about"
    );
}

#[test]
fn a_budget_is_not_evaded_by_splitting_over_apps() {
    let mut objects = many(8);
    objects.extend((0..8).map(|n| live(ours("ConfigMap", "api", &format!("x{n}")))));
    let mut world = World::new(vec![claim("web", &["kept"]), claim("api", &["k"])], objects);
    world.unready = vec![name("api")];
    assert!(world.due().is_empty());
}

#[test]
fn an_approval_lets_go_of_exactly_what_was_shown() {
    let mut world = World::new(vec![claim("web", &["kept"])], many(11));
    world.approval.digest = Some(world.look().digest);
    assert_eq!(world.due().len(), 11);
    world.live.push(live(ours("ConfigMap", "web", "one-more")));
    assert!(world.due().is_empty(), "the set is another one");
}

#[test]
fn an_approval_is_of_these_objects_not_of_their_names() {
    let mut world = World::new(vec![claim("web", &["kept"])], many(11));
    world.approval.digest = Some(world.look().digest);
    let mut anew = ours("ConfigMap", "web", "c00");
    anew["metadata"]["uid"] = json!("another");
    world.live[0] = live(anew);
    assert!(world.due().is_empty());
}

#[test]
fn what_is_left_of_an_approved_set_stays_approved() {
    let mut world = World::new(vec![claim("web", &["kept"])], many(30));
    world.approval.tokens = world.look().doomed.iter().map(Doomed::token).collect();
    world.live.truncate(15);
    assert_eq!(world.due().len(), 15);
    world.live.push(live(ours("ConfigMap", "web", "one-more")));
    assert!(world.due().is_empty());
}

#[test]
fn what_was_written_last_goes_first() {
    let mut early = ours("ConfigMap", "web", "early");
    early["metadata"]["annotations"][crate::object::WAVE] = json!("-1");
    let mut route = ours("Ingress", "web", "route");
    route["apiVersion"] = json!("networking.k8s.io/v1");
    let world = World::new(
        vec![claim("web", &["kept"])],
        vec![
            live(early),
            live(ours("ConfigMap", "web", "config")),
            live(ours("ServiceAccount", "web", "account")),
            live(route),
            live(ours("Deployment", "web", "run")),
        ],
    );
    assert_eq!(world.due(), ["route", "run", "config", "early", "account"]);
    let due = world.look().due()[0].clone();
    let checked = check_prune(due, vec![PruneAnswer::Accepted; 5]).unwrap();
    assert_eq!(checked.waves().len(), 5);
}

#[test]
fn one_refused_delete_keeps_all_of_the_app() {
    let world = World::new(vec![claim("web", &["kept"])], many(2));
    let due = world.look().due()[0].clone();
    let refusal = PruneRefusal {
        key: due.objects()[1].live.key.clone(),
        kind: RefusalKind::Forbidden,
        message: "no".into(),
    };
    let refused = check_prune(due, vec![PruneAnswer::Accepted, PruneAnswer::Refused(refusal)]).unwrap_err();
    assert_eq!(refused.len(), 1);
}

#[test]
fn what_is_gone_already_needs_no_delete() {
    let due = World::new(vec![claim("web", &["kept"])], many(1)).look().due()[0].clone();
    assert!(check_prune(due, vec![PruneAnswer::Gone]).unwrap().waves().is_empty());
}

/// A random object of one of three apps, with some of its evidence missing.
fn any_object() -> impl Strategy<Value = (usize, usize, u16)> {
    (0usize..12, 0usize..3, prop_oneof![3 => Just(0u16), 2 => any::<u16>()])
}

fn damaged(name: usize, app: usize, damage: u16) -> Value {
    let mut object = ours("ConfigMap", ["web", "api", "gone"][app], &format!("c{name:02}"));
    let meta = &mut object["metadata"];
    let bit = |n: u16| damage & (1 << n) != 0;
    if bit(0) {
        meta["managedFields"] = json!([]);
    }
    if bit(1) {
        meta["labels"].as_object_mut().unwrap().remove(PART_OF);
    }
    if bit(2) {
        meta["annotations"].as_object_mut().unwrap().remove(crate::object::APPLIED);
    }
    if bit(3) {
        meta["annotations"][crate::object::PRUNE] = json!("never");
    }
    if bit(4) {
        meta["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    if bit(5) {
        meta["namespace"] = json!("other");
    }
    if bit(6) {
        meta["labels"].as_object_mut().unwrap().remove(ENVIRONMENT);
    }
    object
}

proptest! {
    /// Whatever is live and whatever is wanted: nothing goes that anybody wants, that lacks evidence, or that is more
    /// than the budget without a word.
    #[test]
    fn nothing_goes_without_all_the_evidence(
        objects in prop::collection::vec(any_object(), 0..14),
        wants in prop::collection::vec((0usize..12, any::<bool>()), 0..10),
        broken in prop::bool::weighted(0.1),
        unready in prop::bool::weighted(0.3),
        max in 0u32..12,
        percent in 0u8..=100,
    ) {
        let names: Vec<String> = (0..12).map(|n| format!("c{n:02}")).collect();
        let of = |first: bool| -> Vec<&str> {
            let mut of: Vec<&str> = wants.iter().filter(|(_, app)| *app == first).map(|(n, _)| names[*n].as_str()).collect();
            of.sort_unstable();
            of.dedup();
            of
        };
        let mut api = claim("api", &of(false));
        if broken { api.wanted = None; }
        let live_objects: Vec<Arc<Live>> =
            objects.iter().map(|&(name, app, damage)| live(damaged(name, app, damage))).collect();
        let mut world = World::new(vec![claim("web", &of(true)), api], live_objects);
        world.budget = Budget { max, percent };
        if unready { world.unready.push(name("api")); }
        let plan = world.look();
        let due: Vec<&Doomed> = plan.due().iter().flat_map(|due| due.objects()).collect();
        if broken { prop_assert!(due.is_empty()); }
        prop_assert!(due.len() <= world.budget.allows(world.live.len()));
        for object in &due {
            let at = world.live.iter().position(|live| Arc::ptr_eq(live, &object.live)).unwrap();
            prop_assert_eq!(objects[at].2 & 0b111_1111, 0, "it lacked evidence");
            prop_assert!(!of(true).contains(&&*object.live.key.name));
            prop_assert!(!of(false).contains(&&*object.live.key.name));
            if unready { prop_assert_eq!(objects[at].1, 0, "api has not passed, and what is gone waits for all"); }
        }
        // An approval of what was shown lets nothing else go.
        world.approval.digest = Some(plan.digest.clone());
        let approved = world.look();
        for object in approved.due().iter().flat_map(|due| due.objects()) {
            prop_assert!(plan.doomed.iter().any(|doomed| doomed.token() == object.token()));
        }
    }
}
