use serde_json::Value;

use crate::health::Health;
use crate::health::pods::{self, Containers};
use crate::health::read::{condition, text};

/// A pod that restarts for ever is healthy when Ready; one that runs to an end (`OnFailure`, `Never`) is a step that
/// must succeed. What its containers say comes first: it is the better reason.
pub fn judge(object: &Value) -> Health {
    let status = &object["status"];
    let problem = pods::first(object);
    let forever = matches!(text(&object["spec"]["restartPolicy"]), "" | "Always");
    let ready = condition(object, "Ready").filter(|ready| ready.is_true());
    match text(&status["phase"]) {
        "Succeeded" => return Health::healthy("Succeeded", "all containers ended well"),
        "Failed" => {
            if let Some(problem) = problem {
                return Health::failed(problem.reason, problem.message);
            }
            let reason = text(&status["reason"]);
            let message = text(&status["message"]);
            return Health::failed(if reason.is_empty() { "Failed" } else { reason }, message);
        }
        _ => {}
    }
    if let Some(problem) = problem {
        // A one-off pod whose image is slow to come may still run and succeed; a crash is retried or ends as Failed.
        if forever && problem.cause.is_failure() && ready.is_none() {
            return Health::failed(problem.reason, problem.message);
        }
        return Health::progressing(problem.reason, problem.message);
    }
    match (text(&status["phase"]), ready) {
        ("Running", Some(_)) if forever => {
            let restarts = Containers::of(object).restarts();
            let message = match restarts {
                0 => "all containers are ready".to_owned(),
                n => format!("all containers are ready, after {n} restarts"),
            };
            Health::healthy("Ready", message)
        }
        ("Running", _) if forever => {
            let message =
                condition(object, "Ready").map_or("not ready yet".to_owned(), |ready| ready.words());
            Health::progressing("NotReady", message)
        }
        ("Running", _) => Health::progressing("Running", "running to its end"),
        ("Pending", _) => Health::progressing("Pending", "its containers are being started"),
        ("Unknown", _) => Health::unknown("NodeLost", "its node does not answer"),
        ("", _) => Health::progressing("NotObserved", "not seen by the scheduler yet"),
        (other, _) => Health::unknown(other, format!("phase is {other}")),
    }
}
