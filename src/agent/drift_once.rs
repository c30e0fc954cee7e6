//! What of an environment is not as it was applied: for people at a command line, at one look or at several.

use std::sync::Arc;

use jiff::Timestamp;

use super::hands::{Hands, look, look_for_extras};
use super::once::{Once, OnceError};
use crate::api::{AppStatus, DriftPolicy, Environment};
use crate::cluster::{IndexError, Watched, Watches};
use crate::drift::Rules;
use crate::object::field_path::FieldPath;
use crate::object::{AppName, Tree};
use crate::plan::Lookup;
use crate::plan::{Consent, Reason, Wanted, WantedApp, compare_owned, plan_with};
use crate::report::{DriftedObject, UnknownDrift};

/// What the tree says of an environment, beside what is live: watched as long as this is held.
pub struct DriftLook {
    environment: String,
    platform: Option<Environment>,
    rules: Rules,
    hands: Hands,
    apps: Vec<(AppName, Arc<WantedApp>, Vec<Watches>)>,
    _scalers: Watches,
    /// Kinds that cannot be listed.
    unknown: Vec<UnknownDrift>,
}

/// An object, the fields of it that others changed, and its version.
type Changed = (Arc<Wanted>, Vec<FieldPath>, Option<Box<str>>);

/// An object to which others may have added something, and its version.
type Added = (Arc<Wanted>, Box<str>);

/// What was changed, before it is looked at: where it is the same as before, so is the look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    changed: Vec<(AppName, Vec<Changed>)>,
    /// The objects of which is told what others add to them, each with its version.
    added: Vec<(AppName, Vec<Added>)>,
}

impl DriftLook {
    /// Lists what the tree speaks of. A kind that cannot be listed is unknown, and the others are looked at.
    pub async fn open(once: &Once, tree: &dyn Tree) -> Result<Self, OnceError> {
        let desire = once.narrow(once.desire(tree).await?)?;
        let hands = once.hands();
        let scalers = hands.index.watch_autoscalers();
        let _ = scalers.listed().await;
        let environment = once.scope.environment.as_str().to_owned();
        let (mut apps, mut unknown) = (Vec::new(), Vec::new());
        for (spec, wanted) in desire.apps {
            let wanted = wanted?;
            let mut watches = Vec::new();
            // Each kind by itself, so that one that cannot be listed takes no other with it.
            for kind in Watched::of(wanted.all().map(|object| &**object)) {
                let watch = hands.index.watch(&[kind].into());
                match watch.listed().await {
                    Ok(()) => watches.push(watch),
                    Err(error) => {
                        let (IndexError::Watch { kind, .. } | IndexError::TimedOut { kind }) = &error;
                        unknown.push(UnknownDrift {
                            environment: environment.clone(),
                            app: Some(spec.name.clone()),
                            kind: kind.clone(),
                            last_verified: None,
                            unknown: error.to_string(),
                        });
                    }
                }
            }
            apps.push((spec.name, wanted, watches));
        }
        let (rules, platform) =
            (Rules::new(&desire.config.drift).deciding(&once.decisions), once.platform.clone());
        Ok(Self { environment, platform, rules, hands, apps, _scalers: scalers, unknown })
    }

    /// Kinds of which it is not known whether they are as git says.
    pub fn unknown(&self) -> &[UnknownDrift] {
        &self.unknown
    }

    /// What others changed of what the tree says, where that was applied. What a newer commit will change is no drift.
    pub fn changes(&self) -> Result<Changes, OnceError> {
        let of = |(app, wanted, _): &(AppName, Arc<WantedApp>, Vec<Watches>)| {
            Ok((app.clone(), self.changed(app, wanted, &self.hands.index)?))
        };
        let changed = self.apps.iter().map(of).collect::<Result<_, OnceError>>()?;
        let now = Timestamp::now();
        let added = self.apps.iter().map(|(app, wanted, _)| {
            let told = wanted.objects.iter().filter(|wanted| self.rules.tells_extra(wanted, now));
            let live = told.filter_map(|wanted| {
                let live = self.hands.index.live(&wanted.key).filter(|live| live.owned.is_some())?;
                Some((wanted.clone(), live.resource_version.clone()))
            });
            (app.clone(), live.collect())
        });
        Ok(Changes { changed, added: added.collect() })
    }

    /// Looks at what was changed: both values, and who holds the fields.
    pub async fn look(&self, changes: &Changes) -> Vec<DriftedObject> {
        let mut found = Vec::new();
        for (app, objects) in &changes.changed {
            let asked: Vec<_> =
                objects.iter().map(|(object, fields, _)| (object.clone(), fields.clone())).collect();
            for drifted in look(&self.hands, &asked).await {
                let of = objects.iter().find(|(object, ..)| object.key == drifted.key);
                let now = Timestamp::now();
                let verdict = |field: Option<&FieldPath>| match of {
                    Some((object, ..)) => self.rules.judge(object, field, now),
                    None => self.rules.judge_nothing(),
                };
                found.push(DriftedObject::new(&self.environment, app, &drifted, &|field| {
                    let verdict = verdict(field);
                    (verdict.policy, verdict.rule.and_then(|rule| self.rules.describe(rule)))
                }));
            }
        }
        for (app, objects) in &changes.added {
            found.extend(self.look_for_extras(app, objects).await);
        }
        found
    }

    /// What others added under what git sets, and that a rule tells.
    async fn look_for_extras(&self, app: &AppName, objects: &[Added]) -> Vec<DriftedObject> {
        let asked: Vec<_> = objects.iter().map(|(object, _)| object.clone()).collect();
        let now = Timestamp::now();
        let mut found = Vec::new();
        for mut drifted in look_for_extras(&self.hands, &asked).await {
            let Some(wanted) = asked.iter().find(|object| object.key == drifted.key) else { continue };
            let judge = |field: &FieldPath| self.rules.judge_extra(wanted, field, now);
            drifted.fields.retain(|field| judge(&field.path).policy != DriftPolicy::Ignore);
            if drifted.fields.is_empty() {
                continue;
            }
            found.push(DriftedObject::new(&self.environment, app, &drifted, &|field| {
                let verdict = field.map_or_else(|| self.rules.judge_nothing(), judge);
                (verdict.policy, verdict.rule.and_then(|rule| self.rules.describe(rule)))
            }));
        }
        found
    }

    /// The objects that are not as they were applied, each with its fields; none where it is gone.
    fn changed(
        &self,
        app: &AppName,
        wanted: &WantedApp,
        lookup: &dyn Lookup,
    ) -> Result<Vec<Changed>, OnceError> {
        let statuses = self.platform.iter().filter_map(|environment| environment.status.as_ref());
        let runs = statuses.flat_map(|status| &status.apps).find(|status| status.name == *app);
        let is_applied = runs.and_then(AppStatus::running) == Some(&wanted.digest);
        let plan = plan_with(wanted, lookup, &Consent::default())?;
        let found = plan.steps().filter_map(|step| {
            if self.is_unknown(app, &step.wanted) {
                return None;
            }
            let fields = match &step.reason {
                Reason::Drifted { fields } => fields.clone(),
                // Of what runs nothing else can have taken it away.
                Reason::Missing if is_applied => Vec::new(),
                Reason::Changed { .. } | Reason::NeverApplied if is_applied => {
                    let live = step.live.as_ref()?;
                    let mut fields = compare_owned(&step.wanted, live);
                    if fields.is_empty() {
                        fields.push(FieldPath::of(&["metadata", "annotations"]));
                    }
                    fields
                }
                _ => return None,
            };
            let version = step.live.as_ref().map(|live| live.resource_version.clone());
            Some((step.wanted.clone(), fields, version))
        });
        Ok(found.collect())
    }

    /// Whether an object is of a kind that cannot be listed: that it is not seen says nothing of it.
    fn is_unknown(&self, app: &AppName, wanted: &Wanted) -> bool {
        let kind = wanted.gvk.group_kind();
        self.unknown.iter().any(|unknown| unknown.app.as_ref() == Some(app) && unknown.kind == kind)
    }
}
