//! Long lists as pieces of at most [`PIECE_LIMIT`] bytes, named by what they hold.
//!
//! A list is cut where the digest of a line's name says so, and not after so many lines: so one line more or less changes
//! the piece that it is in, and no other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::object::Digest;

/// A Secret holds 1 MiB, and a request to the API server may be 1.5 MB: this leaves room for both.
pub const PIECE_LIMIT: usize = 512 * 1024;
/// Lists are cut after this much at the earliest,
const CUT_FROM: usize = 256 * 1024;
/// and after this much at the latest, but for a single line that is longer.
const CUT_AT: usize = 2 * 1024 * 1024;
/// Between the two, after one line of so many.
const CUT_ONE_OF: u8 = 16;
/// Lists of several owners that stand together have this much at most, uncompressed: reading one of them reads them all.
const TOGETHER_AT: usize = 512 * 1024;
/// Of zstd: the default, a good deal faster than the API server takes the result.
const LEVEL: i32 = 3;

/// One piece, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    pub name: Digest,
    pub bytes: Vec<u8>,
}

/// Where a list stands: the names of its pieces, in order, and how long all that they hold is. A list without names stands
/// in the journal still.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pieces {
    bytes: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<Digest>,
    /// Where it begins in them and how long it is, where they hold lists of others too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<(usize, usize)>,
}

impl Pieces {
    /// Stands for a list of so many bytes that is in no piece yet.
    pub(super) fn none_yet(bytes: usize) -> Self {
        Self { bytes, names: Vec::new(), part: None }
    }

    pub fn names(&self) -> impl Iterator<Item = &Digest> {
        self.names.iter()
    }

    pub fn first(&self) -> Option<&Digest> {
        self.names.first()
    }

    /// Returns the length of all that the pieces hold.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns where in its pieces it begins and how long it is, if they hold lists of others too.
    pub fn part(&self) -> Option<(usize, usize)> {
        self.part
    }

    /// Takes the list out of all that its pieces hold.
    pub fn part_of<'a>(&self, all: &'a [u8]) -> Result<&'a [u8], Damage> {
        let Some((from, length)) = self.part else { return Ok(all) };
        let part = from.checked_add(length).and_then(|to| all.get(from..to));
        part.ok_or_else(|| Damage::Unreadable(format!("{length} bytes at {from} of {} are meant", all.len())))
    }
}

/// Why what was stored is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("the piece {0} is missing")]
    Missing(Digest),
    #[error("the piece {0} does not hold what its name says")]
    Altered(Digest),
    #[error("the pieces do not make a whole: {0}")]
    Unreadable(String),
}

impl Piece {
    fn new(bytes: Vec<u8>) -> Self {
        Self { name: Digest::of(&bytes), bytes }
    }

    /// Takes what was stored under a name, if it is that.
    pub fn check(name: &Digest, bytes: Vec<u8>) -> Result<Self, Damage> {
        let piece = Self::new(bytes);
        if piece.name == *name { Ok(piece) } else { Err(Damage::Altered(name.clone())) }
    }
}

/// Packs lines, each with the name that says where a cut may be. The lines come in an order that does not change.
pub(super) fn pack(lines: impl Iterator<Item = (Digest, Vec<u8>)>) -> (Pieces, Vec<Piece>) {
    let mut packer = Packer::default();
    for (name, line) in lines {
        packer.open.extend_from_slice(&line);
        packer.open.push(b'\n');
        let may_cut = name.as_str().bytes().rev().take(2).all(|byte| byte % CUT_ONE_OF.isqrt() == 0);
        if packer.open.len() >= CUT_AT || (packer.open.len() >= CUT_FROM && may_cut) {
            packer.cut();
        }
    }
    packer.cut();
    (packer.pieces, packer.made)
}

#[derive(Default)]
struct Packer {
    open: Vec<u8>,
    pieces: Pieces,
    made: Vec<Piece>,
}

impl Packer {
    fn cut(&mut self) {
        if self.open.is_empty() {
            return;
        }
        self.pieces.bytes += self.open.len();
        let frame = compress(&self.open);
        self.open.clear();
        for part in frame.chunks(PIECE_LIMIT) {
            let piece = Piece::new(part.to_vec());
            self.pieces.names.push(piece.name.clone());
            self.made.push(piece);
        }
    }
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, LEVEL).expect("compressing in memory cannot fail")
}

/// Packs all of it as one, however long it is.
pub(super) fn pack_whole(bytes: &[u8]) -> (Pieces, Piece) {
    let piece = Piece::new(compress(bytes));
    (Pieces { bytes: bytes.len(), names: vec![piece.name.clone()], part: None }, piece)
}

/// Packs short lists of several owners together, each of which knows its part.
pub(super) fn pack_together<O>(
    lists: impl IntoIterator<Item = (O, Arc<[u8]>)>,
) -> (Vec<(O, Pieces)>, Vec<Piece>) {
    let (mut packed, mut made) = (Vec::new(), Vec::new());
    let (mut open, mut parts) = (Vec::new(), Vec::new());
    let mut cut = |open: &mut Vec<u8>, parts: &mut Vec<(O, (usize, usize))>| {
        let mut packer = Packer { open: std::mem::take(open), ..Packer::default() };
        packer.cut();
        let pieces = packer.pieces;
        packed.extend(
            parts.drain(..).map(|(owner, part)| (owner, Pieces { part: Some(part), ..pieces.clone() })),
        );
        made.extend(packer.made);
    };
    for (owner, list) in lists {
        if !open.is_empty() && open.len() + list.len() > TOGETHER_AT {
            cut(&mut open, &mut parts);
        }
        parts.push((owner, (open.len(), list.len())));
        open.extend_from_slice(&list);
    }
    cut(&mut open, &mut parts);
    (packed, made)
}

/// Gives all that the pieces hold again, in their order.
pub fn unpack(pieces: &Pieces, stored: &[Piece]) -> Result<Vec<u8>, Damage> {
    if pieces.names.is_empty() && pieces.bytes == 0 {
        return Ok(Vec::new());
    }
    if let Some(missing) = pieces.names.iter().zip(stored).find(|(name, piece)| **name != piece.name) {
        return Err(Damage::Altered(missing.0.clone()));
    }
    if let Some(missing) = pieces.names.get(stored.len()) {
        return Err(Damage::Missing(missing.clone()));
    }
    let unreadable = |error: std::io::Error| Damage::Unreadable(error.to_string());
    let all: Vec<u8> = stored.iter().flat_map(|piece| &piece.bytes).copied().collect();
    let mut decoder = zstd::Decoder::new(all.as_slice()).map_err(unreadable)?;
    let mut lines = Vec::new();
    // As much as was written and a byte more: what is longer is not what was written.
    let limit = u64::try_from(pieces.bytes).unwrap_or(u64::MAX).saturating_add(1);
    std::io::Read::read_to_end(&mut std::io::Read::take(&mut decoder, limit), &mut lines)
        .map_err(unreadable)?;
    if lines.len() != pieces.bytes {
        let found = lines.len().min(pieces.bytes + 1);
        return Err(Damage::Unreadable(format!(
            "{} bytes were written, and {found} are there",
            pieces.bytes
        )));
    }
    Ok(lines)
}
