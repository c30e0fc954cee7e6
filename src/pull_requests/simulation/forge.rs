//! A forge that remembers all that it ever was, so that it can show how it was a while ago.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::object::Revision;
use crate::pull_requests::{Comment, CommentId, Number, PullRequest, Reaction, State, Status};
use crate::review::Marker;

pub const ME: &str = "fairlead[bot]";

#[derive(Default)]
pub struct Forge {
    comments: Vec<(Timestamp, Number, CommentId, Option<Comment>)>,
    pulls: Vec<(Timestamp, PullRequest)>,
    pub statuses: BTreeMap<(Revision, String), Status>,
    last: u64,
    /// How comments were answered; and what was asked of the cluster for them.
    pub reactions: BTreeMap<CommentId, Reaction>,
    pub requests: BTreeMap<CommentId, Number>,
    /// Comments that agents made, and not a person with their account.
    made_by_agent: Vec<CommentId>,
}

impl Forge {
    /// How the comments of a pull request were then.
    pub fn comments(&self, number: Number, at: Timestamp) -> Vec<Comment> {
        let mut all = BTreeMap::new();
        for (when, of, id, comment) in &self.comments {
            if *of == number && *when <= at {
                all.insert(*id, comment.clone());
            }
        }
        all.into_values().flatten().collect()
    }

    pub fn pulls(&self, at: Timestamp) -> Vec<PullRequest> {
        let mut all = BTreeMap::new();
        for (_, pull) in self.pulls.iter().filter(|(when, _)| *when <= at) {
            all.insert(pull.number, pull.clone());
        }
        let lately = |pull: &PullRequest| match pull.state {
            State::Merged { at: merged, .. } => at.duration_since(merged) < SignedDuration::from_hours(24),
            State::Open => true,
            State::Closed => false,
        };
        all.into_values().filter(lately).collect()
    }

    pub fn pull(&self, number: Number, at: Timestamp) -> Option<PullRequest> {
        let mut all = self.pulls.iter().filter(|(when, pull)| *when <= at && pull.number == number);
        all.next_back().map(|(_, pull)| pull.clone())
    }

    pub fn set(&mut self, pull: PullRequest, now: Timestamp) {
        self.pulls.push((now, PullRequest { stamp: now.to_string(), ..pull }));
    }

    fn touch(&mut self, number: Number, now: Timestamp) {
        if let Some(pull) = self.pull(number, now) {
            self.set(pull, now);
        }
    }

    fn put(&mut self, number: Number, id: CommentId, comment: Option<Comment>, now: Timestamp) {
        self.comments.push((now, number, id, comment));
        self.touch(number, now);
    }

    /// Somebody writes a comment.
    pub fn write(&mut self, number: Number, author: &str, body: String, now: Timestamp) -> CommentId {
        self.last += 1;
        let id = CommentId(self.last);
        self.put(
            number,
            id,
            Some(Comment { id, author: author.to_owned(), body, at: now, ..Comment::default() }),
            now,
        );
        id
    }

    pub fn delete(&mut self, number: Number, id: CommentId, now: Timestamp) {
        self.put(number, id, None, now);
    }

    /// The agent makes one.
    pub fn make(&mut self, number: Number, body: String, now: Timestamp) -> CommentId {
        let id = self.write(number, ME, body, now);
        self.made_by_agent.push(id);
        let there = self.comments(number, now);
        let ours: Vec<_> = there.iter().filter(|comment| self.made_by_agent.contains(&comment.id)).collect();
        assert!(ours.len() <= 1, "a second comment on {number}: {ours:?}");
        id
    }

    /// Somebody edits one.
    pub fn edit_theirs(&mut self, number: Number, comment: Comment, now: Timestamp) {
        self.put(number, comment.id, Some(Comment { edited: true, ..comment }), now);
    }

    /// A comment is answered by a sign, and that of what was asked of the cluster stays.
    pub fn react(&mut self, comment: CommentId, reaction: Reaction) {
        let is_asked = self.requests.contains_key(&comment);
        assert!(!is_asked || reaction == Reaction::Taken, "{comment:?} was asked for, and is refused");
        self.reactions.insert(comment, reaction);
    }

    /// The agent edits one. Whether it was there.
    pub fn edit(&mut self, number: Number, id: CommentId, body: String, now: Timestamp) -> bool {
        let there = self.comments(number, now).into_iter().find(|comment| comment.id == id);
        let Some(comment) = there else { return false };
        assert_eq!(comment.author, ME, "a comment of somebody else was edited");
        self.put(number, id, Some(Comment { body, ..comment }), now);
        true
    }

    /// The agent takes one away. Whether it was there.
    pub fn remove(&mut self, number: Number, id: CommentId, now: Timestamp) -> bool {
        let there = self.comments(number, now);
        let Some(comment) = there.iter().find(|comment| comment.id == id) else { return false };
        assert_eq!(comment.author, ME, "a comment of somebody else was taken away");
        let is_ours = |comment: &&Comment| comment.author == ME && Marker::find(&comment.body).is_some();
        // A person may have deleted the older one since it was seen.
        let older = (0..4).any(|n| {
            let before = self.comments(number, now - SignedDuration::from_secs(20 * n));
            before.iter().filter(is_ours).any(|other| other.id < id)
        });
        assert!(older, "the oldest comment of ours was taken away");
        self.put(number, id, None, now);
        true
    }

    /// What there is now of ours.
    pub fn ours(&self, number: Number, now: Timestamp) -> Vec<Comment> {
        let is_ours = |comment: &Comment| comment.author == ME && Marker::find(&comment.body).is_some();
        self.comments(number, now).into_iter().filter(is_ours).collect()
    }
}
