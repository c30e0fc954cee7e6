//! Whose objects there are, and where: counted as they come and go, so that a change of one is no reason to look at all.

use std::collections::HashMap;
use std::sync::Arc;

use crate::object::{Gvk, Live, ObjectKey};
use crate::plan::{Inventory, WantedKeys};

#[derive(Debug, Default)]
pub(super) struct Census {
    environments: HashMap<String, Members>,
}

/// The objects that bear the label of one environment.
#[derive(Debug, Default)]
struct Members {
    total: usize,
    places: HashMap<Place, usize>,
    /// What was wanted when strays were last asked for, and the strays.
    strays: Option<(WantedKeys, HashMap<ObjectKey, Arc<Live>>)>,
}

/// Group, kind and namespace.
type Place = (Box<str>, Box<str>, Option<Box<str>>);

fn place(key: &ObjectKey) -> Place {
    (key.group.clone(), key.kind.clone(), key.namespace.clone())
}

impl Census {
    /// Takes that `old` became `new`; each with the environment whose label it bears.
    pub(super) fn note(
        &mut self,
        old: Option<(Option<&String>, &Live)>,
        new: Option<(Option<&String>, &Arc<Live>)>,
    ) {
        let (from, to) = (old.and_then(|(name, _)| name), new.and_then(|(name, _)| name));
        if from != to {
            if let (Some(name), Some((_, old))) = (from, old)
                && let Some(members) = self.environments.get_mut(name)
            {
                members.leave(&old.key);
                if members.total == 0 {
                    self.environments.remove(name);
                }
            }
            if let (Some(name), Some((_, new))) = (to, new) {
                self.environments.entry(name.clone()).or_default().join(&new.key);
            }
        }
        if let (Some(name), Some((_, new))) = (to, new)
            && let Some(members) = self.environments.get_mut(name)
        {
            members.judge(new);
        }
    }

    /// Finds what bears an environment's label and is not wanted, if the same was wanted when that was found out.
    pub(super) fn strays(&self, environment: &str, wanted: &WantedKeys) -> Option<Vec<Arc<Live>>> {
        let Some(members) = self.environments.get(environment) else { return Some(Vec::new()) };
        let (of, strays) = members.strays.as_ref()?;
        Arc::ptr_eq(of, wanted).then(|| strays.values().cloned().collect())
    }

    /// Remembers what was found out, and keeps it true from now on.
    pub(super) fn keep_strays(&mut self, environment: &str, wanted: WantedKeys, strays: &[Arc<Live>]) {
        if let Some(members) = self.environments.get_mut(environment) {
            let strays = strays.iter().map(|live| (live.key.clone(), live.clone())).collect();
            members.strays = Some((wanted, strays));
        }
    }

    /// Drops the strays of an environment that is left alone.
    pub(super) fn forget(&mut self, environment: &str) {
        if let Some(members) = self.environments.get_mut(environment) {
            members.strays = None;
        }
    }

    /// Counts the objects of an environment.
    pub(super) fn total(&self, environment: &str) -> usize {
        self.environments.get(environment).map_or(0, |members| members.total)
    }

    /// Tells where an environment has objects.
    pub(super) fn places(&self, environment: &str) -> Inventory {
        let mut found = Inventory::default();
        for (group, kind, namespace) in
            self.environments.get(environment).iter().flat_map(|members| members.places.keys())
        {
            found.add(Gvk::new(group, "", kind).group_kind(), namespace.as_deref());
        }
        found
    }

    /// Counts the environments that have objects.
    #[cfg(test)]
    pub(super) fn environments(&self) -> usize {
        self.environments.len()
    }
}

impl Members {
    fn join(&mut self, key: &ObjectKey) {
        self.total += 1;
        *self.places.entry(place(key)).or_default() += 1;
    }

    fn leave(&mut self, key: &ObjectKey) {
        self.total = self.total.saturating_sub(1);
        let place = place(key);
        if let Some(count) = self.places.get_mut(&place) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.places.remove(&place);
            }
        }
        if let Some((_, strays)) = &mut self.strays {
            strays.remove(key);
        }
    }

    fn judge(&mut self, live: &Arc<Live>) {
        let Some((wanted, strays)) = &mut self.strays else { return };
        if !wanted.contains(&live.key) {
            strays.insert(live.key.clone(), live.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn live(name: &str, namespace: &str) -> Arc<Live> {
        let object = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1"}});
        Arc::new(Live::read(&object).unwrap())
    }

    /// What the slow way says: everything looked at, for each question.
    fn check(census: &Census, all: &HashMap<ObjectKey, (Option<String>, Arc<Live>)>, wanted: &WantedKeys) {
        for environment in ["a", "b", "c"] {
            let mut strays = HashSet::new();
            let (mut total, mut places) = (0, Inventory::default());
            for (bearer, live) in all.values().filter(|(bearer, _)| bearer.as_deref() == Some(environment)) {
                assert!(bearer.is_some());
                total += 1;
                places.add("ConfigMap".to_owned(), live.key.namespace.as_deref());
                if !wanted.contains(&live.key) {
                    strays.insert(live.key.clone());
                }
            }
            assert_eq!(census.total(environment), total);
            assert_eq!(census.places(environment), places);
            if let Some(found) = census.strays(environment, wanted) {
                assert_eq!(found.iter().map(|live| live.key.clone()).collect::<HashSet<_>>(), strays);
            }
        }
    }

    #[test]
    fn counts_what_a_look_at_everything_counts() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut census = Census::default();
        let mut all: HashMap<ObjectKey, (Option<String>, Arc<Live>)> = HashMap::new();
        let mut wanted = WantedKeys::default();
        let names = [Some("a".to_owned()), Some("b".to_owned()), None];
        for round in 0..3000 {
            let object = live(&format!("o{}", random.u8(..12)), ["x", "y"][random.usize(..2)]);
            let old = all.remove(&object.key);
            let bearer = names[random.usize(..3)].clone();
            let new = random.bool().then_some((bearer.as_ref(), &object));
            census.note(old.as_ref().map(|(name, live)| (name.as_ref(), &**live)), new);
            if new.is_some() {
                all.insert(object.key.clone(), (bearer, object));
            }
            if round % 50 == 0 {
                let keys = all.keys().filter(|_| random.bool()).cloned().collect();
                wanted = Arc::new(keys);
                for environment in ["a", "b"] {
                    let unwanted = |bearer: &Option<String>, live: &Live| {
                        bearer.as_deref() == Some(environment) && !wanted.contains(&live.key)
                    };
                    let strays: Vec<Arc<Live>> = all
                        .values()
                        .filter(|(bearer, live)| unwanted(bearer, live))
                        .map(|(_, live)| live.clone())
                        .collect();
                    census.keep_strays(environment, wanted.clone(), &strays);
                }
            }
            check(&census, &all, &wanted);
        }
        census.forget("a");
        assert!(census.strays("a", &wanted).is_none());
    }

    #[test]
    fn other_wishes_are_found_out_anew() {
        let mut census = Census::default();
        let (object, a) = (live("one", "x"), "a".to_owned());
        census.note(None, Some((Some(&a), &object)));
        let nothing = WantedKeys::default();
        assert!(census.strays("a", &nothing).is_none());
        census.keep_strays("a", nothing.clone(), std::slice::from_ref(&object));
        assert_eq!(census.strays("a", &nothing).map(|strays| strays.len()), Some(1));
        assert!(census.strays("a", &WantedKeys::default()).is_none(), "of another revision");
        assert_eq!(census.strays("b", &nothing).map(|strays| strays.len()), Some(0), "no object bears it");
    }
}
