//! The process that lives for a while: it hears, decides, and has its hands do what was decided.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::chance::{Chance, Millis};
use super::checks::Checks;
use super::git::Git;
use super::hands::{Reach, Task};
use super::server::Server;
use super::store::Store;
use super::view::View;
use crate::delivery::{Action, Delivery, News, Platform, Ticket};
use crate::object::ObjectKey;
use crate::plan::Inventory;
use crate::state::Change;

/// So often an agent may decide without the clock going on.
const AT_ONCE: u32 = 40;

/// Everything but the agent.
pub struct Outside {
    pub chance: Chance,
    pub server: Server,
    pub store: Store,
    pub git: Git,
    pub platform: Platform,
    /// What stands on the Environment.
    pub inventory: Inventory,
    pub checks: Checks,
    /// How much the clock of the agent is ahead.
    pub clock: i64,
}

pub struct Agent {
    pub delivery: Delivery,
    pub view: View,
    notes: Vec<(ObjectKey, Box<str>)>,
    pub tasks: Vec<Task>,
    wake: Option<Millis>,
    coming: Vec<(Millis, Coming)>,
}

/// Something that comes to an agent.
#[derive(Debug)]
enum Coming {
    Git,
    Platform,
    Listed,
    /// Where objects are is written down.
    Inventory(Inventory),
    /// What of an approved set is left is written down.
    Tokens(BTreeSet<Box<str>>),
}

impl Outside {
    /// The time, as the agent reads it.
    pub fn time(&self) -> Timestamp {
        let start = Timestamp::from_second(1_800_000_000).expect("it is a time");
        let now = i64::try_from(self.chance.now).unwrap_or(i64::MAX) + self.clock;
        start + SignedDuration::from_millis(now)
    }
}

macro_rules! reach {
    ($agent:ident, $outside:ident) => {
        &mut Reach {
            chance: &mut $outside.chance,
            server: &mut $outside.server,
            store: &mut $outside.store,
            git: &$outside.git,
            checks: &mut $outside.checks,
            view: &mut $agent.view,
            notes: &mut $agent.notes,
        }
    };
}

impl Agent {
    pub fn begin(outside: &mut Outside) -> Self {
        outside.checks.forget(&outside.store.memory);
        let view =
            View::list(&outside.server, &mut outside.chance, &outside.store.memory, &outside.inventory);
        let mut agent = Self {
            delivery: Delivery::default(),
            notes: Vec::new(),
            tasks: Vec::new(),
            wake: None,
            coming: vec![(view.listed_at, Coming::Listed)],
            view,
        };
        agent.tell_platform(outside);
        agent.tell_git(outside);
        agent
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

    /// Dies, whatever is under way.
    pub fn die(mut self, outside: &mut Outside) {
        let reach = reach!(self, outside);
        self.tasks.drain(..).for_each(|task| task.die(reach));
    }

    pub fn next(&self) -> Option<Millis> {
        let tasks = self.tasks.iter().map(|task| task.at);
        let coming = self.coming.iter().map(|(at, _)| *at);
        tasks.chain(coming).chain(self.wake).chain(self.view.next()).min()
    }

    /// Does all that is due by now.
    pub fn go_on(&mut self, outside: &mut Outside) {
        let now = outside.chance.now;
        self.view.now = now;
        self.view.scaled.clone_from(&outside.server.scaled);
        self.view.send(&outside.server, &mut outside.chance);
        let mut news = self.wake.is_some_and(|at| at <= now);
        if let Some(apps) = self.view.receive(&outside.server, now) {
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
                    outside.checks.heard(&says, now);
                    News::Git(says)
                }
                None => News::GitAway,
            },
            Coming::Platform => News::Platform(Box::new(outside.platform.clone())),
            Coming::Listed => News::Cluster(None),
            Coming::Inventory(inventory) => {
                outside.inventory.extend(&inventory);
                self.view.inventory = outside.inventory.clone();
                News::Cluster(None)
            }
            Coming::Tokens(tokens) => {
                if let Some(terms) = &mut outside.platform.prune {
                    terms.approval.tokens = tokens;
                }
                News::Platform(Box::new(outside.platform.clone()))
            }
        };
        self.delivery.hear(heard, &self.view, time);
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
                outside.checks.fact(&fact, &self.view, &outside.git, outside.chance.now);
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
            for (name, app) in &self.delivery.apps {
                let status = app.status();
                let doing: String = format!("{:?}", app.doing).chars().take(150).collect();
                println!("  {name}: {:?} {:?} {doing}", status.phase, status.message);
            }
        }
        outside.checks.decided(&self.delivery, &self.view, outside.chance.now);
        self.tell_needs(outside);
        let wait = |again: Timestamp| {
            let wait = again.duration_since(time).as_millis().max(0) + 1;
            outside.chance.now + Millis::try_from(wait).unwrap_or(Millis::MAX / 2)
        };
        self.wake = self.delivery.again().map(wait);
    }

    /// Writes on the Environment where objects are, and what of an approved set is left.
    fn tell_needs(&mut self, outside: &mut Outside) {
        let (wanted, _, approved) = self.delivery.needs(&self.view);
        let is_coming = self.coming.iter().any(
            |(_, coming)| matches!(coming, Coming::Inventory(known) if wanted.kinds.is_subset(&known.kinds)),
        );
        if !crate::delivery::World::inventory_written(&self.view, &wanted) && !is_coming {
            self.coming.push((outside.chance.way(), Coming::Inventory(wanted)));
        }
        let tokens = outside.platform.prune.as_ref().map(|terms| &terms.approval.tokens);
        let are_coming = self.coming.iter().any(|(_, coming)| matches!(coming, Coming::Tokens(_)));
        if let Some(approved) = approved.filter(|approved| Some(approved) != tokens && !are_coming) {
            self.coming.push((outside.chance.way(), Coming::Tokens(approved)));
        }
    }

    fn begin_all(&mut self, begun: Vec<(Ticket, Action)>, outside: &mut Outside) {
        for (ticket, action) in begun {
            outside.checks.begins(&ticket, &self.delivery);
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
