//! Reads what is remembered, after a start and after someone else wrote it.
//!
//! It belongs to an Environment's uid. What another Environment of the same name remembered is dead: it is replaced by
//! nothing, in one swap, once the API server confirms that ours is the one that is there. What was written before uids were is
//! ours, unless it is older than our Environment.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::pieces::{AT_ONCE, PieceReader};
use super::queue::{Queue, Writer};
use super::{Shared, StateError, users};
use crate::api::Environment;
use crate::cluster::{DocumentVersion, Environments, StateSecrets, StoredDocument, chain};
use crate::object::{Digest, EnvironmentName};
use crate::state::{Damage, Document, Log, Piece};

/// Limits how often a document is read again because another process replaced it while its pieces were read.
const READS: usize = 3;

/// The Environment whose memory it is.
#[derive(Clone, Debug)]
pub struct Holder {
    pub environment: EnvironmentName,
    pub uid: Box<str>,
    /// When it was made, by the server's clock.
    pub made: Option<Timestamp>,
}

impl Holder {
    /// Reads whose memory it is; `None` of an Environment that no server made.
    pub fn of(environment: &Environment) -> Option<Self> {
        let metadata = &environment.metadata;
        Some(Self {
            environment: EnvironmentName::new(metadata.name.as_deref()?).ok()?,
            uid: metadata.uid.as_deref()?.into(),
            made: metadata.creation_timestamp.as_ref().map(|time| time.0),
        })
    }

    /// Says whether a document is of this Environment, and not of an older one of its name.
    fn owns(&self, document: &Document, made: Option<Timestamp>) -> bool {
        match document.uid() {
            Some(uid) => uid == &*self.uid,
            // Nobody remembers anything before its Environment is made.
            None => made.zip(self.made).is_none_or(|(document, environment)| document >= environment),
        }
    }
}

pub(super) async fn open(
    secrets: &StateSecrets,
    environments: &Environments,
    holder: &Holder,
) -> Result<Shared, StateError> {
    let pieces = PieceReader::default();
    let read = match read(secrets, holder).await {
        Err(StateError::Another(_)) => begin_anew(secrets, environments, holder).await?,
        read => read?,
    };
    let there_was_one = read.version.is_some();
    let shared = Shared {
        holder: holder.clone(),
        secrets: secrets.clone(),
        saved: std::sync::RwLock::new(std::sync::Arc::new(read.log)),
        notes: std::sync::Mutex::default(),
        queue: std::sync::Mutex::new(Queue::default()),
        arrived: tokio::sync::Notify::new(),
        writer: tokio::sync::Mutex::new(Writer::new(read.version)),
        pieces,
    };
    if let Some(damage) = &read.damage {
        shared.name_damage(damage, "which objects were written");
    }
    if there_was_one {
        // Where the document itself is gone, someone may put it back, and then it needs its pieces.
        shared.sweep().await;
    }
    Ok(shared)
}

/// A memory as it was read.
pub(super) struct Read {
    pub log: Log,
    pub version: Option<DocumentVersion>,
    /// The damage because of which nothing is known of objects.
    pub damage: Option<Damage>,
}

/// Puts nothing in the place of what an Environment that is no more remembered.
async fn begin_anew(
    secrets: &StateSecrets,
    environments: &Environments,
    holder: &Holder,
) -> Result<Read, StateError> {
    let (environment, name) = (&holder.environment, secrets.document_name(&holder.environment));
    // We may be the one who is behind: then the memory is of the one that is there.
    let there =
        environments.get(environment.as_str()).await.map_err(|error| StateError::Unsure(chain(&error)))?;
    if there.and_then(|there| there.metadata.uid).as_deref() != Some(&*holder.uid) {
        return Err(StateError::Another(name));
    }
    let log = Log::new(environment).of(&holder.uid);
    let dead = secrets.read(environment).await?;
    if let Some(dead) = &dead {
        let is_ours = Document::read(&dead.contents, environment).is_ok_and(|it| holder.owns(&it, dead.made));
        if is_ours {
            return read(secrets, holder).await;
        }
        tracing::info!(%environment, secret = name, "what another Environment of this name remembered is forgotten");
    }
    let base = dead.map(|dead| dead.version);
    let version = secrets.swap(environment, &holder.uid, &log.blank(), base.as_ref()).await?;
    Ok(Read { log, version: Some(version), damage: None })
}

pub(super) async fn read(secrets: &StateSecrets, holder: &Holder) -> Result<Read, StateError> {
    let environment = &holder.environment;
    let mut reads = 0;
    loop {
        reads += 1;
        let Some(StoredDocument { contents, version, made }) = secrets.read(environment).await? else {
            return Ok(Read { log: Log::new(environment).of(&holder.uid), version: None, damage: None });
        };
        let name = secrets.document_name(environment);
        let document = Document::read(&contents, environment)
            .map_err(|source| StateError::Document { name: name.clone(), source: source.into() })?;
        if !holder.owns(&document, made) {
            return Err(StateError::Another(name));
        }
        let pieces = fetch(secrets, environment, &document).await?;
        let damaged = match Log::read(document, &pieces) {
            Ok((log, None)) => {
                let log = log.of(&holder.uid);
                return Ok(Read { log, version: Some(version), damage: None });
            }
            Ok((log, Some(damage))) => Ok((log.of(&holder.uid), damage)),
            Err(damage) => Err(damage),
        };
        let again = secrets.read(environment).await?;
        if reads < READS && again.is_none_or(|newest| newest.version != version) {
            continue; // Its pieces were dropped while they were read.
        }
        return match damaged {
            Ok((log, damage)) => Ok(Read { log, version: Some(version), damage: Some(damage) }),
            Err(source) => {
                let piece = match &source {
                    Damage::Missing(piece) | Damage::Altered(piece) => secrets.piece_name(environment, piece),
                    Damage::Unreadable(_) => name.clone(),
                };
                Err(StateError::Part { name: piece, document: name, source })
            }
        };
    }
}

async fn fetch(
    secrets: &StateSecrets,
    environment: &EnvironmentName,
    document: &Document,
) -> Result<BTreeMap<Digest, Result<Piece, Damage>>, StateError> {
    let reads = document.needs().into_iter().map(|name| async move {
        Ok::<_, StateError>((name.clone(), secrets.piece(environment, name).await?))
    });
    stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await
}

impl Shared {
    /// Names missing pieces, and drops those that a dead process left behind. A failure here is only logged.
    async fn sweep(&self) {
        let names = match self.secrets.names(&self.holder.environment).await {
            Ok(names) => names.into_iter().collect::<BTreeSet<String>>(),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "what is remembered cannot be listed");
                return;
            }
        };
        let log = self.log();
        let short = |piece: &Digest| StateSecrets::short_name(&self.holder.environment, piece);
        let needed: BTreeSet<String> = log.needed().iter().map(short).collect();
        self.drop_named(names.difference(&needed).cloned()).await;
        let memory = log.memory();
        for piece in memory.pieces().iter().filter(|piece| !names.contains(&short(piece))) {
            self.name_damage(&Damage::Missing(piece.clone()), &users(memory, piece));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Contents;

    fn document(uid: Option<&str>) -> Document {
        let environment = EnvironmentName::new("dev").expect("a name");
        let log = Log::new(&environment);
        let contents: Contents = match uid {
            Some(uid) => log.of(uid).blank(),
            None => log.blank(),
        };
        Document::read(&contents, &environment).expect("a document")
    }

    #[test]
    fn a_memory_belongs_to_a_uid_and_an_old_one_to_who_was_there_before_it() {
        let at = |second| Some(Timestamp::from_second(second).expect("a time"));
        let environment = EnvironmentName::new("dev").expect("a name");
        let holder = Holder { environment, uid: "uid-1".into(), made: at(1000) };
        for (uid, made, wanted) in [
            (Some("uid-1"), at(2000), true),
            (Some("uid-1"), at(500), true),
            (Some("uid-2"), at(2000), false),
            (None, at(1000), true),
            (None, at(2000), true),
            (None, at(999), false),
            (None, None, true),
        ] {
            assert_eq!(holder.owns(&document(uid), made), wanted, "{uid:?} {made:?}");
        }
    }
}
