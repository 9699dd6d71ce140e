//! The duties of the active node: its fence, lost nodes, placement, the standby.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::effect::{Call, Effect};
use super::event::{Event, EventKind};
use super::fencing::Fencing;
pub(super) use super::fencing::Incident;
use super::input::{Fault, Reply};
use super::mirror::Mirror;
use super::peers::Peers;
use super::placement::{self, Ground, Place};
use super::reason::Reason;
use super::roster::Roster;
use crate::capacity::Capacity;
use crate::ids::{Incarnation, JobId, Member, NodeId, StateKey, Term};
use crate::job::{Assigned, MAX_BATCH};
use crate::lease::Lease;
use crate::record;
use crate::state::{Expect, Written};
use crate::time::Time;
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
    pub(super) mirror: &'a Mirror,
    pub(super) peers: &'a Peers,
    pub(super) roster: &'a Roster,
    /// Its own capacity, if it may run jobs.
    pub(super) own_capacity: Option<Capacity>,
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
    bound: BTreeMap<JobId, Member>,
    standby: Option<Member>,
    vacate: Option<NodeId>,
    wake_at: Option<Time>,
}

impl Steward {
    pub(super) fn new(me: Member, timing: Timing, lease: Lease, now: Time) -> Self {
        Self {
            fencing: Fencing::new(me.clone(), timing),
            me,
            timing,
            lease,
            fence: Fence::Due,
            assigning: false,
            retry_at: None,
            read_since: now,
            bound: BTreeMap::new(),
            standby: None,
            vacate: None,
            wake_at: None,
        }
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
    pub(super) fn decide(&mut self, sight: &Sight<'_>) -> Option<Call> {
        self.fencing.review(sight.now, sight.mirror, sight.peers, self.read_since, self.lease.term);
        self.wake_at = None;
        let may_retry = self.may_retry(sight.now);
        if self.assigning || !sight.mirror.covers(self.read_since) || !may_retry {
            return None;
        }
        let fencing = &self.fencing;
        let ground = Ground {
            now: sight.now,
            mirror: sight.mirror,
            places: self.places(sight),
            is_dead: &|owner| fencing.is_dead(owner),
            must_vacate: &|node| sight.roster.in_maintenance(node) || sight.peers.is_in_maintenance(node),
            should_vacate: self.vacate.as_ref(),
            backoff: self.timing.beat(),
            most: MAX_BATCH,
        };
        let plan = placement::plan(ground, &mut self.bound);
        self.wake_at = plan.wake_at;
        if plan.moves.is_empty() {
            self.vacate = None;
            return None;
        }
        self.assigning = true;
        Some(Call::Assign { fence: self.lease.clone(), moves: plan.moves })
    }

    /// The others that could be given something, in order.
    fn fit(&self, sight: &Sight<'_>) -> Vec<Member> {
        let mut fit = sight.roster.fit(sight.peers, &self.me.node, self.standby.as_ref());
        fit.retain(|member| {
            !self.fencing.concerns(&member.node) && !sight.peers.is_outdated(&member.node, self.lease.term)
        });
        fit
    }

    /// Itself first, then the standby, then the roster.
    fn places(&self, sight: &Sight<'_>) -> Vec<Place> {
        let own = sight.own_capacity.map(|room| Place { member: self.me.clone(), room: i64::from(room.weight) });
        let mut others = self.fit(sight);
        others.sort_by_key(|member| Some(member) != self.standby.as_ref());
        let room = |node: &NodeId| sight.peers.get(node).map_or(0, |peer| i64::from(peer.news.capacity.weight));
        own.into_iter().chain(others.into_iter().map(|member| Place { room: room(&member.node), member })).collect()
    }

    /// Takes in how an assign came out. `Err` means that another node is active.
    pub(super) fn on_assigned(
        &mut self,
        now: Time,
        outcome: &Result<Reply, Fault>,
        retry_at: Time,
    ) -> Result<(), FencedOff> {
        self.assigning = false;
        // Whatever came of it, the next decision is made on what the store says afterwards.
        self.read_since = now;
        match outcome {
            Ok(Reply::Assigned(Assigned::Applied(_))) => (self.fence, self.retry_at) = (Fence::Installed, None),
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

    /// Appoints the standby. Tells when it is another than before.
    pub(super) fn appoint(&mut self, sight: &Sight<'_>, out: &mut Vec<Effect>) {
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
    pub(super) fn next_incident(&mut self, now: Time) -> Option<(Incident, Call)> {
        let incident = self.fencing.next_record(now)?;
        let Member { node, incarnation } = &incident.member;
        let place = StateKey::new(format!("incident/{node}/{incarnation}")).ok()?;
        if incident.is_claimed {
            return Some((incident, Call::List { prefix: place, limit: 1 }));
        }
        let value = Claimed {
            node: node.clone(),
            incarnation: *incarnation,
            term: incident.term,
            reason: incident.reason.text().to_owned(),
            fenced_by: self.me.node.clone(),
            active_term: self.lease.term,
        };
        let (key, value) = (place.join("claim").ok()?, record::encode("incident", &value).ok()?.into_bytes());
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
        match outcome {
            Ok(Reply::Written(Written::Written(_))) => self.tell_fenced(incident, told, out),
            // Claimed by an earlier active node, or by this one with a write whose answer was lost.
            Ok(Reply::Written(Written::Conflict(_))) => self.fencing.record_again(member, now, true),
            Ok(Reply::Written(Written::Fenced { .. })) => return Err(FencedOff),
            Ok(Reply::Documents(documents)) => match documents.first() {
                Some(document) if self.is_own_claim(&document.value) => self.tell_fenced(incident, told, out),
                Some(_) => self.fencing.recorded(member),
                None => self.fencing.record_again(member, now, false),
            },
            Ok(_) | Err(_) => self.fencing.record_again(member, retry_at, incident.is_claimed),
        }
        Ok(())
    }

    /// A term is never issued twice, so it tells whose claim this is.
    fn is_own_claim(&self, value: &[u8]) -> bool {
        let claimed = record::decode::<Claimed>("incident", "an incident", value);
        claimed.is_ok_and(|claimed| claimed.active_term == self.lease.term)
    }

    /// Tells of a failure that this node has claimed, once.
    fn tell_fenced(&mut self, incident: &Incident, told: &mut BTreeSet<Member>, out: &mut Vec<Effect>) {
        let member = &incident.member;
        self.fencing.recorded(member);
        if told.insert(member.clone()) {
            let event = Event::new(EventKind::NodeFenced, member.node.clone(), incident.reason);
            out.push(Effect::Tell(event.term(incident.term).detail(member.incarnation.to_string())));
        }
    }

    /// When it will have something to do by itself; as for [`Fencing::deadline`].
    pub(super) fn deadline(&self, fences_wait: bool, recording: bool) -> Option<Time> {
        [self.retry_at, self.wake_at, self.fencing.deadline(fences_wait, recording)].into_iter().flatten().min()
    }
}

/// One failure as it is claimed in the store: the document `incident/<node>/<incarnation>/claim`.
#[derive(Serialize, Deserialize)]
struct Claimed {
    node: NodeId,
    incarnation: Incarnation,
    term: Term,
    reason: String,
    fenced_by: NodeId,
    active_term: Term,
}

/// A store has seen a higher term.
pub(super) struct FencedOff;
