//! The process that lives for a while: it hears, decides, and has its hands do what was decided.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::chance::{Millis, Storm};
use super::hands::{Reach, Task};
use super::outside::{Outside, reach};
use super::view::View;
use crate::delivery::{Action, Delivery, News, Platform, Replies, Ticket, World};
use crate::object::{AppName, ObjectKey};
use crate::plan::Inventory;
use crate::state::Change;

/// So often an agent may decide without the clock going on.
const AT_ONCE: u32 = 40;
/// Changes in the cluster come in swarms, which are looked at together.
const SWARM: Millis = 50;

pub struct Agent {
    pub delivery: Delivery,
    pub view: View,
    notes: Vec<(ObjectKey, Box<str>)>,
    pub tasks: Vec<Task>,
    wake: Option<Millis>,
    coming: Vec<(Millis, Coming)>,
    /// Of which apps something changed, and when that is looked at.
    swarm: Option<(Millis, BTreeSet<AppName>)>,
    knows_git: bool,
    /// What people ask for was read.
    knows_requests: bool,
}

/// Something that comes to an agent.
#[derive(Debug)]
enum Coming {
    Git,
    Platform,
    Requests,
    Leaving,
    Listed,
    /// Where objects are is written down.
    Inventory(Inventory),
    /// What of an approved set is left is written down.
    Tokens(BTreeSet<Box<str>>),
    /// What the words of people came to is written down.
    Answered(Box<Replies>),
}

impl Agent {
    pub fn begin(outside: &mut Outside) -> Self {
        outside.checks.forget(&outside.store.memory);
        outside.store.readers += 1;
        let view =
            View::list(&outside.server, &mut outside.chance, &outside.store.memory, &outside.inventory);
        let mut agent = Self {
            delivery: Delivery::default(),
            notes: Vec::new(),
            tasks: Vec::new(),
            wake: None,
            coming: vec![(view.listed_at, Coming::Listed)],
            swarm: None,
            knows_git: false,
            knows_requests: false,
            view,
        };
        if outside.goes {
            agent.hear(Coming::Leaving, outside);
        }
        agent.coming.push((outside.chance.way() + outside.chance.between(0, 2000), Coming::Requests));
        agent.tell_platform(outside);
        agent.tell_git(outside);
        agent
    }

    /// The Environment is deleted.
    pub fn tell_leaving(&mut self, outside: &mut Outside) {
        self.coming.push((outside.chance.way(), Coming::Leaving));
    }

    /// Something on the Environment changed.
    pub fn tell_platform(&mut self, outside: &mut Outside) {
        self.coming.push((outside.chance.way(), Coming::Platform));
    }

    /// Something in git changed, or whether it can be read.
    pub fn tell_git(&mut self, outside: &mut Outside) {
        let at = outside.chance.way() + outside.chance.between(0, 1500);
        self.coming.push((at, Coming::Git));
    }

    /// Dies, whatever is under way. Some of what it sent arrives.
    pub fn die(mut self, outside: &mut Outside) {
        outside.checks.dies(&self.delivery);
        for task in self.tasks.drain(..) {
            if outside.chance.one_of(2) {
                outside.limbo.tasks.push(task);
            }
        }
    }

    /// Ends: begins nothing more, and lets what is under way come to an end. Says whether it has.
    pub fn end(&mut self, outside: &mut Outside) -> bool {
        let now = outside.chance.now;
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.tasks).into_iter().partition(|task| task.at <= now);
        self.tasks = later;
        for mut task in due {
            if task.go_on(reach!(self, outside), false).is_none() {
                self.tasks.push(task);
            }
        }
        self.tasks.is_empty()
    }

    pub fn next(&self) -> Option<Millis> {
        let tasks = self.tasks.iter().map(|task| task.at);
        let coming = self.coming.iter().map(|(at, _)| *at);
        let swarm = self.swarm.as_ref().map(|(at, _)| *at);
        tasks.chain(coming).chain(swarm).chain(self.wake).chain(self.view.next()).min()
    }

    /// When something of it goes on while it ends.
    pub fn next_end(&self) -> Option<Millis> {
        self.tasks.iter().map(|task| task.at).min()
    }

    /// Does all that is due by now.
    pub fn go_on(&mut self, outside: &mut Outside) {
        let now = outside.chance.now;
        self.view.now = now;
        if !self.view.scaled.iter().eq(outside.server.others.scaled.keys()) {
            self.view.scaled = outside.server.others.scaled.keys().cloned().collect();
            self.coming.push((now, Coming::Listed));
        }
        self.view.send(&outside.server, &mut outside.chance);
        let mut news = self.wake.is_some_and(|at| at <= now);
        if self.view.relist(&outside.server, &outside.chance) {
            self.delivery.hear(News::Cluster(None), &self.view, outside.time());
            news = true;
        }
        if let Some(apps) = self.view.receive(&outside.server, now) {
            self.swarm.get_or_insert_with(|| (now + SWARM, BTreeSet::new())).1.extend(apps);
        }
        if let Some((_, apps)) = self.swarm.take_if(|(at, _)| *at <= now) {
            self.delivery.hear(News::Cluster(Some(apps)), &self.view, outside.time());
            news = true;
        }
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.coming).into_iter().partition(|(at, _)| *at <= now);
        self.coming = later;
        for (_, coming) in due {
            self.hear(coming, outside);
            news = true;
        }
        news |= self.work(outside);
        if news {
            self.decide(outside);
        }
    }

    fn hear(&mut self, coming: Coming, outside: &mut Outside) {
        let (now, time) = (outside.chance.now, outside.time());
        if outside.checks.traced {
            let what: String = format!("{coming:?}").chars().take(60).collect();
            println!("{now} hears {what}");
        }
        let heard = match coming {
            Coming::Git => match outside.git.read(now) {
                Some(says) => {
                    let Delivery { apps, saving, .. } = &self.delivery;
                    let forgets = |app: &AppName| !apps.contains_key(app) && saving.forgets(app);
                    outside.checks.heard(&says, &self.view.memory, forgets, now);
                    let policies = outside.git.head().map(|head| head.policies).unwrap_or_default();
                    outside.checks.theirs.hears(policies, now);
                    News::Git(says)
                }
                None => News::GitAway,
            },
            Coming::Requests => {
                self.knows_requests = true;
                News::Platform(Box::new(self.platform(outside)))
            }
            Coming::Platform => News::Platform(Box::new(self.platform(outside))),
            Coming::Leaving => {
                outside.checks.leaves(now);
                News::Leaving
            }
            Coming::Listed => News::Cluster(None),
            Coming::Inventory(inventory) => {
                outside.inventory.extend(&inventory);
                self.view.inventory = outside.inventory.clone();
                News::Cluster(None)
            }
            Coming::Answered(replies) => {
                let platform = &mut outside.platform;
                platform.rollbacks.retain(|request| !replies.rollbacks.contains(&request.id));
                platform
                    .retry
                    .take_if(|word| replies.retry.as_ref().is_some_and(|retry| retry.nonce == word.nonce));
                News::Platform(Box::new(self.platform(outside)))
            }
            Coming::Tokens(tokens) => {
                if let Some(terms) = &mut outside.platform.prune {
                    terms.approval.tokens = tokens;
                }
                News::Platform(Box::new(self.platform(outside)))
            }
        };
        let is_git = matches!(heard, News::Git(_) | News::GitAway);
        self.delivery.hear(heard, &self.view, time);
        if is_git {
            // Whether git is in doubt comes with its word.
            self.knows_git = true;
            let platform = self.platform(outside);
            self.delivery.hear(News::Platform(Box::new(platform)), &self.view, time);
        }
    }

    /// What the platform says, as an agent puts it together with what it knows of git.
    fn platform(&self, outside: &mut Outside) -> Platform {
        let mut platform = outside.platform.clone();
        platform.holds_unknown = !self.knows_requests;
        match self.knows_requests {
            true => outside.checks.theirs.hears_holds(&platform.holds, outside.chance.now),
            false => platform.holds.clear(),
        }
        let is_away = outside.git.is_away(outside.chance.now);
        let doubt = outside.chance.is(Storm::Doubt) || is_away || !self.knows_git;
        if let Some(terms) = &mut platform.prune {
            terms.hold = (doubt && !outside.goes).then(|| "git cannot be read".to_owned());
            outside.checks.holds(terms.hold.is_some(), outside.chance.now);
        }
        platform
    }

    /// Goes on with what is under way. Says whether anything ended.
    fn work(&mut self, outside: &mut Outside) -> bool {
        let now = outside.chance.now;
        let mut ended = false;
        let mut n = 0;
        while n < self.tasks.len() {
            if self.tasks[n].at > now {
                n += 1;
                continue;
            }
            let awaited = self.delivery.awaits(&self.tasks[n].ticket);
            let mut task = self.tasks.swap_remove(n);
            let Some(event) = task.go_on(reach!(self, outside), awaited) else {
                self.tasks.push(task);
                continue;
            };
            ended = true;
            if outside.checks.traced {
                let event: String = format!("{event:?}").chars().take(200).collect();
                println!("{now} ended {:?} {event}", task.ticket.of);
            }
            outside.checks.ended(&task.ticket, &event);
            let begun = self.delivery.event(&task.ticket, event, &self.view, outside.time());
            self.begin_all(begun, outside);
        }
        ended
    }

    fn decide(&mut self, outside: &mut Outside) {
        let time = outside.time();
        for n in 0.. {
            outside.checks.counted.decisions += 1;
            let begun = self.delivery.decide(&self.view, time);
            self.begin_all(begun, outside);
            for fact in self.delivery.take_facts() {
                if outside.checks.traced {
                    println!("{} fact {fact:?}", outside.chance.now);
                }
                outside.checks.fact(&fact, (&self.delivery, &self.view), &outside.git, outside.chance.now);
            }
            if self.delivery.again().is_none_or(|again| again > time) {
                break;
            }
            if n > AT_ONCE {
                let now = outside.chance.now;
                outside.checks.fail(|| format!("{now}: it decides again and again"));
                break;
            }
        }
        if outside.checks.traced {
            for (name, app) in self.delivery.apps.iter() {
                let status = app.status();
                let doing: String = format!("{:?}", app.doing).chars().take(150).collect();
                println!("  {name}: {:?} {:?} {doing}", status.phase, status.message);
            }
        }
        let news = self.swarm.as_ref().map(|(_, apps)| apps);
        outside.checks.decided(&self.delivery, &self.view, news, outside.chance.now);
        self.tell_needs(outside);
        self.tell_replies(outside);
        let wait = |again: Timestamp| {
            let wait = again.duration_since(time).as_millis().max(0) + 1;
            outside.chance.now + Millis::try_from(wait).unwrap_or(Millis::MAX / 2)
        };
        self.wake = self.delivery.again().map(wait);
    }

    /// Writes on the Environment where objects are, and what of an approved set is left.
    fn tell_needs(&mut self, outside: &mut Outside) {
        let (wanted, approved) = (self.delivery.pruner.wanted(), self.delivery.pruner.approved());
        let is_coming = self.coming.iter().any(
            |(_, coming)| matches!(coming, Coming::Inventory(known) if wanted.kinds.is_subset(&known.kinds)),
        );
        if !World::inventory_written(&self.view, wanted) && !is_coming {
            self.coming.push((outside.chance.way(), Coming::Inventory(wanted.clone())));
        }
        let tokens = outside.platform.prune.as_ref().map(|terms| &terms.approval.tokens);
        let are_coming = self.coming.iter().any(|(_, coming)| matches!(coming, Coming::Tokens(_)));
        if let Some(approved) = approved.filter(|approved| Some(approved) != tokens && !are_coming) {
            self.coming.push((outside.chance.way(), Coming::Tokens(approved)));
        }
    }

    /// Answers the words of people, which are not told again then.
    fn tell_replies(&mut self, outside: &mut Outside) {
        let platform = &outside.platform;
        let waits = platform.retry.is_some() || !platform.rollbacks.is_empty();
        if !waits || self.coming.iter().any(|(_, coming)| matches!(coming, Coming::Answered(_))) {
            return;
        }
        let replies = self.delivery.replies(&self.view);
        let is_new = |retry: &crate::delivery::Retried| {
            platform.retry.as_ref().is_some_and(|word| word.nonce == retry.nonce)
        };
        let rollback = platform.rollbacks.iter().any(|request| replies.rollbacks.contains(&request.id));
        if rollback || replies.retry.as_ref().is_some_and(is_new) {
            let at = outside.chance.way() + outside.chance.between(0, 2000);
            self.coming.push((at, Coming::Answered(Box::new(replies))));
        }
    }

    fn begin_all(&mut self, begun: Vec<(Ticket, Action)>, outside: &mut Outside) {
        for (ticket, action) in begun {
            let name = action.name();
            outside.begun.push(name);
            let under_way = self.tasks.iter().map(|task| (&task.ticket, task.name));
            outside.checks.begins(
                (&ticket, name),
                under_way,
                (&self.delivery, &self.view),
                outside.chance.now,
            );
            if outside.checks.traced {
                let action: String = format!("{action:?}").chars().take(260).collect();
                println!("{} begin {:?} {action}", outside.chance.now, ticket.of);
            }
            if let Action::Prune { .. } = action {
                outside.checks.prunes(&self.delivery, &self.view, outside.chance.now);
            }
            let gone = self.gone(&action);
            let task = Task::begin(ticket, action, gone, reach!(self, outside));
            self.tasks.push(task);
        }
    }

    /// What is no more, and goes with the memory of what is good.
    fn gone(&self, action: &Action) -> Option<Change> {
        let Action::Remember(changes) = action else { return None };
        changes.iter().find(|change| matches!(change, Change::Good { .. }))?;
        let is_gone = |key: &&ObjectKey| {
            self.delivery.pruner.wants(key) == Some(false) && !self.view.objects.contains_key(key)
        };
        let gone: BTreeSet<ObjectKey> = self.view.memory.ledger.keys().filter(is_gone).cloned().collect();
        (!gone.is_empty()).then_some(Change::Gone(gone))
    }
}
