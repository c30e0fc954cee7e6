//! What a command means where an environment stands now: the Request that is made for who wrote it.

use crate::api::{AppPhase, AppStatus, EnvironmentStatus, RequestSpec};
use crate::object::{AppName, EnvironmentName};

use super::parse::{Command, Spoken};
use crate::pull_requests::Number;

/// Makes the Request, in the name of a user of the cluster; or says why there is nothing to ask for.
pub fn resolve(
    spoken: &Spoken,
    (number, login, user): (Number, &str, &str),
    environment: &EnvironmentName,
    status: Option<&EnvironmentStatus>,
) -> Result<RequestSpec, String> {
    let apps = status.map(|status| status.apps.as_slice()).unwrap_or_default();
    let said = spoken.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let what = RequestSpec {
        environment: environment.to_string(),
        by: user.to_owned(),
        reason: Some(format!("{login} in pull request {number}{said}")),
        ..RequestSpec::default()
    };
    let spec = match &spoken.command {
        Command::Retry { app, .. } => {
            let failed = |app: &&AppStatus| {
                matches!(app.phase, AppPhase::Restored | AppPhase::RolledBack | AppPhase::Halted)
            };
            let failed: Vec<&AppStatus> = apps.iter().filter(failed).collect();
            let app = one(&failed, app.as_ref(), environment, "waits to be tried again")?;
            let digest = app.quarantined.as_ref().or(app.desired.as_ref());
            let digest = digest.ok_or_else(|| format!("nobody knows yet what {} is to be", app.name))?;
            let (name, digest) = (Some(app.name.to_string()), Some(digest.to_string()));
            RequestSpec { verb: "retry".to_owned(), app: name, digest, ..what }
        }
        Command::Rollback { app, .. } => {
            let all: Vec<&AppStatus> = apps.iter().collect();
            let app = one(&all, app.as_ref(), environment, "can be rolled back")?;
            let digest = app.desired.as_ref();
            let digest = digest.ok_or_else(|| format!("nobody knows yet what {} is to be", app.name))?;
            let (name, digest) = (Some(app.name.to_string()), Some(digest.to_string()));
            RequestSpec { verb: "rollback".to_owned(), app: name, digest, ..what }
        }
        Command::Approve { digest, .. } => {
            let prune = status.and_then(|status| status.prune.as_ref()).filter(|prune| prune.halted);
            let waits = prune.and_then(|prune| prune.digest.as_ref());
            let waits = waits.ok_or_else(|| format!("{environment} waits for no approval"))?;
            if !waits.as_str().starts_with(digest.as_str()) {
                return Err(format!("what would be deleted is {} by now, not {digest}", waits.short()));
            }
            let digest = Some(waits.to_string());
            RequestSpec { verb: "approve".to_owned(), digest, ..what }
        }
        Command::Hold { app, span, deploys, .. } => {
            if let Some(app) = app {
                let all: Vec<&AppStatus> = apps.iter().collect();
                one(&all, Some(app), environment, "can be held")?;
            }
            RequestSpec {
                verb: "hold".to_owned(),
                app: app.as_ref().map(ToString::to_string),
                duration: Some(span.to_string()),
                deploys: *deploys,
                ..what
            }
        }
        other => return Err(format!("{} is asked of no environment", other.verb())),
    };
    Ok(spec)
}

/// The app that is meant: the one that is named, or the only one.
fn one<'a>(
    apps: &[&'a AppStatus],
    named: Option<&AppName>,
    environment: &EnvironmentName,
    what: &str,
) -> Result<&'a AppStatus, String> {
    let names = || apps.iter().map(|app| app.name.as_str()).collect::<Vec<_>>().join(", ");
    match (named, apps) {
        (Some(name), _) => {
            let found = apps.iter().find(|app| app.name == *name).copied();
            found.ok_or_else(|| format!("no app {name} of {environment} {what}"))
        }
        (None, [only]) => Ok(only),
        (None, []) => Err(format!("nothing of {environment} {what}")),
        (None, _) => Err(format!("several apps of {environment}: say which of {}", names())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::parse::parse;
    use super::*;

    fn status() -> EnvironmentStatus {
        let app = |name: &str, phase: &str| json!({"name": name, "phase": phase, "desired": name.repeat(64 / name.len()), "objects": 1});
        let prune = json!({"count": 2, "digest": "abcdef0123456789".repeat(4), "halted": true});
        let apps = [app("web", "Ready"), app("db", "Halted"), app("api", "Ready")];
        serde_json::from_value(json!({"apps": apps, "prune": prune, "conditions": []})).expect("a status")
    }

    fn asked(line: &str, status: &EnvironmentStatus) -> Result<RequestSpec, String> {
        let spoken = parse(&format!("/fairlead {line}\nit is slow")).expect("ours").expect("a command");
        let dev = EnvironmentName::new("dev").expect("a name");
        resolve(&spoken, (Number(7), "ada", "ada@example.org"), &dev, Some(status))
    }

    #[test]
    fn a_request_names_exactly_what_stands_there_now() {
        let status = status();
        let spec = asked("retry dev", &status).expect("one failed");
        assert_eq!((&*spec.verb, spec.app.as_deref(), &*spec.by), ("retry", Some("db"), "ada@example.org"));
        assert_eq!(spec.digest.as_deref(), Some(&*"db".repeat(32)));
        assert_eq!(spec.reason.as_deref(), Some("ada in pull request 7: it is slow"));
        let spec = asked("rollback dev web", &status).expect("it is there");
        assert_eq!((&*spec.verb, spec.app.as_deref()), ("rollback", Some("web")));
        let spec = asked("approve dev abcdef0", &status).expect("it waits");
        assert_eq!(spec.digest, Some("abcdef0123456789".repeat(4)), "all of its digits");
        let spec = asked("hold dev web for 2h deploys", &status).expect("a hold");
        assert_eq!((spec.duration.as_deref(), spec.deploys), (Some("2h"), true));
    }

    #[test]
    fn what_is_not_there_is_not_asked_for() {
        let status = status();
        for (line, words) in [
            ("retry dev web", "no app web of dev waits to be tried again"),
            ("rollback dev", "say which of web, db, api"),
            ("rollback dev nothing", "no app nothing"),
            ("approve dev 1234567", "is abcdef012345 by now"),
            ("hold dev nothing for 2h", "no app nothing"),
            ("plan", "of no environment"),
        ] {
            let why = asked(line, &status).expect_err(line);
            assert!(why.contains(words), "{line}: {why}");
        }
        let nothing = EnvironmentStatus::default();
        assert!(asked("approve dev abcdef0", &nothing).unwrap_err().contains("waits for no approval"));
        assert!(asked("retry dev", &nothing).unwrap_err().contains("nothing of dev"));
    }
}
