//! Gitea and Forgejo.

use futures::future::BoxFuture;
use http::{HeaderMap, Method, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answers::{is_fork, labels, needed, number, revision, text, time};
use super::client::{Client, refuse};
use super::github::{comment, cut, lately, sign, writes};
use super::{BadPlace, Forge, Head, Keys, Listed, ListedState};
use crate::object::Revision;
use crate::pull_requests::{Comment, CommentId, Failure, Number, Reaction, Status, StatusState};

const DESCRIPTION: usize = 255;

pub struct Gitea {
    client: Client,
    /// `owner/name`.
    repository: String,
}

impl Gitea {
    pub fn open(url: Option<&str>, repository: &str, keys: &Keys, plain: bool) -> Result<Self, BadPlace> {
        let url = url.ok_or(BadPlace::NoUrl { kind: "gitea" })?.trim_end_matches('/');
        let api = if url.ends_with("/api/v1") { url.to_owned() } else { format!("{url}/api/v1") };
        let token = keys.text("token").ok_or(BadPlace::NoKey { key: "token" })?;
        let client = Client::new(&api, keys.0.get("ca.crt").map(Vec::as_slice), plain)?
            .with(header::ACCEPT, "application/json")?
            .with(header::AUTHORIZATION, &format!("token {token}"))?;
        Ok(Self { client, repository: repository.to_owned() })
    }

    fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{rest}", self.repository)
    }

    async fn find(&self, number: Number) -> Result<Listed, Failure> {
        let answer = self.client.get(&self.path(&format!("pulls/{number}")), &HeaderMap::new()).await?;
        refuse(&answer)?;
        listed(&answer.json()?)
    }
}

fn listed(value: &Value) -> Result<Listed, Failure> {
    let number = Number(number(value, "number")?);
    let state = match (text(value, "state")?, value["merged"].as_bool(), time(value, "merged_at")?) {
        ("open", ..) => ListedState::Open,
        (_, Some(true), Some(at)) => {
            ListedState::Merged { revision: revision(value, "merge_commit_sha")?, at }
        }
        _ => ListedState::Closed,
    };
    Ok(Listed {
        number,
        head: Head::Commit {
            revision: needed(&value["head"], "sha")?,
            reference: format!("refs/pull/{number}/head"),
        },
        base: text(&value["base"], "ref")?.to_owned(),
        state,
        stamp: text(value, "updated_at")?.to_owned(),
        labels: labels(value),
        is_fork: is_fork(value),
    })
}

impl Forge for Gitea {
    fn author(&self) -> BoxFuture<'_, Result<String, Failure>> {
        Box::pin(async move {
            let answer = self.client.get("/user", &HeaderMap::new()).await?;
            refuse(&answer)?;
            Ok(text(&answer.json()?, "login")?.to_owned())
        })
    }

    fn pulls(&self) -> BoxFuture<'_, Result<Vec<Listed>, Failure>> {
        Box::pin(async move {
            let none = HeaderMap::new();
            let open = self.client.list(&self.path("pulls?state=open&limit=50"), &none).await?;
            let mut all = open.iter().map(listed).collect::<Result<Vec<_>, _>>()?;
            let answer =
                self.client.get(&self.path("pulls?state=closed&sort=recentupdate&limit=50"), &none).await?;
            refuse(&answer)?;
            let closed = answer.json()?;
            let closed =
                closed.as_array().into_iter().flatten().map(listed).collect::<Result<Vec<_>, _>>()?;
            all.extend(lately(closed, Timestamp::now()));
            Ok(all)
        })
    }

    fn pull(&self, number: Number) -> BoxFuture<'_, Result<Listed, Failure>> {
        Box::pin(self.find(number))
    }

    fn comments(&self, number: Number) -> BoxFuture<'_, Result<Vec<Comment>, Failure>> {
        Box::pin(async move {
            // It gives all of them at once.
            let all =
                self.client.list(&self.path(&format!("issues/{number}/comments")), &HeaderMap::new()).await?;
            all.iter().map(comment).collect()
        })
    }

    fn comment(&self, number: Number, id: CommentId) -> BoxFuture<'_, Result<Option<Comment>, Failure>> {
        Box::pin(async move {
            let path = self.path(&format!("issues/comments/{}", id.0));
            let answer = self.client.get(&path, &HeaderMap::new()).await?;
            if matches!(answer.status.as_u16(), 204 | 404) {
                self.find(number).await?;
                return Ok(None);
            }
            refuse(&answer)?;
            comment(&answer.json()?).map(Some)
        })
    }

    fn make<'a>(&'a self, number: Number, body: &'a str) -> BoxFuture<'a, Result<CommentId, Failure>> {
        Box::pin(async move {
            let path = self.path(&format!("issues/{number}/comments"));
            let body = json!({"body": body});
            let answer = self.client.write(Method::POST, &path, &HeaderMap::new(), Some(&body)).await?;
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
            let path = self.path(&format!("issues/comments/{}", id.0));
            let body = json!({"body": body});
            let answer = self.client.write(Method::PATCH, &path, &HeaderMap::new(), Some(&body)).await?;
            if matches!(answer.status.as_u16(), 204 | 404) {
                self.find(number).await?;
                return Ok(false);
            }
            refuse(&answer).map(|()| true)
        })
    }

    fn remove(&self, _: Number, id: CommentId) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let path = self.path(&format!("issues/comments/{}", id.0));
            let answer = self.client.write(Method::DELETE, &path, &HeaderMap::new(), None).await?;
            if answer.status.as_u16() == 404 { Ok(()) } else { refuse(&answer) }
        })
    }

    fn tell<'a>(&'a self, revision: &'a Revision, status: &'a Status) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let state = match status.state {
                StatusState::Pending => "pending",
                StatusState::Success => "success",
                StatusState::Failure => "failure",
                StatusState::Error => "error",
            };
            let body = json!({
                "state": state,
                "context": status.context,
                "description": cut(&status.description, DESCRIPTION),
            });
            let path = self.path(&format!("statuses/{revision}"));
            refuse(&self.client.write(Method::POST, &path, &HeaderMap::new(), Some(&body)).await?)
        })
    }

    fn may_write<'a>(
        &'a self,
        number: Number,
        login: &'a str,
        account: Option<u64>,
    ) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            if !super::is_login(login) {
                return Ok(false);
            }
            let path = self.path(&format!("collaborators/{login}/permission"));
            let answer = self.client.get(&path, &HeaderMap::new()).await?;
            if answer.status.as_u16() == 404 {
                return self.find(number).await.map(|_| false);
            }
            refuse(&answer)?;
            Ok(writes(&answer.json()?, account))
        })
    }

    fn react(&self, _: Number, comment: CommentId, reaction: Reaction) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let path = self.path(&format!("issues/comments/{}/reactions", comment.0));
            let body = json!({"content": sign(reaction)});
            let answer = self.client.write(Method::POST, &path, &HeaderMap::new(), Some(&body)).await?;
            if matches!(answer.status.as_u16(), 404 | 410) { Ok(()) } else { refuse(&answer) }
        })
    }
}
