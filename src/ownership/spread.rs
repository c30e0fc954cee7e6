use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{OwnershipRecord, ReplicaId, Share};

/// A living replica, as far as sharing the work goes.
#[derive(Clone, Debug)]
pub struct Seat {
    pub scope: Share,
    /// It has lived long enough to be given what another living one has.
    pub settled: bool,
}

/// Who should have which environment. In words:
///
/// 1. Who has one and lives keeps it.
/// 2. What nobody alive has goes to whoever has least.
/// 3. Whoever has two more than another gives one away, until no one has.
///
/// Ties are broken by a hash of the pair, so that one replica's environments scatter over all others when it dies. An
/// environment that no replica may look after is missing from the answer.
pub fn spread(
    environments: &BTreeSet<String>,
    record: &OwnershipRecord,
    replicas: &BTreeMap<ReplicaId, Seat>,
) -> BTreeMap<String, ReplicaId> {
    let mut load: BTreeMap<&ReplicaId, usize> = replicas.keys().map(|id| (id, 0)).collect();
    let mut kept: BTreeMap<&ReplicaId, BTreeSet<&String>> = BTreeMap::new();
    let mut answer: BTreeMap<String, ReplicaId> = BTreeMap::new();
    for environment in environments {
        let Some(owner) = record.owner(environment) else { continue };
        if let Some((id, seat)) = replicas.get_key_value(owner)
            && seat.scope.has(environment)
        {
            *load.entry(id).or_default() += 1;
            kept.entry(id).or_default().insert(environment);
            answer.insert(environment.clone(), id.clone());
        }
    }
    for environment in environments {
        if answer.contains_key(environment) {
            continue;
        }
        let able = replicas.iter().filter(|(_, seat)| seat.scope.has(environment));
        if let Some((id, _)) = able.min_by_key(|(id, _)| (load[id], Reverse(score(environment, id)))) {
            *load.entry(id).or_default() += 1;
            answer.insert(environment.clone(), id.clone());
        }
    }
    while let Some((environment, from, to)) = one_move(replicas, &load, &kept) {
        let environment = environment.clone();
        *load.entry(from).or_default() -= 1;
        *load.entry(to).or_default() += 1;
        if let Some(kept) = kept.get_mut(from) {
            kept.remove(&environment);
        }
        answer.insert(environment, to.clone());
    }
    answer
}

/// The next environment to move, from the fullest that can give to the emptiest that may take.
fn one_move<'a>(
    replicas: &'a BTreeMap<ReplicaId, Seat>,
    load: &BTreeMap<&'a ReplicaId, usize>,
    kept: &BTreeMap<&'a ReplicaId, BTreeSet<&'a String>>,
) -> Option<(&'a String, &'a ReplicaId, &'a ReplicaId)> {
    let mut givers: Vec<&ReplicaId> = replicas.keys().collect();
    givers.sort_by_key(|id| Reverse(load[id]));
    let mut takers: Vec<(&ReplicaId, &Seat)> = replicas.iter().filter(|(_, seat)| seat.settled).collect();
    takers.sort_by_key(|(id, _)| load[id]);
    for from in givers {
        for &(to, seat) in &takers {
            if load[to] + 2 > load[from] {
                break;
            }
            let mine = kept.get(from).into_iter().flatten().copied();
            let able = mine.filter(|environment| seat.scope.has(environment));
            if let Some(environment) = able.max_by_key(|environment| score(environment, to)) {
                return Some((environment, from, to));
            }
        }
    }
    None
}

/// FNV-1a, and the last steps of murmur3 so that every bit of the names counts in the first ones.
fn score(environment: &str, replica: &ReplicaId) -> u64 {
    let bytes = environment.bytes().chain([0]).chain(replica.as_str().bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seats(ids: &[usize]) -> BTreeMap<ReplicaId, Seat> {
        ids.iter()
            .map(|n| (ReplicaId::new(format!("r-{n}")), Seat { scope: Share::All, settled: true }))
            .collect()
    }

    fn names(count: usize) -> BTreeSet<String> {
        (0..count).map(|n| format!("env-{n}")).collect()
    }

    fn record_of(answer: &BTreeMap<String, ReplicaId>) -> OwnershipRecord {
        OwnershipRecord::default()
            .with(answer.iter().map(|(name, id)| (name.clone(), Some(id.clone()))).collect())
    }

    fn loads(answer: &BTreeMap<String, ReplicaId>) -> Vec<usize> {
        let mut count: BTreeMap<&ReplicaId, usize> = BTreeMap::new();
        answer.values().for_each(|id| *count.entry(id).or_default() += 1);
        count.into_values().collect()
    }

    #[test]
    fn a_death_moves_only_what_the_dead_one_had() {
        let before = spread(&names(30), &OwnershipRecord::default(), &seats(&[1, 2, 3]));
        assert_eq!(loads(&before), [10, 10, 10]);
        let after = spread(&names(30), &record_of(&before), &seats(&[1, 3]));
        assert_eq!(loads(&after), [15, 15]);
        let moved = before.iter().filter(|(name, id)| after[*name] != **id).count();
        assert_eq!(moved, 10);
    }

    #[test]
    fn a_newcomer_gets_its_share_and_nothing_else_moves() {
        let before = spread(&names(30), &OwnershipRecord::default(), &seats(&[1, 2]));
        let after = spread(&names(30), &record_of(&before), &seats(&[1, 2, 3]));
        assert_eq!(loads(&after), [10, 10, 10]);
        assert!(before.iter().all(|(name, id)| after[name] == *id || after[name].as_str() == "r-3"));
    }

    #[test]
    fn one_that_has_only_just_come_gets_nothing_from_the_living() {
        let before = spread(&names(30), &OwnershipRecord::default(), &seats(&[1, 2]));
        let mut replicas = seats(&[1, 2, 3]);
        replicas.get_mut(&ReplicaId::new("r-3")).unwrap().settled = false;
        assert_eq!(spread(&names(30), &record_of(&before), &replicas), before);
    }

    #[test]
    fn a_replica_gets_only_what_it_was_told_to_look_after() {
        let mut replicas = seats(&[1, 2]);
        let only = Share::Only(["env-1".to_owned()].into());
        replicas.get_mut(&ReplicaId::new("r-2")).unwrap().scope = only.clone();
        let answer = spread(&names(4), &OwnershipRecord::default(), &replicas);
        assert_eq!(loads(&answer), [3, 1]);
        replicas.remove(&ReplicaId::new("r-1"));
        let answer = spread(&names(4), &record_of(&answer), &replicas);
        assert_eq!(answer.len(), 1);
    }

    proptest! {
        #[test]
        fn every_environment_gets_an_owner_and_the_shares_are_even(
            count in 0_usize..60,
            had in prop::collection::vec(0_usize..6, 60),
            alive in prop::collection::btree_set(0_usize..6, 1..6),
        ) {
            let alive: Vec<usize> = alive.into_iter().collect();
            let before: BTreeMap<String, ReplicaId> =
                names(count).into_iter().zip(&had).map(|(name, n)| (name, ReplicaId::new(format!("r-{n}")))).collect();
            let record = record_of(&before);
            let after = spread(&names(count), &record, &seats(&alive));
            prop_assert_eq!(after.len(), count);
            let mut load: BTreeMap<&ReplicaId, usize> = BTreeMap::new();
            let seats = seats(&alive);
            seats.keys().for_each(|id| { load.insert(id, 0); });
            for id in after.values() {
                *load.get_mut(id).expect("a living owner") += 1;
            }
            let (least, most) = (load.values().min().unwrap(), load.values().max().unwrap());
            prop_assert!(most - least <= 1);
            // What is spread stays as it is.
            prop_assert_eq!(&spread(&names(count), &record_of(&after), &seats), &after);
        }
    }
}
