use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Span;
use super::drift::Drift;
use super::night::Night;
use super::region::RegionSpec;
use super::secret_rule::SecretRule;
use crate::health::{Rule, Rules};
use crate::object::{AppName, EnvironmentName, Place, Problem};

/// `environments/<env>/environment.yaml`: the apps of an environment and how they roll. The team's own word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentConfig {
    #[serde(default)]
    pub apps: Vec<AppSpec>,
    /// Whether others depend on it; by its name where this does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionSpec>,
    #[serde(default)]
    pub rollout: Rollout,
    #[serde(default)]
    pub drift: Drift,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<Promotion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previews: Option<Previews>,
    /// Whether old versions of secrets still work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRule>,
    /// Where each app says what it is made of, for whoever has to say that this is wrong.
    #[serde(skip)]
    pub places: BTreeMap<AppName, AppPlaces>,
}

/// Where an app is written down.
#[derive(Clone, Debug, PartialEq)]
pub struct AppPlaces {
    /// Its `path` or `chart`.
    pub source: Place,
    /// Each of its `values`.
    pub values: Vec<Place>,
}

/// One app: an overlay folder (`path`) or a chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppSpec {
    pub name: AppName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// What the chart is told that its release is called, where that is not the name of the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The namespace of the chart's release, where the Environment has more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<AppName>,
    /// From whom it may take over what they deployed: see docs/adoption.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
}

impl AppSpec {
    /// A folder, with nothing else said of it.
    pub fn folder(name: AppName, path: &str) -> Self {
        let said = serde_json::json!({"name": name, "path": path});
        serde_json::from_value(said).expect("a name and a path make an app")
    }
}

/// `true` for all that the Environment grants, or some of it by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "`adopt` is true, false, or a list of tools and field managers")]
pub enum Adopt {
    All(bool),
    From(Vec<String>),
}

impl Adopt {
    /// The tools and managers that are meant, of those that there are.
    pub fn resolve(&self, granted: &[String]) -> Vec<String> {
        match self {
            Self::All(true) => granted.to_vec(),
            Self::All(false) => Vec::new(),
            Self::From(names) => names.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollout {
    /// How long a wave may take to become healthy.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// How long an app has to stay healthy after its last wave: what fails meanwhile fails the rollout.
    #[serde(default = "no_time", skip_serializing_if = "Span::is_zero")]
    pub settle: Span,
    /// After so many restarts of a container of the newest pods a gate does not wait any longer; 0 waits its whole time.
    #[serde(default = "default_restarts")]
    pub restarts: u32,
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Whether the last lines of a container that failed are told, with what looks like a secret taken out.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub last_words: bool,
    #[serde(default)]
    pub scope: RolloutScope,
    #[serde(default)]
    pub prune: PruneBudget,
    /// What health means for kinds that the team knows better: docs/health.md.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<Rule>,
}

/// Ten minutes: the time in which a Deployment of the default progress deadline says that it failed.
const fn default_timeout() -> Span {
    Span::seconds(600)
}

const fn yes() -> bool {
    true
}

const fn is_yes(word: &bool) -> bool {
    *word
}

const fn no_time() -> Span {
    Span::seconds(0)
}

/// Two are an app that waits for its database; with the kubelet's back-off the fourth comes after more than a minute.
const fn default_restarts() -> u32 {
    4
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            timeout: default_timeout(),
            settle: no_time(),
            restarts: default_restarts(),
            on_failure: OnFailure::default(),
            last_words: true,
            scope: RolloutScope::default(),
            prune: PruneBudget::default(),
            health: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    #[default]
    Restore,
    Halt,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RolloutScope {
    #[default]
    App,
    Environment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PruneBudget {
    #[serde(default = "default_prune_max")]
    pub max: u32,
    #[serde(default = "default_prune_percent")]
    pub percent: u8,
}

const fn default_prune_max() -> u32 {
    10
}

const fn default_prune_percent() -> u8 {
    20
}

impl Default for PruneBudget {
    fn default() -> Self {
        Self { max: default_prune_max(), percent: default_prune_percent() }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Promotion {
    pub from: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Previews {
    /// Pull requests with this label have one; where absent, those for which somebody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The apps of it; all of the environment's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apps: Option<Vec<AppName>>,
    /// It ends so long after the last push or comment; 72h where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Span>,
    /// It ends so long after it was made, or was last asked to be kept; 14d where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Span>,
    /// So many at once, at most as many as the platform lets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// The host of each app, such as `{app}-{pr}.preview.example`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// In that time of the day nothing runs of those at which nobody looked since it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub night: Option<Night>,
    /// Whether those of forks may have one, for a commit that a person named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forks: bool,
}

/// The longest time that a rollout may wait for anything: a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// What both helm and a server take as a name.
fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=53).contains(&text.len())
        && text.bytes().all(legal)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl EnvironmentConfig {
    /// Whether an environment is production: it says so, or one of the words of its name is `prod` or `production`.
    pub fn is_production(&self, name: &EnvironmentName) -> bool {
        let word = |word: &str| matches!(word, "prod" | "production");
        self.production.unwrap_or_else(|| name.as_str().split('-').any(word))
    }

    /// What the types cannot say: each problem with the JSON pointer of the field that it is about.
    pub fn check(&self) -> Vec<(String, Problem)> {
        let mut found = Vec::new();
        for (n, rule) in self.secrets.iter().enumerate() {
            found.extend(rule.check().map(|(field, problem)| (format!("/spec/secrets/{n}{field}"), problem)));
        }
        found.extend(self.drift.check().into_iter().map(|(at, what)| (format!("/spec/drift{at}"), what)));
        found.extend(self.region.iter().flat_map(RegionSpec::check));
        let names: BTreeSet<&AppName> = self.apps.iter().map(|app| &app.name).collect();
        let mut seen = BTreeSet::new();
        for (n, app) in self.apps.iter().enumerate() {
            let mut say =
                |field: &str, problem: Problem| found.push((format!("/spec/apps/{n}{field}"), problem));
            if !seen.insert(&app.name) {
                say("/name", Problem::new(format!("two apps are named {}", app.name)));
            }
            match (&app.path, &app.chart) {
                (None, None) => {
                    say("", Problem::new(format!("the app {} has neither `path` nor `chart`", app.name)));
                }
                (Some(_), Some(_)) => {
                    let problem = Problem::new(format!("the app {} has both `path` and `chart`", app.name));
                    say(
                        "",
                        problem.hint("to patch a chart, give the overlay as `path` and name the chart there"),
                    );
                }
                (Some(_), None) => {
                    let fields = [
                        ("values", !app.values.is_empty()),
                        ("release", app.release.is_some()),
                        ("namespace", app.namespace.is_some()),
                    ];
                    for (field, _) in fields.iter().filter(|(_, is_given)| *is_given) {
                        let message = format!("`{field}` goes with `chart`, and this app has a `path`");
                        say(&format!("/{field}"), Problem::new(message));
                    }
                }
                (None, Some(_)) => {
                    for (field, name) in [("release", &app.release), ("namespace", &app.namespace)] {
                        if name.as_ref().is_some_and(|name| !is_name(name)) {
                            let message =
                                format!("`{field}` must be a name of lowercase letters, digits and `-`");
                            say(&format!("/{field}"), Problem::new(message));
                        }
                    }
                }
            }
            for (m, on) in app.depends_on.iter().enumerate() {
                let field = format!("/dependsOn/{m}");
                if !names.contains(on) {
                    say(
                        &field,
                        Problem::new(format!(
                            "the app {} depends on {on}, which is not an app here",
                            app.name
                        )),
                    );
                }
            }
        }
        if let Some(cycle) = self.cycle() {
            let names: Vec<&str> = cycle.iter().map(|&n| self.apps[n].name.as_str()).collect();
            let place = format!("/spec/apps/{}/dependsOn", cycle[0]);
            found.push((place, Problem::new(format!("apps wait for each other: {}", names.join(" → ")))));
        }
        if self.rollout.timeout.duration().is_zero() {
            found.push((
                "/spec/rollout/timeout".into(),
                Problem::new("a rollout needs some time: the timeout is 0s"),
            ));
        }
        // Longer is a slip of the pen, and would wait for ever.
        for (field, span) in [("timeout", self.rollout.timeout), ("settle", self.rollout.settle)] {
            if span.duration() > LONGEST {
                let message = format!("{field} is {span}, and at most 7d is waited for anything");
                found.push((format!("/spec/rollout/{field}"), Problem::new(message)));
            }
        }
        for error in Rules::compile(&self.rollout.health).err().into_iter().flatten() {
            let problem = Problem::new(error.to_string()).hint("docs/health.md says what a rule may say");
            found.push((format!("/spec/rollout/health{}", error.at), problem));
        }
        if self.rollout.prune.percent > 100 {
            found.push(("/spec/rollout/prune/percent".into(), Problem::new("a percentage is at most 100")));
        }
        found
    }

    /// The first circle of `dependsOn`, its first app again at the end.
    fn cycle(&self) -> Option<Vec<usize>> {
        let index = |name: &AppName| self.apps.iter().position(|app| app.name == *name);
        // 0 not seen, 1 on the path, 2 done.
        let mut mark = vec![0u8; self.apps.len()];
        fn visit(
            n: usize,
            apps: &[AppSpec],
            index: &dyn Fn(&AppName) -> Option<usize>,
            mark: &mut [u8],
            path: &mut Vec<usize>,
        ) -> Option<Vec<usize>> {
            mark[n] = 1;
            path.push(n);
            for next in apps[n].depends_on.iter().filter_map(index) {
                if mark[next] == 1 {
                    let start = path.iter().position(|&on| on == next)?;
                    let mut cycle = path[start..].to_vec();
                    cycle.push(next);
                    return Some(cycle);
                }
                if mark[next] == 0
                    && let Some(cycle) = visit(next, apps, index, mark, path)
                {
                    return Some(cycle);
                }
            }
            path.pop();
            mark[n] = 2;
            None
        }
        (0..self.apps.len()).find_map(|n| match mark[n] {
            0 => visit(n, &self.apps, &index, &mut mark, &mut Vec::new()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(apps: &str) -> EnvironmentConfig {
        serde_json::from_str(&format!(r#"{{"apps": {apps}}}"#)).unwrap()
    }

    #[test]
    fn a_circle_of_apps_is_shown() {
        let config = config(
            r#"[{"name": "a", "path": "a", "dependsOn": ["b"]}, {"name": "b", "path": "b", "dependsOn": ["c"]},
                {"name": "c", "path": "c", "dependsOn": ["b"]}]"#,
        );
        let found = config.check();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].1.message, "apps wait for each other: b → c → b");
    }

    #[test]
    fn nothing_is_waited_for_longer_than_a_week() {
        let mut config = config("[]");
        config.rollout.timeout = "7d".parse().unwrap();
        assert!(config.check().is_empty());
        (config.rollout.timeout, config.rollout.settle) =
            ("4000000d".parse().unwrap(), "169h".parse().unwrap());
        let found = config.check();
        let at: Vec<&str> = found.iter().map(|(at, _)| at.as_str()).collect();
        assert_eq!(at, ["/spec/rollout/timeout", "/spec/rollout/settle"]);
    }

    #[test]
    fn production_is_said_or_named() {
        let mut config = config("[]");
        let is = |config: &EnvironmentConfig, name: &str| {
            config.is_production(&EnvironmentName::new(name).unwrap())
        };
        assert!(is(&config, "production") && is(&config, "prod-eu") && is(&config, "eu-production"));
        assert!(!is(&config, "dev") && !is(&config, "preprod") && !is(&config, "products"));
        config.production = Some(true);
        assert!(is(&config, "live"));
        config.production = Some(false);
        assert!(!is(&config, "production"));
    }

    #[test]
    fn an_app_has_exactly_one_source() {
        let none = config(r#"[{"name": "a"}]"#).check();
        assert!(none[0].1.message.contains("neither"), "{none:?}");
        let both = config(r#"[{"name": "a", "path": "a", "chart": "b"}]"#).check();
        assert!(both[0].1.message.contains("both"), "{both:?}");
    }

    #[test]
    fn an_app_adopts_from_all_or_from_some() {
        let parse = |adopt: &str| {
            let text = format!(r#"{{"apps": [{{"name": "a", "path": "a", "adopt": {adopt}}}]}}"#);
            serde_json::from_str::<EnvironmentConfig>(&text)
                .map(|config| config.apps[0].adopt.clone().unwrap())
        };
        let granted = ["helm".to_owned(), "kubectl".to_owned()];
        assert_eq!(parse("true").unwrap().resolve(&granted), granted);
        assert!(parse("false").unwrap().resolve(&granted).is_empty());
        assert_eq!(parse(r#"["helm"]"#).unwrap().resolve(&granted), ["helm"]);
        let error = parse(r#""yes""#).unwrap_err().to_string();
        assert!(error.contains("`adopt` is true, false, or a list"), "{error}");
    }

    #[test]
    fn names_must_be_known_and_unique() {
        let found =
            config(r#"[{"name": "a", "path": "a", "dependsOn": ["x"]}, {"name": "a", "path": "b"}]"#).check();
        assert_eq!(found[0].0, "/spec/apps/0/dependsOn/0");
        assert_eq!(found[1].0, "/spec/apps/1/name");
    }
}
