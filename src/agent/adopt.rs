//! Who agreed that an app takes over what others deployed, and how to agree: the words of git and of people, brought to
//! where `plan` and the proof ask for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::ResourceExt;

use crate::api::{Adopt, AdoptionStatus, AppSpec, Environment, HandoverStatus, names};
use crate::object::{AppName, EnvironmentName, ObjectKey};
use crate::plan::{Answer, Consent, Handover, Refusal, Shared};

/// The hand-overs that people agreed to, by their tokens.
pub type Tokens = Arc<BTreeSet<Box<str>>>;

/// So many objects of an app are listed in a status. `fairlead adopt` agrees to these, and asks again for what is left.
const LISTED: usize = 200;

/// What people agreed to, by their word on the Environment.
pub fn agreed(environment: &Environment) -> Tokens {
    let text = environment.annotations().get(names::ADOPT_ANNOTATION).map_or("", String::as_str);
    let tokens = text.split(',').map(str::trim).filter(|token| !token.is_empty());
    Arc::new(tokens.map(Into::into).collect())
}

/// From whom an app may take over by git's word.
pub fn word(spec: &AppSpec) -> BTreeSet<String> {
    match &spec.adopt {
        Some(Adopt::From(names)) => names.iter().cloned().collect(),
        // `read_config` makes names of `true`.
        Some(Adopt::All(_)) | None => BTreeSet::new(),
    }
}

/// Both words for one app.
pub fn consent(spec: &AppSpec, tokens: &Tokens) -> Consent {
    Consent { word: word(spec), tokens: tokens.clone(), spent: BTreeSet::new() }
}

/// How somebody agrees, as it is typed.
pub fn command(environment: &EnvironmentName, app: &AppName, key: &ObjectKey) -> String {
    format!("fairlead adopt --env {environment} --app {app} '{key}'")
}

/// Puts into each refusal for want of agreement how to agree.
pub fn say_how(environment: &EnvironmentName, app: &AppName, consent: &Consent, answers: &mut [Answer]) {
    for answer in answers {
        let Answer::Refused(Refusal { handover: Some(handover), hint, .. }) = answer else { continue };
        let command = command(environment, app, &handover.key);
        let mut words = match consent.given(handover) {
            true => continue, // It was agreed to, and something else is in the way.
            false if consent.was_spent(handover) => format!(
                "it was taken over before and somebody came back to it: end that first, and then let `{command}` take it over again"
            ),
            false => format!("to take over what others hold of it: {command}"),
        };
        if !handover.tended.is_empty() {
            words.push_str(&format!(
                "; {} may still tend it: docs/adoption.md",
                handover.tended.join(" and ")
            ));
        }
        let before = hint.take().filter(|before| before.contains("say in git"));
        *hint = Some(before.map_or_else(|| words.clone(), |before| format!("{before}; {words}")));
    }
}

/// What the status says of an app: what has to change hands, and what may.
pub fn status(needed: &[Handover], shared: &[Shared]) -> Option<AdoptionStatus> {
    if needed.is_empty() && shared.is_empty() {
        return None;
    }
    let needs = needed.iter().map(|handover| HandoverStatus {
        object: handover.key.to_string(),
        from: handover.managers().into_iter().map(str::to_owned).collect(),
        token: handover.token.to_string(),
    });
    let may = shared.iter().filter(|shared| needed.iter().all(|handover| handover.key != shared.key));
    let may = may.map(|shared| HandoverStatus {
        object: shared.key.to_string(),
        from: shared.held.managers.iter().map(ToString::to_string).collect(),
        token: shared.held.token.to_string(),
    });
    let all: Vec<HandoverStatus> = needs.chain(may).collect();
    Some(AdoptionStatus {
        count: u32::try_from(all.len()).unwrap_or(u32::MAX),
        needed: !needed.is_empty(),
        objects: all.into_iter().take(LISTED).collect(),
    })
}
