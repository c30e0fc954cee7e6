//! Whose signatures are taken, and whether one of them made a signature.
//!
//! `git verify-commit` is the model, and in the tests the judge: what it refuses is refused here. A key that was revoked, or
//! that ran out, vouches for nothing any more, even for what it signed before.

mod openpgp;
mod signed;
mod ssh;

use std::fmt;

use jiff::Timestamp;

pub use signed::SignedBy;

/// The keys whose signatures are taken.
#[derive(Clone, Debug, Default)]
pub struct Signers {
    ssh: Vec<ssh::Allowed>,
    openpgp: Vec<openpgp::Key>,
}

/// The key that made a signature, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Its fingerprint.
    pub key: String,
    /// Whose it is, as the list of signers has it.
    pub name: String,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key, self.name)
    }
}

/// The beginning of each kind of text that is read here.
const PUBLIC_KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const PGP_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const SSH_SIGNATURE: &str = "-----BEGIN SSH SIGNATURE-----";

impl Signers {
    /// Adds what a text lists: OpenPGP public keys in armor, or lines as the file `allowed_signers` of ssh-keygen has them.
    /// Says in which line it cannot be read.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        if text.contains(PUBLIC_KEY) {
            self.openpgp.extend(openpgp::read(text)?);
        } else {
            self.ssh.extend(ssh::read(text)?);
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.ssh.is_empty() && self.openpgp.is_empty()
    }

    /// Says whose a signature is, or why it is nobody's. `made` is when the commit says that it was made, which those keys
    /// are held to that are listed for a time only.
    pub(super) fn judge(
        &self,
        signature: &str,
        payload: &[u8],
        made: Timestamp,
        now: Timestamp,
    ) -> Result<Signer, String> {
        let signature = signature.trim_start();
        if signature.starts_with(SSH_SIGNATURE) {
            ssh::judge(&self.ssh, signature, payload, made)
        } else if signature.starts_with(PGP_SIGNATURE) {
            openpgp::judge(&self.openpgp, signature, payload, now)
        } else {
            Err("its signature is neither an SSH nor an OpenPGP signature".to_owned())
        }
    }
}
