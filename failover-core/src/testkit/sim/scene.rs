//! What is true at a moment, as nobody in the cluster can see it: the ground on which the invariants stand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::control::{self, Settings};
use crate::heartbeat::Role;
use crate::ids::{ActionName, Epoch, JobId, LeaseName, Member, NodeId, StateKey, Term};
use crate::lease::Lease;
use crate::machine::{Call, Effect, Fault, Input, Reply};
use crate::memory::World;
use crate::record;
use crate::time::Time;
use crate::timing::Timing;

/// The whole truth.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) now: Time,
    pub(super) world: World,
    /// How many of the shortest beats fit into a second.
    pub(super) haste: u32,
    /// Counts the wipes: leases and jobs of different eras have nothing to do with one another.
    pub(super) era: u32,
    pub(super) nodes: Vec<NodeScene>,
    pub(super) ledger: Ledger,
    /// The shortest hold-off after a relief that was ever in force.
    pub(super) hold_off: Duration,
    /// The quickest that the nodes may be told to be.
    pub(super) quickest: Timing,
    /// And the slowest.
    pub(super) slowest: Timing,
    /// When an operator last wished for a switchover.
    pub(super) wished_at: Option<Time>,
    /// When the faults ended, once they have.
    pub(super) healed: Option<Time>,
}

/// One node, as it really is.
#[derive(Debug)]
pub(super) struct NodeScene {
    pub(super) id: NodeId,
    pub(super) process: Option<ProcessScene>,
}

/// One start of a node's process, as it really is.
#[derive(Debug)]
pub(super) struct ProcessScene {
    pub(super) member: Member,
    /// The names of the two leases it lives by, made once.
    pub(super) active: LeaseName,
    pub(super) own: LeaseName,
    /// The store it got to know.
    pub(super) era: u32,
    pub(super) paused: bool,
    /// Since when it is not paused.
    pub(super) awake_since: Time,
    pub(super) role: Role,
    pub(super) capacity: u32,
    /// The version of its program.
    pub(super) version: Option<&'static str>,
    /// What it may act under, by its own clock.
    pub(super) rights: BTreeMap<LeaseName, RightScene>,
    /// Whether its operators want it in maintenance.
    pub(super) parked: bool,
    /// The jobs whose code may run.
    pub(super) runs: BTreeSet<(JobId, Epoch)>,
    pub(super) host: HostScene,
    /// Whether its host can never be promoted.
    pub(super) hopeless: bool,
    /// How its host hangs, if it does.
    pub(super) hangs: Option<Hang>,
    /// How it is cut off, or was last.
    pub(super) cut_off: Option<CutOff>,
    /// The response actions that run: of whose loss, which, and which attempt.
    pub(super) responding: BTreeSet<(Member, ActionName, u32)>,
}

/// What the host does as the active node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostScene {
    Quiet,
    /// From `Promote` until `Demoted`, or until it is cut off.
    Acts,
    /// The same, but it could not be promoted.
    Refused,
}

impl HostScene {
    pub(super) fn is_quiet(self) -> bool {
        self == Self::Quiet
    }
}

/// A host that hangs, and what has to come of it if it has a watchdog.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hang {
    pub(super) since: Time,
    pub(super) loses_role_by: Time,
    pub(super) loses_right_by: Time,
}

/// A process that neither the store nor a witness answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct CutOff {
    pub(super) since: Time,
    pub(super) until: Time,
    /// How long after the last answer it may take to stand down.
    pub(super) notices_within: Duration,
}

/// A right as its holder believes in it.
#[derive(Debug, Clone)]
pub(super) struct RightScene {
    pub(super) lease: Lease,
    /// The true moment at which the holder's clock says that it is over.
    pub(super) until: Time,
}

/// When each grant ends, by the store.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    grants: BTreeMap<(LeaseName, Term), (u32, Member, Time)>,
}

impl Ledger {
    pub(super) fn extend(&mut self, era: u32, lease: &Lease, until: Time) {
        self.grants.insert((lease.name.clone(), lease.term), (era, lease.holder.clone(), until));
    }

    /// The highest term of all.
    pub(super) fn highest(&self) -> Term {
        self.grants.keys().map(|(_, term)| *term).max().unwrap_or(Term::ZERO)
    }

    /// When `lease` ends or has ended; nothing if the store never granted it.
    pub(super) fn until(&self, era: u32, lease: &Lease) -> Option<Time> {
        let (of, holder, until) = self.grants.get(&(lease.name.clone(), lease.term))?;
        (*of == era && *holder == lease.holder).then_some(*until)
    }
}

impl Scene {
    /// What the document holds; the default if there is none, or one that cannot be read.
    pub(super) fn document<T: DeserializeOwned + Default>(&self, key: &StateKey) -> T {
        let document = self.world.get(key);
        document.and_then(|document| record::decode("get", key.as_str(), &document.value).ok()).unwrap_or_default()
    }

    /// Whether the settings that are there admit this process beside the node that is active.
    pub(super) fn admits(&self, process: &ProcessScene) -> bool {
        let settings: Settings = self.document(&control::settings_key());
        let up = || self.nodes.iter().filter_map(|node| node.process.as_ref());
        let active = || up().find(|process| process.role == Role::Active)?.version.map(str::to_owned);
        settings.admits(process.version, active)
    }

    pub(super) fn process(&self, node: usize) -> Option<&ProcessScene> {
        self.nodes[node].process.as_ref()
    }

    /// The other nodes' processes that know the same store.
    pub(super) fn others(&self, node: usize) -> impl Iterator<Item = (&NodeScene, &ProcessScene)> {
        let era = self.process(node).map(|p| p.era);
        let others = self.nodes.iter().enumerate().filter(move |(i, _)| *i != node).map(|(_, n)| n);
        others.filter_map(|n| Some((n, n.process.as_ref()?))).filter(move |(_, p)| Some(p.era) == era)
    }

    /// Whether the process has been awake for a while at `now`: what it should have done before, it has failed to do.
    pub(super) fn was_awake(&self, process: &ProcessScene) -> bool {
        !process.paused && process.awake_since < self.now
    }
}

impl ProcessScene {
    /// What it may do as active, by its own clock.
    pub(super) fn active_right(&self, now: Time) -> Option<&RightScene> {
        self.rights.get(&self.active).filter(|right| now < right.until)
    }

    /// What it may do as a member, by its own clock.
    pub(super) fn node_right(&self, now: Time) -> Option<&RightScene> {
        self.rights.get(&self.own).filter(|right| now < right.until)
    }
}

/// One thing that happened, as the invariants are told of it, after the scene shows it.
#[derive(Debug)]
pub(super) enum Fact<'a> {
    /// A process began.
    Born { node: usize },
    /// A process is about to be gone, by crash or because it is done. The scene still shows it.
    Dying { node: usize },
    /// A machine is told something.
    Told { node: usize, input: &'a Input },
    /// A machine wants something done.
    Wants { node: usize, effect: &'a Effect },
    /// All effects of one input were carried out.
    Handled { node: usize },
    /// The store has applied a call, whether or not the answer will arrive.
    Applied { by: &'a Member, era: u32, call: &'a Call, answer: &'a Result<Reply, Fault> },
    /// A job's code has stopped running.
    RunEnded { node: usize, job: &'a JobId, epoch: Epoch },
    /// The store lost everything.
    Wiped,
    /// Too early a wake-up did this.
    Nudged { node: usize, effects: &'a [Effect] },
    /// The faults have ended.
    Healed,
    /// Time to look whether all is well.
    Bound,
}
