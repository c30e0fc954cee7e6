//! Who agreed that an app takes over what others deployed, and how to agree: the words of git and of people, brought to
//! where `plan` and the proof ask for them.

use std::collections::BTreeSet;

use crate::api::AppSpec;
use crate::delivery::{Tokens, word};
use crate::object::{AppName, EnvironmentName, ObjectKey};
use crate::plan::{Answer, Consent, Refusal};

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
