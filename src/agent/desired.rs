//! From the files of a revision to what each app wants. Pure but for the tree it reads, and remembers what it read: an
//! app none of whose files changed is not rendered again.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::charts::Charts;
use super::named_sources::named_sources;
use super::reads::{Difference, ReadSet, Recording};
use super::regional::{self, Regional};
pub use super::scope::DesiredScope;
pub use super::team_config::{CONFIG_FILE, pointer, read_config, source_of};
use crate::api::{AppSpec, EnvironmentConfig};
use crate::drift::Rules;
use crate::object::secret::Pins;
use crate::object::{AppName, Desired, Kinds, Problems, RenderContext, Tree};
use crate::plan::{Basis, Consumer, SealedSecret, WantedApp, consumers, restamp, sealed_secrets, stamp};
use crate::policy::may_read;
use crate::render::{self, AppSource};
use crate::secrets::Uses;

/// Renders one app, as the agent does.
pub fn render_app(
    tree: &dyn Tree,
    scope: &DesiredScope,
    config: &EnvironmentConfig,
    app: &AppSpec,
    limits: &render::Limits,
    cache: &render::Cache,
    charts: &Charts<'_>,
) -> Result<(Desired, render::KeptRender), Problems> {
    let context = RenderContext {
        environment: scope.environment.clone(),
        app: app.name.clone(),
        cluster: None,
        region: region_of(scope, config),
        role: None,
    };
    let source = source_of(tree, scope, config, app)?;
    let render = |tree: &dyn Tree, source: &AppSource| {
        charts.serve(tree, |answers| render::render(tree, source, &context, limits, cache, answers))
    };
    let (desired, kept) = match Regional::of(tree, &source, context.region.as_deref())? {
        Some((regional, joined)) => {
            let (mut desired, kept) = render(&regional, &joined)?;
            desired.notes.retain(|note| !regional::is_of_a_region(note));
            (desired, kept)
        }
        None => render(tree, &source)?,
    };
    match &scope.part {
        // What is written for a region is not what its files say, so a change of one file tells nothing.
        Some(part) => Ok((part.shape(desired)?, render::KeptRender::default())),
        None => Ok((desired, kept)),
    }
}

/// The region that is rendered for: that of this cluster, or else the active one.
fn region_of(scope: &DesiredScope, config: &EnvironmentConfig) -> Option<String> {
    let here = scope.part.as_ref().map(|part| part.region.to_string());
    here.or_else(|| config.region.as_ref().map(|region| region.active.to_string()))
}

/// Makes what an app rendered to what will be sent, if its environment may have all of it.
pub fn want(
    desired: Desired,
    scope: &DesiredScope,
    app: &AppSpec,
    kinds: &Kinds,
    pins: &Pins,
) -> Result<(WantedApp, Basis), Problems> {
    let (wanted, basis) = want_unchecked(desired, scope, app, kinds, pins)?;
    scope.check(&wanted, kinds)?;
    Ok((wanted, basis))
}

/// The same, for a caller who looks at each finding.
pub fn want_unchecked(
    desired: Desired,
    scope: &DesiredScope,
    app: &AppSpec,
    kinds: &Kinds,
    pins: &Pins,
) -> Result<(WantedApp, Basis), Problems> {
    scope.check_secrets(&desired.objects)?;
    stamp(desired, &scope.marks(app, pins), kinds)
}

/// Renders one app of an older revision, as its environment is limited today.
pub fn render_past(
    tree: &dyn Tree,
    scope: &DesiredScope,
    config: &EnvironmentConfig,
    app: &AppSpec,
    (kinds, pins): (&Kinds, &Pins),
    limits: &render::Limits,
    charts: &Charts<'_>,
) -> Result<WantedApp, Problems> {
    let recording = Recording::new(tree);
    let rendered = render_app(&recording, scope, config, app, limits, &render::Cache::new(), charts);
    let reads = recording.into_reads();
    let (desired, _) = rendered?;
    let named = scope.check_sources(|| named_sources(tree, reads.contents(), &limits.yaml));
    both(named, want(desired, scope, app, kinds, pins)).map(|(wanted, _)| wanted)
}

/// What was made, unless either is wrong.
fn both<T>(first: Result<(), Problems>, second: Result<T, Problems>) -> Result<T, Problems> {
    match (first, second) {
        (Ok(()), second) => second,
        (Err(first), Ok(_)) => Err(first),
        (Err(first), Err(second)) => Err(first.and(second)),
    }
}

/// One app of a revision: what it wants, or what is wrong with its files.
pub type AppDesire = (AppSpec, Result<Arc<WantedApp>, Problems>);

/// What a revision says for an environment.
pub struct Desire {
    pub config: EnvironmentConfig,
    pub apps: Vec<AppDesire>,
    /// The Secrets of apps that refer to secrets which they may read, be it that their versions are not known yet; and what
    /// reads Secrets.
    pub uses: Uses,
    /// What the platform warns of, by app.
    pub warnings: BTreeMap<AppName, Vec<String>>,
    /// After how long to ask again, where something could not be rendered for a reason that may pass.
    pub again: Option<std::time::Duration>,
}

/// What was rendered before, by app, with what it was made of.
#[derive(Default)]
pub struct Memo {
    apps: BTreeMap<AppName, Remembered>,
}

struct Remembered {
    spec: AppSpec,
    region: Option<String>,
    scope: DesiredScope,
    kinds: Arc<Kinds>,
    /// The versions of its secrets.
    pins: Pins,
    sealed: Option<Arc<Vec<SealedSecret>>>,
    consumers: Option<Arc<Vec<Consumer>>>,
    reads: ReadSet,
    kept: render::KeptRender,
    basis: Basis,
    wanted: Arc<WantedApp>,
}

impl Remembered {
    /// Goes on to a newer revision, where that can be done without rendering all of the app; false where it cannot.
    fn move_to(&mut self, tree: &dyn Tree, limits: &render::Limits) -> bool {
        let changed = match self.reads.compare(tree) {
            Difference::None => return true,
            Difference::Content(changed) => changed,
            Difference::Other => return false,
        };
        let Some(objects) = render::again(tree, &self.kept, &changed, limits) else { return false };
        let (wanted, basis) = (&self.wanted, &mut self.basis);
        let Some((all, only)) =
            restamp(wanted, basis, objects, &self.scope.marks(&self.spec, &self.pins), &self.kinds)
        else {
            return false;
        };
        if self.scope.check(&only, &self.kinds).is_err() || self.reads.move_to(tree, &changed).is_err() {
            return false;
        }
        self.wanted = Arc::new(all);
        true
    }
}

/// What took too long is rendered again after this: the machine may have been busy with something else.
const LATE_AGAIN: std::time::Duration = std::time::Duration::from_mins(5);

/// Everything a revision says for an environment. An app whose files are wrong harms only itself.
pub fn desire(
    tree: &dyn Tree,
    scope: &DesiredScope,
    kinds: &Arc<Kinds>,
    memo: &mut Memo,
    limits: &render::Limits,
    charts: &Charts<'_>,
    pins: &dyn Fn(&AppName) -> Pins,
) -> Result<Desire, Problems> {
    let config = read_config(tree, scope)?;
    let region = region_of(scope, &config);
    let mut apps = Vec::with_capacity(config.apps.len());
    let (mut fresh, mut is_late) = (BTreeMap::new(), false);
    let mut uses = Uses::default();
    // Shared by the apps of one revision, which have bases in common; kept no longer, for parsed files are large.
    let cache = render::Cache::new();
    for app in &config.apps {
        let mut old = memo.apps.remove(&app.name);
        let pins = pins(&app.name);
        let is_for_the_same = |known: &Remembered| {
            known.spec == *app
                && known.region == region
                && known.scope == *scope
                && (Arc::ptr_eq(&known.kinds, kinds) || *known.kinds == **kinds)
                && known.pins == pins.of(known.wanted.secrets.keys())
        };
        if let Some(known) = old.as_mut().filter(|known| is_for_the_same(known))
            && known.move_to(tree, limits)
        {
            uses.sealed.extend(known.sealed.clone().map(|of| (app.name.clone(), of)));
            uses.consumers.extend(known.consumers.clone().map(|of| (app.name.clone(), of)));
            apps.push((app.clone(), Ok(known.wanted.clone())));
            fresh.extend(old.map(|known| (app.name.clone(), known)));
            continue;
        }
        let recording = Recording::new(tree);
        let began = (limits.clock)();
        let rendered = render_app(&recording, scope, &config, app, limits, &cache, charts);
        let reads = recording.into_reads();
        let made = rendered.and_then(|(desired, kept)| {
            let namespace = scope.default_namespace(app);
            let of = readable(&desired, scope, namespace).map(Arc::new);
            uses.sealed.extend(of.clone().map(|of| (app.name.clone(), of)));
            let read_by = consumers(&desired.objects, namespace);
            let read_by = (!read_by.is_empty()).then(|| Arc::new(read_by));
            uses.consumers.extend(read_by.clone().map(|by| (app.name.clone(), by)));
            // All that is not let is one refusal.
            let named = scope.check_sources(|| named_sources(tree, reads.contents(), &limits.yaml));
            let wanted = want(desired, scope, app, kinds, &pins);
            Ok((both(named, wanted)?, kept, (of, read_by)))
        });
        let made = made.map(|((wanted, basis), kept, (sealed, consumers))| {
            let wanted = Arc::new(match &old {
                Some(old) => wanted.sharing(&old.wanted),
                None => wanted,
            });
            let (spec, region, scope, kinds) = (app.clone(), region.clone(), scope.clone(), kinds.clone());
            let made = wanted.clone();
            let pins = pins.of(wanted.secrets.keys());
            let known = Remembered {
                spec,
                region,
                scope,
                kinds,
                pins,
                sealed,
                consumers,
                reads,
                kept,
                basis,
                wanted,
            };
            fresh.insert(app.name.clone(), known);
            made
        });
        is_late |= made.is_err() && (limits.clock)().saturating_sub(began) >= limits.time;
        apps.push((app.clone(), made));
    }
    memo.apps = fresh;
    let warned = apps.iter().filter_map(|(spec, wanted): &AppDesire| {
        let warnings = scope.warnings(wanted.as_ref().ok()?, kinds);
        (!warnings.is_empty()).then(|| (spec.name.clone(), warnings))
    });
    let warnings = warned.collect();
    let again = charts.again().into_iter().chain(is_late.then_some(LATE_AGAIN)).min();
    Ok(Desire { config, apps, uses, warnings, again })
}

/// The rules about what others change that do nothing. Of an app that could not be rendered it is not known what it has.
pub fn idle_rules(drift: &Rules, apps: &[AppDesire]) -> Vec<String> {
    let all: Option<Vec<_>> =
        apps.iter().map(|(_, wanted)| Some(wanted.as_ref().ok()?.objects.clone())).collect();
    all.map_or_else(Vec::new, |all| drift.idle(&all.concat(), Timestamp::now()))
}

/// The Secrets of an app that refer to secrets, where its environment may read all of them.
fn readable(desired: &Desired, scope: &DesiredScope, namespace: Option<&str>) -> Option<Vec<SealedSecret>> {
    let sealed = sealed_secrets(&desired.objects, namespace);
    let patterns = scope.grants.as_ref().map(|grants| &grants.secrets);
    let mut all = sealed.iter().flat_map(|secret| secret.sealed.secrets());
    let may = all.all(|secret| patterns.is_none_or(|patterns| may_read(patterns, secret)));
    drop(all);
    (may && !sealed.is_empty()).then_some(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helm::{Bounds, Helm};
    use crate::object::{EnvironmentName, MemoryTree};
    use crate::schema;

    const DEPLOYMENT: &str =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n";
    const HPA: &str = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\n\
                       spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n";
    const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n";

    struct Bed {
        files: BTreeMap<&'static str, String>,
        memo: Memo,
        kinds: Arc<Kinds>,
    }

    impl Bed {
        fn new() -> Self {
            let config = "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps:\n  \
                          - {name: over, path: over}\n  - {name: plain, path: plain}\n";
            let files = [
                ("environments/dev/environment.yaml", config),
                ("base/kustomization.yaml", "resources: [web.yaml, map.yaml]\n"),
                ("base/web.yaml", DEPLOYMENT),
                ("base/map.yaml", MAP),
                ("over/kustomization.yaml", "resources: [../base]\nnamePrefix: x-\n"),
                ("plain/web.yaml", DEPLOYMENT),
                ("plain/map.yaml", MAP),
                ("plain/hpa.yaml", HPA),
            ];
            let files = files.into_iter().map(|(path, text)| (path, text.to_owned())).collect();
            Self { files, memo: Memo::default(), kinds: Arc::new(schema::builtin().kinds().clone()) }
        }

        fn render(&mut self) -> Vec<Arc<WantedApp>> {
            let tree = MemoryTree::new(self.files.iter().map(|(path, text)| (*path, text))).unwrap();
            let name = EnvironmentName::new("dev").unwrap();
            let scope = DesiredScope::unbound(name, Some("default".to_owned())).unwrap();
            let limits = render::Limits::default();
            let helm = Helm::new(None, std::path::Path::new(""), Bounds::default());
            let charts = Charts::offline(&helm, None);
            let desire = |memo: &mut Memo| {
                let desire =
                    desire(&tree, &scope, &self.kinds, memo, &limits, &charts, &|_| Pins::offline()).unwrap();
                desire.apps.into_iter().map(|(_, app)| app.unwrap()).collect::<Vec<_>>()
            };
            let (kept, anew) = (desire(&mut self.memo), desire(&mut Memo::default()));
            for (kept, anew) in kept.iter().zip(&anew) {
                assert_eq!(kept.objects, anew.objects, "what is kept is what a whole render gives");
                assert_eq!(kept.digest, anew.digest);
            }
            kept
        }
    }

    #[test]
    fn a_change_of_one_file_touches_the_objects_of_that_file() {
        let mut bed = Bed::new();
        let before = bed.render();
        assert!(bed.render().iter().zip(&before).all(|(now, before)| Arc::ptr_eq(now, before)));
        bed.files.insert("base/map.yaml", MAP.replace("a: b", "a: c"));
        let now = bed.render();
        assert!(Arc::ptr_eq(&now[1], &before[1]), "the other app does not read that file");
        assert_ne!(now[0].digest, before[0].digest);
        let same =
            now[0].objects.iter().zip(&before[0].objects).filter(|(now, before)| Arc::ptr_eq(now, before));
        assert_eq!(same.count(), 1);
        bed.files.insert("plain/map.yaml", MAP.replace("a: b", "a: d"));
        let last = bed.render();
        assert!(Arc::ptr_eq(&last[0], &now[0]));
        let same =
            last[1].objects.iter().zip(&now[1].objects).filter(|(now, before)| Arc::ptr_eq(now, before));
        assert_eq!(same.count(), 2);
    }

    #[test]
    fn what_decides_about_others_is_not_changed_alone() {
        let mut bed = Bed::new();
        bed.render();
        // Now it scales another, and the replicas of web are ours again.
        bed.files.insert("plain/hpa.yaml", HPA.replace("Deployment, name: web", "Deployment, name: other"));
        bed.render();
        // An object that becomes another, one more, one less.
        bed.files.insert("base/map.yaml", MAP.replace("name: m", "name: n"));
        bed.render();
        bed.files.insert("base/map.yaml", format!("{MAP}---\n{}", MAP.replace("name: m", "name: n")));
        bed.render();
        bed.files.remove("plain/map.yaml");
        bed.render();
        bed.files.insert("over/kustomization.yaml", "resources: [../base]\nnamePrefix: y-\n".to_owned());
        bed.render();
    }
}
