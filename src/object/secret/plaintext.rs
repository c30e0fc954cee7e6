//! A secret's value in memory.

use zeroize::Zeroizing;

/// A value that must not be seen. It has no `Debug`, `Display`, `Serialize`, `PartialEq` or `Clone`, so that it cannot get
/// into a log line, an error, a test's message or a second place by accident; it is wiped when it is dropped.
pub struct Plaintext {
    bytes: Zeroizing<Box<[u8]>>,
}

impl Plaintext {
    pub fn new(bytes: Vec<u8>) -> Self {
        // `into_boxed_slice` may move the bytes and leave the old ones behind: they are copied into a box of their size
        // here, and the vector is wiped.
        let bytes = Zeroizing::new(bytes);
        Self { bytes: Zeroizing::new(Box::from(bytes.as_slice())) }
    }

    /// Shows the bytes. Whoever asks holds a secret, and takes care that it goes nowhere but into the Secret's own request.
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// Shows the value as text, where it is any.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}
