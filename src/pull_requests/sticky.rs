//! The fate of the one comment that is ours: found by its hidden marker *and* its author, made where there is none, edited
//! where it says something else.
//!
//! A forge may have done what it did not answer, and may show an old list. So where it is not known whether a comment was
//! made, by us or by the agent that was here before, none is made until [`SETTLE`] has passed and a list that was asked
//! for after that shows none. What is known by its number is asked for by its number, and only "there is no such comment"
//! makes it gone: an empty list says nothing. If there are several all the same, the oldest stays.

use jiff::{SignedDuration, Timestamp};

use crate::object::Digest;
use crate::review::Marker;

use super::body::{self, Content};
use super::record::CommentRecord;
use super::words::{Comment, CommentId};

/// How long a write that nobody answered may take to show in lists.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(30);
/// How often it is asked whether a comment is still there where nothing tells of it.
pub const LOOK: SignedDuration = SignedDuration::from_mins(10);

/// By what a comment of ours is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub author: String,
    pub cluster: Option<String>,
}

impl Own {
    fn is_ours(&self, comment: &Comment) -> bool {
        comment.author == self.author
            && Marker::find(&comment.body).is_some_and(|marker| marker.cluster == self.cluster)
    }
}

/// What is known of the comment.
#[derive(Clone, Debug)]
pub struct Sticky {
    known: Option<Known>,
    /// Ours too, and to be taken away.
    extra: Vec<CommentId>,
    /// Whether it has to be looked at.
    look: bool,
    looked: Timestamp,
    /// When the list was asked for that had none of ours.
    none: Option<Timestamp>,
    /// A list that was asked for before this does not prove that there is none.
    certain_from: Timestamp,
}

#[derive(Clone, Debug)]
struct Known {
    comment: Comment,
    /// What it says, and what names that; `None` where that cannot be read.
    said: Option<(Content, CommentRecord, Digest)>,
}

impl Known {
    fn new(comment: Comment) -> Self {
        let said = body::read(&comment.body).map(|(content, record)| {
            let digest = content.digest();
            (content, record, digest)
        });
        Self { comment, said }
    }
}

/// What is next for the comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommentStep {
    /// Read the list of comments.
    Find,
    /// Read this one.
    Look(CommentId),
    Make,
    Edit(CommentId),
    Remove(CommentId),
    Wait(Timestamp),
    Rest,
}

impl Sticky {
    /// Begins with nothing known. Nobody can have made a comment since `certain_from` less [`SETTLE`].
    pub fn new(certain_from: Timestamp, now: Timestamp) -> Self {
        Self { known: None, extra: Vec::new(), look: false, looked: now, none: None, certain_from }
    }

    /// Whether a list was read, so that it is known where things stand.
    pub fn is_found(&self) -> bool {
        self.known.is_some() || self.none.is_some()
    }

    /// What it says by what is known.
    pub fn content(&self) -> Option<(&Content, &CommentRecord)> {
        let said = self.known.as_ref().and_then(|known| known.said.as_ref());
        said.map(|(content, record, _)| (content, record))
    }

    pub fn next(&self, wanted: Option<&Digest>, now: Timestamp) -> CommentStep {
        let Some(known) = &self.known else {
            return match (wanted, self.none) {
                (None, _) => CommentStep::Rest,
                (_, Some(asked)) if asked >= self.certain_from => CommentStep::Make,
                (_, Some(_)) if now < self.certain_from => CommentStep::Wait(self.certain_from),
                _ => CommentStep::Find,
            };
        };
        if self.look {
            return CommentStep::Look(known.comment.id);
        }
        let since = now.duration_since(self.looked);
        match self.extra.first() {
            // Nothing is taken away because of what was seen a while ago.
            Some(_) if since >= SETTLE => return CommentStep::Look(known.comment.id),
            Some(extra) => return CommentStep::Remove(*extra),
            None if since >= LOOK => return CommentStep::Find,
            None => {}
        }
        match wanted {
            Some(wanted) if known.said.as_ref().is_none_or(|(.., said)| said != wanted) => {
                CommentStep::Edit(known.comment.id)
            }
            _ => CommentStep::Rest,
        }
    }

    /// When it is to be looked at by the clock alone.
    pub fn look_at(&self) -> Option<Timestamp> {
        self.known.as_ref().map(|_| self.looked + LOOK)
    }

    /// The forge has something new.
    pub fn doubt(&mut self) {
        self.look = true;
    }

    /// All comments, in a list that was asked for at that time.
    pub fn found(&mut self, asked: Timestamp, comments: Vec<Comment>, own: &Own) {
        let mut ours: Vec<Comment> = comments.into_iter().filter(|comment| own.is_ours(comment)).collect();
        // That a list does not have it says nothing of it, but that it is to be asked for by its number.
        let known = self.known.take().map(|known| known.comment);
        let unlisted = known.filter(|known| ours.iter().all(|comment| comment.id != known.id));
        self.look = unlisted.is_some();
        ours.extend(unlisted);
        ours.sort_by_key(|comment| comment.id);
        let mut ours = ours.into_iter();
        self.known = ours.next().map(Known::new);
        self.extra = ours.map(|comment| comment.id).collect();
        self.none = self.known.is_none().then_some(asked);
        self.looked = asked;
    }

    /// The comment of that number, which is gone where there is `None`.
    pub fn looked(&mut self, asked: Timestamp, comment: Option<Comment>) {
        (self.look, self.looked) = (false, asked);
        match comment {
            Some(comment) => self.known = Some(Known::new(comment)),
            None => self.gone(),
        }
    }

    pub fn made(&mut self, comment: Comment, now: Timestamp) {
        self.known = Some(Known::new(comment));
        self.none = None;
        (self.look, self.looked) = (false, now);
        // An old list, or an old "there is no such comment", is no reason to make another.
        self.certain_from = now + SETTLE;
    }

    /// It was tried to make one.
    pub fn perhaps_made(&mut self, now: Timestamp) {
        self.none = None;
        self.certain_from = self.certain_from.max(now + SETTLE);
    }

    /// One was not made.
    pub fn not_made(&mut self) {
        self.none = None;
    }

    pub fn edited(&mut self, body: String) {
        if let Some(known) = self.known.take() {
            self.known = Some(Known::new(Comment { body, ..known.comment }));
        }
    }

    pub fn gone(&mut self) {
        self.known = None;
        self.none = None;
        self.extra.clear();
    }

    pub fn removed(&mut self, id: CommentId) {
        self.extra.retain(|extra| *extra != id);
    }
}
