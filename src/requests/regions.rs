//! What people ask of a region: about the re-point that is under way there, that another region is off, and which is meant to be
//! active while git cannot be asked.

use crate::api::{RequestSpec, Span};
use crate::region::{Ask, Epoch, Mode, Preflight, RegionName, RegionStep};

/// What is asked of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegionWish {
    /// Something about the re-point that is under way.
    Run(Ask),
    /// The holder of the environment is off, and stays off until it has read the shared place.
    Attest { region: RegionName, epoch: Epoch },
    /// The region that is meant to be active here, until git says a higher epoch.
    BreakGlass { active: RegionName, epoch: Option<Epoch>, mode: Mode },
}

/// The same with who asks, as the region of an environment is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionWord {
    pub uid: String,
    pub by: String,
    pub reason: Option<String>,
    pub wish: RegionWish,
}

const ACTIONS: &str = "pause, resume, retry, skip, ungraceful, override, loss and abort";

/// Reads what is asked of a region; nothing where the verb is of something else.
pub(super) fn region_wish(spec: &RequestSpec) -> Option<Result<RegionWish, String>> {
    match spec.verb.as_str() {
        "repoint" => Some(of_run(spec).map(RegionWish::Run)),
        "attest" => Some(attest(spec)),
        "breakglass" => Some(break_glass(spec)),
        _ => None,
    }
}

fn of_run(spec: &RequestSpec) -> Result<Ask, String> {
    let missing = |field: &str, what: &str| format!("{field} is missing: {what}");
    Ok(match spec.action.as_deref().unwrap_or_default() {
        "pause" => Ask::Pause,
        "resume" => Ask::Resume,
        "retry" => Ask::Retry,
        "ungraceful" => Ask::Ungraceful,
        "abort" => Ask::Abort,
        "skip" => {
            let step = spec.step.as_deref().ok_or_else(|| missing("step", "the one that was shown"))?;
            let step = RegionStep::named(step).ok_or_else(|| {
                let names: Vec<&str> = RegionStep::ALL.iter().map(|step| step.as_str()).collect();
                format!("step is {step:?}, and not one of {}", names.join(", "))
            })?;
            Ask::Skip { step }
        }
        "override" => {
            let check = spec.check.as_deref().ok_or_else(|| missing("check", "the one that is red"))?;
            let preflight = Preflight::named(check).ok_or_else(|| {
                let names: Vec<&str> = Preflight::ALL.iter().map(|check| check.as_str()).collect();
                format!("check is {check:?}, and not one of {}", names.join(", "))
            })?;
            Ask::Override { preflight }
        }
        "loss" => {
            let most = spec
                .duration
                .as_deref()
                .ok_or_else(|| missing("duration", "the most that may be lost, as 90s"))?;
            let most: Span = most.parse().map_err(|error| format!("duration: {error}"))?;
            Ask::TakeLoss { most: most.duration() }
        }
        other => return Err(format!("action is {other:?}, and a re-point knows {ACTIONS}")),
    })
}

fn attest(spec: &RequestSpec) -> Result<RegionWish, String> {
    let epoch =
        epoch(spec)?.ok_or("epoch is missing: the one at which the region was shown as the holder")?;
    Ok(RegionWish::Attest { region: region(spec)?, epoch })
}

fn break_glass(spec: &RequestSpec) -> Result<RegionWish, String> {
    let mode = match spec.action.as_deref() {
        None | Some("graceful") => Mode::Graceful,
        Some("ungraceful") => Mode::Ungraceful,
        Some(other) => return Err(format!("action is {other:?}, and not graceful or ungraceful")),
    };
    Ok(RegionWish::BreakGlass { active: region(spec)?, epoch: epoch(spec)?, mode })
}

fn region(spec: &RequestSpec) -> Result<RegionName, String> {
    let name = spec.region.as_deref().ok_or("region is missing")?;
    RegionName::new(name).map_err(|error| format!("region: {error}"))
}

fn epoch(spec: &RequestSpec) -> Result<Option<Epoch>, String> {
    let read = |text: &str| {
        text.trim().parse().map(Epoch).map_err(|_| format!("epoch is {text:?}, and not a number"))
    };
    spec.epoch.as_deref().map(read).transpose()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spec(verb: &str) -> RequestSpec {
        RequestSpec {
            verb: verb.into(),
            environment: "prod".into(),
            by: "ann".into(),
            ..RequestSpec::default()
        }
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn what_is_asked_of_a_region_is_read_once() {
        let wish = |spec: RequestSpec| region_wish(&spec).expect("a verb of regions");
        let run = |spec| wish(spec).map(|wish| format!("{wish:?}"));
        let skip = RequestSpec { action: text("skip"), step: text("smokeTest"), ..spec("repoint") };
        assert_eq!(wish(skip), Ok(RegionWish::Run(Ask::Skip { step: RegionStep::SmokeTest })));
        let loss = RequestSpec { action: text("loss"), duration: text("90s"), ..spec("repoint") };
        assert_eq!(wish(loss), Ok(RegionWish::Run(Ask::TakeLoss { most: Duration::from_secs(90) })));
        for (wrong, says) in [
            (spec("repoint"), "a re-point knows pause"),
            (
                RequestSpec { action: text("skip"), step: text("fencing"), ..spec("repoint") },
                "not one of freeze",
            ),
            (RequestSpec { action: text("override"), ..spec("repoint") }, "check is missing"),
            (RequestSpec { region: text("a"), ..spec("attest") }, "epoch is missing"),
            (RequestSpec { region: text("a"), epoch: text("x"), ..spec("attest") }, "not a number"),
            (spec("breakglass"), "region is missing"),
        ] {
            let why = run(wrong).expect_err("it cannot be read");
            assert!(why.contains(says), "{why}");
        }
        assert_eq!(region_wish(&spec("retry")), None);
    }
}
