//! The loop that delivers: tells what is new, asks what is to be done, begins it. It awaits nothing but its select.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Asked, Channels, GitState, Inventoried, RegionReport, Report, Shared, Spoken, grants, prepare, trouble,
};
use crate::agent::deliver::Deliver;
use crate::agent::hands::Hands;
use crate::agent::inventory;
use crate::agent::watchdog::TICK;
use crate::api::{Environment, Identity};
use crate::delivery::{Fact, News, Platform, PruneTerms, What};
use crate::object::{AppName, Kinds};
use crate::requests::Words;

/// Changes in the cluster come in swarms: the first is looked at at once, and what follows it within this time together.
const SWARM: Duration = Duration::from_millis(50);
/// How long a request that is under way may take at the end: less than a pod's grace period.
const HAND_OVER: Duration = Duration::from_secs(20);
/// Where things stand is put together at most this often,
const REPORT_PAUSE: Duration = Duration::from_millis(50);
/// and in no more than such a part of the time: for ten thousand apps that is work.
const REPORT_PART: u32 = 10;
/// Whether all kinds are verified is looked at a few times within what is granted, within these bounds.
const VERIFY: (Duration, Duration) = (Duration::from_millis(500), TICK);
/// Facts that nobody takes; the oldest are dropped.
const FACTS_KEPT: usize = 10_000;

struct Loop<'a> {
    shared: &'a Shared,
    channels: &'a Channels,
    deliver: Deliver,
    identity: Option<Identity>,
    git: watch::Receiver<GitState>,
    inventoried: watch::Receiver<Inventoried>,
    words: watch::Receiver<Words>,
    said: Option<Arc<Spoken>>,
    /// Where git stood when it was heard last.
    heard: GitState,
    kinds: Arc<Kinds>,
    facts: Vec<Fact>,
    /// When where things stand may be put together again, and whether it has to be.
    report: (Instant, bool),
}

pub(super) async fn run(shared: &Shared, channels: &Channels, hands: Arc<Hands>) {
    let bell = shared.context.index.listen(shared.name.as_str());
    let _verifying = AbortOnDropHandle::new(tokio::spawn(prepare::verify(hands.clone(), bell.clone())));
    let mut platform = shared.platform.clone();
    let mut this = Loop {
        shared,
        channels,
        identity: hands.identity.clone(),
        kinds: shared.context.session.kinds(),
        deliver: Deliver::new(hands, None),
        git: channels.git.subscribe(),
        inventoried: channels.inventoried.subscribe(),
        words: channels.words.subscribe(),
        said: None,
        heard: GitState::default(),
        facts: Vec::new(),
        report: (Instant::now(), true),
    };
    // The other tasks may have said something before we began to listen, and say it once.
    this.git.mark_changed();
    this.inventoried.mark_changed();
    this.words.mark_changed();
    this.hear_platform(&platform.borrow_and_update().clone());
    let mut swarm: Option<Instant> = None;
    let mut looked = Instant::now();
    let (mut known, mut turns) = channels.secrets.watch();
    let mut region = channels.region.status.subscribe();
    let mut lift = channels.region.lift.subscribe();
    let mut verify = interval(this.unknown_after().div_f64(4.0).clamp(VERIFY.0, VERIFY.1));
    verify.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let pulse = shared.context.own.watchdog.pulse(format!("environment {}", shared.name));
    loop {
        pulse.turn();
        let again = this.turn();
        let wake = [again, swarm, this.report.1.then_some(this.report.0)].into_iter().flatten().min();
        // In no fixed order: news that came without end would keep the answers waiting.
        tokio::select! {
            () = shared.end.cancelled() => break,
            changed = platform.changed() => {
                if changed.is_err() {
                    break;
                }
                let environment = platform.borrow_and_update().clone();
                if this.identity.as_ref() != Some(&environment.spec.service_account) || this.is_of_another(&environment) {
                    break; // What is under way is handed over, and begun anew as another.
                }
                this.hear_platform(&environment);
            }
            _ = this.git.changed() => this.hear_git(),
            _ = this.inventoried.changed() => this.hear_inventory(&platform.borrow().clone()),
            _ = this.words.changed() => this.hear_platform(&platform.borrow().clone()),
            _ = known.changed() => this.report.1 = true,
            _ = turns.changed() => this.report.1 = true,
            _ = region.changed() => this.report.1 = true,
            _ = lift.changed() => this.hear_platform(&platform.borrow().clone()),
            _ = verify.tick() => this.verify(),
            () = this.deliver.finish_some() => this.report.1 = true,
            () = bell.notified() => { swarm.get_or_insert_with(|| Instant::now().max(looked + SWARM)); }
            () = sleep_until(wake) => {}
        }
        if swarm.is_some_and(|at| at <= Instant::now()) {
            (swarm, looked) = (None, Instant::now());
            this.deliver.hear_cluster();
            this.report.1 = true;
        }
    }
    this.deliver.hand_over(HAND_OVER).await;
    this.tell_facts();
}

impl Loop<'_> {
    /// Whether this Environment was made anew: what is remembered is not its own.
    fn is_of_another(&self, environment: &Environment) -> bool {
        if self.channels.secrets.read_as() != environment.spec.aws.as_ref() {
            return true;
        }
        let uid = environment.metadata.uid.as_deref();
        self.deliver.hands.store.as_ref().is_some_and(|store| uid.is_some_and(|uid| uid != store.uid()))
    }

    /// Asks what is to be done, begins it, and says what happened and where things stand.
    fn turn(&mut self) -> Option<Instant> {
        for why in self.deliver.hands.store.iter().flat_map(|store| store.take_news()).collect::<Vec<_>>() {
            self.deliver.hear(News::StateDamaged(why));
        }
        let again = self.deliver.turn();
        let kinds = self.shared.context.session.kinds();
        if !Arc::ptr_eq(&kinds, &self.kinds) {
            self.kinds = kinds;
            self.channels.kinds.notify_one();
        }
        // Who let an environment go is told so before it is gone.
        let is_answered = self.words.borrow().approve.is_none();
        let left = self.deliver.left().filter(|_| is_answered);
        let asked = Asked { needs: self.deliver.needs(), left };
        self.channels.asked.send_if_modified(|known| {
            let new = *known != asked;
            *known = asked;
            new
        });
        self.tell_facts();
        self.tell_report();
        again.map(|at| {
            let left = at.duration_since(Timestamp::now()).max(SignedDuration::ZERO);
            Instant::now() + Duration::try_from(left).unwrap_or(Duration::ZERO)
        })
    }

    fn unknown_after(&self) -> Duration {
        self.shared.context.own.unknown_after
    }

    /// Looks whether all kinds are verified. A watch that dies tells nobody.
    fn verify(&mut self) {
        if let Some(at) = self.deliver.verified() {
            self.shared.context.metrics.drift.verified(self.shared.name.as_str(), at.elapsed());
        }
        let unknown = self.deliver.unknown(self.unknown_after());
        // The time since when stays as it is while it is unknown.
        let is_news = self.channels.report.borrow().as_ref().is_some_and(|told| told.unknown != unknown);
        self.report.1 |= is_news;
    }

    /// Hands on what happened. Where that is not taken fast enough it waits here, and never holds anything up.
    fn tell_facts(&mut self) {
        self.facts.append(&mut self.deliver.take_facts());
        let mut sent = 0;
        for fact in &self.facts {
            if self.channels.facts.try_send(fact.clone()).is_err() {
                break;
            }
            sent += 1;
        }
        self.facts.drain(..sent);
        let surplus = self.facts.len().saturating_sub(FACTS_KEPT);
        if surplus > 0 {
            tracing::warn!(surplus, "facts that could not be told in time are dropped");
            self.facts.drain(..surplus);
        }
    }

    fn tell_report(&mut self) {
        let now = Instant::now();
        if !self.report.1 || now < self.report.0 {
            return;
        }
        let knows_apps = self.deliver.delivery.knows_apps() && self.words.borrow().known;
        let known = knows_apps || self.heard.trouble.is_some();
        if !known && self.inventoried.borrow().trouble.is_none() && self.is_told_of() {
            self.report = (now + REPORT_PAUSE, false);
            return; // What was told last is as true as that nothing is known yet.
        }
        let report = self.put_together();
        self.report = (now + REPORT_PAUSE.max(now.elapsed() * REPORT_PART), false);
        self.channels.report.send_if_modified(|known| {
            let new = known.as_deref() != Some(&report);
            if new {
                *known = Some(Arc::new(report));
            }
            new
        });
    }

    /// Whether people were told of the apps before.
    fn is_told_of(&self) -> bool {
        let platform = self.shared.platform.borrow();
        platform.status.as_ref().is_some_and(|status| !status.apps.is_empty() || status.counts_apps())
    }

    fn put_together(&self) -> Report {
        // What the apps were told, and not what may have come since.
        let git = &self.heard;
        let own = self.inventoried.borrow().trouble.clone();
        let starting = || trouble("Starting", "git was not read yet", true);
        let knows_apps = self.deliver.delivery.knows_apps();
        let known = knows_apps || git.trouble.is_some() || own.is_some();
        Report {
            knows_apps,
            apps: self.deliver.statuses(),
            prune: self.deliver.delivery.prune_status(),
            trouble: own.or_else(|| git.trouble.clone()).or_else(|| (!known).then(starting)),
            revision: git.revision.clone(),
            request: git.looked.last().cloned(),
            looked: git.looked.clone(),
            replies: self.deliver.replies(),
            secrets: self.channels.secrets.statuses(),
            drift: self.deliver.delivery.drift(),
            unknown: self.deliver.unknown(self.unknown_after()),
            region: RegionReport {
                orders: git.orders.clone(),
                is_guarded: git.is_guarded,
                status: self.channels.region.status.borrow().clone(),
            },
        }
    }

    fn hear_git(&mut self) {
        let git = self.git.borrow_and_update().clone();
        self.deliver.hands.set_archive(git.archive.clone());
        if let Some(spoken) = git.says.clone()
            && self.said.as_ref().is_none_or(|said| !Arc::ptr_eq(said, &spoken))
        {
            self.shared.context.index.judge(self.shared.name.as_str(), &spoken.rules);
            self.deliver.hear(News::Git(spoken.says.clone()));
            self.tell_warnings(&spoken);
            self.said = Some(spoken);
        }
        if git.away {
            self.deliver.hear(News::GitAway);
        }
        self.heard = git;
        self.hear_platform(&self.shared.platform.borrow().clone());
        self.report.1 = true;
    }

    /// Tells what the platform warns of and which rules do nothing, once for as long as it stays the same.
    fn tell_warnings(&mut self, spoken: &Spoken) {
        let before = self.said.as_ref().map(|said| &said.warnings);
        let is_news = |app: &AppName, warnings: &Vec<String>| {
            before.is_none_or(|before| before.get(app) != Some(warnings))
        };
        let news = spoken.warnings.iter().filter(|(app, warnings)| is_news(app, warnings));
        let facts = news.map(|(app, warnings)| Fact {
            app: Some(app.clone()),
            what: What::PolicyWarning { warnings: warnings.clone() },
        });
        self.facts.extend(facts);
        let known = self.said.as_ref().map_or(&[][..], |said| &said.idle);
        if !spoken.idle.is_empty() && known != spoken.idle {
            self.facts.push(Fact { app: None, what: What::IdleRules { rules: spoken.idle.clone() } });
        }
    }

    fn hear_inventory(&mut self, environment: &Environment) {
        let marked = self.inventoried.borrow_and_update().marked.clone();
        if let Some(marked) = marked {
            self.deliver.set_inventory(marked.inventory);
        }
        self.hear_platform(environment);
        self.report.1 = true;
    }

    /// Takes what the platform says by the Environment, and people by their requests.
    fn hear_platform(&mut self, environment: &Environment) {
        self.report.1 = true;
        if environment.metadata.deletion_timestamp.is_some() {
            if environment.spec.on_delete == crate::api::OnDelete::Remove {
                self.deliver.hear(News::Leaving);
            } else {
                return; // Its objects stay, and nothing new begins.
            }
        }
        let words = self.words.borrow_and_update().clone();
        let marked = self.inventoried.borrow().marked.clone();
        let grants = grants(&self.shared.context, environment);
        let prune = marked.map(|marked| PruneTerms {
            environment: self.shared.name.clone(),
            grants: Some(grants.clone()),
            approval: inventory::approval(words.approve.as_ref(), &marked),
            hold: self.heard.doubt.clone().filter(|_| environment.metadata.deletion_timestamp.is_none()),
        });
        let platform = Platform {
            suspended: environment.spec.suspended,
            grants: Some(grants),
            agreed: words.agreed,
            prune,
            retry: words.retry.or_else(|| self.channels.region.lift.borrow().clone()),
            rollbacks: words.rollbacks,
            holds: words.holds,
            holds_unknown: !words.known,
            decisions: words.decisions,
        };
        self.deliver.hear(News::Platform(Box::new(platform)));
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
