//! What operators ask for once: moves of jobs and failbacks of nodes, carried out by whoever is active.
//!
//! The document says what is asked; the jobs' records say how far it has come. So an order survives the node that began it: a later
//! active node reads both and goes on.

use std::collections::{BTreeMap, BTreeSet};

use super::chronicle::Chronicle;
use super::effect::Call;
use super::input::{Fault, Reply};
use super::mirror::Mirror;
use super::reason::Reason;
use super::response::{Responses, Running};
use crate::control::{self, Errand, Order, OrderPhase, Orders};
use crate::ids::{JobId, NodeId, Version};
use crate::job::{FailoverPolicy, Phase};
use crate::record;
use crate::state::{Expect, Written};
use crate::time::Time;

/// The orders as last read, and what is being written about them.
#[derive(Debug, Clone, Default)]
pub(super) struct OrderBook {
    known: Option<(Version, Orders)>,
    writing: Option<Orders>,
    retry_at: Option<Time>,
    /// On which state of the orders, the jobs and the nodes there was nothing to answer.
    settled: Option<(Version, u64, u64, u64)>,
}

/// How the answer to orders was taken.
pub(super) enum Answered {
    /// It stands, and these orders are over by it.
    Written(Vec<Order>),
    /// Somebody else wrote meanwhile, or nobody knows: read again.
    ReadAgain,
    /// Another node is active.
    FencedOff,
}

impl OrderBook {
    pub(super) fn read(&mut self, version: Version, orders: Orders) {
        if self.known.as_ref().is_none_or(|(known, _)| version > *known) {
            self.known = Some((version, orders));
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.retry_at
    }

    /// The wait after a failure is over at its time, also when there is nothing to answer then.
    pub(super) fn expire(&mut self, now: Time) {
        self.retry_at = self.retry_at.filter(|at| now < *at);
    }

    /// All of them, and their document's version.
    pub(super) fn known(&self) -> Option<(Version, &Orders)> {
        self.known.as_ref().map(|(version, orders)| (*version, orders))
    }

    /// Those that are not over.
    pub(super) fn open(&self) -> impl Iterator<Item = (&String, &Order)> {
        self.known.iter().flat_map(|(_, orders)| orders.open())
    }

    /// What the planner has to know: where jobs are to go, and where they are to return to.
    pub(super) fn wishes(&self) -> (BTreeMap<JobId, NodeId>, BTreeSet<NodeId>) {
        let (mut wanted, mut returning) = (BTreeMap::new(), BTreeSet::new());
        for (_, order) in self.open().filter(|(_, order)| order.phase == OrderPhase::Started) {
            match &order.what {
                Errand::Move { job, to } => drop(wanted.insert(job.clone(), to.clone())),
                Errand::Failback { node } => drop(returning.insert(node.clone())),
                Errand::Ack { .. } | Errand::Retry { .. } => {}
            }
        }
        (wanted, returning)
    }

    /// The call that answers orders, if there is something to say: which begin, which are done, which will not happen. `ground` is
    /// another number whenever the nodes have changed.
    pub(super) fn answer(
        &mut self,
        mirror: &Mirror,
        ground: u64,
        (responses, running): (&Responses, &Running),
        chronicle: &mut Chronicle,
    ) -> Option<Call> {
        if self.writing.is_some() || self.retry_at.is_some() {
            return None;
        }
        let (version, orders) = self.known.as_ref()?;
        let state = Some((*version, mirror.version(), ground, responses.version()));
        if self.settled == state {
            return None;
        }
        let mut next = orders.clone();
        // Withdrawn ones have no place in the history either.
        for (name, order) in next.orders.iter_mut().filter(|(_, order)| order.entry.is_none()) {
            if !order.phase.is_over() {
                let (phase, reason) = match &order.what {
                    Errand::Move { job, to } => move_phase(order.phase, mirror, job, to),
                    Errand::Failback { node } => failback_phase(mirror, node),
                    Errand::Ack { .. } | Errand::Retry { .. } => responses.answer(name, order, running),
                };
                (order.phase, order.reason) = (phase, reason);
            }
            order.entry = order.phase.is_over().then(|| chronicle.reserve());
        }
        if next == *orders {
            self.settled = state;
            return None;
        }
        let value = record::encode("control", &next).ok()?.into_bytes();
        let expect = Expect::Version(*version);
        self.writing = Some(next);
        Some(Call::Put { key: control::orders_key(), value, expect, fence: chronicle.lease().clone() })
    }

    /// Takes in whether that was written.
    pub(super) fn on_answered(&mut self, outcome: &Result<Reply, Fault>, retry_at: Time) -> Answered {
        let Some(written) = self.writing.take() else { return Answered::Written(Vec::new()) };
        match outcome {
            Ok(Reply::Written(Written::Written(version))) => {
                let before = self.known.as_ref().map(|(_, known)| known.clone()).unwrap_or_default();
                let mut over: Vec<Order> =
                    before.open().filter_map(|(name, _)| written.orders.get(name)).cloned().collect();
                over.retain(|order| order.phase.is_over());
                self.read(*version, written);
                Answered::Written(over)
            }
            Ok(Reply::Written(Written::Fenced { .. })) => Answered::FencedOff,
            Ok(_) => {
                self.known = None;
                Answered::ReadAgain
            }
            Err(_) => {
                self.known = None;
                self.retry_at = Some(retry_at);
                Answered::ReadAgain
            }
        }
    }
}

fn move_phase(phase: OrderPhase, mirror: &Mirror, job: &JobId, to: &NodeId) -> (OrderPhase, Option<String>) {
    let refused = |reason: String| (OrderPhase::Refused, Some(reason));
    let Some(there) = mirror.get(job) else { return refused(Reason::JobUnknown.to_string()) };
    if there.retiring || there.phase == Phase::Completed {
        return refused(Reason::JobOver.to_string());
    }
    if there.owner.as_ref().is_some_and(|owner| owner.node == *to) {
        return (OrderPhase::Done, None);
    }
    if phase == OrderPhase::Started {
        return (phase, None);
    }
    if there.failover == FailoverPolicy::Never {
        return refused(Reason::NeverMoves.to_string());
    }
    match mirror.board.blocked(job, to) {
        Some(verdict) => refused(verdict.to_string()),
        None => (OrderPhase::Started, None),
    }
}

/// Done when nothing is left that could return.
fn failback_phase(mirror: &Mirror, node: &NodeId) -> (OrderPhase, Option<String>) {
    let (mut stay, mut why) = (0_usize, None);
    for job in mirror.board.away_from(node) {
        match mirror.board.blocked(&job, node) {
            None => return (OrderPhase::Started, None),
            Some(verdict) => {
                stay += 1;
                why.get_or_insert_with(|| format!("{job}: {verdict}"));
            }
        }
    }
    (OrderPhase::Done, why.map(|why| format!("{stay} stay where they are; {why}")))
}
