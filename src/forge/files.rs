//! A folder in place of a forge: a pull request is a small file, and what would be its comment is a file beside it.
//!
//! ```text
//! 7.yaml               written by people: which branch into which, and whether it is open
//! 7.comments.yaml      written by people: what they say of it, and who they say they are
//! 7.md                 written by us: the report
//! 7.reactions.json     written by us: how comments are answered, by their numbers
//! statuses/COMMIT.json written by us: what a commit is told, by environment
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Forge, Head, Listed, ListedState};
use crate::object::{Digest, Revision};
use crate::pull_requests::{Comment, CommentId, Failure, Number, Reaction, Status, StatusState};

/// A description is a few lines.
const MOST_BYTES: u64 = 64 << 10;
const AUTHOR: &str = "fairlead";
/// There is one comment of ours.
const COMMENT: CommentId = CommentId(1);

pub struct Files {
    folder: PathBuf,
}

/// What people write.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Description {
    /// For people.
    #[serde(default)]
    #[allow(dead_code, reason = "people read it")]
    title: Option<String>,
    /// The branch that is to be merged.
    head: String,
    /// The branch into which.
    base: String,
    #[serde(default)]
    state: Said,
    /// The commit of the base branch that has the change; where it is not said, the one that the branch is at.
    #[serde(default)]
    revision: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
    /// Whether it comes from somebody who may not write to the repository.
    #[serde(default)]
    fork: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Said {
    #[default]
    Open,
    Merged,
    Closed,
}

/// What a person says. Nobody vouches for their name: who may write to the folder may use any.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spoken {
    id: u64,
    by: String,
    text: String,
    /// When; when the file was written where it does not say.
    #[serde(default)]
    at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Told {
    state: String,
    description: String,
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Away(format!("{} cannot be {what}: {error}", path.display()))
}

impl Files {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn comment_file(&self, number: Number) -> PathBuf {
        self.folder.join(format!("{number}.md"))
    }

    fn spoken_file(&self, number: Number) -> PathBuf {
        self.folder.join(format!("{number}.comments.yaml"))
    }

    /// What people say of it. Their numbers begin behind that of the report.
    fn spoken(&self, number: Number) -> Result<Vec<Comment>, Failure> {
        let file = self.spoken_file(number);
        let facts = match fs::metadata(&file) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &file, &error)),
        };
        if facts.len() > MOST_BYTES {
            return Err(Failure::Refused(format!("{} is larger than {MOST_BYTES} bytes", file.display())));
        }
        let text = fs::read_to_string(&file).map_err(|error| failed("read", &file, &error))?;
        let all: Vec<Spoken> = serde_saphyr::from_str(&text)
            .map_err(|error| Failure::Refused(format!("{}: {error}", file.display())))?;
        let written = facts.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
        // Nobody speaks as us.
        let is_theirs = |spoken: &Spoken| spoken.id > COMMENT.0 && spoken.by != AUTHOR;
        let comment = |spoken: Spoken| Comment {
            id: CommentId(spoken.id),
            author: spoken.by,
            account: None,
            body: spoken.text,
            at: spoken.at.or(written).unwrap_or_else(Timestamp::now),
            edited: false,
        };
        Ok(all.into_iter().filter(is_theirs).map(comment).collect())
    }

    fn sign(&self, number: Number, comment: CommentId, reaction: Reaction) -> Result<(), Failure> {
        let file = self.folder.join(format!("{number}.reactions.json"));
        let mut all: BTreeMap<u64, String> =
            fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let sign = match reaction {
            Reaction::Taken => "taken",
            Reaction::Refused => "refused",
        };
        all.insert(comment.0, sign.to_owned());
        let text = serde_json::to_string_pretty(&all).map_err(|error| Failure::Refused(error.to_string()))?;
        self.write(&file, &format!("{text}\n"))
    }

    /// The file that describes a pull request, in YAML or JSON.
    fn describing(&self, number: Number) -> Option<PathBuf> {
        let names = ["yaml", "yml", "json"].map(|end| self.folder.join(format!("{number}.{end}")));
        names.into_iter().find(|file| file.is_file())
    }

    fn read(&self, number: Number, file: &Path) -> Result<Listed, Failure> {
        let facts = fs::metadata(file).map_err(|error| failed("read", file, &error))?;
        if facts.len() > MOST_BYTES {
            return Err(Failure::Refused(format!("{} is larger than {MOST_BYTES} bytes", file.display())));
        }
        let text = fs::read_to_string(file).map_err(|error| failed("read", file, &error))?;
        let bad = |why: String| Failure::Refused(format!("{}: {why}", file.display()));
        let said: Description = serde_saphyr::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let changed = facts.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
        let state = match said.state {
            Said::Open => ListedState::Open,
            Said::Closed => ListedState::Closed,
            Said::Merged => {
                let is_commit =
                    |id: &String| matches!(id.len(), 40 | 64) && id.bytes().all(|b| b.is_ascii_hexdigit());
                if said.revision.as_ref().is_some_and(|id| !is_commit(id)) {
                    return Err(bad("revision is not the whole id of a commit".to_owned()));
                }
                let at = changed.unwrap_or_else(Timestamp::now);
                ListedState::Merged { revision: said.revision.map(Revision::new), at }
            }
        };
        let report = fs::metadata(self.comment_file(number)).ok().map(|facts| facts.len());
        let spoken =
            fs::metadata(self.spoken_file(number)).ok().map(|facts| (facts.len(), facts.modified().ok()));
        let stamp = Digest::of_parts([&*text, &*format!("{report:?} {spoken:?}")]).as_str().to_owned();
        Ok(Listed {
            number,
            head: Head::Branch(said.head),
            base: said.base,
            state,
            stamp,
            labels: said.labels,
            is_fork: said.fork,
        })
    }

    fn find(&self, number: Number) -> Result<Listed, Failure> {
        let file = self.describing(number);
        let missing = || Failure::Refused(format!("{} has no {number}.yaml", self.folder.display()));
        self.read(number, &file.ok_or_else(missing)?)
    }

    fn list(&self) -> Result<Vec<Listed>, Failure> {
        let entries = fs::read_dir(&self.folder).map_err(|error| failed("read", &self.folder, &error))?;
        let mut all = BTreeMap::new();
        for entry in entries {
            let path = entry.map_err(|error| failed("read", &self.folder, &error))?.path();
            let is_description = path
                .extension()
                .and_then(|end| end.to_str())
                .is_some_and(|end| matches!(end, "yaml" | "yml" | "json"));
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let Some(number) = number.filter(|_| is_description).map(Number) else { continue };
            match self.read(number, &path) {
                Ok(listed) => drop(all.insert(number, listed)),
                // One that is wrong harms only itself.
                Err(error) => tracing::warn!(%error, "a pull request is left alone"),
            }
        }
        Ok(all.into_values().collect())
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), Failure> {
        let fail = |error: io::Error| failed("written", path, &error);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(fail)?;
        // Whoever reads it meanwhile reads the old one or the new one.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(fail)?;
        file.write_all(text.as_bytes()).map_err(fail)?;
        file.as_file().sync_all().map_err(fail)?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(readable).map_err(fail)?;
        file.persist(path).map(drop).map_err(|error| fail(error.error))
    }

    fn comment_of(&self, number: Number) -> Result<Option<Comment>, Failure> {
        let file = self.comment_file(number);
        match fs::read_to_string(&file) {
            Ok(body) => {
                Ok(Some(Comment { id: COMMENT, author: AUTHOR.to_owned(), body, ..Comment::default() }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A folder that is not there says nothing of what is in it.
                self.find(number).map(|_| None)
            }
            Err(error) => Err(failed("read", &file, &error)),
        }
    }

    fn tell_commit(&self, revision: &Revision, status: &Status) -> Result<(), Failure> {
        let file = self.folder.join("statuses").join(format!("{revision}.json"));
        let mut all: BTreeMap<String, Told> =
            fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let state = match status.state {
            StatusState::Pending => "pending",
            StatusState::Success => "success",
            StatusState::Failure => "failure",
            StatusState::Error => "error",
        };
        let told = Told { state: state.to_owned(), description: status.description.clone() };
        all.insert(status.context.clone(), told);
        let text = serde_json::to_string_pretty(&all).map_err(|error| Failure::Refused(error.to_string()))?;
        self.write(&file, &format!("{text}\n"))
    }
}

// A folder answers at once; nothing of this waits.
impl Forge for Files {
    fn author(&self) -> BoxFuture<'_, Result<String, Failure>> {
        Box::pin(async { Ok(AUTHOR.to_owned()) })
    }

    fn pulls(&self) -> BoxFuture<'_, Result<Vec<Listed>, Failure>> {
        Box::pin(async { self.list() })
    }

    fn pull(&self, number: Number) -> BoxFuture<'_, Result<Listed, Failure>> {
        Box::pin(async move { self.find(number) })
    }

    fn comments(&self, number: Number) -> BoxFuture<'_, Result<Vec<Comment>, Failure>> {
        Box::pin(
            async move { Ok(self.comment_of(number)?.into_iter().chain(self.spoken(number)?).collect()) },
        )
    }

    fn comment(&self, number: Number, id: CommentId) -> BoxFuture<'_, Result<Option<Comment>, Failure>> {
        Box::pin(async move { Ok(self.comment_of(number)?.filter(|comment| comment.id == id)) })
    }

    fn make<'a>(&'a self, number: Number, body: &'a str) -> BoxFuture<'a, Result<CommentId, Failure>> {
        Box::pin(async move { self.write(&self.comment_file(number), body).map(|()| COMMENT) })
    }

    fn edit<'a>(
        &'a self,
        number: Number,
        _: CommentId,
        body: &'a str,
    ) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            if self.comment_of(number)?.is_none() {
                return Ok(false);
            }
            self.write(&self.comment_file(number), body).map(|()| true)
        })
    }

    fn remove(&self, number: Number, _: CommentId) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let file = self.comment_file(number);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(failed("removed", &file, &error))
                }
                _ => Ok(()),
            }
        })
    }

    fn tell<'a>(&'a self, revision: &'a Revision, status: &'a Status) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move { self.tell_commit(revision, status) })
    }

    fn may_write<'a>(
        &'a self,
        number: Number,
        _: &'a str,
        _: Option<u64>,
    ) -> BoxFuture<'a, Result<bool, Failure>> {
        // Who wrote the comment wrote to the folder.
        Box::pin(async move { self.find(number).map(|_| true) })
    }

    fn react(
        &self,
        number: Number,
        comment: CommentId,
        reaction: Reaction,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move { self.sign(number, comment, reaction) })
    }
}
