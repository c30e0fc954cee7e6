//! What a condition means by its name, and what it therefore says.

use super::words::{among, classify, is_failing, is_waiting};
use crate::health::Status;
use crate::health::read::Condition;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// True is what everyone hopes for, False is bad news.
    Good,
    /// Good, but it comes at the end: False is "not yet".
    End,
    /// True is bad news.
    Bad,
    /// True means that something is under way.
    Way,
    /// True means that it stands still on purpose.
    Still,
    /// It says nothing about health.
    Neutral,
    /// A part of a whole, or a name that is not known: good, and only heard where nothing sums up.
    Part,
}

const GOOD: &str = "Ready Healthy Available Succeeded Synced Reconciled ReconcileSuccess Accepted Programmed Established \
    Valid Validated Compliant Deployed Installed Applied ResourcesApplied Provisioned Offered ResolvedRefs \
    LastAsyncOperation RevisionHealthy ChildResourcesHealthy ClusterAvailable AllReplicasReady UpToDate \
    ResourcesUpToDate Resolved Running Scheduled Bound Connected Admitted Issued Configured RecommendationProvided \
    Online Successful Verified Approved Built ready available IsReady DatabaseReady";

const END: &str = "Complete Completed Finished Done Initialized Promoted SuccessCriteriaMet Created";

const BAD: &str = "NotReady PartiallyReady Invalid InvalidSpec InvalidRequest Denied Failed Failure Failing Error \
    ErrorOccurred Degraded Stalled Unhealthy Aborted Conflicted Dangling NoPodsMatched Terminal ACK.Terminal \
    ReplicaFailure FailureTarget Misconfigured Fallback Unavailable Unrecoverable Blocked Inconsistent OutOfSync \
    Rejected Errored TimedOut HasErrors NoMatchingInstance InternalError Evicted Irreconcilable SpecError SubmissionError";

const WAY: &str = "Progressing Reconciling Updating Upgrading Issuing Creating Provisioning Pending Installing \
    Initializing RollingOut ScalingUp ScalingDown Deploying Waiting Restarting Processing Migrating Restoring Rolling \
    RollingUpdate ReconcilePending InProgress Deleting UpgradeInProgress RebalancePending Starting Configuring \
    RolloutProgressing InstallPlanPending";

const STILL: &str = "Paused Suspended ReconciliationPaused Hibernated Hibernating Stopped Disrupting Ignored";

const NEUTRAL: &str = "Warning Deprecated Drifted Consolidatable Expired Upgradeable Recommended DisruptionAllowed \
    LowConfidence ParametersGenerated Remediating Empty Released TestSuccess ManagedBy Terminating Info NoWarnings \
    FetchingHistory CheckpointingEnabled InstallPlanMissing RetrievedUpdates ACK.Advisory ACK.LateInitialized ACK.IAMRoleSelected";

/// Endings of parts that are either refused or taken, rather than slow to come.
const VERDICT_ENDINGS: &str =
    "Synced Synchronized Valid Applied Accepted Resolved Succeeded Success Configured Reconciled Active";

const BAD_ENDINGS: &str = "Failed Failure Failures Error Errors Errored Degraded Unhealthy Stalled Missing Invalid \
    Unreachable Exceeded Violated Conflict Conflicts Unavailable Lost Rejected Blocked Halted Broken NotReady NotFound \
    Mismatch Problem Problems Aborted Denied TimedOut Timeout ErrorsExist ErrorExists";

/// The same at the begin: `MissingDependencies`, `InsufficientCapacity`.
const BAD_BEGINNINGS: &str = "Missing Insufficient Invalid Failed Bad Not Unable Unhealthy";

/// Bad names that are also written while things are only on their way: their reason tells which it is.
const MAY_PASS: &str = "NotReady PartiallyReady Unavailable Blocked";

const WAY_ENDINGS: &str = "InProgress Pending Progressing Updating Upgrading Reconciling";

/// What goes on as long as all is well.
const LASTING: &str = "Running Serving Archiving Replicating Listening Streaming Monitoring Working Networking Routing \
    Advertising Existing Polling Watching Scaling";

const STILL_ENDINGS: &str = "Paused Suspended PausingOrPaused";

pub fn polarity(kind: &str) -> Polarity {
    let named = [
        (GOOD, Polarity::Good),
        (END, Polarity::End),
        (BAD, Polarity::Bad),
        (WAY, Polarity::Way),
        (STILL, Polarity::Still),
        (NEUTRAL, Polarity::Neutral),
    ];
    if let Some((_, polarity)) = named.into_iter().find(|(list, _)| among(list, kind)) {
        return polarity;
    }
    let ends = |list: &str| list.split_ascii_whitespace().any(|end| kind.ends_with(end));
    if ends(BAD_ENDINGS) {
        // "NoFailures" and "WithoutErrors" are good news, as far as they are news.
        return if kind.starts_with("No") || kind.starts_with("Without") {
            Polarity::Neutral
        } else {
            Polarity::Bad
        };
    }
    if begins(BAD_BEGINNINGS, kind) {
        return Polarity::Bad;
    }
    if ends(WAY_ENDINGS) || begins("Pending", kind) || (kind.ends_with("ing") && !ends(LASTING)) {
        return Polarity::Way;
    }
    if ends(STILL_ENDINGS) {
        return Polarity::Still;
    }
    Polarity::Part
}

/// Whether a name of several words begins with one of these: `NotFound` and not `Notified`.
fn begins(list: &str, kind: &str) -> bool {
    let rest = |begin: &str| kind.strip_prefix(begin).and_then(|rest| rest.chars().next());
    list.split_ascii_whitespace().any(|begin| rest(begin).is_some_and(char::is_uppercase))
}

fn is_a_verdict(kind: &str) -> bool {
    VERDICT_ENDINGS.split_ascii_whitespace().any(|end| kind.ends_with(end))
}

/// Good conditions that count even where there is a Ready: the sum of the parts is not always drawn in time.
pub fn counts_beside_ready(kind: &str) -> bool {
    const COUNTED: &str = "Ready ready Synced Healthy Available Accepted Valid ReconcileSuccess Reconciled \
        LastAsyncOperation Succeeded ResolvedRefs Admitted";
    among(COUNTED, kind)
}

fn may_pass(condition: Condition<'_>) -> bool {
    !condition.severity().is_empty()
        || MAY_PASS.split_ascii_whitespace().any(|end| condition.kind().ends_with(end))
}

/// What one condition says of the whole, if anything. `step`: the object must come to an end, so that running is not
/// yet the aim.
pub fn read(condition: Condition<'_>, step: bool) -> Option<Status> {
    let (kind, reason) = (condition.kind(), condition.reason());
    let failing = is_failing(reason) || (reason.is_empty() && is_failing(condition.message()));
    let unfinished = match condition.severity() {
        // Cluster API and Azure write how bad it is: all but an error may pass.
        "Error" => Status::Failed,
        "Info" | "Warning" => Status::Progressing,
        _ if is_waiting(reason) => Status::Progressing,
        _ if classify(reason) == Some(Status::Suspended) => Status::Suspended,
        _ => Status::Failed,
    };
    // Some write a word of their own instead of False, such as "Degraded".
    let is_false = condition.is_false() || classify(condition.status()) == Some(Status::Failed);
    let polarity = polarity(kind);
    if condition.is_true() {
        return match polarity {
            Polarity::Neutral => None,
            // Operators written in Ansible: "Running" is their own work, until its reason is "Successful".
            Polarity::Good if kind == "Running" && condition.message() == "Running reconciliation" => {
                Some(Status::Progressing)
            }
            Polarity::Good | Polarity::Part if step && kind == "Running" => Some(Status::Progressing),
            Polarity::End if kind == "Created" => (!step).then_some(Status::Healthy),
            // "Finished" says that it ended; its reason may say how.
            Polarity::End if failing => Some(Status::Failed),
            // A name that is not known is taken for good, but not against its own reason.
            Polarity::Part if failing && !condition.reason().is_empty() => Some(Status::Failed),
            Polarity::Good | Polarity::End | Polarity::Part => Some(Status::Healthy),
            Polarity::Bad if may_pass(condition) => Some(unfinished),
            Polarity::Bad => Some(Status::Failed),
            Polarity::Still => Some(Status::Suspended),
            Polarity::Way => match classify(reason) {
                Some(Status::Healthy) => None,
                Some(Status::Failed) => Some(Status::Failed),
                _ => Some(Status::Progressing),
            },
        };
    }
    if is_false {
        return match polarity {
            Polarity::Good if step && kind == "Running" => failing.then_some(Status::Failed),
            Polarity::Good => Some(unfinished),
            Polarity::Part if is_a_verdict(kind) => Some(unfinished),
            Polarity::End | Polarity::Part => {
                Some(if failing { Status::Failed } else { Status::Progressing })
            }
            Polarity::Way if failing => Some(Status::Failed),
            Polarity::Way if classify(reason) == Some(Status::Suspended) => Some(Status::Suspended),
            // That nothing is wrong or under way is good news only where something good is said too.
            Polarity::Way | Polarity::Bad | Polarity::Still | Polarity::Neutral => None,
        };
    }
    // Unknown, empty, or a word that means neither.
    matches!(polarity, Polarity::Good | Polarity::End | Polarity::Part).then_some(Status::Progressing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_by_their_polarity() {
        for (kind, expected) in [
            ("Ready", Polarity::Good),
            ("Stalled", Polarity::Bad),
            ("InstallPlanFailed", Polarity::Bad),
            ("NoFailures", Polarity::Neutral),
            ("Reconciling", Polarity::Way),
            ("BundleUnpacking", Polarity::Way),
            ("ContinuousArchiving", Polarity::Part),
            ("PipelinePausingOrPaused", Polarity::Still),
            ("RemoteSynced", Polarity::Part),
            ("Completed", Polarity::End),
            ("Warning", Polarity::Neutral),
            ("MissingDependencies", Polarity::Bad),
            ("RolloutBlocked", Polarity::Bad),
            ("Notified", Polarity::Part),
            ("PendingProposal", Polarity::Way),
        ] {
            assert_eq!(polarity(kind), expected, "{kind}");
        }
    }

    #[test]
    fn no_name_stands_in_two_lists() {
        let all: Vec<_> =
            [GOOD, END, BAD, WAY, STILL, NEUTRAL].iter().flat_map(|l| l.split_ascii_whitespace()).collect();
        for name in &all {
            assert_eq!(all.iter().filter(|other| other == &name).count(), 1, "{name}");
        }
    }
}
