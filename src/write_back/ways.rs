//! Where a tree could say what is live: the ways that are tried, the best first.

use serde_json::Value;

use super::edited::Edited;
use super::set_here::{chart_value, dialect, set_here};
use super::{App, Wish, overlay};
use crate::object::ChartValues;
use crate::render::{AppSource, Explained, Setting};
use crate::yaml::Editor;

/// One way to say it.
pub(super) struct Way<'a> {
    pub how: String,
    /// Nothing where what is written there is not understood well enough to be changed.
    pub edited: Option<Edited<'a>>,
}

pub(super) fn ways<'a>(
    state: &Edited<'a>,
    app: &App,
    object: &Explained,
    settings: &[Setting],
    wish: &Wish,
) -> Vec<Way<'a>> {
    let before = object.value(&wish.path);
    let mut ways = Vec::new();
    let last = settings.last();
    let is_of_chart = last.is_some_and(|last| last.by == "chart template");
    if let Some(last) = last.filter(|_| !is_of_chart) {
        ways.push(here(state, last, before.as_ref(), wish));
    }
    if is_of_chart {
        let values = || settings.iter().rev().filter(|setting| setting.by == "chart value");
        // Of one value that is said several times the last word counts, and stands last.
        let mut said: Vec<&Option<String>> = Vec::new();
        for setting in values() {
            if !said.contains(&&setting.from) {
                said.push(&setting.from);
                ways.push(here(state, setting, before.as_ref(), wish));
            }
        }
        for setting in values().filter(|setting| said.contains(&&setting.from)) {
            ways.extend(overrule(state, app, setting, before.as_ref(), wish));
        }
    }
    if let Ok(AppSource::Folder(folder)) = &app.source {
        let patched = overlay::patched(state, folder, object, wish);
        ways.extend(patched.into_iter().map(|(how, edited)| Way { how, edited }));
    }
    ways
}

fn here<'a>(state: &Edited<'a>, setting: &Setting, before: Option<&Value>, wish: &Wish) -> Way<'a> {
    let from = setting.from.as_ref().map_or(String::new(), |from| format!(" {from}"));
    Way {
        how: format!("{} ({}{from})", setting.place, setting.by),
        edited: set_here(state, setting, before, wish),
    }
}

/// A value of a chart that others use is overruled in the app's own file of values.
fn overrule<'a>(
    state: &Edited<'a>,
    app: &App,
    setting: &Setting,
    before: Option<&Value>,
    wish: &Wish,
) -> Option<Way<'a>> {
    let Ok(AppSource::Chart(request)) = &app.source else { return None };
    let file = request.values.iter().rev().find_map(|values| match values {
        ChartValues::File(path, _) => Some(path.clone()),
        ChartValues::Inline(_) => None,
    })?;
    let edited = || {
        let value = chart_value(setting.value.as_ref()?, before?, wish.live.as_ref()?)?;
        let editor = Editor::new(&state.text(&file)?, dialect(&file))?;
        let pointer: String = setting.from.as_ref()?.split('.').map(|key| format!("/{key}")).collect();
        Some(state.with(&file, editor.set(0, &pointer, Some(&value))?.text()))
    };
    let from = setting.from.as_deref().unwrap_or_default();
    Some(Way { how: format!("{from} in {file}"), edited: edited() })
}
