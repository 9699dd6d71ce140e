//! The duties of the active node: its fence, lost nodes, placement, the standby.

use std::collections::BTreeSet;

use super::archive::Archive;
use super::doubt::Doubts;
use super::effect::{Call, Effect};
use super::event::{Event, EventKind};
use super::fencing::Fencing;
pub(super) use super::fencing::Incident;
use super::ground::{Ground, View};
use super::input::{Fault, Reply};
use super::mirror::Mirror;
use super::orders::OrderBook;
use super::peers::Peers;
use super::reason::Reason;
use super::roster::Roster;
use super::stonith::Stonith;
use crate::capacity::Capacity;
use crate::control::Settings;
use crate::heartbeat::Role;
use crate::ids::{ActionName, Member, NodeId};
use crate::incident::{Claim, claim_key, incidents};
use crate::job::{Assigned, MAX_BATCH, Step};
use crate::lease::Lease;
use crate::plan::{Board, Decision, Plan};
use crate::record;
use crate::state::{Expect, Written};
use crate::time::{Stamp, Time};
use crate::timing::Timing;

/// Whether this node's term is known to the job store yet (law 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fence {
    Due,
    Open,
    Installed,
}

/// What the active node decides from.
pub(super) struct Sight<'a> {
    pub(super) now: Time,
    pub(super) peers: &'a Peers,
    pub(super) roster: &'a Roster,
    /// Its own capacity, if it may run jobs.
    pub(super) own_capacity: Option<Capacity>,
    /// Its own version.
    pub(super) version: Option<&'a str>,
}

/// The duties of the active node, from the moment it holds the lease.
#[derive(Debug, Clone)]
pub(super) struct Steward {
    me: Member,
    timing: Timing,
    lease: Lease,
    fence: Fence,
    assigning: bool,
    /// After an assign without an answer: when to try again.
    retry_at: Option<Time>,
    /// Nothing is decided before the jobs have been read since then.
    read_since: Time,
    pub(super) fencing: Fencing,
    ground: Ground,
    /// What it writes down.
    pub(super) archive: Archive,
    /// The failure that is being claimed.
    claiming: Option<Claim>,
    /// What the assign that is under way is about.
    deciding: Vec<Decision>,
    standby: Option<Member>,
    vacate: Option<NodeId>,
    wake_at: Option<Time>,
    /// Whether jobs were on their way at this version of the jobs; looked at only while the cluster is paused.
    moves: Option<(u64, bool)>,
}

impl Steward {
    pub(super) fn new(me: Member, timing: Timing, lease: Lease, known: BTreeSet<ActionName>, now: Time) -> Self {
        Self {
            fencing: Fencing::new(me.clone(), timing),
            archive: Archive::new(&me, &lease, &timing, known, now),
            claiming: None,
            me,
            timing,
            lease,
            fence: Fence::Due,
            assigning: false,
            retry_at: None,
            read_since: now,
            ground: Ground::default(),
            deciding: Vec::new(),
            standby: None,
            vacate: None,
            wake_at: None,
            moves: None,
        }
    }

    /// Is as fast as this from now on.
    pub(super) fn set_timing(&mut self, now: Time, timing: Timing) {
        self.timing = timing;
        self.fencing.set_timing(now, timing);
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(super) fn standby(&self) -> Option<&Member> {
        self.standby.as_ref()
    }

    /// From when the jobs have to be read before anything is decided.
    pub(super) fn needs_read_since(&self) -> Option<Time> {
        (self.fence == Fence::Installed && !self.assigning).then_some(self.read_since)
    }

    /// Whether the fence is installed and the jobs were read after it.
    pub(super) fn is_ready(&self, mirror: &Mirror) -> bool {
        self.fence == Fence::Installed && mirror.covers(self.read_since)
    }

    /// Another number whenever what is known of the nodes has changed.
    pub(super) fn ground_version(&self) -> u64 {
        self.ground.version()
    }

    /// Moves a node's jobs elsewhere as far as there is room.
    pub(super) fn vacate(&mut self, node: NodeId) {
        self.vacate = Some(node);
    }

    /// The call that installs the fence, if it is due.
    pub(super) fn install(&mut self, now: Time) -> Option<Call> {
        let may_retry = self.may_retry(now);
        if self.fence != Fence::Due || !may_retry {
            return None;
        }
        self.fence = Fence::Open;
        self.assigning = true;
        Some(Call::Assign { fence: self.lease.clone(), moves: Vec::new() })
    }

    /// The decisions that are due, once it [`is_ready`](Self::is_ready).
    pub(super) fn decide(&mut self, sight: &Sight<'_>, mirror: &mut Mirror, orders: &OrderBook) -> Option<Call> {
        let paused = sight.roster.is_paused();
        if paused {
            self.fencing.rest(sight.now);
        } else {
            let is_known = |member: &Member| self.archive.knows(member);
            self.fencing.review(sight.now, mirror, sight.peers, self.read_since, self.lease.term, is_known);
            self.fencing.find_replaced(sight.now, sight.peers, is_known);
        }
        self.look_around(sight, mirror);
        self.wake_at = None;
        let may_retry = self.may_retry(sight.now);
        if self.assigning || !mirror.covers(self.read_since) || !may_retry {
            return None;
        }
        let (wanted, returning) = orders.wishes();
        let is_ordered = !(wanted.is_empty() && returning.is_empty()) || self.vacate.is_some();
        if paused && !is_ordered && !sight.roster.moves_jobs() && !self.sees_moves(mirror) {
            return None;
        }
        let board = &mut mirror.board;
        board.set_wanted(wanted);
        board.set_returning(returning);
        let mut plan = decide(board, sight.now, paused);
        if plan.decisions.is_empty() && self.vacate.take().is_some() {
            // Everything that could follow the switchover has: the node it came from is a place like any other again.
            self.look_around(sight, mirror);
            plan = decide(&mut mirror.board, sight.now, paused);
        }
        self.wake_at = plan.wake_at;
        if plan.decisions.is_empty() {
            return None;
        }
        self.assigning = true;
        let moves = plan.decisions.iter().map(|decision| decision.mv.clone()).collect();
        self.deciding = plan.decisions;
        Some(Call::Assign { fence: self.lease.clone(), moves })
    }

    /// Whether a move has begun that is to come to its end.
    fn sees_moves(&mut self, mirror: &Mirror) -> bool {
        let version = mirror.version();
        if self.moves.is_none_or(|(of, _)| of != version) {
            self.moves = Some((version, mirror.board.has_moves()));
        }
        self.moves.is_some_and(|(_, some)| some)
    }

    /// Brings what the planner knows of the nodes up to date.
    fn look_around(&mut self, sight: &Sight<'_>, mirror: &mut Mirror) {
        let dead = mirror.board.owners().map(|(owner, _)| owner).filter(|owner| self.fencing.is_dead(owner));
        let dead = dead.cloned().collect();
        let view = View {
            now: sight.now,
            me: &self.me,
            term: self.lease.term,
            own: sight.own_capacity,
            version: sight.version,
            peers: sight.peers,
            roster: sight.roster,
            fencing: &self.fencing,
            standby: self.standby.as_ref(),
            vacate: self.vacate.as_ref(),
        };
        self.ground.refresh(view, &self.timing, &mut mirror.board);
        mirror.board.set_dead(dead);
    }

    /// The others that could be given something, in order.
    fn fit(&self, sight: &Sight<'_>) -> Vec<Member> {
        let mut fit = sight.roster.fit(sight.peers, &self.me.node, self.standby.as_ref(), sight.version);
        fit.retain(|member| {
            !self.fencing.concerns(&member.node) && !sight.peers.is_outdated(&member.node, self.lease.term)
        });
        fit
    }

    /// Takes in how an assign came out. `Err` means that another node is active.
    pub(super) fn on_assigned(
        &mut self,
        now: Time,
        outcome: &Result<Reply, Fault>,
        retry_at: Time,
        mirror: &Mirror,
        out: &mut Vec<Effect>,
    ) -> Result<(), FencedOff> {
        self.assigning = false;
        let decided = std::mem::take(&mut self.deciding);
        // Whatever came of it, the next decision is made on what the store says afterwards.
        self.read_since = now;
        match outcome {
            Ok(Reply::Assigned(Assigned::Applied(head))) => {
                if let Some(read) = mirror.whole_upto(*head).filter(|_| self.fence == Fence::Open) {
                    // The feed held nothing more when it took the fence in: to read it again would tell the same (law 12).
                    self.read_since = read;
                }
                (self.fence, self.retry_at) = (Fence::Installed, None);
                self.archive.courses.moved(now, &decided);
                out.extend(decided.into_iter().filter_map(moved).map(Effect::Tell));
            }
            Ok(Reply::Assigned(Assigned::Fenced { .. })) => return Err(FencedOff),
            Ok(_) | Err(_) => {
                let is_stale = matches!(outcome, Ok(Reply::Assigned(Assigned::Stale(_))));
                self.retry_at = (!is_stale).then_some(retry_at);
                if self.fence == Fence::Open {
                    self.fence = Fence::Due;
                }
            }
        }
        Ok(())
    }

    fn may_retry(&mut self, now: Time) -> bool {
        if self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        self.retry_at = None;
        true
    }

    /// Appoints the standby. Tells when it is another than before. While the cluster is paused, one that was appointed stays so.
    pub(super) fn appoint(&mut self, sight: &Sight<'_>, out: &mut Vec<Effect>) {
        if sight.roster.is_paused() && self.standby.is_some() {
            return;
        }
        let first = self.fit(sight).into_iter().next();
        if first != self.standby {
            if let Some(member) = &first {
                let event = Event::new(EventKind::StandbyAppointed, member.node.clone(), Reason::FirstInLine);
                out.push(Effect::Tell(event.term(self.lease.term)));
            }
            self.standby = first;
        }
    }

    /// The call that puts the next failure on record, if one is due: each is claimed once, whoever is active (law 14).
    pub(super) fn next_incident(&mut self, sight: &Sight<'_>, recording: &Recording<'_>) -> Option<(Incident, Call)> {
        let mut incident = self.fencing.next_record(sight.now)?;
        if incident.reason == Reason::LeaseTaken {
            let peer = sight.peers.get(&incident.member.node).filter(|peer| peer.member == incident.member);
            let died = peer.is_some_and(|peer| peer.news.died);
            incident.reason = if died { Reason::LeaseGivenBack } else { recording.stonith.taken(&incident.member) };
        }
        let Member { node, incarnation } = &incident.member;
        let key = claim_key(&incident.member)?;
        if incident.is_claimed {
            let place = incidents().join(node.as_str()).ok()?.join(&incarnation.to_string()).ok()?;
            return Some((incident, Call::List { prefix: place, after: None, limit: RECORD }));
        }
        let seen = sight.peers.get(node).filter(|peer| peer.member == incident.member);
        let claim = Claim {
            node: node.clone(),
            incarnation: *incarnation,
            term: incident.term,
            reason: incident.reason.text().to_owned(),
            fenced_by: self.me.node.clone(),
            active_term: self.lease.term,
            number: self.archive.number(),
            was_active: seen.is_some_and(|peer| peer.news.role == Role::Active),
            at: recording.at,
            phases: recording.doubts.until_found(sight.peers, &incident.member, incident.found, self.timing.ttl() / 2),
            due: recording.due.to_vec(),
        };
        let value = record::encode("incident", &claim).ok()?.into_bytes();
        self.claiming = Some(claim);
        Some((incident, Call::Put { key, value, expect: Expect::Absent, fence: self.lease.clone() }))
    }

    /// Takes in how that came out. `Err` means that another node is active.
    pub(super) fn on_incident(
        &mut self,
        now: Time,
        incident: &Incident,
        outcome: &Result<Reply, Fault>,
        retry_at: Time,
        told: &mut BTreeSet<Member>,
        out: &mut Vec<Effect>,
    ) -> Result<(), FencedOff> {
        let member = &incident.member;
        let claiming = self.claiming.take();
        match outcome {
            Ok(Reply::Written(Written::Written(_))) => self.tell_fenced(now, incident, claiming, told, out),
            // Claimed by an earlier active node, or by this one with a write whose answer was lost.
            Ok(Reply::Written(Written::Conflict(_))) => self.fencing.record_again(member, now, true),
            Ok(Reply::Written(Written::Fenced { .. })) => return Err(FencedOff),
            Ok(Reply::Documents(documents)) => {
                let key = claim_key(member);
                match documents.iter().find(|document| Some(&document.key) == key.as_ref()) {
                    Some(document) => {
                        if let Some(claim) = self.own_claim(&document.value) {
                            self.tell_fenced(now, incident, Some(claim), told, out);
                        } else {
                            self.fencing.recorded(member);
                            self.archive.courses.forget(member);
                        }
                    }
                    None => self.fencing.record_again(member, now, false),
                }
            }
            Ok(_) | Err(_) => self.fencing.record_again(member, retry_at, incident.is_claimed),
        }
        Ok(())
    }

    /// The claim, if it is this node's: a term is never issued twice, so it tells whose it is.
    fn own_claim(&self, value: &[u8]) -> Option<Claim> {
        let claim: Claim = record::decode("incident", "an incident", value).ok()?;
        (claim.active_term == self.lease.term).then_some(claim)
    }

    /// Tells of a failure that this node has claimed, once.
    fn tell_fenced(
        &mut self,
        now: Time,
        incident: &Incident,
        claim: Option<Claim>,
        told: &mut BTreeSet<Member>,
        out: &mut Vec<Effect>,
    ) {
        let member = &incident.member;
        self.fencing.recorded(member);
        if let Some(claim) = claim {
            self.archive.opened(now, claim, incident.found);
        }
        if told.insert(member.clone()) {
            let event = Event::new(EventKind::NodeFenced, member.node.clone(), incident.reason);
            out.push(Effect::Tell(event.term(incident.term).detail(member.incarnation.to_string())));
        }
    }

    /// When it will have something to do by itself; as for [`Fencing::deadline`].
    pub(super) fn deadline(&self, fences_wait: bool, recording: bool, settings: &Settings) -> Option<Time> {
        let drains = self.ground.deadline(settings);
        let fencing = self.fencing.deadline(fences_wait, recording);
        [self.retry_at, self.wake_at, drains, fencing].into_iter().flatten().min()
    }
}

/// What a claim tells beside who was lost.
pub(super) struct Recording<'a> {
    pub(super) at: Option<Stamp>,
    pub(super) doubts: &'a Doubts,
    pub(super) stonith: &'a Stonith,
    /// The response actions of this node's host.
    pub(super) due: &'a [ActionName],
}

/// What is to be done now. While the cluster is paused, only what operators have asked for and what had begun before.
fn decide(board: &mut Board, now: Time, paused: bool) -> Plan {
    if !paused {
        return board.decide(now, MAX_BATCH);
    }
    let mut plan = board.decide(now, usize::MAX);
    plan.decisions.retain(|decision| decision.why.is_ordered() && !matches!(decision.mv.step, Step::Seize { .. }));
    plan.decisions.truncate(MAX_BATCH);
    plan
}
/// More documents than one incident has, so that its claim is among them.
const RECORD: usize = 100;

/// What is told of a decision that the store has taken.
fn moved(Decision { mv, from, to, why, .. }: Decision) -> Option<Event> {
    let node = to.clone().or(from.clone())?;
    let way = match (from, to) {
        (Some(from), Some(to)) => format!("from {from} to {to}: {why}"),
        (Some(from), None) => format!("from {from}: {why}"),
        (None, _) => why.to_string(),
    };
    let epoch = if mv.step == Step::Drain { mv.expect } else { mv.expect.next() };
    Some(Event::new(EventKind::JobMoved, node, Reason::Decided).job(mv.job, epoch).detail(way))
}

/// A store has seen a higher term.
pub(super) struct FencedOff;
