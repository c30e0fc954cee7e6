use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::journal::Journal;
use super::pack::{Damage, Pieces};
use super::{AppMemory, Followed};
use crate::object::{AppName, Digest, EnvironmentName};
use crate::plan::Budgets;

/// Written by this version. A newer one is not read, so that nothing of it is lost.
const VERSION: u32 = 2;
/// The version that had all apps in the document itself. It is read, and replaced by what is saved next.
const APPS_INSIDE: u32 = 1;

/// The two fields of the Secret that is swapped as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    pub document: Vec<u8>,
    pub journal: Vec<u8>,
}

impl Contents {
    /// Returns the bytes of both.
    pub fn size(&self) -> usize {
        self.document.len() + self.journal.len()
    }
}

/// The lists that together say what is remembered; later ones override earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Lists {
    /// What is remembered of each app,
    pub apps: Pieces,
    /// and the uid of each object.
    pub ledger: Pieces,
    /// Former journals: what changed since, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Pieces>,
}

impl Lists {
    pub fn all(&self) -> impl Iterator<Item = &Pieces> {
        [&self.apps, &self.ledger].into_iter().chain(&self.runs)
    }
}

/// Whose memory it is, and what of it is short enough to stand here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub environment: EnvironmentName,
    /// Of the Environment. One that is made anew under its name is another; older versions did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgets: Option<Budgets>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed: Option<Followed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Value>,
}

/// The small document that names everything else.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub(super) head: Head,
    pub(super) lists: Lists,
    pub(super) journal: Journal,
    /// The apps, which the first version had inside.
    pub(super) apps: Option<BTreeMap<AppName, AppMemory>>,
}

#[derive(Serialize, Deserialize)]
struct Form {
    version: u32,
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    lists: Lists,
    journal: Pieces,
}

#[derive(Deserialize)]
struct FirstForm {
    environment: EnvironmentName,
    apps: BTreeMap<AppName, AppMemory>,
    ledger: Pieces,
}

#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("it is not what Fairlead wrote: {0}")]
    Garbled(#[from] serde_json::Error),
    #[error("its journal is not what Fairlead wrote: {0}")]
    Journal(#[source] Damage),
    #[error("it was written by a newer Fairlead (version {0} of its form, and {VERSION} is known)")]
    Newer(u32),
    #[error("it is of the environment {0}")]
    Foreign(EnvironmentName),
}

impl Document {
    pub fn read(contents: &Contents, environment: &EnvironmentName) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(&contents.document)?;
        let document = match version {
            APPS_INSIDE => {
                let FirstForm { environment, apps, ledger } = serde_json::from_slice(&contents.document)?;
                let lists = Lists { ledger, ..Lists::default() };
                let (budgets, drift, followed, region) = Default::default();
                let head = Head { environment, uid: None, budgets, drift, followed, region };
                Self { head, lists, journal: Journal::default(), apps: Some(apps) }
            }
            VERSION => {
                let form: Form = serde_json::from_slice(&contents.document)?;
                let journal = Journal::read(&form.journal, contents.journal.clone());
                let journal = journal.map_err(Unreadable::Journal)?;
                Self { head: form.head, lists: form.lists, journal, apps: None }
            }
            newer => return Err(Unreadable::Newer(newer)),
        };
        match document.head.environment == *environment {
            true => Ok(document),
            false => Err(Unreadable::Foreign(document.head.environment)),
        }
    }

    /// Returns the uid of the Environment whose memory it is; older versions did not write it down.
    pub fn uid(&self) -> Option<&str> {
        self.head.uid.as_deref()
    }

    /// Lists the pieces that have to be read to know what is remembered.
    pub fn needs(&self) -> BTreeSet<&Digest> {
        self.lists.all().flat_map(Pieces::names).collect()
    }
}

/// Writes the document and its journal.
pub(super) fn write(head: Head, lists: &Lists, journal: &Journal) -> Contents {
    let (pieces, piece) = journal.write();
    let form = Form { version: VERSION, head, lists: lists.clone(), journal: pieces };
    let document = serde_json::to_vec(&form).expect("the document is JSON");
    Contents { document, journal: piece.bytes }
}
