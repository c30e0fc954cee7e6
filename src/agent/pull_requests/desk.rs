//! Looks after the pull requests of one repository: tells the book what is seen, begins what it says, and tells it what came
//! of that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::maker::{Maker, Wanted};
use super::opening::{self, Opened};
use super::orders::Orders;
use super::preview_parts::Facts;
use super::previews::{PreviewDesk, Turned};
use super::seeing::{self, Beside, Polled};
use super::{Group, Known};
use crate::agent::environment::Shared;
use crate::api::Environment;
use crate::cluster::Previews;
use crate::object::{EnvironmentName, Revision};
use crate::pull_requests::{Action, Answer, Book, Failure, Inputs, Landing, Made, Number, Own, State};

/// What is live is looked at anew this often where nothing tells that it moved.
const LOOK_ANEW: Duration = Duration::from_secs(15 * 60);
/// A status moves many times while something rolls out; what became of a merge is read this often at most.
const LAND_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Desk<'a> {
    shared: &'a Shared,
    opened: Opened,
    group: Group,
    maker: Arc<Maker>,
    orders: Arc<Orders>,
    book: Book,
    /// What git calls each head.
    references: BTreeMap<Number, String>,
    beside: Beside,
    statuses: BTreeMap<EnvironmentName, u64>,
    told: Option<String>,
}

type Done = (Number, Action, Result<Answer, Failure>);

/// What follows from what was done for a preview is looked at after this.
const PREVIEWS_SOON: Duration = Duration::from_secs(1);

/// What is due already is looked at again, and not in circles.
const AT_ONCE: Duration = Duration::from_secs(1);

impl<'a> Desk<'a> {
    pub fn new(shared: &'a Shared, opened: Opened, group: Group) -> Self {
        let context = shared.context.clone();
        let cluster = context.pull_requests.config.cluster.clone();
        let own = Own { author: opened.author.clone(), cluster: cluster.clone() };
        let place = opened.place();
        let previews = Arc::new(PreviewDesk {
            context: context.clone(),
            forge: opened.forge.clone(),
            changes: opened.changes.clone(),
            cluster: Previews::new(&context.session.cluster),
            memory: tokio::sync::Mutex::default(),
        });
        Self {
            shared,
            orders: Arc::new(Orders { context: context.clone(), place, previews, facts: Mutex::default() }),
            maker: Arc::new(Maker { context, changes: opened.changes.clone(), cluster }),
            opened,
            book: Book::new(own, Timestamp::now()),
            group,
            references: BTreeMap::new(),
            beside: Beside::default(),
            statuses: BTreeMap::new(),
            told: None,
        }
    }

    /// Until the end, or until another environment is the one to look after this, or the platform says something else.
    pub async fn run(mut self, mut known: watch::Receiver<Known>) {
        let (say, mut tips) = mpsc::channel(16);
        let mut following = self.follow(&say);
        let mut working: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
        let mut polling: FuturesUnordered<BoxFuture<'static, Polled>> = FuturesUnordered::new();
        let mut landing: FuturesUnordered<BoxFuture<'static, Vec<(String, Landing)>>> =
            FuturesUnordered::new();
        let mut turning: FuturesUnordered<BoxFuture<'static, Turned>> = FuturesUnordered::new();
        let mut poll_at = tokio::time::Instant::now();
        let mut turn_at = poll_at + PREVIEWS_SOON;
        let mut land_at: Option<tokio::time::Instant> = Some(poll_at);
        let mut anew = tokio::time::interval(LOOK_ANEW);
        anew.reset();
        self.book.environments(self.group.branches(), Timestamp::now());
        self.book.people(self.group.people());
        self.note_statuses();
        let mut requests = self.shared.context.requests.subscribe();
        loop {
            let now = Timestamp::now();
            self.orders.follow(requests.borrow_and_update().as_ref(), &mut self.book);
            self.orders.record(self.book.take_told(), &self.shared.name);
            for (number, action) in self.book.next(now) {
                working.push(self.act(number, action));
            }
            let wake = self
                .book
                .wake_at(now)
                .map(|at| Duration::try_from(at.duration_since(now)).unwrap_or(AT_ONCE));
            let wake = async {
                match wake {
                    Some(pause) => tokio::time::sleep(pause.max(Duration::from_millis(10))).await,
                    None => std::future::pending().await,
                }
            };
            let land = async {
                match land_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shared.end.cancelled() => return,
                changed = known.changed() => {
                    let group = Group::of(&known.borrow_and_update(), &self.shared.name);
                    let Some(group) = group.filter(|group| changed.is_ok() && self.goes_on(group)) else { return };
                    let is_other = group.branches() != self.group.branches();
                    self.group = group;
                    self.book.people(self.group.people());
                    if is_other {
                        self.book.environments(self.group.branches(), Timestamp::now());
                        following = self.follow(&say);
                    }
                    if self.note_statuses() {
                        land_at.get_or_insert(tokio::time::Instant::now() + LAND_PAUSE);
                    }
                }
                Some((branch, tip)) = tips.recv() => {
                    self.beside.tips.insert(branch.clone(), tip.clone());
                    self.book.tip(&branch, tip, Timestamp::now());
                    // A merge moves the branch, and the forge knows of it.
                    poll_at = tokio::time::Instant::now();
                }
                () = self.opened.poke.notified() => {
                    following.iter().for_each(|(_, poke)| poke.notify_one());
                    poll_at = tokio::time::Instant::now();
                }
                () = tokio::time::sleep_until(poll_at), if polling.is_empty() => {
                    poll_at = tokio::time::Instant::now() + self.opened.interval;
                    let (forge, changes) = (self.opened.forge.clone(), self.opened.changes.clone());
                    let beside = self.beside.clone();
                    polling.push(Box::pin(async move { seeing::poll(&*forge, changes, beside).await }));
                }
                Some(polled) = polling.next() => {
                    if !self.hear_polled(polled).await {
                        return;
                    }
                    land_at.get_or_insert(tokio::time::Instant::now());
                }
                () = land, if landing.is_empty() => {
                    land_at = None;
                    landing.extend(self.land());
                }
                Some(landings) = landing.next() => {
                    for (environment, landing) in landings {
                        self.book.landed(&environment, landing);
                    }
                }
                Some((number, action, result)) = working.next() => {
                    if let Err(failure) = &result {
                        self.complain(&format!("pull request {number}: {failure}"));
                    }
                    self.book.hear(number, &action, result, Timestamp::now());
                }
                changed = requests.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(turn_at), if turning.is_empty() => {
                    turn_at = tokio::time::Instant::now() + self.opened.interval;
                    turning.extend(self.turn_previews());
                }
                Some(turned) = turning.next() => {
                    let now = tokio::time::Instant::now();
                    let again = turned.again.and_then(|at| Duration::try_from(at.duration_since(Timestamp::now())).ok());
                    turn_at = again.map_or(turn_at, |pause| turn_at.min(now + pause.max(PREVIEWS_SOON)));
                    // What fails is tried again with the next poll.
                    if turned.is_busy && turned.failed.is_empty() {
                        turn_at = now + PREVIEWS_SOON;
                    }
                    turned.failed.iter().for_each(|why| self.complain(why));
                    self.book.previews(&turned.texts);
                }
                _ = anew.tick() => {
                    let names: Vec<String> = self.group.environments.keys().map(ToString::to_string).collect();
                    names.iter().for_each(|name| self.book.live_moved(name, Timestamp::now()));
                }
                () = wake => {}
            }
        }
    }

    /// Whether the same forge is asked in the same way, by us.
    fn goes_on(&self, group: &Group) -> bool {
        let opened = Opened::by(&self.opened.spec);
        let same = |environment: &Arc<Environment>| {
            environment.spec.pull_requests.as_ref().map(Opened::by) == Some(opened)
                && environment.spec.source == self.opened.source
        };
        group.is_led_by(&self.shared.name) && group.environments.get(&self.shared.name).is_some_and(same)
    }

    /// Follows the branches of all environments.
    fn follow(
        &self,
        say: &mpsc::Sender<(String, Revision)>,
    ) -> Vec<(AbortOnDropHandle<()>, Arc<tokio::sync::Notify>)> {
        let mut branches: Vec<String> = self.group.branches().into_values().collect();
        branches.sort();
        branches.dedup();
        let follow = |branch: String| {
            let mut source = self.opened.follow(self.shared, &branch)?;
            let (say, poke) = (say.clone(), Arc::new(tokio::sync::Notify::new()));
            let poked = poke.clone();
            let task = tokio::spawn(async move {
                loop {
                    if let Some(tip) = source.look().revision
                        && say.send((branch.clone(), tip)).await.is_err()
                    {
                        return;
                    }
                    tokio::select! {
                        () = source.changed() => {}
                        () = poked.notified() => drop(source.poke()),
                    }
                }
            });
            Some((AbortOnDropHandle::new(task), poke))
        };
        branches.into_iter().filter_map(follow).collect()
    }

    /// Notes what the statuses say; whether any says something new.
    fn note_statuses(&mut self) -> bool {
        let mut is_new = false;
        for (name, environment) in &self.group.environments {
            let digest = seeing::digest(environment);
            let before = self.statuses.insert(name.clone(), digest);
            if before != Some(digest) {
                is_new = true;
                if before.is_some() {
                    self.book.live_moved(name.as_str(), Timestamp::now());
                }
            }
        }
        is_new
    }

    /// Takes a list; false where the forge is to be opened anew.
    async fn hear_polled(&mut self, polled: Polled) -> bool {
        match polled {
            Ok((pulls, references)) => {
                self.told = None;
                for pull in &pulls {
                    if let State::Merged { revision, .. } = &pull.state {
                        self.beside.merges.entry(pull.number).or_insert_with(|| revision.clone());
                    }
                }
                self.references.extend(references);
                self.book.pulls(pulls, Timestamp::now());
                true
            }
            Err(failure) => {
                self.complain(&format!("the list of pull requests: {failure}"));
                // A token that was replaced: the Secret may hold the new one by now.
                let refused = matches!(failure, Failure::Refused(_));
                let now =
                    if refused { opening::keys(self.shared, &self.opened.spec).await.ok() } else { None };
                now.is_none_or(|now| now == self.opened.keys)
            }
        }
    }

    /// Logs what fails, once in a row.
    fn complain(&mut self, why: &str) {
        if self.told.as_deref() != Some(why) {
            tracing::warn!(environment = %self.shared.name, why, "a forge does not do what it is asked");
            self.told = Some(why.to_owned());
        }
    }

    /// Begins an action.
    fn act(&self, number: Number, action: Action) -> BoxFuture<'static, Done> {
        if let Action::Report(inputs) = &action {
            let making = self.report(number, inputs.clone());
            return Box::pin(async move { (number, action, making.await.map(Answer::Reported)) });
        }
        if let Action::CarryOut(order) = &action {
            let (orders, order) = (self.orders.clone(), (**order).clone());
            let carrying = async move { orders.carry_out(number, order).await };
            return Box::pin(async move { (number, action, carrying.await.map(Answer::CarriedOut)) });
        }
        let (forge, changes) = (self.opened.forge.clone(), self.opened.changes.clone());
        let beside = self.beside.clone();
        Box::pin(async move {
            let result = match &action {
                Action::Report(_) | Action::CarryOut(_) => {
                    Err(Failure::Away("it is done elsewhere".to_owned()))
                }
                Action::Permit { login, account } => {
                    forge.may_write(number, login, *account).await.map(Answer::Permitted)
                }
                Action::React { comment, reaction } => {
                    forge.react(number, *comment, *reaction).await.map(|()| Answer::Reacted)
                }
                Action::Find => forge.comments(number).await.map(Answer::Found),
                Action::Look(id) => forge.comment(number, *id).await.map(Answer::Looked),
                Action::Make { body } => forge.make(number, body).await.map(Answer::Made),
                Action::Edit { comment, body } => {
                    let edited = forge.edit(number, *comment, body).await;
                    edited.map(|was_there| if was_there { Answer::Edited } else { Answer::Gone })
                }
                Action::Remove(id) => forge.remove(number, *id).await.map(|()| Answer::Removed),
                Action::Tell { revision, status } => {
                    forge.tell(revision, status).await.map(|()| Answer::Told)
                }
                Action::Ask => match forge.pull(number).await {
                    Ok(listed) => {
                        seeing::resolve(vec![listed], changes, beside).await.and_then(|(pulls, _)| {
                            let found = pulls.into_iter().next().map(Answer::Asked);
                            found.ok_or_else(|| Failure::Away("git does not have its branch".to_owned()))
                        })
                    }
                    Err(failure) => Err(failure),
                },
            };
            (number, action, result)
        })
    }

    fn report(&self, number: Number, inputs: Inputs) -> impl Future<Output = Result<Made, Failure>> + use<> {
        let base = self.book.pull(number).map(|pull| pull.base.clone()).unwrap_or_default();
        let of_branch = |(_, it): &(&EnvironmentName, &Arc<Environment>)| it.spec.source.branch == base;
        let environments = self.group.environments.iter().filter(of_branch);
        let wanted = Wanted {
            inputs,
            reference: self.references.get(&number).cloned().unwrap_or_default(),
            environments: environments.map(|(name, it)| (name.clone(), it.clone())).collect(),
            base,
        };
        self.maker.clone().make(wanted)
    }

    /// Looks after the previews, where the platform lets any be.
    fn turn_previews(&self) -> Option<BoxFuture<'static, Turned>> {
        let environments = self.group.previewed();
        let is_any = !environments.is_empty();
        self.orders.know(Facts {
            open: self.book.open().map(|(pull, active)| (pull.clone(), active)).collect(),
            references: self.references.clone(),
            tips: self.beside.tips.clone(),
            environments,
        });
        let (orders, facts) = (self.orders.clone(), self.orders.facts());
        is_any.then(|| -> BoxFuture<'static, Turned> {
            Box::pin(async move { orders.previews.turn(&facts, None).await })
        })
    }

    /// Reads where the environments stand, where a merge is followed.
    fn land(&self) -> Option<BoxFuture<'static, Vec<(String, Landing)>>> {
        let merges = self.book.merges();
        if merges.is_empty() {
            return None;
        }
        let (context, changes) = (self.shared.context.clone(), self.opened.changes.clone());
        let all: Vec<(EnvironmentName, String, bool)> = self
            .group
            .environments
            .iter()
            .map(|(name, it)| (name.clone(), it.spec.source.branch.clone(), it.spec.suspended))
            .collect();
        Some(Box::pin(seeing::land(context, changes, merges, all)))
    }
}
