//! Back into git: the change of an infra tree that makes it say what is live.
//!
//! 1. [`Wish`]es say which fields are to be what.
//! 2. For each, [`ways`] lists where the tree could say so: first the line that sets the field now, then a patch of the app's own
//!    folder, new or already there.
//! 3. Each way is tried in memory, and [`judge`] renders every app that reads a changed file. The first way is taken after which
//!    the field is what is live, and no app of any environment renders to anything else that nobody wished for.
//! 4. Where there is none, a [`Refusal`] says of each why it was not taken.
//!
//! Files are changed by [`crate::yaml::Editor`], so that comments and layout stay. Who renders (charts need helm) is given
//! as a [`Renderer`].

mod edited;
#[cfg(test)]
mod fixture;
mod judge;
mod overlay;
#[cfg(test)]
mod properties;
mod refusal;
mod set_here;
#[cfg(test)]
mod tests;
mod ways;

use std::collections::BTreeMap;

use serde_json::Value;

pub use edited::{Edited, Links};
pub use refusal::{Refusal, Why};

use crate::object::field_path::{FieldPath, PathStep};
use crate::object::{AppName, EnvironmentName, Manifest, ObjectKey, Problems, Tree, TreePath};
use crate::render::{AppSource, Explained, Setting};
use judge::Judge;

/// An app of an environment, and what it is rendered from; where that cannot be said, why not.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    pub environment: EnvironmentName,
    pub name: AppName,
    pub source: Result<AppSource, String>,
}

impl App {
    fn id(&self) -> (EnvironmentName, AppName) {
        (self.environment.clone(), self.name.clone())
    }
}

/// A field that git is to say as it is live.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    pub environment: EnvironmentName,
    pub app: AppName,
    /// As the app renders it.
    pub object: ObjectKey,
    pub path: FieldPath,
    /// Nothing where it was taken away.
    pub live: Option<Value>,
}

/// What renders a tree's apps, and says what sets their fields.
pub trait Renderer: Links {
    /// All apps of all environments of the tree.
    fn apps(&self) -> &[App];
    fn objects(&self, tree: &dyn Tree, app: &App) -> Result<Vec<Manifest>, Problems>;
    fn explain(&self, tree: &dyn Tree, app: &App) -> Result<Vec<Explained>, Problems>;
    /// What set a field, the last one last.
    fn settings(&self, tree: &dyn Tree, app: &App, object: &Explained, path: &FieldPath) -> Vec<Setting>;
}

/// What came of some wishes.
#[derive(Debug, Default)]
pub struct WrittenBack {
    /// Files that change, each as it was and as it is to be.
    pub files: BTreeMap<TreePath, (String, String)>,
    pub done: Vec<Done>,
    pub refused: Vec<Refusal>,
}

/// A wish that the change fulfils.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    pub wish: Wish,
    /// Where it is said now.
    pub how: String,
}

/// Finds the change of a tree that fulfils wishes. What cannot be fulfilled is refused, and harms no other.
pub fn write_back(tree: &dyn Tree, wishes: &[Wish], renderer: &impl Renderer) -> WrittenBack {
    let mut outcome = WrittenBack::default();
    let mut state = Edited::new(tree, renderer);
    let mut judge = Judge::new(renderer, wishes);
    for wish in wishes {
        match fulfil(&state, wish, renderer, &mut judge) {
            Ok((edited, how)) => {
                state = edited;
                outcome.done.push(Done { wish: wish.clone(), how });
            }
            Err(why) => outcome.refused.push(Refusal { wish: wish.clone(), why }),
        }
    }
    outcome.files = state.changes();
    outcome
}

fn fulfil<'a>(
    state: &Edited<'a>,
    wish: &Wish,
    renderer: &dyn Renderer,
    judge: &mut Judge<'_>,
) -> Result<(Edited<'a>, String), Why> {
    may_be_written(wish)?;
    let is_it = |app: &&App| app.environment == wish.environment && app.name == wish.app;
    let app = renderer.apps().iter().find(is_it).ok_or(Why::NoSuchApp)?;
    let objects = renderer.explain(state, app).map_err(|problems| Why::Broken(problems.to_string()))?;
    let object = objects.iter().find(|object| object.manifest.key() == wish.object);
    // What was written before may have given it another name.
    let object = object.or_else(|| {
        let renamed = |object: &&Explained| judge::is_renamed(&wish.object, &object.manifest.key());
        let mut fitting = objects.iter().filter(renamed);
        fitting.next().filter(|_| fitting.next().is_none())
    });
    let object = object.ok_or(Why::NoSuchObject)?;
    if object.value(&wish.path) == wish.live {
        return Ok((state.clone(), "git says it already".to_owned()));
    }
    let settings = renderer.settings(state, app, object, &wish.path);
    let mut tried = Vec::new();
    for way in ways::ways(state, app, object, &settings, wish) {
        let Some(edited) = way.edited else {
            tried.push((way.how, Why::NotCertain));
            continue;
        };
        match judge.allows(state, &edited, wish) {
            Ok(()) => return Ok((edited, way.how)),
            Err(why) => tried.push((way.how, why)),
        }
    }
    Err(match tried.is_empty() {
        true => Why::NoWay(settings.last().map_or("nothing", |setting| setting.by)),
        false => Why::Tried(tried),
    })
}

/// What is never written into git, whatever the tree.
fn may_be_written(wish: &Wish) -> Result<(), Why> {
    if wish.object.group.is_empty() && &*wish.object.kind == "Secret" {
        return Err(Why::Secret);
    }
    let key = |at: usize| match wish.path.0.get(at) {
        Some(PathStep::Key(key)) => Some(key.as_str()),
        _ => None,
    };
    match (key(0), key(1), wish.path.0.len()) {
        (None, ..) => Err(Why::Gone),
        (Some("metadata"), Some("labels" | "annotations"), 3..) => match key(2) {
            Some(name) if name.contains("fairlead.dev/") || name.contains("applyset.kubernetes.io/") => {
                Err(Why::OurMark)
            }
            _ => Ok(()),
        },
        (Some("metadata" | "kind" | "apiVersion" | "status"), ..) => Err(Why::OurMark),
        _ => Ok(()),
    }
}
