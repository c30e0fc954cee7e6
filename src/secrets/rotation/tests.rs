use super::*;
use crate::object::secret::Reference;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

fn member(environment: &str, app: &str) -> Member {
    (EnvironmentName::new(environment).expect("a name"), AppName::new(app).expect("a name"))
}

fn versions(secret: &str, version: &str) -> Versions {
    let secret = Reference::parse(&format!("aws-sm:{secret}")).expect("a reference").secret;
    [(secret, Pin { version: version.into(), keys: BTreeMap::new(), old_works: false })].into()
}

/// Takes the newest versions of an app with so many consumers that was rendered.
fn hear(rotation: &mut Rotation, of: &Member, newest: Versions, consumers: usize, now: Timestamp) {
    rotation.hear(of, newest, now);
    rotation.count(of, consumers);
}

fn version(rotation: &Rotation, of: &Member) -> String {
    let pins = rotation.pins(of).expect("it is known");
    pins.values().map(|pin| &*pin.version).collect::<Vec<_>>().join(" ")
}

#[test]
fn one_goes_first_and_the_others_follow_when_it_is_well() {
    let mut rotation = Rotation::default();
    let apps = ["a", "b", "c"].map(|app| member("dev", app));
    for version in ["1", "2"] {
        apps.iter().for_each(|app| hear(&mut rotation, app, versions("db", version), 1, at(0)));
    }
    assert_eq!(apps.each_ref().map(|app| version(&rotation, app)), ["1", "1", "1"]);
    assert_eq!(rotation.release(at(0)), [apps[0].clone()]);
    assert!(rotation.release(at(30)).is_empty());
    rotation.ended(&apps[0], Verdict::Well);
    assert_eq!(rotation.release(at(31)).len(), 2);
    assert_eq!(apps.each_ref().map(|app| version(&rotation, app)), ["2", "2", "2"]);
}

#[test]
fn a_version_that_failed_is_tried_by_nobody_else_until_there_is_a_newer_one() {
    let mut rotation = Rotation::default();
    let apps = ["a", "b"].map(|app| member("dev", app));
    for version in ["1", "2"] {
        apps.iter().for_each(|app| hear(&mut rotation, app, versions("db", version), 1, at(0)));
    }
    assert_eq!(rotation.release(at(0)).len(), 1);
    rotation.ended(&apps[0], Verdict::Failed);
    assert!(rotation.release(at(1000)).is_empty());
    let (secret, _) = versions("db", "2").pop_first().expect("one");
    assert!(rotation.has_failed(&apps[1].0, &secret, "2"));
    apps.iter().for_each(|app| hear(&mut rotation, app, versions("db", "3"), 1, at(1001)));
    assert_eq!(rotation.release(at(1001)), [apps[1].clone()], "it waited longer");
    rotation.ended(&apps[1], Verdict::Well);
    assert_eq!(rotation.release(at(1002)), [apps[0].clone()]);
    assert_eq!(version(&rotation, &apps[0]), "3");
}

#[test]
fn a_commit_takes_the_newest_version_with_it() {
    let mut rotation = Rotation::default();
    let app = member("dev", "a");
    hear(&mut rotation, &app, versions("db", "1"), 1, at(0));
    assert!(!rotation.commit(&app));
    hear(&mut rotation, &app, versions("db", "2"), 1, at(0));
    assert!(rotation.commit(&app));
    assert_eq!(version(&rotation, &app), "2");
    assert!(rotation.release(at(0)).is_empty(), "it rolls once");
}

#[test]
fn a_commit_takes_no_version_that_failed_where_the_one_before_still_works() {
    for (old_works, wanted) in [(true, "1"), (false, "2")] {
        let mut rotation = Rotation::default();
        let apps = ["a", "b"].map(|app| member("dev", app));
        let of = |version: &str| {
            let mut versions = versions("db", version);
            versions.values_mut().for_each(|pin| pin.old_works = old_works);
            versions
        };
        for version in ["1", "2"] {
            apps.iter().for_each(|app| hear(&mut rotation, app, of(version), 1, at(0)));
        }
        assert_eq!(rotation.release(at(0)), [apps[0].clone()]);
        rotation.ended(&apps[0], Verdict::Failed);
        for app in &apps {
            rotation.commit(app);
        }
        assert_eq!(apps.each_ref().map(|app| version(&rotation, app)), [wanted, wanted]);
        assert!(rotation.release(at(1000)).is_empty());
    }
}

#[test]
fn what_changes_again_and_again_rolls_once_in_a_while() {
    let mut rotation = Rotation::default();
    let app = member("dev", "a");
    hear(&mut rotation, &app, versions("db", "0"), 1, at(0));
    let mut rolled = 0;
    for second in 1..=600 {
        hear(&mut rotation, &app, versions("db", &second.to_string()), 1, at(second));
        if !rotation.release(at(second)).is_empty() {
            rolled += 1;
            rotation.ended(&app, Verdict::Well);
        }
    }
    assert_eq!(rolled, 10);
    let again = rotation.again(at(600)).expect("it waits for its pause to end");
    assert_eq!(rotation.release(again), [app]);
}

#[test]
fn what_is_never_heard_of_again_holds_nobody_up_for_ever() {
    let mut rotation = Rotation::default();
    let apps = ["a", "b"].map(|app| member("dev", app));
    for version in ["1", "2"] {
        apps.iter().for_each(|app| hear(&mut rotation, app, versions("db", version), 1, at(0)));
    }
    assert_eq!(rotation.release(at(0)), [apps[0].clone()]);
    assert!(rotation.release(at(3600)).is_empty());
    assert_eq!(rotation.release(at(3601)), [apps[1].clone()]);
    rotation.ended(&apps[1], Verdict::Left);
    assert_eq!(rotation.rolling(), 0);
    let (secret, _) = versions("db", "2").pop_first().expect("one");
    assert!(!rotation.has_failed(&apps[1].0, &secret, "2"), "that says nothing of the version");
}

#[test]
fn a_start_goes_on_from_what_was_remembered() {
    let mut rotation = Rotation::default();
    let app = member("dev", "a");
    rotation.remember(&app, versions("db", "1"), Versions::new(), false);
    hear(&mut rotation, &app, versions("db", "2"), 1, at(0));
    assert_eq!(version(&rotation, &app), "1");
    assert_eq!(rotation.release(at(0)).len(), 1);
    assert_eq!(version(&rotation, &app), "2");
}

/// Three thousand secrets of ten environments change in the same second.
#[test]
fn however_many_change_together_the_limits_hold_and_all_get_their_turn() {
    let limits = Limits { cluster: 12, environment: 4, pause: SignedDuration::from_secs(60) };
    for seed in 0..2 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rotation = Rotation::new(limits);
        let members: Vec<Member> =
            (0..3000).map(|n| member(&format!("e{}", n % 10), &format!("a{n}"))).collect();
        for (n, of) in members.iter().enumerate() {
            let consumers = random.usize(1..=3);
            hear(&mut rotation, of, versions(&format!("s{n}"), "1"), consumers, at(0));
            hear(&mut rotation, of, versions(&format!("s{n}"), "2"), consumers, at(0));
        }
        let mut ends: BTreeMap<i64, Vec<Member>> = BTreeMap::new();
        let (mut now, mut rolled, mut by_environment) = (0, 0, BTreeMap::<String, usize>::new());
        while rolled < members.len() {
            for of in ends.remove(&now).unwrap_or_default() {
                rotation.ended(&of, Verdict::Well);
            }
            for of in rotation.release(at(now)) {
                rolled += 1;
                *by_environment.entry(of.0.to_string()).or_default() += 1;
                ends.entry(now + random.i64(1..20)).or_default().push(of);
            }
            assert!(rotation.rolling() <= limits.cluster, "seed {seed}: {}", rotation.rolling());
            if rolled == 1500 {
                let (least, most) = (by_environment.values().min(), by_environment.values().max());
                assert!(most.zip(least).is_some_and(|(most, least)| most - least < 60), "{by_environment:?}");
            }
            now += 1;
            assert!(now < 100_000, "seed {seed}: {rolled} rolled");
        }
    }
}

fn pair(user: &str, password: &str) -> Versions {
    let mut pair = versions("user", user);
    pair.extend(versions("password", password));
    pair.values_mut().for_each(|pin| pin.old_works = true);
    pair
}

fn now_with(rotation: &Rotation, of: &Member) -> [String; 2] {
    let pins = rotation.pins(of).expect("it is known");
    ["user", "password"].map(|name| {
        let pin = pins.iter().find(|(secret, _)| &*secret.name == name).expect("it refers to it");
        pin.1.version.to_string()
    })
}

#[test]
fn of_two_that_failed_together_one_is_tried_again_once_the_other_is_replaced() {
    let mut rotation = Rotation::default();
    let app = member("dev", "a");
    hear(&mut rotation, &app, pair("1", "1"), 1, at(0));
    rotation.ended(&app, Verdict::Well);
    hear(&mut rotation, &app, pair("2", "2"), 1, at(10));
    assert_eq!(rotation.release(at(10)).len(), 1);
    rotation.ended(&app, Verdict::Failed);
    hear(&mut rotation, &app, pair("2", "3"), 1, at(100));
    assert_eq!(rotation.release(at(100)).len(), 1);
    assert_eq!(now_with(&rotation, &app), ["1", "3"], "without the one that may be to blame");
    rotation.ended(&app, Verdict::Well);
    assert_eq!(rotation.release(at(1000)).len(), 1, "the other was to blame, or so it seems");
    assert_eq!(now_with(&rotation, &app), ["2", "3"]);
    rotation.ended(&app, Verdict::Failed);
    assert!(rotation.release(at(2000)).is_empty(), "it failed alone: that is certain");
}

#[test]
fn what_failed_alone_is_why_others_failed_beside_it() {
    let mut rotation = Rotation::default();
    let apps = ["a", "b"].map(|app| member("dev", app));
    let single = |user: &str, password: &str| {
        let mut pair = pair(user, password);
        pair.values_mut().for_each(|pin| pin.old_works = false);
        pair
    };
    for app in &apps {
        hear(&mut rotation, app, single("1", "1"), 1, at(0));
        rotation.ended(app, Verdict::Well);
    }
    hear(&mut rotation, &apps[0], single("2", "1"), 1, at(10));
    assert_eq!(rotation.release(at(10)).len(), 1);
    rotation.ended(&apps[0], Verdict::Failed);
    // The one before does not work any more, so that it keeps the one that fails.
    hear(&mut rotation, &apps[0], single("2", "2"), 1, at(100));
    assert_eq!(rotation.release(at(100)).len(), 1);
    assert_eq!(now_with(&rotation, &apps[0]), ["2", "2"]);
    rotation.ended(&apps[0], Verdict::Failed);
    hear(&mut rotation, &apps[1], single("2", "2"), 1, at(200));
    assert_eq!(rotation.release(at(200)).len(), 1);
    assert_eq!(now_with(&rotation, &apps[1]), ["1", "2"]);
}

#[test]
fn what_a_person_has_tried_again_counts_as_what_rolls() {
    let mut rotation = Rotation::new(Limits { cluster: 2, ..Limits::default() });
    let apps = ["a", "b"]
        .map(|app| (EnvironmentName::new(app).expect("a name"), AppName::new(app).expect("a name")));
    for version in ["1", "2"] {
        apps.iter().for_each(|app| hear(&mut rotation, app, versions("db", version), 2, at(0)));
    }
    assert_eq!(rotation.release(at(0)), [apps[0].clone()]);
    rotation.ended(&apps[0], Verdict::Failed);
    rotation.resume(&apps[0]);
    assert!(rotation.release(at(1)).is_empty(), "there is no room");
    assert!(rotation.release(at(3601)).is_empty());
    assert_eq!(rotation.release(at(3602)), [apps[1].clone()], "an hour after it was heard of");
    rotation.resume(&apps[0]);
    assert_eq!(rotation.rolling(), 2, "nobody waits for it any more");
}
