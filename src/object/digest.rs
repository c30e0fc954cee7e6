use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256, in lowercase hex. Decisions hang on digests of content, never on commit ids.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(Box<str>);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_hash(Sha256::digest(bytes).as_slice())
    }

    /// The digest of a JSON value in its canonical form: compact, keys sorted (`serde_json`'s map is a BTreeMap here).
    pub fn of_json(value: &serde_json::Value) -> Self {
        let mut hasher = Sha256::new();
        serde_json::to_writer(HashWriter(&mut hasher), value)
            .expect("writing a JSON value to a hasher cannot fail");
        Self::from_hash(hasher.finalize().as_slice())
    }

    /// The digest of a sequence of digests and the words between them.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self::from_hash(hasher.finalize().as_slice())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits: enough to tell digests apart on a screen.
    pub fn short(&self) -> &str {
        &self.0[..self.0.floor_char_boundary(12)]
    }

    /// A digest that someone else made, as the hex of its bytes.
    pub fn of_hex(hash: &[u8]) -> Self {
        Self::from_hash(hash)
    }

    fn from_hash(hash: &[u8]) -> Self {
        let mut hex = String::with_capacity(hash.len() * 2);
        for byte in hash {
            for digit in [byte >> 4, byte & 15] {
                hex.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        Self(hex.into())
    }
}

/// A SHA-256 as it is, for where there are many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl Hash {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Enough of it to look something up by a number.
    pub fn first_eight(self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }
}

/// Some hashes in their order, and the digest of them all, whatever their order.
#[derive(Clone, Debug, Default)]
pub struct Hashes {
    placed: Vec<Hash>,
    sorted: Vec<Hash>,
}

impl Hashes {
    pub fn replace(&mut self, at: usize, hash: Hash) -> Option<()> {
        let old = std::mem::replace(self.placed.get_mut(at)?, hash);
        if let Ok(place) = self.sorted.binary_search(&old) {
            self.sorted.remove(place);
        }
        let place = self.sorted.binary_search(&hash).unwrap_or_else(|place| place);
        self.sorted.insert(place, hash);
        Some(())
    }

    pub fn digest(&self) -> Digest {
        let mut hasher = Sha256::new();
        self.sorted.iter().for_each(|hash| hasher.update(hash.0));
        Digest::from_hash(hasher.finalize().as_slice())
    }
}

impl FromIterator<Hash> for Hashes {
    fn from_iter<I: IntoIterator<Item = Hash>>(hashes: I) -> Self {
        let placed: Vec<Hash> = hashes.into_iter().collect();
        let mut sorted = placed.clone();
        sorted.sort_unstable();
        Self { placed, sorted }
    }
}

impl From<&str> for Digest {
    /// Takes a digest that was written down before; it is compared, never trusted to be well formed.
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.update(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
