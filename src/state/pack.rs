//! Long lists as pieces of at most [`PIECE_LIMIT`] bytes, named by what they hold.
//!
//! A list is cut where the digest of a line's name says so, and not after so many lines: so one line more or less changes
//! the piece that it is in, and no other.

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
/// Of zstd: the default, a good deal faster than the API server takes the result.
const LEVEL: i32 = 3;

/// One piece, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    pub name: Digest,
    pub bytes: Vec<u8>,
}

/// The pieces of a list, in order, and how long it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pieces {
    bytes: usize,
    names: Vec<Digest>,
}

impl Pieces {
    pub fn names(&self) -> impl Iterator<Item = &Digest> {
        self.names.iter()
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
        let frame = zstd::bulk::compress(&self.open, LEVEL).expect("compressing in memory cannot fail");
        self.open.clear();
        for part in frame.chunks(PIECE_LIMIT) {
            let piece = Piece::new(part.to_vec());
            self.pieces.names.push(piece.name.clone());
            self.made.push(piece);
        }
    }
}

/// The lines again, from the pieces in their order.
pub fn unpack(pieces: &Pieces, stored: &[Piece]) -> Result<Vec<u8>, Damage> {
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
