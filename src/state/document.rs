use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pack::Pieces;
use super::{AppMemory, Memory};
use crate::object::{AppName, EnvironmentName};

/// Written by this version. A newer one is not read, so that nothing of it is lost.
const VERSION: u32 = 1;

/// The one small document that names everything else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    version: u32,
    environment: EnvironmentName,
    apps: BTreeMap<AppName, AppMemory>,
    pub ledger: Pieces,
}

#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("it is not what Fairlead wrote: {0}")]
    Garbled(#[from] serde_json::Error),
    #[error("it was written by a newer Fairlead (version {0} of its form, and {VERSION} is known)")]
    Newer(u32),
    #[error("it is of the environment {0}")]
    Foreign(EnvironmentName),
}

impl Document {
    pub fn new(environment: &EnvironmentName, memory: &Memory, ledger: Pieces) -> Self {
        Self { version: VERSION, environment: environment.clone(), apps: memory.apps.clone(), ledger }
    }

    pub fn read(bytes: &[u8], environment: &EnvironmentName) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(bytes)?;
        if version > VERSION {
            return Err(Unreadable::Newer(version));
        }
        let document: Self = serde_json::from_slice(bytes)?;
        if document.environment != *environment {
            return Err(Unreadable::Foreign(document.environment));
        }
        Ok(document)
    }

    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("the document is JSON")
    }

    pub fn into_apps(self) -> BTreeMap<AppName, AppMemory> {
        self.apps
    }
}
