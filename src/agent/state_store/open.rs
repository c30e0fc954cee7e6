//! Reads what is remembered, after a start and after someone else wrote it.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt, TryStreamExt};

use super::pieces::{AT_ONCE, PieceReader};
use super::queue::{Queue, Writer};
use super::{Shared, StateError, users};
use crate::cluster::{DocumentVersion, StateSecrets, chain};
use crate::object::{Digest, EnvironmentName};
use crate::state::{Damage, Document, Log, Piece};

/// Limits how often a document is read again because another process replaced it while its pieces were read.
const READS: usize = 3;

pub(super) async fn open(
    secrets: &StateSecrets,
    environment: &EnvironmentName,
) -> Result<Shared, StateError> {
    let pieces = PieceReader::default();
    let read = read(secrets, environment).await?;
    let there_was_one = read.version.is_some();
    let shared = Shared {
        environment: environment.clone(),
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

pub(super) async fn read(secrets: &StateSecrets, environment: &EnvironmentName) -> Result<Read, StateError> {
    let mut reads = 0;
    loop {
        reads += 1;
        let Some((contents, version)) = secrets.read(environment).await? else {
            return Ok(Read { log: Log::new(environment), version: None, damage: None });
        };
        let name = secrets.document_name(environment);
        let document = Document::read(&contents, environment)
            .map_err(|source| StateError::Document { name: name.clone(), source: source.into() })?;
        let pieces = fetch(secrets, environment, &document).await?;
        let damaged = match Log::read(document, &pieces) {
            Ok((log, None)) => return Ok(Read { log, version: Some(version), damage: None }),
            Ok((log, Some(damage))) => Ok((log, damage)),
            Err(damage) => Err(damage),
        };
        let again = secrets.read(environment).await?;
        if reads < READS && again.is_none_or(|(_, newest)| newest != version) {
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
        let names = match self.secrets.names(&self.environment).await {
            Ok(names) => names.into_iter().collect::<BTreeSet<String>>(),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "what is remembered cannot be listed");
                return;
            }
        };
        let log = self.log();
        let short = |piece: &Digest| StateSecrets::short_name(&self.environment, piece);
        let needed: BTreeSet<String> = log.needed().iter().map(short).collect();
        self.drop_named(names.difference(&needed).cloned()).await;
        let memory = log.memory();
        for piece in memory.pieces().iter().filter(|piece| !names.contains(&short(piece))) {
            self.name_damage(&Damage::Missing(piece.clone()), &users(memory, piece));
        }
    }
}
