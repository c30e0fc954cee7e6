//! What was saved since the last time that it went into pieces: it stands beside the document and is swapped with it, so
//! that most of what is saved is one small request.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Memory;
use super::pack::{Damage, Piece, Pieces, pack_together, pack_whole, unpack};
use super::patch::Patch;
use crate::object::{AppName, Digest};

/// The objects that apps wanted, by app and digest, which stand in no piece yet.
pub type Fresh = BTreeMap<(AppName, Digest), Arc<[u8]>>;

/// The newest part of what is remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Journal {
    /// The difference from what the pieces say.
    pub patch: Patch,
    pub fresh: Fresh,
}

/// Stands before the lines of what an app wanted.
#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(rename = "g")]
    app: AppName,
    #[serde(rename = "d")]
    digest: Digest,
    #[serde(rename = "b")]
    bytes: usize,
}

/// The beginning of a header; no line of a patch begins like this.
const HEADER: &[u8] = b"{\"g\":";

impl Journal {
    /// Writes it as one piece, which goes into the Secret of the document.
    pub fn write(&self) -> (Pieces, Piece) {
        let mut text = Vec::new();
        for ((app, digest), lines) in &self.fresh {
            let header = Header { app: app.clone(), digest: digest.clone(), bytes: lines.len() };
            serde_json::to_writer(&mut text, &header).expect("a header is JSON");
            text.push(b'\n');
            text.extend_from_slice(lines);
        }
        for line in self.patch.lines() {
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
        pack_whole(&text)
    }

    pub fn read(pieces: &Pieces, bytes: Vec<u8>) -> Result<Self, Damage> {
        let Some(name) = pieces.first() else { return Ok(Self::default()) };
        let text = unpack(pieces, &[Piece::check(name, bytes)?])?;
        let mut journal = Self::default();
        let mut rest = text.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if line.starts_with(HEADER) {
                let unreadable = |error: serde_json::Error| Damage::Unreadable(error.to_string());
                let header: Header = serde_json::from_slice(line).map_err(unreadable)?;
                let (lines, more) = rest.split_at_checked(header.bytes).ok_or_else(|| {
                    Damage::Unreadable(format!("it ends within what {} wanted", header.app))
                })?;
                journal.fresh.insert((header.app, header.digest), lines.into());
                rest = more;
            } else {
                journal.patch.read_line(line)?;
            }
        }
        Ok(journal)
    }

    /// Drops the objects that the memory does not need, or that stand in pieces.
    pub fn forget_unneeded(&mut self, memory: &Memory) {
        self.fresh.retain(|(name, digest), _| {
            let goods = memory.apps.get(name).into_iter().flat_map(|app| app.goods());
            goods.filter(|good| good.digest == *digest).any(|good| good.pieces.first().is_none())
        });
    }

    /// Moves the objects into pieces that apps share, and notes in the memory where each app's stand.
    pub fn put_into_pieces(&mut self, memory: &mut Memory) -> Vec<Piece> {
        let (packed, made) = pack_together(std::mem::take(&mut self.fresh));
        for ((name, digest), pieces) in packed {
            if let Some(app) = memory.apps.get_mut(&name) {
                Arc::make_mut(app).place(&digest, &pieces);
            }
        }
        made
    }
}
