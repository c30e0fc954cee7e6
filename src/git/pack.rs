//! What is in a pack, before it is taken apart.
//!
//! A delta says how large what it stands for is, and libgit2 takes that much memory at its word: a kilobyte of a pack can
//! stand for gigabytes. So each object's own words are read first, without inflating more of it than a buffer at a time.
//! <https://git-scm.com/docs/gitformat-pack>

use std::io::{self, BufRead};

use flate2::{Decompress, FlushDecompress, Status};

/// The largest object that is taken. GitHub takes no larger file; while a delta is resolved, two of them are in memory.
pub(super) const OBJECT_BYTES: u64 = 100 << 20;

/// Of a delta's content, its two sizes: ten bytes each at most.
const SIZES: usize = 20;
const BUFFER: usize = 32 << 10;
const COMMIT: u8 = 1;
const TAG: u8 = 4;
const OFS_DELTA: u8 = 6;
const REF_DELTA: u8 = 7;

#[derive(Debug, thiserror::Error)]
pub(super) enum BadPack {
    #[error("it sends an object of {size} bytes, and the limit is {OBJECT_BYTES}")]
    TooLarge { size: u64 },
    #[error("it sends a pack that is none")]
    Malformed,
    #[error("the pack cannot be read")]
    Unreadable(#[from] io::Error),
    /// The caller wants no more of it.
    #[error("it was given up")]
    Stopped,
}

/// Looks at each object of a pack, and gives how many there are. `go_on` is asked between them.
pub(super) fn look(pack: &mut impl BufRead, mut go_on: impl FnMut() -> bool) -> Result<u32, BadPack> {
    let mut header = [0; 12];
    pack.read_exact(&mut header)?;
    let [b'P', b'A', b'C', b'K', _, _, _, 2 | 3, count @ ..] = header else {
        return Err(BadPack::Malformed);
    };
    let count = u32::from_be_bytes(count);
    let mut scratch = vec![0; BUFFER];
    let mut inflate = Decompress::new(true);
    for _ in 0..count {
        if !go_on() {
            return Err(BadPack::Stopped);
        }
        object(pack, &mut inflate, &mut scratch)?;
    }
    Ok(count)
}

fn object(pack: &mut impl BufRead, inflate: &mut Decompress, scratch: &mut [u8]) -> Result<(), BadPack> {
    let first = byte(pack)?;
    let kind = first >> 4 & 7;
    let rest = if first & 0x80 == 0 { 0 } else { number(|| byte(pack))? };
    let size = rest.checked_mul(16).ok_or(BadPack::Malformed)? | u64::from(first & 15);
    fits(size)?;
    match kind {
        COMMIT..=TAG => {}
        OFS_DELTA => while byte(pack)? & 0x80 != 0 {},
        REF_DELTA => pack.read_exact(&mut [0; 20])?,
        _ => return Err(BadPack::Malformed),
    }
    inflate.reset(true);
    let mut start = Vec::with_capacity(SIZES);
    loop {
        let (used, made) = (inflate.total_in(), inflate.total_out());
        let input = pack.fill_buf()?;
        let is_over = input.is_empty();
        let status = inflate.decompress(input, scratch, FlushDecompress::None);
        let status = status.map_err(|_| BadPack::Malformed)?;
        let (used, made) = (inflate.total_in() - used, inflate.total_out() - made);
        let new = usize::try_from(made).ok().and_then(|made| scratch.get(..made)).unwrap_or_default();
        start.extend(new.iter().take(SIZES - start.len()));
        pack.consume(usize::try_from(used).map_err(|_| BadPack::Malformed)?);
        if inflate.total_out() > size {
            return Err(BadPack::Malformed);
        }
        match status {
            Status::StreamEnd => break,
            _ if is_over || used == 0 && made == 0 => return Err(BadPack::Malformed),
            _ => {}
        }
    }
    if inflate.total_out() != size {
        return Err(BadPack::Malformed);
    }
    if matches!(kind, OFS_DELTA | REF_DELTA) {
        let mut sizes = start.iter().copied();
        for _ in 0..2 {
            // That of what it builds on, and that of what it stands for.
            fits(number(|| sizes.next().ok_or(BadPack::Malformed))?)?;
        }
    }
    Ok(())
}

fn fits(size: u64) -> Result<(), BadPack> {
    if size > OBJECT_BYTES { Err(BadPack::TooLarge { size }) } else { Ok(()) }
}

fn byte(pack: &mut impl BufRead) -> Result<u8, BadPack> {
    let mut byte = [0];
    pack.read_exact(&mut byte)?;
    let [byte] = byte;
    Ok(byte)
}

/// A number in pieces of seven bits, the lowest first.
fn number(mut next: impl FnMut() -> Result<u8, BadPack>) -> Result<u64, BadPack> {
    let (mut number, mut shift) = (0_u64, 0);
    loop {
        let byte = next()?;
        let bits = u64::from(byte & 0x7f);
        if shift > 56 || bits << shift >> shift != bits {
            return Err(BadPack::Malformed);
        }
        number |= bits << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
}

#[cfg(test)]
mod tests;
