//! Between the nodes and the store: requests, replies, what becomes of them on the way, and hints.

use std::time::Duration;

use super::{Engine, Happening};
use crate::control;
use crate::ids::{LeaseName, Member};
use crate::lease::{Acquired, Renewed};
use crate::machine::{Call, CallId, Fault, Hint, Input, Reply};
use crate::testkit::sim::coverage::Count;
use crate::testkit::sim::plan::{Hints, Weather};
use crate::testkit::sim::scene::Fact;
use crate::testkit::sim::store;
use crate::time::Time;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Flight {
    node: usize,
    life: u32,
    id: CallId,
    call: Call,
    by: Member,
    era: u32,
    gives_up: Time,
    is_late: bool,
    /// What a scenario wants done to the reply.
    fate: Option<Fate>,
}

/// A call that is to be sent, in the name of one start of a node's process.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) node: usize,
    pub(super) life: u32,
    pub(super) id: CallId,
    pub(super) call: Call,
    pub(super) by: Member,
    pub(super) era: u32,
}

/// What a scenario does to the next call of a kind.
#[derive(Debug, Clone)]
pub(in crate::testkit::sim) struct Rule {
    pub(in crate::testkit::sim) node: Option<usize>,
    pub(in crate::testkit::sim) verb: String,
    pub(in crate::testkit::sim) lease: Option<LeaseName>,
    pub(in crate::testkit::sim) fate: Fate,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::testkit::sim) enum Fate {
    DelayRequest(Duration),
    DelayReply(Duration),
    DropRequest,
    DropReply,
}

impl Rule {
    fn is_for(&self, node: usize, call: &Call) -> bool {
        let lease = match call {
            Call::Acquire { name, .. } | Call::Current(name) => Some(name),
            Call::Renew(lease) | Call::Release { lease, .. } => Some(&lease.name),
            _ => None,
        };
        // Of a document it is what its key begins with.
        let is_below = |name: &LeaseName| match call {
            Call::Put { key, .. } | Call::Delete { key, .. } | Call::List { prefix: key, .. } => {
                key.as_str().split('/').next() == Some(name.as_str())
            }
            _ => false,
        };
        self.node.is_none_or(|n| n == node)
            && self.verb == store::verb(call)
            && (self.lease.is_none() || self.lease.as_ref() == lease || self.lease.as_ref().is_some_and(is_below))
    }
}

impl Engine {
    /// The weather that `node` has at this moment.
    fn weather(&mut self, node: usize) -> impl Iterator<Item = Weather> + '_ {
        let now = self.scene.now;
        self.weather.retain(|(_, until, _)| now < *until);
        self.weather.iter().filter(move |(whom, ..)| whom.is_none_or(|n| n == node)).map(|(.., weather)| *weather)
    }

    /// How long a message takes now; nothing if it is lost.
    fn transit(&mut self, node: usize, is_lost: impl Fn(Weather) -> u64) -> Option<Duration> {
        if self.weather.is_empty() {
            return Some(self.rng.between(self.setup.latency.0, self.setup.latency.1));
        }
        let (mut slow, mut loss) = (Duration::ZERO, 0);
        for weather in self.weather(node) {
            loss = loss.max(is_lost(weather));
            if let Weather::Slow(upto) = weather {
                slow = slow.max(upto);
            }
        }
        if self.rng.percent(loss) {
            return None;
        }
        Some(self.rng.between(self.setup.latency.0, self.setup.latency.1.max(slow)))
    }

    /// Sends a call on its way.
    pub(super) fn send(&mut self, node: usize, local: Time, id: CallId, call: Call) {
        let deadline = self.machine(node).map_or(self.setup.timing.call(), crate::machine::Machine::call_deadline);
        let gives_up = self.nodes[node].clock.when(local + deadline);
        let Some(scene) = self.scene.process(node) else { return };
        let (by, era) = (scene.member.clone(), scene.era);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let life = process.life;
        process.open.insert(id, local);
        self.launch(Request { node, life, id, call, by, era }, gives_up);
    }

    /// Lets a request go its way; whoever sent it waits until `gives_up` for the answer.
    pub(super) fn launch(&mut self, request: Request, gives_up: Time) {
        let Request { node, life, id, call, by, era } = request;
        let now = self.scene.now;
        let rule = self.rules.iter().position(|rule| rule.is_for(node, &call));
        let fate = rule.map(|i| self.rules.remove(i).fate);
        let lost = |weather| if let Weather::Lossy { requests, .. } = weather { requests } else { 0 };
        let transit = match fate {
            Some(Fate::DropRequest) => None,
            Some(Fate::DelayRequest(by)) => Some(by),
            Some(Fate::DelayReply(_) | Fate::DropReply) | None => self.transit(node, lost),
        };
        let Some(transit) = transit else {
            self.observer.count(Count::LostRequests);
            self.queue.push(gives_up, Happening::GiveUp { node, life, id });
            return;
        };
        let is_late = now + transit >= gives_up;
        if is_late {
            self.queue.push(gives_up, Happening::GiveUp { node, life, id });
        }
        let flight = Flight { node, life, id, call, by, era, gives_up, is_late, fate };
        self.queue.push(now + transit, Happening::Arrive(Box::new(flight)));
    }

    /// A request reaches the store.
    pub(super) fn arrive(&mut self, flight: &Flight) {
        let node = flight.node;
        let mut refusing = false;
        let mut hanging = None;
        for weather in self.weather(node) {
            match weather {
                Weather::Refusing => refusing = true,
                Weather::Hanging { applied } => hanging = Some(applied),
                Weather::Slow(_) | Weather::Lossy { .. } => {}
            }
        }
        let applied = hanging.is_none_or(|percent| self.rng.percent(percent)) && !refusing;
        let answer = if refusing {
            Err(Fault::Failed)
        } else if flight.era != self.scene.era {
            Err(Fault::StoreChanged)
        } else if applied {
            if flight.is_late {
                self.observer.count(Count::LateApplications);
            }
            self.apply(flight)
        } else {
            Err(Fault::Unknown)
        };
        if hanging.is_some() && !refusing {
            self.lose(flight, Count::Hangs);
        } else {
            self.reply(flight, answer);
        }
    }

    fn lose(&mut self, flight: &Flight, count: Count) {
        self.observer.count(count);
        if !flight.is_late {
            let at = flight.gives_up.max(self.scene.now);
            self.queue.push(at, Happening::GiveUp { node: flight.node, life: flight.life, id: flight.id });
        }
    }

    fn reply(&mut self, flight: &Flight, answer: Result<Reply, Fault>) {
        let lost = |weather| if let Weather::Lossy { replies, .. } = weather { replies } else { 0 };
        let transit = match flight.fate {
            Some(Fate::DropReply) => None,
            Some(Fate::DelayReply(by)) => Some(by),
            Some(Fate::DelayRequest(_) | Fate::DropRequest) | None => self.transit(flight.node, lost),
        };
        match transit {
            Some(transit) if self.scene.now + transit < flight.gives_up => {
                let Flight { node, life, id, .. } = *flight;
                self.queue
                    .push(self.scene.now + transit, Happening::Reply { node, life, id, answer: Box::new(answer) });
            }
            Some(_) => self.lose(flight, Count::LateReplies),
            None => self.lose(flight, Count::LostReplies),
        }
    }

    /// The store does what is asked.
    fn apply(&mut self, flight: &Flight) -> Result<Reply, Fault> {
        let Flight { call, by, era, .. } = flight;
        let now = self.scene.now;
        let stamp = self.scene.world.latest_stamp();
        let tampered = self.tamper.store(&mut self.scene.world, now, by, call);
        let answer = tampered.unwrap_or_else(|| store::apply(&mut self.scene.world, now, by, call));
        match (call, &answer) {
            (_, Ok(Reply::Acquired(Acquired::Granted(lease))))
            | (Call::Renew(lease), Ok(Reply::Renewed(Renewed::Extended))) => {
                self.scene.ledger.extend(*era, lease, now + lease.ttl);
            }
            _ => {}
        }
        self.observer.hear(&self.scene, &Fact::Applied { by, era: *era, call, answer: &answer });
        self.spread(stamp, call);
        answer
    }

    /// Hints at what a call has changed, and at times at what it has not.
    fn spread(&mut self, stamp: u64, call: &Call) {
        let Hints::Within(within, spurious) = self.setup.hints else { return };
        // Nobody waits for hints at what the active node writes down.
        if let Call::Put { key, .. } | Call::Delete { key, .. } | Call::List { prefix: key, .. } = call
            && *key != control::control()
            && !key.is_below(&control::control())
        {
            return;
        }
        let changed = self.scene.world.latest_stamp() != stamp;
        if !changed && (spurious == 0 || self.rng.below(1000) >= spurious) {
            return;
        }
        if !changed {
            self.observer.count(Count::SpuriousHints);
        }
        self.hint_all(
            within,
            &match call {
                Call::Beat(_) | Call::Sightings | Call::Forget(_) => Hint::Heartbeats,
                Call::Acquire { name, .. } | Call::Current(name) => Hint::Lease(name.clone()),
                Call::Renew(lease) | Call::Release { lease, .. } => Hint::Lease(lease.name.clone()),
                Call::Changes { .. } | Call::Assign { .. } | Call::Report(_) => Hint::Jobs,
                Call::List { .. } | Call::Put { .. } | Call::Delete { .. } => Hint::Control,
            },
        );
    }

    /// Hints at what an operator has changed.
    pub(super) fn hint_operator(&mut self, hint: &Hint) {
        if let Hints::Within(within, _) = self.setup.hints {
            self.hint_all(within, hint);
        }
    }

    fn hint_all(&mut self, within: Duration, hint: &Hint) {
        let kind = match hint {
            Hint::Heartbeats => Some(0),
            Hint::Jobs => Some(1),
            Hint::Control => Some(2),
            Hint::Lease(name) => (*name == LeaseName::active()).then_some(3),
        };
        for node in 0..self.nodes.len() {
            if self.scene.process(node).is_none_or(|process| process.era != self.scene.era) {
                continue;
            }
            let at = self.scene.now + self.rng.between(Duration::from_micros(100), within);
            let Some(process) = self.nodes[node].process.as_mut() else { continue };
            if let Some(kind) = kind
                && std::mem::replace(&mut process.hints_due[kind], true)
            {
                continue;
            }
            self.queue.push(at, Happening::Hint { node, life: process.life, hint: hint.clone() });
        }
    }

    pub(super) fn hinted(&mut self, node: usize, life: u32, hint: Hint) {
        if !self.is_life(node, life) {
            return;
        }
        if let Some(process) = self.nodes[node].process.as_mut() {
            match &hint {
                Hint::Heartbeats => process.hints_due[0] = false,
                Hint::Jobs => process.hints_due[1] = false,
                Hint::Control => process.hints_due[2] = false,
                Hint::Lease(name) if *name == LeaseName::active() => process.hints_due[3] = false,
                Hint::Lease(_) => {}
            }
        }
        self.feed(node, None, Input::Hint(hint));
    }

    /// A reply arrives, or the caller's patience ends, whichever is first.
    pub(super) fn answer(&mut self, node: usize, life: u32, id: CallId, outcome: Result<Reply, Fault>) {
        if !self.is_life(node, life) {
            return;
        }
        let local = self.nodes[node].clock.at(self.scene.now);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        if let Some(sent) = process.open.remove(&id) {
            self.feed(node, Some(local.since(sent)), Input::Outcome { id, outcome });
        }
    }

    /// The key all operators' documents lie below has changed.
    pub(super) fn hint_control(&mut self) {
        debug_assert!(control::settings_key().is_below(&control::control()));
        self.hint_operator(&Hint::Control);
    }
}
