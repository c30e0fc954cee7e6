//! GitHub, and GitHub Enterprise Server: a token, or an App.

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, Method, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answers::{is_fork, labels, needed, number, revision, text, time};
use super::app::App;
use super::client::{Answer, Client, refuse};
use super::{BadPlace, Forge, Head, Keys, LATELY, Listed, ListedState};
use crate::object::Revision;
use crate::pull_requests::{Comment, CommentId, Failure, Number, Reaction, Status, StatusState};

const PUBLIC: &str = "https://api.github.com";
const VERSION: &str = "2022-11-28";
/// A status says no more.
const DESCRIPTION: usize = 140;

pub struct Github {
    client: Client,
    /// `owner/name`.
    repository: String,
    app: Option<App>,
}

impl Github {
    pub fn open(url: Option<&str>, repository: &str, keys: &Keys, plain: bool) -> Result<Self, BadPlace> {
        let ca = keys.0.get("ca.crt").map(Vec::as_slice);
        let client = Client::new(url.unwrap_or(PUBLIC), ca, plain)?
            .with(header::ACCEPT, "application/vnd.github+json")?
            .with(HeaderName::from_static("x-github-api-version"), VERSION)?;
        let repository = repository.to_owned();
        if let Some(token) = keys.text("token") {
            let client = client.with(header::AUTHORIZATION, &format!("Bearer {token}"))?;
            return Ok(Self { client, repository, app: None });
        }
        let id = keys.text("appId").ok_or(BadPlace::NoKey { key: "token" })?;
        let key = keys.0.get("appPrivateKey").ok_or(BadPlace::NoKey { key: "appPrivateKey" })?;
        let app = App::new(&id, keys.text("appInstallation").as_deref(), key)?;
        Ok(Self { client, repository, app: Some(app) })
    }

    fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{rest}", self.repository)
    }

    async fn headers(&self) -> Result<HeaderMap, Failure> {
        match &self.app {
            Some(app) => app.token(&self.client, &self.repository).await,
            None => Ok(HeaderMap::new()),
        }
    }

    /// A token of an App that is taken no more is replaced when it is needed next.
    fn check(&self, answer: &Answer) {
        if answer.status.as_u16() == 401 {
            self.app.iter().for_each(App::forget);
        }
    }

    async fn get(&self, path: &str) -> Result<Answer, Failure> {
        let answer = self.client.get(path, &self.headers().await?).await?;
        self.check(&answer);
        Ok(answer)
    }

    async fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        self.client.list(path, &self.headers().await?).await
    }

    async fn write(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let answer = self.client.write(method, path, &self.headers().await?, body).await?;
        self.check(&answer);
        Ok(answer)
    }

    async fn find(&self, number: Number) -> Result<Listed, Failure> {
        let answer = self.get(&self.path(&format!("pulls/{number}"))).await?;
        refuse(&answer)?;
        listed(&answer.json()?)
    }
}

fn listed(value: &Value) -> Result<Listed, Failure> {
    let number = Number(number(value, "number")?);
    let state = match (text(value, "state")?, time(value, "merged_at")?) {
        ("open", _) => ListedState::Open,
        (_, None) => ListedState::Closed,
        (_, Some(at)) => ListedState::Merged { revision: revision(value, "merge_commit_sha")?, at },
    };
    Ok(Listed {
        number,
        head: Head::Commit {
            revision: needed(&value["head"], "sha")?,
            // Forks have theirs there, too.
            reference: format!("refs/pull/{number}/head"),
        },
        base: text(&value["base"], "ref")?.to_owned(),
        state,
        stamp: text(value, "updated_at")?.to_owned(),
        labels: labels(value),
        is_fork: is_fork(value),
    })
}

pub(super) fn comment(value: &Value) -> Result<Comment, Failure> {
    super::answers::comment(value, "user", "login")
}

/// How a sign is called, here and by Gitea.
pub(super) fn sign(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Taken => "+1",
        Reaction::Refused => "confused",
    }
}

/// Whether a permission lets its owner write; of the account that is meant, where its number is known.
pub(super) fn writes(value: &Value, account: Option<u64>) -> bool {
    let is_same = account.is_none_or(|account| value["user"]["id"].as_u64() == Some(account));
    is_same && matches!(value["permission"].as_str(), Some("owner" | "admin" | "maintain" | "write"))
}

/// Those that were merged of late, of a list that has the newest first.
pub(super) fn lately(closed: Vec<Listed>, now: Timestamp) -> impl Iterator<Item = Listed> {
    closed.into_iter().filter(move |listed| {
        matches!(&listed.state, ListedState::Merged { at, .. } if now.duration_since(*at) < LATELY)
    })
}

pub(super) fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

impl Forge for Github {
    fn author(&self) -> BoxFuture<'_, Result<String, Failure>> {
        Box::pin(async move {
            if let Some(app) = &self.app {
                return app.author(&self.client).await;
            }
            let answer = self.get("/user").await?;
            refuse(&answer)?;
            Ok(text(&answer.json()?, "login")?.to_owned())
        })
    }

    fn pulls(&self) -> BoxFuture<'_, Result<Vec<Listed>, Failure>> {
        Box::pin(async move {
            let open = self.list(&self.path("pulls?state=open&per_page=100")).await?;
            let mut all = open.iter().map(listed).collect::<Result<Vec<_>, _>>()?;
            // What was closed of late is on the first page: more than a hundred a day are not told of.
            let path = self.path("pulls?state=closed&sort=updated&direction=desc&per_page=100");
            let answer = self.get(&path).await?;
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
            let all = self.list(&self.path(&format!("issues/{number}/comments?per_page=100"))).await?;
            all.iter().map(comment).collect()
        })
    }

    fn comment(&self, number: Number, id: CommentId) -> BoxFuture<'_, Result<Option<Comment>, Failure>> {
        Box::pin(async move {
            let answer = self.get(&self.path(&format!("issues/comments/{}", id.0))).await?;
            if matches!(answer.status.as_u16(), 404 | 410) {
                // A token that may not see the repository any more is answered the same.
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
            let answer = self.write(Method::POST, &path, Some(&json!({"body": body}))).await?;
            refuse(&answer)?;
            // It was made, whatever the answer looks like.
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
            let answer = self.write(Method::PATCH, &path, Some(&json!({"body": body}))).await?;
            if matches!(answer.status.as_u16(), 404 | 410) {
                self.find(number).await?;
                return Ok(false);
            }
            refuse(&answer).map(|()| true)
        })
    }

    fn remove(&self, _: Number, id: CommentId) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let path = self.path(&format!("issues/comments/{}", id.0));
            let answer = self.write(Method::DELETE, &path, None).await?;
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
            let answer =
                self.write(Method::POST, &self.path(&format!("statuses/{revision}")), Some(&body)).await?;
            refuse(&answer)
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
            let answer = self.get(&self.path(&format!("collaborators/{login}/permission"))).await?;
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
            let answer = self.write(Method::POST, &path, Some(&json!({"content": sign(reaction)}))).await?;
            // Of a comment that is gone nobody waits for an answer.
            if matches!(answer.status.as_u16(), 404 | 410) { Ok(()) } else { refuse(&answer) }
        })
    }
}
