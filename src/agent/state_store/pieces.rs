//! Reads what apps wanted out of the pieces that they share, and knows which pieces are damaged.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;

use futures::stream::{self, StreamExt};

use super::{Shared, StateError, lock};
use crate::cluster::{StateSecrets, chain};
use crate::object::{AppName, Digest};
use crate::state::{AppMemory, Damage, Good, Piece, Pieces, Stored, read_good, read_lines};

/// Pieces that are read or written at the same time.
pub(super) const AT_ONCE: usize = 4;
/// Bytes of shared pieces that are kept in memory: those of a thousand apps are some two megabytes.
const KEPT: usize = 8 * 1024 * 1024;
/// Limits how often objects are looked for again that moved into other pieces while they were read.
const MOVES: usize = 3;

#[derive(Default)]
pub(super) struct PieceReader {
    /// Held while one is read, so that a hundred apps that ask for the same one do not all read it.
    kept: tokio::sync::Mutex<RecentPieces>,
    /// Pieces that are not what they should be; they are written again when it is known what they held.
    damaged: Mutex<BTreeSet<Digest>>,
    news: Mutex<Vec<String>>,
}

/// The pieces that were read last, the newest first.
#[derive(Default)]
struct RecentPieces {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

impl RecentPieces {
    fn get(&mut self, name: &Digest) -> Option<Piece> {
        let at = self.pieces.iter().position(|piece| piece.name == *name)?;
        let piece = self.pieces.remove(at)?;
        self.pieces.push_front(piece.clone());
        Some(piece)
    }

    fn keep(&mut self, piece: Piece) {
        self.bytes += piece.bytes.len();
        self.pieces.push_front(piece);
        while self.bytes > KEPT
            && let Some(oldest) = self.pieces.pop_back()
        {
            self.bytes -= oldest.bytes.len();
        }
    }
}

impl PieceReader {
    pub fn is_damaged(&self, name: &Digest) -> bool {
        lock(&self.damaged).contains(name)
    }

    pub fn damaged(&self) -> BTreeSet<Digest> {
        lock(&self.damaged).clone()
    }

    /// Notes that these pieces are as they should be.
    pub fn repaired<'a>(&self, pieces: impl Iterator<Item = &'a Digest>) {
        let mut damaged = lock(&self.damaged);
        for piece in pieces {
            damaged.remove(piece);
        }
    }

    pub fn take_news(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.news))
    }
}

impl Shared {
    /// Reads what an app wanted, where it stands by now.
    pub(super) async fn read_good(
        &self,
        app: &AppName,
        find: impl Fn(&AppMemory) -> Option<&Good>,
    ) -> Result<Option<Stored>, StateError> {
        let mut reads = 0;
        loop {
            reads += 1;
            let log = self.log();
            let Some(good) = log.memory().apps.get(app).and_then(|known| find(known)) else {
                return Ok(None);
            };
            let read = match log.fresh(app, good) {
                Some(lines) => read_lines(app, &good.digest, &lines),
                None => self
                    .fetch(&good.pieces)
                    .await?
                    .and_then(|stored| read_good(app, &good.digest, &good.pieces, &stored)),
            };
            let damage = match read {
                Ok(stored) => return Ok(Some(stored)),
                Err(damage) => damage,
            };
            // It may have moved into other pieces meanwhile.
            let newest = self.log();
            let same = newest.memory().apps.get(app).and_then(|known| find(known)) == Some(good);
            if same || reads == MOVES {
                return Err(StateError::Piece { name: self.damaged_name(&damage), source: damage });
            }
        }
    }

    /// Reads the pieces of one list.
    pub(super) async fn fetch(&self, list: &Pieces) -> Result<Result<Vec<Piece>, Damage>, StateError> {
        let shared = list.part().is_some();
        let mut stored = Vec::new();
        for name in list.names() {
            let mut kept = match shared {
                true => Some(self.pieces.kept.lock().await),
                false => None,
            };
            if let Some(piece) = kept.as_mut().and_then(|kept| kept.get(name)) {
                stored.push(piece);
                continue;
            }
            let piece = match self.secrets.piece(&self.holder.environment, name).await? {
                Ok(piece) => piece,
                Err(damage) => return Ok(Err(damage)),
            };
            if let Some(kept) = &mut kept {
                kept.keep(piece.clone());
            }
            stored.push(piece);
        }
        Ok(Ok(stored))
    }

    /// Notes that a piece is damaged, and reports it.
    pub(super) fn name_damage(&self, damage: &Damage, what: &str) {
        if let Damage::Missing(piece) | Damage::Altered(piece) = damage {
            lock(&self.pieces.damaged).insert(piece.clone());
        }
        let note = format!("the Secret {}: {damage}; it says {what}", self.damaged_name(damage));
        lock(&self.pieces.news).push(note);
    }

    fn damaged_name(&self, damage: &Damage) -> String {
        match damage {
            Damage::Missing(piece) | Damage::Altered(piece) => {
                self.secrets.piece_name(&self.holder.environment, piece)
            }
            Damage::Unreadable(_) => self.secrets.document_name(&self.holder.environment),
        }
    }

    pub(super) async fn drop_pieces(&self, pieces: impl IntoIterator<Item = &Digest>) {
        let names = pieces.into_iter().map(|piece| StateSecrets::short_name(&self.holder.environment, piece));
        self.drop_named(names.collect::<Vec<_>>()).await;
    }

    pub(super) async fn drop_named(&self, names: impl IntoIterator<Item = String>) {
        let drop_one = |name: String| async move {
            if let Err(error) = self.secrets.drop_named(&name).await {
                tracing::warn!(error = %chain(&error), "a piece that nothing needs stays until the next start");
            }
        };
        stream::iter(names.into_iter().map(drop_one)).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }
}
