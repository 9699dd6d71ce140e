//! The loop: takes the next happening, lets it happen, and tells the observer.

mod acts;
mod fencer;
mod guard;
mod host;
mod outside;
mod process;
mod respond;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::clock::LocalClock;
use super::observer::Observer;
use super::plan::{Act, Setup, Target, Weather};
use super::queue::Queue;
use super::rng::Rng;
use super::scene::{Fact, Ledger, NodeScene, Scene};
use super::tamper::Tamper;
use crate::ids::{ActionName, Epoch, FailureName, JobId, Member, Term};
use crate::machine::{CallId, Effect, Fault, Finish, HostInput, Input, JobEnd, Machine, Reach, Reply};
use crate::memory::World;
use crate::time::Time;

pub(super) use wire::{Fate, Rule};

/// What is to happen at a moment. `life` tells for which start of the node's process; one that is gone by then misses it.
#[derive(Debug)]
enum Happening {
    Wake {
        node: usize,
        life: u32,
    },
    Arrive(Box<wire::Flight>),
    Reply {
        node: usize,
        life: u32,
        id: CallId,
        answer: Box<Result<Reply, Fault>>,
    },
    GiveUp {
        node: usize,
        life: u32,
        id: CallId,
    },
    /// A fencer does what it was told.
    SwitchOff(Box<fencer::Throw>),
    /// A guard sends this in the stead of its host.
    Settle(Box<wire::Request>),
    Host {
        node: usize,
        life: u32,
        step: HostStep,
    },
    Hint {
        node: usize,
        life: u32,
        hint: crate::machine::Hint,
    },
    Resume {
        node: usize,
        life: u32,
    },
    Start {
        node: usize,
    },
    Act(Box<Act>),
    Heal,
    Bound,
}

/// How far the host's work has come.
#[derive(Debug)]
enum HostStep {
    Prepared,
    Promoted,
    Demoted,
    Running { job: JobId, epoch: Epoch },
    Progress { job: JobId, epoch: Epoch },
    Hangs { job: JobId, epoch: Epoch },
    Ends { job: JobId, epoch: Epoch, end: JobEnd },
    Feeds,
    Recovers,
    Clears(FailureName),
    Witness(Reach),
    SwitchedOff { order: u64, outcome: Result<String, String> },
    Responds { incident: Member, action: ActionName, attempt: u32, outcome: Result<String, String> },
}

/// One start of a node's process.
struct Process {
    machine: Machine,
    life: u32,
    /// When each open call was sent, by the node's clock.
    open: BTreeMap<CallId, Time>,
    /// The earliest wake-up that is in the queue.
    wake_at: Option<Time>,
    runs: BTreeMap<(JobId, Epoch), host::Run>,
    promoted_at: Time,
    /// What would have happened to it while it was paused.
    missed: Vec<Happening>,
    hints_due: [bool; 4],
    told_maintenance: bool,
    /// When the host fed its watchdog last, by the node's clock, and what of it the machine knows.
    fed_at: Time,
    told_fed: Time,
    /// The hooks that would have returned while the host hung.
    withheld: Vec<HostStep>,
    /// What its host has ever reported.
    reported: BTreeSet<FailureName>,
    finished: Option<Finish>,
    /// The orders that its fencer pays no heed to any more.
    called_off: BTreeSet<u64>,
    told: guard::Told,
}

struct Node {
    clock: LocalClock,
    /// Until when no witness answers it.
    unwitnessed: Time,
    /// Until when its host cannot be promoted.
    refuses: Time,
    process: Option<Process>,
    lives: u32,
    left: bool,
}

/// The simulation itself.
pub(super) struct Engine {
    pub(super) scene: Scene,
    pub(super) observer: Observer,
    pub(super) setup: Setup,
    /// Network rules that each apply once.
    pub(super) rules: Vec<Rule>,
    queue: Queue<Happening>,
    nodes: Vec<Node>,
    weather: Vec<(Option<usize>, Time, Weather)>,
    rng: Rng,
    tamper: Box<dyn Tamper>,
    effects: Vec<Effect>,
    submitted: Vec<usize>,
    maintenance: std::collections::BTreeSet<crate::ids::NodeId>,
    wishes: u32,
    /// Inputs handled without time passing: more than a few thousand is a machine that spins.
    spin: u32,
    /// The highest fence that the lease store knows nothing of.
    ahead: Term,
}

/// Where a simulation's true time starts: not at zero, so that code which takes zero for "never" is found out.
pub(super) const DAWN: Time = Time::from_nanos(1_000_000_000_000);

const MOST_AT_ONCE: u32 = 5_000;

impl Engine {
    pub(super) fn new(seed: u64, setup: Setup, tamper: Box<dyn Tamper>, observer: Observer) -> Self {
        let clocks: Vec<LocalClock> = setup.nodes.iter().map(|plan| LocalClock::new(plan.origin, plan.ppm)).collect();
        let node_scene = |plan: &super::plan::NodePlan| NodeScene { id: plan.id.clone(), process: None };
        let scene = Scene {
            now: DAWN,
            world: World::new(seed),
            haste: 1_000_u32.div_ceil(u32::try_from(setup.quickest.beat().as_millis()).unwrap_or(1_000).max(1)),
            era: 0,
            nodes: setup.nodes.iter().map(node_scene).collect(),
            ledger: Ledger::default(),
            hold_off: crate::control::HoldOff::default().0,
            quickest: setup.quickest,
            slowest: setup.slowest,
            wished_at: None,
            healed: None,
        };
        let node =
            |clock| Node { clock, unwitnessed: Time::ZERO, refuses: Time::ZERO, process: None, lives: 0, left: false };
        let mut queue = Queue::new();
        for (node, plan) in setup.nodes.iter().enumerate() {
            if let Some(after) = plan.starts {
                queue.push(DAWN + after, Happening::Start { node });
            }
        }
        Self {
            scene,
            observer,
            rules: Vec::new(),
            queue,
            nodes: clocks.into_iter().map(node).collect(),
            weather: Vec::new(),
            rng: Rng::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D)),
            tamper,
            effects: Vec::new(),
            submitted: Vec::new(),
            maintenance: std::collections::BTreeSet::new(),
            wishes: 0,
            spin: 0,
            ahead: Term::ZERO,
            setup,
        }
    }

    /// Lets everything up to `until` happen, unless an invariant breaks before.
    pub(super) fn run_until(&mut self, until: Time) {
        while !self.observer.is_broken() && self.queue.next_at().is_some_and(|at| at <= until) {
            self.step();
        }
        if !self.observer.is_broken() {
            self.scene.now = self.scene.now.max(until);
        }
    }

    /// When the next thing happens.
    pub(super) fn next_at(&self) -> Option<Time> {
        self.queue.next_at()
    }

    pub(super) fn schedule(&mut self, at: Time, act: Act) {
        self.queue.push(at, Happening::Act(Box::new(act)));
    }

    pub(super) fn schedule_heal(&mut self, at: Time) {
        self.queue.push(at, Happening::Heal);
    }

    pub(super) fn schedule_bound(&mut self, at: Time) {
        self.queue.push(at, Happening::Bound);
    }

    /// Lets the next thing happen.
    pub(super) fn step(&mut self) {
        let Some((at, what)) = self.queue.pop() else { return };
        if at > self.scene.now {
            self.scene.now = at;
            self.spin = 0;
        }
        if let Some(node) = self.absent(&what) {
            if let Some(process) = self.nodes[node].process.as_mut() {
                process.missed.push(what);
            }
            return;
        }
        match what {
            Happening::Wake { node, life } => self.wake(node, life),
            Happening::Arrive(flight) => self.arrive(&flight),
            Happening::Reply { node, life, id, answer } => self.answer(node, life, id, *answer),
            Happening::Settle(request) => self.launch(*request, self.scene.now + self.setup.timing.call()),
            Happening::SwitchOff(throw) => self.throw(*throw),
            Happening::GiveUp { node, life, id } => self.answer(node, life, id, Err(Fault::Unknown)),
            Happening::Host { node, life, step } => self.host_step(node, life, step),
            Happening::Hint { node, life, hint } => self.hinted(node, life, hint),
            Happening::Resume { node, life } => self.resume(node, life),
            Happening::Start { node } => self.start(node),
            Happening::Act(act) => self.act(*act),
            Happening::Heal => self.heal(),
            Happening::Bound => self.observer.hear(&self.scene, &Fact::Bound),
        }
    }

    /// The node that this would happen to, if it is paused.
    fn absent(&self, what: &Happening) -> Option<usize> {
        let (node, life) = match what {
            Happening::Wake { node, life }
            | Happening::Reply { node, life, .. }
            | Happening::GiveUp { node, life, .. }
            | Happening::Host { node, life, .. }
            | Happening::Hint { node, life, .. } => (*node, *life),
            Happening::Arrive(_)
            | Happening::Settle(_)
            | Happening::SwitchOff(_)
            | Happening::Resume { .. }
            | Happening::Start { .. }
            | Happening::Act(_)
            | Happening::Heal
            | Happening::Bound => return None,
        };
        let paused = self.scene.process(node).is_some_and(|process| process.paused);
        (paused && self.is_life(node, life)).then_some(node)
    }

    fn is_life(&self, node: usize, life: u32) -> bool {
        self.nodes[node].process.as_ref().is_some_and(|process| process.life == life)
    }

    pub(super) fn machine(&self, node: usize) -> Option<&Machine> {
        self.nodes[node].process.as_ref().map(|process| &process.machine)
    }

    /// The nodes that a target means at this moment.
    fn resolve(&self, target: Target) -> Option<usize> {
        let runs = |node: &usize| self.scene.process(*node).map_or(0, |process| process.runs.len());
        let of_role = |role| (0..self.nodes.len()).find(|n| self.scene.process(*n).is_some_and(|p| p.role == role));
        match target {
            Target::Node(node) => Some(node),
            Target::Active => of_role(crate::heartbeat::Role::Active),
            Target::Standby => of_role(crate::heartbeat::Role::Standby),
            Target::Busiest => (0..self.nodes.len()).max_by_key(runs),
        }
    }

    /// The highest term anybody was ever granted: what a prudent operator sets as the floor of a new store.
    fn floor(&self) -> Term {
        self.scene.ledger.highest()
    }

    fn host(&mut self, after: Duration, node: usize, step: HostStep) {
        let Some(life) = self.nodes[node].process.as_ref().map(|process| process.life) else { return };
        self.queue.push(self.scene.now + after, Happening::Host { node, life, step });
    }

    fn tell(&mut self, node: usize, input: HostInput) {
        self.feed(node, None, Input::Host(input));
    }
}
