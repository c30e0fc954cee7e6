//! What tests of this room share: sides made of YAML.

use std::sync::Arc;

use crate::object::secret::Pins;
use crate::object::{AppName, Desired, EnvironmentName, Manifest, Origin, Place, Problems, TreePath};
use crate::plan::{Stamp, stamp};
use crate::yaml::{Dialect, Limits, read};
use crate::{review, schema};
use review::{AppSide, Change, Target};

/// An app of these objects, all of one file.
pub fn app(name: &str, text: &str) -> AppSide {
    let app = AppName::new(name).unwrap();
    let wanted = wanted(&app, text).map(Arc::new);
    AppSide { app, wanted, findings: Vec::new(), chart: None }
}

fn wanted(app: &AppName, text: &str) -> Result<crate::plan::WantedApp, Problems> {
    let path = TreePath::new(&format!("{app}/all.yaml")).unwrap();
    let documents = read(text.as_bytes(), &path, Dialect::Kustomize, &Limits::default())?;
    let objects = documents.iter().filter(|document| document.value().is_object()).map(|document| {
        let place = Place::at(path.clone(), document.place_of("").line, 1);
        Manifest::new(document.value(), Origin::new(place)).unwrap()
    });
    let environment = EnvironmentName::new("dev").unwrap();
    let marks = Stamp {
        environment: &environment,
        environment_label: "fairlead.dev/environment",
        app_label: "fairlead.dev/app",
        part_of_label: "applyset.kubernetes.io/part-of",
        wave_annotation: "fairlead.dev/wave",
        depends_on_annotation: "config.kubernetes.io/depends-on",
        default_namespace: Some("web"),
        pins: &Pins::offline(),
    };
    let desired = Desired::new(app.clone(), objects.collect(), Vec::new());
    Ok(stamp(desired, &marks, schema::builtin().kinds())?.0)
}

/// A change of one app, with no cluster to ask.
pub fn change(before: &str, after: &str) -> Change<'static> {
    Change {
        environment: EnvironmentName::new("dev").unwrap(),
        production: false,
        before: vec![app("web", before)],
        after: Ok(vec![app("web", after)]),
        target: Target { serves: None, release: schema::builtin() },
        stops: Vec::new(),
        live: None,
        unseen: None,
        records: Vec::new(),
    }
}

pub fn report(changes: &[Change<'_>]) -> review::Report {
    let side =
        review::Side { revision: Some("0123abcd".to_owned()), what: "where the change began".to_owned() };
    review::review(Some("test".to_owned()), side, review::Side::default(), changes)
}
