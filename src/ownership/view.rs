use std::collections::{BTreeMap, BTreeSet};

use super::{Moment, OwnershipRecord, ReplicaId};

/// The resourceVersion of a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(Box<str>);

impl Version {
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Versions of one kind are numbers that grow (Kubernetes 1.35 says so, and etcd always did).
    fn is_after(&self, other: &Self) -> bool {
        match (self.0.parse::<u64>(), other.0.parse::<u64>()) {
            (Ok(ours), Ok(theirs)) => ours > theirs,
            _ => self.0 != other.0,
        }
    }
}

/// The environments that a replica was told to look after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Share {
    #[default]
    All,
    Only(BTreeSet<String>),
}

impl Share {
    pub fn has(&self, environment: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(environment),
        }
    }
}

/// A Lease, as it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenLease {
    Heartbeat { id: ReplicaId, version: Version, scope: Share },
    Record { record: OwnershipRecord, version: Version },
}

/// A heartbeat, and when it was seen by one's own clock.
#[derive(Clone, Debug)]
pub struct Peer {
    pub version: Version,
    pub scope: Share,
    pub first: Moment,
    pub changed: Moment,
}

/// What one replica has seen of all of them. The API server tells it in order: where it shows a record, it has shown
/// before every heartbeat that the record names.
#[derive(Clone, Debug, Default)]
pub struct View {
    complete: bool,
    peers: BTreeMap<ReplicaId, Peer>,
    record: Option<(OwnershipRecord, Version)>,
}

impl View {
    /// All that there is at one moment.
    pub fn all(&mut self, seen: Vec<SeenLease>, now: Moment) {
        let ids: BTreeSet<ReplicaId> = seen
            .iter()
            .filter_map(|seen| match seen {
                SeenLease::Heartbeat { id, .. } => Some(id.clone()),
                SeenLease::Record { .. } => None,
            })
            .collect();
        self.peers.retain(|id, _| ids.contains(id));
        if !seen.iter().any(|seen| matches!(seen, SeenLease::Record { .. })) {
            self.record = None;
        }
        for seen in seen {
            self.changed(seen, now);
        }
        self.complete = true;
    }

    pub fn changed(&mut self, seen: SeenLease, now: Moment) {
        match seen {
            SeenLease::Heartbeat { id, version, scope } => {
                let peer = self.peers.entry(id).or_insert_with(|| Peer {
                    version: version.clone(),
                    scope: scope.clone(),
                    first: now,
                    changed: now,
                });
                if peer.version != version {
                    (peer.version, peer.scope, peer.changed) = (version, scope, now);
                }
            }
            SeenLease::Record { record, version } => {
                // One that we wrote ourselves is known before it is seen.
                if self.record.as_ref().is_none_or(|(_, known)| version.is_after(known)) {
                    self.record = Some((record, version));
                }
            }
        }
    }

    pub fn gone(&mut self, id: &ReplicaId) {
        self.peers.remove(id);
    }

    pub fn record_gone(&mut self) {
        self.record = None;
    }

    /// Whether everything was seen once.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub fn peers(&self) -> &BTreeMap<ReplicaId, Peer> {
        &self.peers
    }

    pub fn record(&self) -> Option<&OwnershipRecord> {
        self.record.as_ref().map(|(record, _)| record)
    }

    pub fn record_version(&self) -> Option<&Version> {
        self.record.as_ref().map(|(_, version)| version)
    }
}
