use super::overview::cut;
use crate::api::{
    AppPhase, AppStatus, Condition, ConditionStatus, PruneStatus, SecretStatus, SecretUseState, UnknownKind,
    names,
};
use crate::delivery::some;

/// Bytes of a message: each condition has it.
const LONGEST: usize = 2048;

/// What is wrong with an environment as a whole, so that none of its apps can be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One word in CamelCase.
    pub reason: String,
    pub message: String,
    /// Whether it passes by itself, as an unreachable remote may.
    pub may_pass: bool,
}

/// The environment's conditions, of those of its apps.
///
/// `Ready` has the most urgent reason of all; `Stalled` is true where nothing will go on without a person or a commit.
pub fn conditions(
    apps: &[AppStatus],
    prune: Option<&PruneStatus>,
    trouble: Option<&Trouble>,
    before: &[Condition],
    generation: Option<i64>,
    now: &str,
) -> Vec<Condition> {
    let with = |phases: &[AppPhase]| -> Vec<&AppStatus> {
        apps.iter().filter(|app| phases.contains(&app.phase)).collect()
    };
    let stuck = with(&[AppPhase::Refused, AppPhase::Halted, AppPhase::Restored, AppPhase::RolledBack]);
    let moving = with(&[
        AppPhase::Pending,
        AppPhase::Blocked,
        AppPhase::Proving,
        AppPhase::Applying,
        AppPhase::Waiting,
        AppPhase::Restoring,
        AppPhase::RollingBack,
    ]);
    let suspended = with(&[AppPhase::Suspended]);
    let halted = prune.filter(|prune| prune.halted);
    let (ready, reason, message) = if let Some(trouble) = trouble {
        (ConditionStatus::False, trouble.reason.clone(), trouble.message.clone())
    } else if let Some(app) = stuck.first() {
        (ConditionStatus::False, app.phase.as_str().to_owned(), tell(app))
    } else if let Some(app) = moving.first() {
        (ConditionStatus::False, app.phase.as_str().to_owned(), tell(app))
    } else if let Some(app) = suspended.first() {
        (ConditionStatus::False, "Suspended".to_owned(), tell(app))
    } else if let Some(prune) = halted {
        // The apps run what git says; what is left over waits for a person.
        let message = prune.message.clone().unwrap_or_default();
        (ConditionStatus::True, "PruneHalted".to_owned(), format!("{message} (`fairlead approve` lets it)"))
    } else if apps.is_empty() {
        (ConditionStatus::True, "NoApps".to_owned(), "the environment has no apps".to_owned())
    } else {
        (
            ConditionStatus::True,
            "Ready".to_owned(),
            format!("{} of {} apps run what git says", apps.len(), apps.len()),
        )
    };
    let message = cut(&message, LONGEST);
    let truth = |yes: bool| if yes { ConditionStatus::True } else { ConditionStatus::False };
    let stalled = !stuck.is_empty() || halted.is_some() || trouble.is_some_and(|trouble| !trouble.may_pass);
    let reconciling = !moving.is_empty() || trouble.is_some_and(|trouble| trouble.may_pass);
    [
        (names::READY, ready, reason.clone(), message.clone()),
        (names::RECONCILING, truth(reconciling), reason.clone(), message.clone()),
        (names::STALLED, truth(stalled), reason, message),
    ]
    .into_iter()
    .map(|(type_, status, reason, message)| {
        let old = before.iter().find(|condition| condition.type_ == type_);
        let since = old.filter(|old| old.status == status).map(|old| old.last_transition_time.clone());
        Condition {
            type_: type_.to_owned(),
            status,
            reason,
            message,
            last_transition_time: since.unwrap_or_else(|| now.to_owned()),
            observed_generation: generation,
        }
    })
    .collect()
}

/// Whether it is known of all kinds if their objects are as git says; none where that was always so.
pub fn verified_condition(
    unknown: &[UnknownKind],
    before: &[Condition],
    generation: Option<i64>,
    now: &str,
) -> Option<Condition> {
    let known = before.iter().find(|condition| condition.type_ == names::VERIFIED);
    if unknown.is_empty() && known.is_none() {
        return None;
    }
    let told = |kind: &UnknownKind| match &kind.last_verified {
        Some(at) => format!("{} since {at} ({})", kind.kind, kind.why),
        None => format!("{}, which never could be ({})", kind.kind, kind.why),
    };
    let (status, reason, message) = match unknown {
        [] => (ConditionStatus::True, "Verified", "all kinds are seen".to_owned()),
        unknown => {
            let kinds = some(unknown.iter().map(told));
            let message = format!(
                "whether objects are as git says is unknown, for these could not be verified: {kinds}"
            );
            (ConditionStatus::Unknown, "Unknown", message)
        }
    };
    let since = known.filter(|old| old.status == status).map(|old| old.last_transition_time.clone());
    Some(Condition {
        type_: names::VERIFIED.to_owned(),
        status,
        reason: reason.to_owned(),
        message: cut(&message, LONGEST),
        last_transition_time: since.unwrap_or_else(|| now.to_owned()),
        observed_generation: generation,
    })
}

/// Whether all secrets can be read and used in their newest version; none where there are no secrets.
pub fn secrets_condition(
    secrets: &[SecretStatus],
    before: &[Condition],
    generation: Option<i64>,
    now: &str,
) -> Option<Condition> {
    let known = before.iter().find(|condition| condition.type_ == names::SECRETS_READY);
    if secrets.is_empty() {
        return None;
    }
    let troubled: Vec<&SecretStatus> = secrets.iter().filter(|secret| secret.trouble.is_some()).collect();
    let paused =
        secrets.iter().find(|secret| secret.apps.iter().any(|app| app.state == SecretUseState::Paused));
    let (status, reason, message) = match (troubled.first(), paused) {
        (Some(first), _) => {
            let more = match troubled.len() {
                1 => String::new(),
                count => format!("; and {} more", count - 1),
            };
            let why = first.trouble.as_deref().unwrap_or_default();
            let stale =
                if first.version.is_some() { "; apps go on with the version that they have" } else { "" };
            let reason = first.reason.clone().unwrap_or_else(|| "SecretUnusable".to_owned());
            (ConditionStatus::False, reason, format!("{why}{stale}{more}"))
        }
        (None, Some(secret)) => {
            let version = secret.version.as_deref().unwrap_or_default();
            let message =
                format!("{}: its version {version} failed, and nobody else goes on to it", secret.name);
            (ConditionStatus::False, "RotationFailed".to_owned(), message)
        }
        (None, None) => {
            match secrets.iter().find_map(|secret| Some((&secret.name, secret.warning.as_ref()?))) {
                Some((name, words)) => {
                    (ConditionStatus::True, "CertificateEndsSoon".to_owned(), format!("{name}: {words}"))
                }
                None => (
                    ConditionStatus::True,
                    "Ready".to_owned(),
                    format!("{} secrets can be read", secrets.len()),
                ),
            }
        }
    };
    let since = known.filter(|old| old.status == status).map(|old| old.last_transition_time.clone());
    Some(Condition {
        type_: names::SECRETS_READY.to_owned(),
        status,
        reason,
        message: cut(&message, LONGEST),
        last_transition_time: since.unwrap_or_else(|| now.to_owned()),
        observed_generation: generation,
    })
}

/// `2/3`: apps that run what git says, of how many.
pub fn summary(apps: &[AppStatus]) -> String {
    let ready = apps.iter().filter(|app| app.phase == AppPhase::Ready).count();
    format!("{ready}/{}", apps.len())
}

fn tell(app: &AppStatus) -> String {
    let waits = app.waiting_on.as_ref().and_then(|waiting| waiting.what.first());
    match (&app.message, waits) {
        (Some(message), _) => format!("{}: {message}", app.name),
        (None, Some(what)) => format!("{} waits: {what}", app.name),
        (None, None) => format!("{} is {}", app.name, app.phase.as_str().to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::AppName;

    fn app(name: &str, phase: AppPhase) -> AppStatus {
        AppStatus {
            name: AppName::new(name).unwrap(),
            phase,
            desired: None,
            effective: None,
            quarantined: None,
            objects: 0,
            wave: None,
            waiting_on: None,
            message: None,
            rollback: None,
            history: Vec::new(),
            adoption: None,
        }
    }

    fn told(apps: &[AppStatus]) -> Vec<(String, ConditionStatus, String)> {
        conditions(apps, None, None, &[], None, "now")
            .into_iter()
            .map(|condition| (condition.type_, condition.status, condition.reason))
            .collect()
    }

    #[test]
    fn what_could_not_be_verified_is_unknown_until_it_is_again() {
        let told = |unknown: &[UnknownKind], before: &[Condition], now| {
            verified_condition(unknown, before, None, now)
        };
        assert_eq!(told(&[], &[], "now"), None, "where all is well it is not even said");
        let unknown = [
            UnknownKind {
                kind: "Deployment.apps".into(),
                last_verified: Some("2026-11-30T12:00:00Z".into()),
                why: "403".into(),
            },
            UnknownKind { kind: "Service".into(), last_verified: None, why: "500".into() },
        ];
        let first = told(&unknown, &[], "1").unwrap();
        assert_eq!((first.status, &*first.reason), (ConditionStatus::Unknown, "Unknown"));
        assert!(
            first.message.contains("Deployment.apps since 2026-11-30T12:00:00Z (403)"),
            "{}",
            first.message
        );
        assert!(first.message.contains("Service, which never could be (500)"), "{}", first.message);
        let again = told(&unknown, std::slice::from_ref(&first), "2").unwrap();
        assert_eq!(again.last_transition_time, "1");
        let over = told(&[], &[again], "3").unwrap();
        assert_eq!((over.status, &*over.last_transition_time), (ConditionStatus::True, "3"));
    }

    #[test]
    fn the_most_urgent_app_speaks_for_all() {
        let told =
            told(&[app("a", AppPhase::Ready), app("b", AppPhase::Waiting), app("c", AppPhase::Halted)]);
        assert_eq!(told[0], ("Ready".into(), ConditionStatus::False, "Halted".into()));
        assert_eq!(told[1].1, ConditionStatus::True, "b still moves");
        assert_eq!(told[2].1, ConditionStatus::True, "c is stuck");
    }

    #[test]
    fn a_halted_prune_is_for_a_person_and_the_apps_are_ready() {
        let prune = PruneStatus { halted: true, ..PruneStatus::default() };
        let told = conditions(&[app("a", AppPhase::Ready)], Some(&prune), None, &[], None, "now");
        assert_eq!((told[0].status, told[0].reason.as_str()), (ConditionStatus::True, "PruneHalted"));
        assert_eq!(told[2].status, ConditionStatus::True, "it will not go on without a person");
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_turns() {
        let before = conditions(&[app("a", AppPhase::Ready)], None, None, &[], None, "then");
        let same = conditions(&[app("a", AppPhase::Ready)], None, None, &before, None, "now");
        assert_eq!(same[0].last_transition_time, "then");
        let turned = conditions(&[app("a", AppPhase::Waiting)], None, None, &before, None, "now");
        assert_eq!(turned[0].last_transition_time, "now");
    }
}
