//! GitLab: merge requests, whose comments are notes.

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, Method};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answers::{labels, needed, number, revision, text, time};
use super::client::{Client, refuse};
use super::github::{cut, lately};
use super::{BadPlace, Forge, Head, Keys, LATELY, Listed, ListedState};
use crate::object::Revision;
use crate::pull_requests::{Comment, CommentId, Failure, Number, Reaction, Status, StatusState};

const PUBLIC: &str = "https://gitlab.com";
const DESCRIPTION: usize = 255;
/// The role Developer, the least that may push.
const DEVELOPER: u64 = 30;

pub struct Gitlab {
    client: Client,
    /// The path of the project, as it stands in paths of the API.
    project: String,
}

impl Gitlab {
    pub fn open(url: Option<&str>, repository: &str, keys: &Keys, plain: bool) -> Result<Self, BadPlace> {
        let url = url.unwrap_or(PUBLIC).trim_end_matches('/');
        let api = if url.ends_with("/api/v4") { url.to_owned() } else { format!("{url}/api/v4") };
        let token = keys.text("token").ok_or(BadPlace::NoKey { key: "token" })?;
        let client = Client::new(&api, keys.0.get("ca.crt").map(Vec::as_slice), plain)?
            .with(HeaderName::from_static("private-token"), &token)?;
        Ok(Self { client, project: repository.replace('/', "%2F") })
    }

    fn path(&self, rest: &str) -> String {
        format!("/projects/{}/{rest}", self.project)
    }

    fn notes(&self, number: Number, rest: &str) -> String {
        self.path(&format!("merge_requests/{number}/notes{rest}"))
    }

    async fn find(&self, number: Number) -> Result<Listed, Failure> {
        let answer =
            self.client.get(&self.path(&format!("merge_requests/{number}")), &HeaderMap::new()).await?;
        refuse(&answer)?;
        listed(&answer.json()?)
    }

    async fn read(&self, path: &str) -> Result<Vec<Listed>, Failure> {
        self.client.list(path, &HeaderMap::new()).await?.iter().map(listed).collect()
    }
}

fn listed(value: &Value) -> Result<Listed, Failure> {
    let number = Number(number(value, "iid")?);
    let state = match text(value, "state")? {
        "opened" => ListedState::Open,
        // It is being merged, and becomes one or the other.
        "locked" => ListedState::Open,
        "merged" => {
            // A merge that moved the branch forward, and no more, has no commit of its own.
            let made = revision(value, "merge_commit_sha")?;
            let revision = match made {
                Some(revision) => Some(revision),
                None => match revision(value, "squash_commit_sha")? {
                    Some(squashed) => Some(squashed),
                    None => revision(value, "sha")?,
                },
            };
            let at =
                time(value, "merged_at")?.map_or_else(|| time(value, "updated_at"), |at| Ok(Some(at)))?;
            ListedState::Merged { revision, at: at.unwrap_or_else(Timestamp::now) }
        }
        _ => ListedState::Closed,
    };
    Ok(Listed {
        number,
        head: Head::Commit {
            revision: needed(value, "sha")?,
            reference: format!("refs/merge-requests/{number}/head"),
        },
        base: text(value, "target_branch")?.to_owned(),
        state,
        stamp: text(value, "updated_at")?.to_owned(),
        labels: labels(value),
        is_fork: value["source_project_id"].as_u64().is_none()
            || value["source_project_id"] != value["target_project_id"],
    })
}

fn comment(value: &Value) -> Result<Comment, Failure> {
    super::answers::comment(value, "author", "username")
}

impl Forge for Gitlab {
    fn author(&self) -> BoxFuture<'_, Result<String, Failure>> {
        Box::pin(async move {
            let answer = self.client.get("/user", &HeaderMap::new()).await?;
            refuse(&answer)?;
            Ok(text(&answer.json()?, "username")?.to_owned())
        })
    }

    fn pulls(&self) -> BoxFuture<'_, Result<Vec<Listed>, Failure>> {
        Box::pin(async move {
            let now = Timestamp::now();
            let mut all = self.read(&self.path("merge_requests?state=opened&per_page=100")).await?;
            // To the hour, so that it is the same question for a while, which need not be answered anew.
            let since = Timestamp::from_second((now - LATELY).as_second() / 3600 * 3600).unwrap_or(now);
            let path = self.path(&format!("merge_requests?state=merged&per_page=100&updated_after={since}"));
            all.extend(lately(self.read(&path).await?, now));
            Ok(all)
        })
    }

    fn pull(&self, number: Number) -> BoxFuture<'_, Result<Listed, Failure>> {
        Box::pin(self.find(number))
    }

    fn comments(&self, number: Number) -> BoxFuture<'_, Result<Vec<Comment>, Failure>> {
        Box::pin(async move {
            let path = self.notes(number, "?sort=asc&order_by=created_at&per_page=100");
            self.client.list(&path, &HeaderMap::new()).await?.iter().map(comment).collect()
        })
    }

    fn comment(&self, number: Number, id: CommentId) -> BoxFuture<'_, Result<Option<Comment>, Failure>> {
        Box::pin(async move {
            let answer =
                self.client.get(&self.notes(number, &format!("/{}", id.0)), &HeaderMap::new()).await?;
            if answer.status.as_u16() == 404 {
                self.find(number).await?;
                return Ok(None);
            }
            refuse(&answer)?;
            comment(&answer.json()?).map(Some)
        })
    }

    fn make<'a>(&'a self, number: Number, body: &'a str) -> BoxFuture<'a, Result<CommentId, Failure>> {
        Box::pin(async move {
            let body = json!({"body": body});
            let answer = self
                .client
                .write(Method::POST, &self.notes(number, ""), &HeaderMap::new(), Some(&body))
                .await?;
            refuse(&answer)?;
            let made = answer.json().and_then(|made| super::answers::number(&made, "id"));
            made.map(CommentId).map_err(|failure| Failure::Unknown(failure.to_string()))
        })
    }

    fn edit<'a>(
        &'a self,
        number: Number,
        id: CommentId,
        body: &'a str,
    ) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let path = self.notes(number, &format!("/{}", id.0));
            let body = json!({"body": body});
            let answer = self.client.write(Method::PUT, &path, &HeaderMap::new(), Some(&body)).await?;
            if answer.status.as_u16() == 404 {
                self.find(number).await?;
                return Ok(false);
            }
            refuse(&answer).map(|()| true)
        })
    }

    fn remove(&self, number: Number, id: CommentId) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let path = self.notes(number, &format!("/{}", id.0));
            let answer = self.client.write(Method::DELETE, &path, &HeaderMap::new(), None).await?;
            if answer.status.as_u16() == 404 { Ok(()) } else { refuse(&answer) }
        })
    }

    fn tell<'a>(&'a self, revision: &'a Revision, status: &'a Status) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let state = match status.state {
                StatusState::Pending => "pending",
                StatusState::Success => "success",
                StatusState::Failure | StatusState::Error => "failed",
            };
            let body = json!({
                "state": state,
                "name": status.context,
                "description": cut(&status.description, DESCRIPTION),
            });
            let path = self.path(&format!("statuses/{revision}"));
            let answer = self.client.write(Method::POST, &path, &HeaderMap::new(), Some(&body)).await?;
            // GitLab refuses to set a status to what it is.
            let is_same = answer.status.as_u16() == 400
                && String::from_utf8_lossy(&answer.body).contains("Cannot transition status");
            if is_same { Ok(()) } else { refuse(&answer) }
        })
    }

    fn may_write<'a>(
        &'a self,
        number: Number,
        login: &'a str,
        account: Option<u64>,
    ) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            // Members are asked for by their number, and a name may come to be another one's.
            let Some(account) = account else { return Ok(false) };
            let path = self.path(&format!("members/all/{account}"));
            let answer = self.client.get(&path, &HeaderMap::new()).await?;
            if answer.status.as_u16() == 404 {
                return self.find(number).await.map(|_| false);
            }
            refuse(&answer)?;
            let member = answer.json()?;
            let is_same =
                member["id"].as_u64() == Some(account) && member["username"].as_str() == Some(login);
            let is_active = member["state"].as_str() == Some("active");
            Ok(is_same && is_active && super::answers::number(&member, "access_level")? >= DEVELOPER)
        })
    }

    fn react(
        &self,
        number: Number,
        comment: CommentId,
        reaction: Reaction,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let name = match reaction {
                Reaction::Taken => "thumbsup",
                Reaction::Refused => "confused",
            };
            let path = self.notes(number, &format!("/{}/award_emoji", comment.0));
            let body = json!({"name": name});
            let answer = self.client.write(Method::POST, &path, &HeaderMap::new(), Some(&body)).await?;
            // It answers so as well where the sign is there already.
            if matches!(answer.status.as_u16(), 404 | 410) { Ok(()) } else { refuse(&answer) }
        })
    }
}
