//! Time, replicas, and what each does at a moment.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use jiff::Timestamp;

use super::checks::Checks;
use super::cluster::{App, Environment, Is};
use super::provider::{Provider, secret};
use super::replica::{Look, Replica, View};
use super::story::{Happens, Second, Shape, Story, Worth};
use crate::api::{SecretRule, Strategy};
use crate::object::EnvironmentName;
use crate::object::secret::{Pick, SecretId};
use crate::secrets::{Apps, Poke, Uses};

/// What is read anew is waited for so long before anything is rendered without it.
const SETTLED_WITHIN: Second = 5;
const WAY_BACK: &str = "a way back";
/// At one moment everything has come to an end after so many turns.
const MOST_TURNS: usize = 60;

pub fn time(at: Second) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + at).expect("a time")
}

pub struct World {
    pub now: Second,
    pub random: Rng,
    pub shape: Shape,
    pub provider: Provider,
    pub environments: Vec<Environment>,
    pub replicas: Vec<Replica>,
    pub checks: Checks,
    /// Rollouts that began.
    pub begun: u64,
    /// Tells what happens.
    pub aloud: bool,
}

impl World {
    pub fn new(story: &Story, aloud: bool) -> Self {
        let shape = story.shape;
        let mut random = Rng::with_seed(story.seed ^ 0x5ec2e7);
        let environment = |n: usize, random: &mut Rng| {
            let app = |number: usize, random: &mut Rng| {
                let own: BTreeSet<usize> =
                    (0..random.usize(1..=2)).map(|_| random.usize(0..shape.secrets)).collect();
                let reads = (number > 0 && random.u32(0..3) == 0).then(|| random.usize(0..number));
                App::new(number, own.into_iter().map(secret).collect(), random.usize(1..=4), reads)
            };
            let rule = |secret: usize, random: &mut Rng| SecretRule {
                name: format!("s{secret}"),
                strategy: if random.bool() { Strategy::Alternating } else { Strategy::Single },
                on_rotation_failure: None,
            };
            Environment {
                name: EnvironmentName::new(format!("e{n}").as_str()).expect("a name"),
                apps: (0..shape.apps).map(|number| app(number, random)).collect(),
                rules: (0..shape.secrets).map(|secret| rule(secret, random)).collect(),
                owner: n % 2,
            }
        };
        let environments: Vec<Environment> =
            (0..shape.environments).map(|n| environment(n, &mut random)).collect();
        let mut world = Self {
            now: 0,
            random,
            shape,
            provider: Provider::new(shape.secrets),
            checks: Checks::new(shape.environments),
            environments,
            replicas: (0..2).map(|_| Replica::new(&shape)).collect(),
            begun: 0,
            aloud,
        };
        for n in 0..world.environments.len() {
            world.take_up(n);
        }
        world
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.aloud {
            println!("{:>6} {}", self.now, what());
        }
    }

    /// Its owner begins to look after an environment.
    fn take_up(&mut self, n: usize) {
        let environment = &self.environments[n];
        let replica = &mut self.replicas[environment.owner];
        let mut apps = Apps::new(environment.name.clone());
        for app in &environment.apps {
            apps.remember(&mut replica.rotation, &app.name, &app.memory());
        }
        let uses = Uses {
            sealed: environment.apps.iter().map(|app| (app.name.clone(), app.sealed.clone())).collect(),
            consumers: environment.apps.iter().map(|app| (app.name.clone(), app.uses.clone())).collect(),
        };
        let says = vec![None; environment.apps.len()];
        let starts = Some(self.now + SETTLED_WITHIN);
        replica.looks.insert(n, Look { apps, uses, starts, says, is_unread: true, is_news: true });
        self.want(n);
    }

    /// Has read what an environment refers to.
    fn want(&mut self, n: usize) {
        let environment = &self.environments[n];
        let Replica { book, rotation, looks, .. } = &mut self.replicas[environment.owner];
        let Some(look) = looks.get_mut(&n) else { return };
        let wanted = look.apps.want(rotation, &look.uses, &environment.rules);
        book.want(environment.name.as_str(), &wanted, time(self.now));
        self.refresh(n);
    }

    fn refresh(&mut self, n: usize) {
        let Replica { book, rotation, looks, missing, .. } = &mut self.replicas[self.environments[n].owner];
        let Some(look) = looks.get_mut(&n) else { return };
        let usable = look.apps.look(&View { book, missing }, time(self.now));
        look.apps.take(rotation, &usable, time(self.now));
        look.is_news = true;
    }

    fn drop_environment(&mut self, n: usize) {
        let environment = &self.environments[n];
        let replica = &mut self.replicas[environment.owner];
        replica.looks.remove(&n);
        replica.book.want(environment.name.as_str(), &BTreeSet::new(), time(self.now));
        replica.rotation.retain(&environment.name, |_| false);
        self.forget(self.environments[n].owner);
    }

    pub fn happen(&mut self, what: Happens) {
        self.say(|| format!("{what:?}"));
        match what {
            Happens::Rotate { secret: number, worth, is_told } => {
                self.provider.versions[number].push(worth);
                if is_told {
                    let id = secret(number);
                    let poke = Poke { provider: id.provider, name: id.name.clone() };
                    let now = time(self.now);
                    self.replicas.iter_mut().for_each(|replica| replica.book.poke(&poke, now));
                }
            }
            Happens::Down { seconds } => self.provider.down_until = self.now + seconds,
            Happens::Throttled { of, seconds } => self.provider.throttled = (of, self.now + seconds),
            Happens::Commit { environment, app, is_good } => {
                let app = &mut self.environments[environment].apps[app];
                let next = app.content + 1;
                // Even contents are good ones.
                app.content = if next.is_multiple_of(2) == is_good { next } else { next + 1 };
                let owner = self.environments[environment].owner;
                if let Some(look) = self.replicas[owner].looks.get_mut(&environment) {
                    (look.is_unread, look.is_news) = (true, true);
                }
            }
            Happens::Kill { replica, seconds } => {
                let shape = self.shape;
                let mut fresh = Replica::new(&shape);
                fresh.dead_until = Some(self.now + seconds.max(1));
                self.replicas[replica] = fresh;
                self.checks.killed();
            }
            Happens::HandOver { environment } => {
                let other = 1 - self.environments[environment].owner;
                let is_alive = |replica: &Replica| replica.dead_until.is_none();
                if self.replicas.iter().all(is_alive) {
                    self.drop_environment(environment);
                    self.environments[environment].owner = other;
                    self.checks.handed_over(environment);
                    self.take_up(environment);
                }
            }
            Happens::Retry { environment, app } => {
                self.environments[environment].apps[app].retry();
                self.checks.asked((environment, app));
                let owner = self.environments[environment].owner;
                if let Some(look) = self.replicas[owner].looks.get_mut(&environment) {
                    look.is_news = true;
                }
            }
        }
    }

    /// When something is due next.
    fn next(&self) -> Option<Second> {
        let seconds = |at: Timestamp| at.as_second() - 1_800_000_000;
        let mut next: Vec<Second> = Vec::new();
        for (n, replica) in self.replicas.iter().enumerate() {
            if let Some(at) = replica.dead_until {
                next.push(at);
                continue;
            }
            next.extend(replica.book.again().map(seconds));
            next.extend(replica.rotation.again(time(self.now)).map(seconds));
            next.extend(replica.answers.iter().map(|(at, _)| *at));
            next.extend(replica.looks.values().filter_map(|look| look.starts));
            let owned = self.environments.iter().filter(|environment| environment.owner == n);
            let courses =
                owned.flat_map(|environment| &environment.apps).filter_map(|app| app.course.as_ref());
            next.extend(courses.map(|course| course.ends));
        }
        next.into_iter().min()
    }

    /// Lives until then, from one moment at which something is due to the next.
    pub fn live_until(&mut self, end: Second) -> Result<(), String> {
        self.moment()?;
        while let Some(next) = self.next() {
            let next = next.max(self.now + 1);
            if next > end {
                break;
            }
            self.now = next;
            self.moment()?;
        }
        self.now = self.now.max(end);
        Ok(())
    }

    /// All that is due now, until nothing more is.
    fn moment(&mut self) -> Result<(), String> {
        for n in 0..self.replicas.len() {
            if self.replicas[n].dead_until.is_some_and(|at| at <= self.now) {
                self.say(|| format!("replica {n} begins anew"));
                self.replicas[n].dead_until = None;
                for environment in 0..self.environments.len() {
                    if self.environments[environment].owner == n {
                        self.take_up(environment);
                    }
                }
            }
        }
        for _ in 0..MOST_TURNS {
            let mut is_news = false;
            for n in 0..self.replicas.len() {
                if self.replicas[n].dead_until.is_none() {
                    is_news |= self.turn(n)?;
                }
            }
            if !is_news {
                return Ok(());
            }
        }
        Err("it does not come to an end at one moment".to_owned())
    }

    fn turn(&mut self, n: usize) -> Result<bool, String> {
        let mut is_news = self.read(n);
        let released = self.replicas[n].rotation.release(time(self.now));
        is_news |= !released.is_empty();
        for (environment, app) in &released {
            self.say(|| format!("{environment}/{app} has its turn"));
        }
        let mut is_any = false;
        for e in 0..self.environments.len() {
            let environment = &self.environments[e];
            let Some(look) = self.replicas[n].looks.get_mut(&e) else { continue };
            let is_due = |app: &App| app.course.as_ref().is_some_and(|course| course.ends <= self.now);
            let has_turn = released.iter().any(|(name, _)| *name == environment.name);
            let is_due = look.starts.is_some() || has_turn || environment.apps.iter().any(is_due);
            if std::mem::take(&mut look.is_news) || is_due {
                is_any = true;
                let goes_on = self.follow(n, e)? | self.deliver(n, e)?;
                if let Some(look) = self.replicas[n].looks.get_mut(&e) {
                    look.is_news |= goes_on;
                }
                is_news |= goes_on;
            }
        }
        if is_any {
            self.forget(n);
        }
        Ok(is_news)
    }

    /// Asks the provider, and takes what it answered.
    fn read(&mut self, n: usize) -> bool {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.replicas[n].answers).into_iter().partition(|(at, _)| *at <= now);
        self.replicas[n].answers = later;
        let mut is_news = false;
        for (_, secrets) in due {
            let read = |id: SecretId| {
                let answer = self.provider.read(&id, &mut self.random, now);
                (id, answer)
            };
            let answers = secrets.into_iter().map(read).collect();
            is_news |= !self.replicas[n].book.answered(answers, 0.5, time(now)).is_empty();
        }
        for e in 0..self.environments.len() {
            if is_news && self.environments[e].owner == n {
                self.refresh(e);
            }
        }
        let replica = &mut self.replicas[n];
        let missing = replica.missing.borrow().clone();
        replica.book.want(WAY_BACK, &missing, time(now));
        let due = replica.book.due(0.5, time(now));
        if !due.is_empty() {
            let at = now + self.random.i64(1..4);
            self.replicas[n].answers.push((at, due));
        }
        is_news
    }

    /// Renders what is behind.
    fn follow(&mut self, n: usize, e: usize) -> Result<bool, String> {
        let Replica { book, rotation, looks, missing, .. } = &mut self.replicas[n];
        let Some(look) = looks.get_mut(&e) else { return Ok(false) };
        if let Some(until) = look.starts {
            let is_settled = look.apps.secrets().iter().all(|id| book.is_settled(id));
            if !is_settled && self.now < until {
                return Ok(false);
            }
            look.starts = None;
            let usable = look.apps.look(&View { book, missing }, time(self.now));
            look.apps.take(rotation, &usable, time(self.now));
            // Turns are given by another task; what is rendered first has what was remembered.
        }
        let environment = &self.environments[e];
        if !std::mem::take(&mut look.is_unread) && !look.apps.is_behind(rotation) {
            return Ok(false);
        }
        // Once more where what git says takes newer versions with it.
        for _ in 0..2 {
            for (app, says) in environment.apps.iter().zip(&mut look.says) {
                let pins = look.apps.pins(rotation, &View { book, missing }, &app.name);
                let mut is = Is { content: app.content, versions: BTreeMap::new() };
                let mut old_works = true;
                let mut why = None;
                for id in &app.own {
                    match pins.get(id) {
                        Ok(pin) => {
                            old_works &= pin.old_works;
                            is.versions.insert(id.clone(), pin.version.clone());
                        }
                        Err(unpinned) => why = Some(format!("{unpinned:?}")),
                    }
                }
                if let Some(why) = why {
                    if app.good.is_some() {
                        return Err(format!(
                            "{}/{} ran, and cannot be rendered: {why}",
                            environment.name, app.name
                        ));
                    }
                    look.apps.unrendered(rotation, &app.name);
                    continue;
                }
                // The first is its own.
                for consumer in app.uses.iter().skip(1) {
                    for id in pins.beside(&consumer.secret).into_iter().flatten() {
                        if let Ok(pin) = pins.get(id) {
                            is.versions.entry(id.clone()).or_insert_with(|| pin.version.clone());
                        }
                    }
                }
                look.apps.rendered(rotation, &app.wanted(&is, old_works));
                *says = Some((is, old_works));
            }
            if !look.apps.is_behind(rotation) {
                break;
            }
        }
        Ok(true)
    }

    /// Begins and ends rollouts, and tells how they stand.
    fn deliver(&mut self, n: usize, e: usize) -> Result<bool, String> {
        let mut is_news = false;
        let now = self.now;
        let says = match self.replicas[n].looks.get(&e) {
            Some(look) if look.starts.is_none() => look.says.clone(),
            _ => return Ok(false),
        };
        for (at, says) in says.iter().enumerate() {
            let seconds = self.random.i64(5..40);
            let environment = &mut self.environments[e];
            let app = &mut environment.apps[at];
            if let Some(course) = app.course.as_ref().filter(|course| course.ends <= now) {
                let provider = &self.provider;
                let mut versions = course.to.versions.iter();
                let fails = versions.any(|(id, version)| provider.worth(id, version) == Worth::Fails);
                let is_well = course.to.content.is_multiple_of(2) && !fails;
                let to = course.to.clone();
                let is_rotation = !course.is_back && app.is_rotation(&to);
                app.end(is_well, seconds, now);
                if is_well {
                    self.checks.well(e, &to);
                } else if is_rotation {
                    self.checks.failed(e, &to);
                }
                let name = format!("{}/{}", environment.name, app.name);
                self.say(|| {
                    format!("{name} ends with {}: {}", to.digest(), if is_well { "well" } else { "failed" })
                });
                is_news = true;
            }
            let environment = &mut self.environments[e];
            let app = &mut environment.apps[at];
            let Some((to, old_works)) = says else { continue };
            let is_rotation =
                app.is_rotation(to) && app.aside.as_ref().is_none_or(|aside| aside.content == to.content);
            if app.deliver(to, *old_works, seconds, now) {
                is_news = true;
                self.begun += 1;
                let course = app.course.as_ref().map(|course| course.is_back);
                let is_rotation = is_rotation && course == Some(false);
                self.say(|| {
                    format!(
                        "{}/{at} begins {} {}",
                        self.environments[e].name,
                        to.digest(),
                        if is_rotation { "as a rotation" } else { "" }
                    )
                });
                self.checks.began(&self.environments, &self.shape, (e, at), is_rotation, now)?;
            }
        }
        let environment = &self.environments[e];
        let statuses: Vec<_> = environment
            .apps
            .iter()
            .zip(&says)
            .filter_map(|(app, says)| Some(app.status(&says.as_ref()?.0)))
            .collect();
        let Replica { rotation, looks, .. } = &mut self.replicas[n];
        let heard = looks.get_mut(&e).is_some_and(|look| look.apps.hear(rotation, &statuses));
        if heard {
            self.refresh(e);
        }
        Ok(is_news || heard)
    }

    /// Forgets values that nobody may have to write.
    fn forget(&mut self, n: usize) {
        let Replica { book, rotation, looks, missing, .. } = &mut self.replicas[n];
        let needed: BTreeSet<_> = looks.values().flat_map(|look| look.apps.needed(rotation)).collect();
        missing.borrow_mut().retain(|fixed| {
            let Pick::Version(version) = &fixed.pick else { return false };
            needed.iter().any(|(id, needed)| id.name == fixed.name && needed == version)
        });
        book.keep_older(|id, version| needed.iter().any(|(needed, of)| needed == id && **of == *version));
    }

    /// What is wrong although nothing happens any more.
    pub fn at_rest(&self) -> Result<(), String> {
        for environment in &self.environments {
            for app in &environment.apps {
                let name = format!("{}/{}", environment.name, app.name);
                let Some(good) = &app.good else { return Err(format!("{name} never ran")) };
                if app.course.is_some() || app.halted.is_some() || app.aside.is_some() {
                    return Err(format!(
                        "{name} is not at rest: {:?} {:?} {:?}",
                        app.course, app.halted, app.aside
                    ));
                }
                if good.content != app.content {
                    return Err(format!("{name} runs {}, and git says {}", good.content, app.content));
                }
                for (id, version) in &good.versions {
                    if **version != *self.provider.newest(id) {
                        return Err(format!(
                            "{name} runs with {id} {version}, and there is {}",
                            self.provider.newest(id)
                        ));
                    }
                }
                let lent = app.reads.iter().flat_map(|owner| &environment.apps[*owner].own);
                if let Some(id) = app.own.iter().chain(lent).find(|id| !good.versions.contains_key(*id)) {
                    return Err(format!("{name} runs without {id}"));
                }
            }
        }
        for (n, replica) in self.replicas.iter().enumerate() {
            if replica.rotation.rolling() > 0 {
                return Err(format!("replica {n} believes that something rolls"));
            }
            for (number, versions) in self.provider.versions.iter().enumerate() {
                let id = secret(number);
                let old =
                    (0..versions.len() - 1).find(|old| replica.book.value(&id, &format!("v{old}")).is_some());
                if let Some(old) = old {
                    return Err(format!("replica {n} keeps the value of {id} v{old}"));
                }
            }
        }
        Ok(())
    }

    /// Puts right what would keep it from coming to rest.
    pub fn mend(&mut self) {
        self.provider.down_until = self.now;
        self.provider.throttled = (0, self.now);
        for number in 0..self.shape.secrets {
            if self.provider.versions[number].last() != Some(&Worth::Good) {
                self.happen(Happens::Rotate { secret: number, worth: Worth::Good, is_told: false });
            }
        }
        for environment in 0..self.environments.len() {
            for app in 0..self.environments[environment].apps.len() {
                if self.environments[environment].apps[app].content % 2 == 1 {
                    self.happen(Happens::Commit { environment, app, is_good: true });
                }
            }
        }
    }
}

/// Tells a story. Says how many rollouts began, or what was wrong.
pub fn tell(story: &Story, aloud: bool) -> Result<u64, String> {
    let mut world = World::new(story, aloud);
    for (at, what) in &story.happens {
        world.live_until(*at)?;
        world.happen(*what);
    }
    world.live_until(world.now)?;
    world.mend();
    world.live_until(world.now + REST)?;
    // A commit that failed with a version that did is tried again when a person says so.
    for environment in 0..world.environments.len() {
        for app in 0..world.shape.apps {
            let is_aside = world.environments[environment].apps[app].stands_aside();
            if is_aside {
                world.happen(Happens::Retry { environment, app });
            }
        }
    }
    world.live_until(world.now + REST)?;
    world.at_rest()?;
    Ok(world.begun)
}

/// After so long all has to be at rest: an hour in which nothing is heard of a rollout is the longest wait.
const REST: Second = 3 * 3600;
