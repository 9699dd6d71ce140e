//! The decisions: a synchronous, deterministic machine without clock, randomness or tokio.
//!
//! Time and outcomes go in; [`Effect`]s and one next [`deadline`](Machine::deadline) come out. Waking it too often is harmless.
//!
//! | room | what is decided there |
//! |---|---|
//! | [`table`] | which stage follows which, and why |
//! | [`claim`] | one lease: seek, hold, renew, end in time, give back |
//! | `lifecycle` | what a stage begins and ends: the one user of the table |
//! | `settings`, `pace`, `version` | what operators set; how fast it is, live; whether its version keeps it back |
//! | `campaign`, `standoff` | whether and when to ask for the active lease; a fence above its terms |
//! | `cadence`, `round` | when to beat and to read |
//! | `runner`, `runs`, `watchdog` | the jobs of this node |
//! | `steward`, `fencing`, `ground` | the duties of the active node; where jobs go is decided by [`plan`](crate::plan) |
//! | `archive`, `minutes`, `response`, `cases`, `chronicle`, `course` | what the active node writes down, and the response actions |
//! | `arrears` | what earlier active nodes left unwritten |
//! | `doubt` | what seems lost while the store is silent |
//! | `wishes`, `handover`, `orders` | what operators ask for |
//! | `wellbeing` | what the host says of itself: failures, signs of life |
//! | `relief` | whether the role goes to a standby in better health |
//! | `witness` | whether the store is away, or this node is cut off |
//! | `stonith` | whether a silent holder's machine is to be switched off |
//! | `estate` | what it leaves behind if its process dies now |
//! | `peers`, `mirror`, `roster`, `fitness` | what is known of the others, the jobs, the order, and who could take over |

mod archive;
mod arrears;
mod cadence;
mod calls;
mod campaign;
mod cases;
mod chronicle;
pub mod claim;
#[cfg(test)]
mod claim_tests;
mod config;
mod course;
mod deadline;
mod doubt;
mod effect;
mod estate;
mod event;
mod fencing;
#[cfg(test)]
mod fencing_tests;
mod fitness;
mod ground;
mod handover;
mod hooks;
mod input;
mod jitter;
mod lifecycle;
mod minutes;
mod mirror;
mod orders;
mod pace;
mod peers;
mod reason;
mod relief;
mod response;
mod roster;
mod round;
mod runner;
#[cfg(test)]
mod runner_tests;
mod runs;
mod settings;
mod standing;
mod standoff;
mod steer;
mod steward;
mod stonith;
pub mod table;
mod tenure;
mod version;
mod watchdog;
mod wellbeing;
mod wishes;
mod witness;

use std::collections::BTreeSet;

pub use config::Config;
pub use effect::{Call, CallId, Effect, Finish};
pub use event::{Event, EventKind};
pub use input::{Command, Fault, Hint, HostInput, Input, JobEnd, Reach, Reply, Switch};
pub(crate) use jitter::Jitter;
pub use reason::Reason;
pub use settings::Kept;
pub use standing::Standing;
pub use table::{Stage, Trigger};

use self::cadence::Cadence;
use self::calls::{Calls, Purpose};
use self::campaign::Restraint;
use self::doubt::Doubts;
use self::hooks::Hooks;
use self::mirror::Mirror;
use self::orders::{Answered, OrderBook};
use self::peers::Peers;
use self::relief::Relief;
use self::response::Running;
use self::roster::Roster;
use self::runner::Runner;
use self::standoff::Standoff;
use self::steward::Steward;
use self::stonith::Stonith;
use self::tenure::Tenure;
use self::wellbeing::Wellbeing;
use self::wishes::Wishes;
use self::witness::Contact;
use crate::control::Pace;
use crate::heartbeat::Role;
use crate::ids::{Incarnation, LeaseName, Member, NodeId, Term};
use crate::time::{Stamp, Time};
use crate::timing::Timing;

/// The failover state machine of one node.
#[derive(Debug, Clone)]
pub struct Machine {
    config: Config,
    /// How fast it is now: what it was started with, or the pace of the cluster's settings.
    timing: Timing,
    pace: Option<Pace>,
    /// Whether its version keeps it from being active or standby, as it last told.
    held_back: bool,
    settings_read: settings::Read,
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
    wellbeing: Wellbeing,
    contact: Contact,
    stonith: Stonith,
    doubts: Doubts,
    /// The response actions that the host runs.
    responding: Running,
    /// What people's clocks showed, and when.
    wall: Option<(Time, Stamp)>,
    /// The earlier incarnation whose lease this one had to wait for.
    replaces: Option<Incarnation>,
    relief: Relief,
    wishes: Wishes,
    orders: OrderBook,
    /// To whom the active lease goes when it is given back.
    successor: Option<NodeId>,
    /// Until when work that is stopping may keep its leases renewed.
    patience_until: Option<Time>,
    maintenance: Switch,
    /// Another process that holds this node's name: under which term, and when its lease would end as it was seen first.
    namesake: Option<(Term, Time)>,
    /// How far behind its replicas are, if it has any.
    standing: Option<Standing>,
    restraint: Restraint,
    standoff: Standoff,
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
            timing,
            pace: None,
            held_back: false,
            settings_read: settings::Read::default(),
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
            wellbeing: Wellbeing::new(config.watchdog),
            contact: Contact::new(config.witnessed),
            stonith: Stonith::default(),
            doubts: Doubts::default(),
            responding: Running::new(),
            wall: None,
            replaces: None,
            relief: Relief::default(),
            wishes: Wishes::default(),
            orders: OrderBook::default(),
            successor: None,
            patience_until: None,
            maintenance: Switch::Off,
            namesake: None,
            standing: config.replicates.then(Standing::default),
            restraint: Restraint::default(),
            standoff: Standoff::default(),
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
        self.begin_with_kept(now, effects);
        match input {
            Input::Wake => {}
            Input::Outcome { id, outcome } => self.on_outcome(now, id, outcome, effects),
            Input::Hint(hint) => self.on_hint(now, &hint),
            Input::Host(host) => self.on_host(now, host, effects),
            Input::Command(Command::Leave) => self.fire(now, Trigger::LeaveAsked, effects),
            Input::Command(Command::Maintenance(switch)) => self.maintenance = switch,
        }
        self.note_relief(now);
        self.watch_host(now, effects);
        self.judge_silence(now, effects);
        self.advance(now, effects);
        if !self.stage.is_final() {
            self.act(now, effects);
        }
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
        self.restraint.expire(now);
        self.standoff.expire(now);
        if self.patience_until.is_some_and(|until| now >= until) {
            self.patience_until = None;
            self.node.claim.stop_renewing();
            self.active.claim.stop_renewing();
        }
    }

    fn on_outcome(&mut self, now: Time, id: CallId, outcome: Result<Reply, Fault>, out: &mut Vec<Effect>) {
        let Some((purpose, sent)) = self.calls.finish(id) else { return };
        self.note_contact(now, &outcome, out);
        self.note_fence(&purpose, &outcome);
        if outcome == Err(Fault::StoreChanged) {
            self.fire(now, Trigger::StoreChanged, out);
            return;
        }
        let retry_at = now + self.jitter.upto(self.timing.beat() / 4);
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
                if steward.is_some_and(|s| s.on_assigned(now, &outcome, retry_at, &self.mirror, out).is_err()) {
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
            Purpose::Archive(term, step) => self.on_archive(now, (term, step), &outcome, retry_at, out),
            Purpose::Stonith(step) => self.on_stonith(now, sent, &step, &outcome, retry_at, out),
            Purpose::Wish => self.on_wish_written(now, &outcome, retry_at, out),
            Purpose::Orders => match self.orders.on_answered(&outcome, retry_at) {
                Answered::Written(over) => self.tell_orders(over, out),
                Answered::ReadAgain => self.cadence.control.hint(now, self.timing.beat()),
                Answered::FencedOff => self.fire(now, Trigger::FencedOff, out),
            },
        }
    }

    fn on_hint(&mut self, now: Time, hint: &Hint) {
        match hint {
            Hint::Heartbeats => self.cadence.look.hint_apart(now, self.timing.beat()),
            Hint::Jobs => self.cadence.feed.hint(now, self.timing.beat()),
            // Mostly its own step of it.
            Hint::Control if self.gives_away() => self.cadence.control.hint_apart(now, self.timing.beat()),
            Hint::Control => self.cadence.control.hint(now, self.timing.beat()),
            Hint::Lease(name) if name == self.active.claim.name() => self.active.claim.hint(now),
            Hint::Lease(name) if name == self.node.claim.name() => self.node.claim.hint(now),
            Hint::Lease(_) => {
                if let Some(steward) = &mut self.steward {
                    steward.fencing.hint(now);
                }
            }
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
        self.follow_wish(now, out);
        self.review_version(out);
        self.campaign(now, out);
        if let Some((ticket, call)) = self.active.claim.poll(now) {
            self.call(now, Purpose::Active(ticket), call, out);
        }
        let may_begin = self.may_run_jobs() && self.node.claim.may_begin(now).is_some();
        self.runner.reconcile(now, &mut self.mirror, may_begin, out);
        if !self.calls.is_open(|p| *p == Purpose::Report)
            && let Some(call) = self.runner.poll(now)
        {
            self.call(now, Purpose::Report, call, out);
        }
        self.steer(now, out);
        self.fence_silent(now, out);
        self.doubt(now, out);
        self.relieve(now, out);
        self.read(now, out);
    }
}
