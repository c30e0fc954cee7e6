//! Keeps the pages of an Environment, on a task of its own: they are for who wants to know more, and hold up no verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::api::{AppDetails, Environment};
use crate::cluster::{CallError, PageContent, Pages};
use crate::object::chain;
use crate::report::{Body, Sketch};

/// Pages are written at most this often: a person reads them, and while much is rolled out each of them changes all the time.
const PAUSE: Duration = Duration::from_secs(5);

/// What is to stand in them.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    pub environment: Option<Arc<Environment>>,
    pub pages: Arc<Vec<Vec<AppDetails>>>,
    /// Whether there may be some already.
    pub had: bool,
}

/// Takes what is to stand in the pages of one environment.
pub(super) struct PageKeeper {
    wanted: watch::Sender<Wanted>,
    _task: AbortOnDropHandle<()>,
}

impl PageKeeper {
    pub fn new(pages: Pages) -> Self {
        let (sender, wanted) = watch::channel(Wanted::default());
        Self { wanted: sender, _task: AbortOnDropHandle::new(tokio::spawn(keep(pages, wanted))) }
    }

    pub fn keep(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|known| {
            let uid =
                |wanted: &Wanted| wanted.environment.as_ref().and_then(|found| found.metadata.uid.clone());
            let new = known.pages != wanted.pages || known.had != wanted.had || uid(known) != uid(&wanted);
            *known = wanted;
            new
        });
    }
}

/// A page, as it was written or found.
struct Known {
    version: String,
    content: String,
    /// Unknown where another process wrote it.
    sketch: Option<Sketch>,
}

async fn keep(pages: Pages, mut wanted: watch::Receiver<Wanted>) {
    let mut known: Option<(String, BTreeMap<usize, Known>)> = None;
    while wanted.changed().await.is_ok() {
        loop {
            let newest = wanted.borrow_and_update().clone();
            let round = round(&pages, &newest, &mut known).await;
            if let Err(error) = &round {
                let environment =
                    newest.environment.as_ref().and_then(|found| found.metadata.name.as_deref());
                tracing::warn!(environment, error = %chain(error), "writing the pages of a status failed");
            }
            tokio::time::sleep(PAUSE).await;
            if round.is_ok() {
                break;
            }
        }
    }
}

/// Brings all pages to what is to stand in them.
async fn round(
    pages: &Pages,
    wanted: &Wanted,
    known: &mut Option<(String, BTreeMap<usize, Known>)>,
) -> Result<(), CallError> {
    let Some(environment) = &wanted.environment else { return Ok(()) };
    if wanted.pages.is_empty() && !wanted.had && known.is_none() {
        return Ok(()); // A small environment costs no request.
    }
    let uid = environment.metadata.uid.clone().unwrap_or_default();
    let known = match known {
        Some((of, known)) if *of == uid => known,
        unknown => {
            let found = pages.list(environment).await?.into_iter();
            let found = found.map(|(number, page)| {
                (number, Known { version: page.version, content: page.content, sketch: None })
            });
            &mut unknown.insert((uid, found.collect())).1
        }
    };
    let surplus: Vec<usize> = known.keys().copied().filter(|number| *number >= wanted.pages.len()).collect();
    let mut result = Ok(());
    // One after the other: nobody waits for them, and all requests of the agent itself share its slots.
    for (number, rows) in wanted.pages.iter().enumerate() {
        let sketch = Sketch::of(&body(rows));
        let content = sketch.digest();
        // Where it fails, whether it was written is not known.
        let before = match known.remove(&number) {
            Some(before) if before.content == content => {
                known.insert(number, before);
                continue;
            }
            before => before,
        };
        match write(pages, environment, (number, rows), (&sketch, &content), before).await {
            Ok(version) => drop(known.insert(number, Known { version, content, sketch: Some(sketch) })),
            Err(error) => result = Err(error),
        }
    }
    for number in surplus {
        pages.remove(environment, number).await?;
        known.remove(&number);
    }
    result
}

/// Writes one page: what differs from what we wrote, and all of it where that is not what stands there.
async fn write(
    pages: &Pages,
    environment: &Environment,
    (number, rows): (usize, &Vec<AppDetails>),
    (sketch, content): (&Sketch, &str),
    before: Option<Known>,
) -> Result<String, CallError> {
    let spec = if rows.is_empty() { json!({}) } else { json!({"apps": rows}) };
    let mut page = PageContent { number, steps: Vec::new(), spec, name: content };
    if let Some((version, before)) = before.and_then(|before| Some((before.version, before.sketch?))) {
        page.steps = before.patch(sketch, &body(rows));
        match pages.patch(environment, &page, &version).await {
            Err(error) if error.status().is_some() => {}
            written => return written,
        }
    }
    pages.put(environment, &page).await
}

fn body(rows: &[AppDetails]) -> Body<'_, AppDetails> {
    Body { at: "/spec", fields: Map::new(), rows }
}
