//! The decisions: a synchronous, deterministic machine without clock, randomness or tokio.
//!
//! Time and outcomes go in; [`Effect`]s and one next [`deadline`](Machine::deadline) come out. Waking it too often is harmless.
//!
//! | room | what is decided there |
//! |---|---|
//! | [`table`] | which stage follows which, and why |
//! | [`claim`] | one lease: seek, hold, renew, end in time, give back |
//! | `lifecycle` | what a stage begins and ends: the one user of the table |
//! | `campaign` | whether and when to ask for the active lease |
//! | `cadence` | when to beat and to read |
//! | `runner`, `watchdog` | the jobs of this node |
//! | `steward`, `fencing`, `ground` | the duties of the active node; where jobs go is decided by [`plan`](crate::plan) |
//! | `wishes`, `orders` | what operators ask for |
//! | `peers`, `mirror`, `roster` | what is known of the others, the jobs, the order |

mod cadence;
mod calls;
mod campaign;
pub mod claim;
#[cfg(test)]
mod claim_tests;
mod effect;
mod event;
mod fencing;
mod ground;
mod hooks;
mod input;
mod jitter;
mod lifecycle;
mod mirror;
mod orders;
mod peers;
mod reason;
mod roster;
mod runner;
mod steer;
mod steward;
pub mod table;
mod tenure;
mod watchdog;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use effect::{Call, CallId, Effect, Finish};
pub use event::{Event, EventKind};
pub use input::{Command, Fault, Hint, HostInput, Input, JobEnd, Reply, Switch};
pub use reason::Reason;
pub use table::{Stage, Trigger};

use self::cadence::Cadence;
use self::calls::Calls;
use self::claim::Ticket;
use self::hooks::Hooks;
use self::jitter::Jitter;
use self::mirror::Mirror;
use self::orders::{Answered, OrderBook};
use self::peers::Peers;
use self::roster::Roster;
use self::runner::Runner;
use self::steward::Steward;
use self::tenure::Tenure;
use self::wishes::Wishes;
use crate::capacity::Capacity;
use crate::detect::Detector;
use crate::heartbeat::Role;
use crate::ids::{LeaseName, Member, NodeId, Term};
use crate::plan::{Ordered, Spread, Strategy};
use crate::time::Time;
use crate::timing::Timing;

/// What a machine is told once, at its start.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Who it is.
    pub member: Member,
    /// How fast.
    pub timing: Timing,
    /// How it suspects.
    pub detector: Detector,
    /// How much it can run, unless the cluster's settings say otherwise.
    pub capacity: Capacity,
    /// The order of takeover and placement until the cluster's [`Settings`](crate::control::Settings) say otherwise. Nodes it does not name come
    /// after those it does, by name.
    pub roster: Vec<NodeId>,
    /// The strategies of placement it knows beside those that are built in.
    pub strategies: Vec<Arc<dyn Strategy>>,
    /// What to tell the others about it.
    pub labels: BTreeMap<String, String>,
}

impl Config {
    /// The defaults for this member: capacity 50, no roster, no labels.
    pub fn new(member: Member, timing: Timing) -> Self {
        let detector = Detector::Deadline;
        let strategies: Vec<Arc<dyn Strategy>> = vec![Arc::new(Ordered), Arc::new(Spread)];
        Self {
            member,
            timing,
            detector,
            capacity: Capacity::default(),
            roster: Vec::new(),
            strategies,
            labels: BTreeMap::new(),
        }
    }
}

/// What an open call is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    Beat,
    Look,
    Control,
    Feed,
    Report,
    Forget,
    Node(Ticket),
    Active(Ticket),
    Fence(NodeId, Ticket),
    Assign,
    Incident(steward::Incident),
    Wish,
    Orders,
}

/// The failover state machine of one node.
#[derive(Debug, Clone)]
pub struct Machine {
    config: Config,
    stage: Stage,
    role: Role,
    calls: Calls<Purpose>,
    jitter: Jitter,
    /// The node's own lease, under which its jobs run.
    node: Tenure,
    /// The active lease.
    active: Tenure,
    cadence: Cadence,
    peers: Peers,
    mirror: Mirror,
    roster: Roster,
    runner: Runner,
    hooks: Hooks,
    steward: Option<Steward>,
    /// The failures this incarnation has told of, under whichever of its terms.
    told: BTreeSet<Member>,
    wishes: Wishes,
    orders: OrderBook,
    /// To whom the active lease goes when it is given back.
    successor: Option<NodeId>,
    /// Until when work that is stopping may keep its leases renewed.
    patience_until: Option<Time>,
    maintenance: Switch,
    /// Another process that holds this node's name: under which term, and when its lease would end.
    namesake: Option<(Term, Time)>,
    /// Whether its heartbeat was removed, and when to try again if that failed.
    forgotten: bool,
    forget_at: Option<Time>,
}

impl Machine {
    /// A node that is about to join. The first [`handle`](Self::handle) sets it going.
    pub fn new(config: Config) -> Self {
        let (me, timing) = (config.member.clone(), config.timing);
        let mut node = Tenure::new(LeaseName::node(&me.node), me.clone(), timing);
        // Whether a lease of this name is renewed by another process shows at the next beat, not only when it should lapse.
        node.claim.set_patience(Some(timing.beat()));
        Self {
            stage: Stage::Joining,
            role: Role::Inactive,
            calls: Calls::new(),
            jitter: Jitter::of(&me),
            node,
            active: Tenure::new(LeaseName::active(), me.clone(), timing),
            cadence: Cadence::new(),
            peers: Peers::new(),
            mirror: Mirror::new(me.clone()),
            roster: Roster::new(config.roster.clone()),
            runner: Runner::new(me, timing.ttl() * lifecycle::PATIENCE),
            hooks: Hooks::new(),
            steward: None,
            told: BTreeSet::new(),
            wishes: Wishes::new(),
            orders: OrderBook::default(),
            successor: None,
            patience_until: None,
            maintenance: Switch::Off,
            namesake: None,
            forgotten: false,
            forget_at: None,
            config,
        }
    }

    /// Takes in one thing that happened at `now` and appends what is to be done about it.
    ///
    /// `now` comes from one clock and never goes backwards.
    pub fn handle(&mut self, now: Time, input: Input, effects: &mut Vec<Effect>) {
        if self.stage.is_final() {
            return;
        }
        // The clock comes first: nothing that arrives late may use a right that has ended meanwhile.
        self.expire(now, effects);
        match input {
            Input::Wake => {}
            Input::Outcome { id, outcome } => self.on_outcome(now, id, outcome, effects),
            Input::Hint(hint) => self.on_hint(now, &hint),
            Input::Host(host) => self.on_host(now, host, effects),
            Input::Command(Command::Leave) => self.fire(now, Trigger::LeaveAsked, effects),
            Input::Command(Command::Maintenance(switch)) => self.maintenance = switch,
        }
        self.advance(now, effects);
        if !self.stage.is_final() {
            self.act(now, effects);
        }
    }

    /// When to come back with [`Input::Wake`], unless something else happens before. `None` once it is finished.
    pub fn deadline(&self) -> Option<Time> {
        if self.stage.is_final() {
            return None;
        }
        let fences_wait = self.fences_open() >= steer::FENCES_AT_ONCE;
        let recording = self.calls.is_open(|purpose| matches!(purpose, Purpose::Incident(_)));
        let steward =
            self.steward.as_ref().and_then(|steward| steward.deadline(fences_wait, recording, self.roster.settings()));
        let reports = if self.calls.is_open(|p| *p == Purpose::Report) { None } else { self.runner.deadline() };
        let due = [
            self.node.claim.deadline(),
            self.active.claim.deadline(),
            self.reading_deadline(),
            reports,
            self.runner.watch_deadline(),
            steward,
            self.patience_until,
            self.wishes.deadline().filter(|_| self.stage == Stage::Active),
            self.orders.deadline().filter(|_| self.stage == Stage::Active),
            self.forget_at.filter(|_| self.stage == Stage::Leaving && self.may_forget()),
        ];
        due.into_iter().flatten().min()
    }

    /// Who it is.
    pub fn member(&self) -> &Member {
        &self.config.member
    }

    /// Where it is in its life.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Keeps the deadlines that need neither store nor network.
    fn expire(&mut self, now: Time, out: &mut Vec<Effect>) {
        while let Some(event) = self.node.claim.expire(now) {
            self.on_node_claim(now, now, event, out);
        }
        while let Some(event) = self.active.claim.expire(now) {
            self.on_active_claim(now, event, out);
        }
        if let Some(steward) = &mut self.steward {
            steward.fencing.expire(now);
        }
        if self.runner.watch(now, out) {
            // A node that is leaving has no other stage to go to; it waits no longer either.
            self.fire(now, Trigger::JobStuck, out);
            self.node.claim.stop_renewing();
        }
        if self.patience_until.is_some_and(|until| now >= until) {
            self.patience_until = None;
            self.node.claim.stop_renewing();
            self.active.claim.stop_renewing();
        }
    }

    fn on_outcome(&mut self, now: Time, id: CallId, outcome: Result<Reply, Fault>, out: &mut Vec<Effect>) {
        let Some((purpose, sent)) = self.calls.finish(id) else { return };
        self.note_health(now, &purpose, &outcome, out);
        if outcome == Err(Fault::StoreChanged) {
            self.fire(now, Trigger::StoreChanged, out);
            return;
        }
        let retry_at = now + self.jitter.upto(self.config.timing.beat() / 4);
        match purpose {
            Purpose::Beat | Purpose::Look | Purpose::Control | Purpose::Feed => {
                self.on_read(now, sent, &purpose, outcome, retry_at, out);
            }
            Purpose::Report => self.runner.on_reported(&outcome, retry_at),
            Purpose::Forget => self.on_forgotten(&outcome, retry_at),
            Purpose::Node(ticket) => {
                if let Some(event) = self.node.claim.outcome(now, sent, ticket, &outcome) {
                    self.on_node_claim(now, sent, event, out);
                }
            }
            Purpose::Active(ticket) => {
                if let Some(event) = self.active.claim.outcome(now, sent, ticket, &outcome) {
                    self.on_active_claim(now, event, out);
                }
            }
            Purpose::Fence(node, ticket) => {
                let fencing = self.steward.as_mut().map(|steward| &mut steward.fencing);
                if fencing.is_some_and(|f| f.outcome(now, sent, &node, ticket, &outcome).is_err()) {
                    self.fire(now, Trigger::StoreChanged, out);
                }
            }
            Purpose::Assign => {
                let steward = self.steward.as_mut();
                if steward.is_some_and(|s| s.on_assigned(now, &outcome, retry_at, out).is_err()) {
                    self.fire(now, Trigger::FencedOff, out);
                }
            }
            Purpose::Incident(incident) => {
                let steward = self.steward.as_mut();
                if steward
                    .is_some_and(|s| s.on_incident(now, &incident, &outcome, retry_at, &mut self.told, out).is_err())
                {
                    self.fire(now, Trigger::FencedOff, out);
                }
            }
            Purpose::Wish => self.on_wish_written(now, &outcome, retry_at, out),
            Purpose::Orders => match self.orders.on_answered(&outcome, retry_at) {
                Answered::Written(over) => self.tell_orders(over, out),
                Answered::ReadAgain => self.cadence.control.hint(now, self.config.timing.beat()),
                Answered::FencedOff => self.fire(now, Trigger::FencedOff, out),
            },
        }
    }

    fn on_hint(&mut self, now: Time, hint: &Hint) {
        match hint {
            Hint::Heartbeats => self.cadence.look.hint(now, self.config.timing.beat()),
            Hint::Jobs => self.cadence.feed.hint(now, self.config.timing.beat()),
            Hint::Control => self.cadence.control.hint(now, self.config.timing.beat()),
            Hint::Lease(name) if name == self.active.claim.name() => self.active.claim.hint(now),
            Hint::Lease(name) if name == self.node.claim.name() => self.node.claim.hint(now),
            Hint::Lease(_) => {
                if let Some(steward) = &mut self.steward {
                    steward.fencing.hint(now);
                }
            }
        }
    }

    fn on_host(&mut self, now: Time, host: HostInput, out: &mut Vec<Effect>) {
        match host {
            HostInput::Prepared => self.hooks.on_prepared(out),
            HostInput::Promoted => self.hooks.on_promoted(),
            HostInput::Demoted => self.hooks.on_demoted(),
            HostInput::JobRunning { job, epoch } => self.runner.on_running(now, job, epoch, out),
            HostInput::JobProgress { job, epoch, text } => self.runner.on_progress(now, job, epoch, text),
            HostInput::JobEnded { job, epoch, end } => self.runner.on_ended(job, epoch, end, out),
        }
    }

    fn call(&mut self, now: Time, purpose: Purpose, call: Call, out: &mut Vec<Effect>) {
        self.calls.send(now, purpose, call, out);
    }

    /// Does what is due at `now` in this stage.
    fn act(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.stage == Stage::Joining {
            self.node.claim.seek(now);
        }
        if let Some((ticket, call)) = self.node.claim.poll(now) {
            self.call(now, Purpose::Node(ticket), call, out);
        }
        self.campaign(now);
        if let Some((ticket, call)) = self.active.claim.poll(now) {
            self.call(now, Purpose::Active(ticket), call, out);
        }
        let may_begin = self.may_run_jobs() && self.node.claim.may_begin(now).is_some();
        self.runner.reconcile(now, &self.mirror, may_begin, out);
        if !self.calls.is_open(|p| *p == Purpose::Report)
            && let Some(call) = self.runner.poll(now)
        {
            self.call(now, Purpose::Report, call, out);
        }
        self.steer(now, out);
        self.read(now, out);
    }
}
