//! What of a commit is signed: the commit itself, or a tag that points at it.

use std::time::Instant;

use git2::{Oid, Repository};
use jiff::Timestamp;

use super::super::{GitError, Mirror};
use super::{PGP_SIGNATURE, SSH_SIGNATURE, Signer, Signers};
use crate::object::Revision;

/// Tags that point at one commit, at most: anyone who may push can make more, and each is fetched and judged.
const TAGS: usize = 32;

/// What has to be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignedBy {
    /// The commit.
    #[default]
    Commit,
    /// An annotated tag that points at it.
    Tag,
}

/// A signature, and what it is over.
struct Signed {
    signature: String,
    payload: Vec<u8>,
    made: Timestamp,
}

impl Mirror {
    /// Says who signed a revision that was fetched. Blocks: tags are asked for at the remote, until `deadline` at most.
    pub fn signer(
        &self,
        revision: &Revision,
        by: SignedBy,
        signers: &Signers,
        deadline: Instant,
    ) -> Result<Signer, GitError> {
        let signed = match by {
            SignedBy::Commit => self.find(revision, |objects| {
                let id = Oid::from_str(revision.as_str()).ok()?;
                objects.with(|repo| commit(repo, id)).ok()
            })?,
            SignedBy::Tag => {
                let found =
                    self.read_tags(revision, TAGS, deadline, |repo, tag| tag_of(repo, tag, revision))?;
                found.into_iter().flatten().collect()
            }
        };
        let nothing = match by {
            SignedBy::Commit => "it is not signed",
            SignedBy::Tag => "no signed tag points at it",
        };
        let mut why = nothing.to_owned();
        for Signed { signature, payload, made } in signed {
            match signers.judge(&signature, &payload, made, Timestamp::now()) {
                Ok(signer) => return Ok(signer),
                Err(because) => why = because,
            }
        }
        let (remote, revision) = (self.remote().url().to_string(), revision.clone());
        Err(GitError::NotSigned { remote, revision, why })
    }
}

/// The signature of a commit, if it has one.
fn commit(repo: &Repository, id: Oid) -> Result<Vec<Signed>, git2::Error> {
    let made = repo.find_commit(id)?.committer().when().seconds();
    let (signature, payload) = match repo.extract_signature(&id, None) {
        Ok(found) => found,
        Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(vec![Signed {
        signature: String::from_utf8_lossy(&signature).into_owned(),
        payload: payload.to_vec(),
        made: Timestamp::from_second(made).unwrap_or_default(),
    }])
}

/// The signature of a tag, if it points at the commit and has one.
fn tag_of(repo: &Repository, tag: Oid, commit: &Revision) -> Result<Option<Signed>, git2::Error> {
    let object = repo.find_tag(tag)?;
    if object.target_id().to_string() != commit.as_str() {
        return Ok(None);
    }
    let made = object.tagger().map_or(0, |tagger| tagger.when().seconds());
    let raw = repo.odb()?.read(tag)?.data().to_vec();
    // Git takes the last signature of a tag's message, and all before it as what is signed.
    let begins = |mark: &str| {
        let mark = mark.as_bytes();
        raw.windows(mark.len()).enumerate().rev().find_map(|(at, window)| {
            let starts_line = at.checked_sub(1).is_some_and(|before| raw.get(before) == Some(&b'\n'));
            (window == mark && starts_line).then_some(at)
        })
    };
    let Some(at) = [SSH_SIGNATURE, PGP_SIGNATURE].into_iter().filter_map(begins).max() else {
        return Ok(None);
    };
    let (payload, signature) = raw.split_at(at);
    Ok(Some(Signed {
        signature: String::from_utf8_lossy(signature).into_owned(),
        payload: payload.to_vec(),
        made: Timestamp::from_second(made).unwrap_or_default(),
    }))
}
