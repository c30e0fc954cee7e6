//! Looks at what others changed: the values before and after, and who holds the fields now. It asks for each object as it is,
//! for the index keeps none; what is secret is taken out at once.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use serde_json::Value;

use super::Hands;
use crate::cluster::{AT_ONCE, Call};
use crate::delivery::Event;
use crate::drift::{Drifted, drifted_fields, extra_fields};
use crate::object::field_path::FieldPath;
use crate::plan::{Lookup, Wanted};
use crate::redact;

pub(super) async fn inspect(
    hands: &Hands,
    objects: &[(Arc<Wanted>, Vec<FieldPath>)],
    extras: &[Arc<Wanted>],
) -> Event {
    let (seen, extras) = tokio::join!(look(hands, objects), look_for_extras(hands, extras));
    Event::Inspected { seen, extras }
}

/// What others added to each, under what git sets. What cannot be asked for now is left out, and asked for once more when it
/// changes.
pub async fn look_for_extras(hands: &Hands, objects: &[Arc<Wanted>]) -> Vec<Drifted> {
    let look = |wanted: Arc<Wanted>| async move {
        let path = hands.session.path(&wanted.gvk, &wanted.key)?;
        let live = hands.session.cluster.send(&Call::get(&path)).await.ok()?.json().ok()?;
        let key = wanted.key.clone();
        let show = |path: &FieldPath, value: &Value| redact::value(&key, &path.to_string(), value);
        let fields = extra_fields(&live, &show);
        let word = |name: &str| live["metadata"][name].as_str().map(Into::into);
        Some(Drifted { uid: word("uid"), version: word("resourceVersion"), fields, key: key.clone() })
    };
    let looks = stream::iter(objects.to_vec()).map(look).buffered(AT_ONCE);
    looks.filter_map(std::future::ready).collect().await
}

/// What can be seen of each. What cannot be asked for is told by its fields alone.
pub async fn look(hands: &Hands, objects: &[(Arc<Wanted>, Vec<FieldPath>)]) -> Vec<Drifted> {
    let looks = stream::iter(0..objects.len()).map(|n| look_at(hands, &objects[n].0, &objects[n].1));
    looks.buffered(AT_ONCE).collect().await
}

async fn look_at(hands: &Hands, wanted: &Wanted, fields: &[FieldPath]) -> Drifted {
    let key = wanted.key.clone();
    if fields.is_empty() {
        return Drifted::gone(key);
    }
    let Some(path) = hands.session.path(&wanted.gvk, &key) else {
        return Drifted::unseen(key, None, fields);
    };
    let found = hands.session.cluster.send(&Call::get(&path)).await;
    match found.and_then(|reply| reply.json()) {
        Ok(live) => {
            let show = |path: &FieldPath, value: &Value| redact::value(&key, &path.to_string(), value);
            let fields = drifted_fields(&wanted.value(), &live, fields, &show);
            let word = |name: &str| live["metadata"][name].as_str().map(Into::into);
            Drifted { uid: word("uid"), version: word("resourceVersion"), fields, key }
        }
        Err(error) if error.is_not_found() => Drifted::gone(key),
        Err(error) => {
            tracing::debug!(%key, %error, "what others changed cannot be looked at");
            let uid = hands.index.live(&key).map(|live| live.uid.clone());
            Drifted::unseen(key, uid, fields)
        }
    }
}
