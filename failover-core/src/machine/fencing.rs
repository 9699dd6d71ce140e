//! Fencing lost nodes: taking the lease of a node before its jobs move (law 11).

use std::collections::{BTreeMap, BTreeSet};

use super::claim::{Claim, ClaimEvent, Ticket};
use super::effect::Call;
use super::input::{Fault, Reply};
use super::mirror::Mirror;
use super::peers::Peers;
use super::reason::Reason;
use crate::heir::Bequest;
use crate::ids::{LeaseName, Member, NodeId, Term};
use crate::lease::{LeaseView, Tenant};
use crate::time::Time;
use crate::timing::Timing;

/// How far the record of one failure is (law 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnRecord {
    Due(Time),
    Open,
    Claimed,
}

/// A node that has to be fenced, or is.
#[derive(Debug, Clone)]
struct Victim {
    claim: Claim,
    /// The owners that were asked about with the call that is under way.
    asked: BTreeSet<Member>,
    /// The members whose right has provably ended.
    dead: BTreeMap<Member, Death>,
}

/// One member's end, and whether it is on record.
#[derive(Debug, Clone)]
struct Death {
    reason: Reason,
    term: Term,
    found: Time,
    on_record: OnRecord,
    /// Whether to look whose claim is there, because there is one already.
    look: bool,
}

/// A failure to put on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incident {
    pub(super) member: Member,
    pub(super) reason: Reason,
    /// The highest term of the node's lease when the member was found dead.
    pub(super) term: Term,
    /// When that was.
    pub(super) found: Time,
    /// Whether it is claimed already, so that it remains to be seen by whom.
    pub(super) is_claimed: bool,
}

/// All nodes that are being fenced.
#[derive(Debug, Clone)]
pub(super) struct Fencing {
    me: Member,
    timing: Timing,
    victims: BTreeMap<NodeId, Victim>,
    told: Told,
}

/// Deaths that no lease has to be taken for.
#[derive(Debug, Clone, Default)]
struct Told {
    /// Members whose node is back under a later incarnation, which had to wait for their lease to lapse.
    replaced: BTreeMap<Member, Death>,
    /// Members that are fenced and on record; their silence needs nothing more.
    settled: BTreeSet<Member>,
}

impl Fencing {
    pub(super) fn new(me: Member, timing: Timing) -> Self {
        Self { me, timing, victims: BTreeMap::new(), told: Told::default() }
    }

    /// Is as fast as this from now on.
    pub(super) fn set_timing(&mut self, now: Time, timing: Timing) {
        self.timing = timing;
        self.victims.values_mut().for_each(|victim| victim.claim.set_timing(now, timing));
    }

    /// Whether this owner's right has provably ended.
    pub(super) fn is_dead(&self, owner: &Member) -> bool {
        if owner.node == self.me.node {
            // This incarnation holds the node's lease, so an earlier one does not.
            return owner.incarnation != self.me.incarnation;
        }
        self.victims.get(&owner.node).is_some_and(|victim| victim.dead.contains_key(owner))
    }

    /// Whether the node is being fenced: give it nothing.
    pub(super) fn concerns(&self, node: &NodeId) -> bool {
        self.victims.contains_key(node)
    }

    /// The nodes that are being fenced.
    pub(super) fn concerned(&self) -> impl Iterator<Item = &NodeId> {
        self.victims.keys()
    }

    /// Begins with the nodes that need it, and ends with those that do not any more. `settled_since` is the moment from which
    /// the jobs must have been read to show that none is left with a dead owner; `term` is that of this node's active lease. A silent member that
    /// `is_known`, and owns nothing, was proven dead before, which cannot change (law 6): there is nothing to take from it and nothing to put on record.
    pub(super) fn review(
        &mut self,
        now: Time,
        mirror: &Mirror,
        peers: &Peers,
        settled_since: Time,
        term: Term,
        is_known: impl Fn(&Member) -> bool,
    ) {
        let owners: BTreeMap<&Member, Time> =
            mirror.board.owners().filter(|(owner, _)| owner.node != self.me.node).collect();
        self.told.settled.retain(|member| peers.shows(member));

        let covered = mirror.covers(settled_since);
        for (node, victim) in &mut self.victims {
            if let Some(lease) = victim.claim.held(now) {
                let term = lease.term;
                for owner in owners.keys().filter(|owner| owner.node == *node) {
                    victim.find_dead(now, (*owner).clone(), Reason::LeaseTaken, term, &mut self.told);
                }
            }
            let is_left = owners.keys().any(|owner| victim.dead.contains_key(*owner));
            if covered && !is_left && victim.is_on_record() {
                self.told.settled.extend(std::mem::take(&mut victim.dead).into_keys());
                victim.claim.release(now, None);
            }
        }
        // What is done with makes room first: a later incarnation may have died meanwhile.
        self.victims.retain(|_, victim| victim.is_wanted());

        let mut needed: BTreeSet<NodeId> = BTreeSet::new();
        for (owner, read_at) in &owners {
            if !Self::is_alive(owner, *read_at, peers) || peers.is_outdated(&owner.node, term) {
                needed.insert(owner.node.clone());
            }
        }
        for peer in peers.iter().filter(|peer| peer.missing && peer.member.node != self.me.node) {
            if !self.told.settled.contains(&peer.member) && !is_known(&peer.member) {
                needed.insert(peer.member.node.clone());
            }
        }
        for (node, victim) in &mut self.victims {
            if victim.dead.is_empty() && !needed.contains(node) {
                victim.claim.release(now, None);
            }
        }
        self.victims.retain(|_, victim| victim.is_wanted());
        for node in &needed {
            self.begin(now, node);
        }
    }

    /// Gives every lease back and seeks none: nothing is taken from anybody now. What was found out is found out again later.
    pub(super) fn rest(&mut self, now: Time) {
        for victim in self.victims.values_mut() {
            victim.claim.release(now, None);
            victim.asked.clear();
            victim.dead.clear();
        }
        self.victims.retain(|_, victim| !victim.claim.is_idle());
        self.told.replaced.clear();
    }

    /// Finds the incarnations that died and were replaced before anybody missed them: their successors say so. Nothing is taken from
    /// anyone on their word; it is put on record, unless it `is_known`.
    pub(super) fn find_replaced(&mut self, now: Time, peers: &Peers, is_known: impl Fn(&Member) -> bool) {
        for peer in peers.iter().filter(|peer| peer.member.node != self.me.node) {
            let Some(earlier) = peer.news.replaces else { continue };
            let member = Member::new(peer.member.node.clone(), earlier);
            let is_victim = self.victims.get(&member.node).is_some_and(|victim| victim.dead.contains_key(&member));
            if !is_victim && !self.told.settled.contains(&member) && !is_known(&member) {
                let death = || Death::new(now, Reason::Superseded, peer.term);
                self.told.replaced.entry(member).or_insert_with(death);
            }
        }
        let on_record = self.told.replaced.extract_if(.., |_, death| death.on_record == OnRecord::Claimed);
        self.told.settled.extend(on_record.map(|(member, _)| member));
    }

    /// Whether the owner's heartbeats say that it lives. A look from before its job was read cannot know of it yet.
    fn is_alive(owner: &Member, read_at: Time, peers: &Peers) -> bool {
        if peers.looked().is_none_or(|looked| looked < read_at) {
            return true;
        }
        peers.get(&owner.node).is_some_and(|peer| peer.member == *owner && !peer.missing)
    }

    fn begin(&mut self, now: Time, node: &NodeId) {
        let (me, timing) = (self.me.clone(), self.timing);
        self.victims.entry(node.clone()).or_insert_with(|| {
            let mut claim = Claim::new(LeaseName::node(node), me, timing);
            claim.seek(now);
            Victim { claim, asked: BTreeSet::new(), dead: BTreeMap::new() }
        });
    }

    /// Something may have changed about nodes' leases.
    pub(super) fn hint(&mut self, now: Time) {
        self.victims.values_mut().for_each(|victim| victim.claim.hint(now));
    }

    /// What it holds of others.
    pub(super) fn bequests(&self) -> impl Iterator<Item = Bequest> {
        self.victims.values().filter_map(|victim| victim.claim.bequest())
    }

    /// The calls to make at `now`, at most `most`.
    pub(super) fn poll(
        &mut self,
        now: Time,
        mirror: &Mirror,
        peers: &Peers,
        most: usize,
    ) -> Vec<(NodeId, Ticket, Call)> {
        let mut calls = Vec::new();
        for (node, victim) in &mut self.victims {
            if calls.len() == most {
                break;
            }
            if let Some((ticket, call)) = victim.claim.poll(now) {
                if matches!(call, Call::Acquire { .. }) {
                    let missing = peers.get(node).filter(|peer| peer.missing).map(|peer| peer.member.clone());
                    let missing = missing.filter(|member| !self.told.settled.contains(member));
                    let owners = mirror.board.owners().map(|(owner, _)| owner).filter(|owner| owner.node == *node);
                    victim.asked = owners.cloned().chain(missing).collect();
                }
                calls.push((node.clone(), ticket, call));
            }
        }
        calls
    }

    /// Takes in how a call came out. `Err` means that the store's terms fell.
    pub(super) fn outcome(
        &mut self,
        now: Time,
        sent: Time,
        node: &NodeId,
        ticket: Ticket,
        outcome: &Result<Reply, Fault>,
    ) -> Result<(), Regressed> {
        let Some(victim) = self.victims.get_mut(node) else { return Ok(()) };
        match victim.claim.outcome(now, sent, ticket, outcome) {
            Some(ClaimEvent::Held { lease, .. }) => {
                for member in std::mem::take(&mut victim.asked) {
                    victim.find_dead(now, member, Reason::LeaseTaken, lease.term, &mut self.told);
                }
            }
            // The lease has passed to another: a later incarnation, or whoever was active before and took it. Either way the right
            // of the owners that were asked about has ended and cannot come back (law 6).
            Some(ClaimEvent::Refused(LeaseView { term, tenant: Tenant::Held { holder, .. } })) => {
                let asked = std::mem::take(&mut victim.asked);
                for member in asked.into_iter().filter(|member| *member != holder) {
                    victim.find_dead(now, member, Reason::Superseded, term, &mut self.told);
                }
                if !victim.dead.is_empty() {
                    victim.claim.stop_seeking();
                }
            }
            Some(ClaimEvent::Regressed) => return Err(Regressed),
            Some(ClaimEvent::Lost | ClaimEvent::Ended) => victim.lose_hold(now),
            Some(ClaimEvent::Refused(_) | ClaimEvent::Released | ClaimEvent::Ending) | None => {}
        }
        Ok(())
    }

    /// Keeps the claims' own deadlines.
    pub(super) fn expire(&mut self, now: Time) {
        for victim in self.victims.values_mut() {
            while let Some(event) = victim.claim.expire(now) {
                if matches!(event, ClaimEvent::Ending) {
                    // Nothing runs under a fence, but what it proved does not hold without it.
                    victim.lose_hold(now);
                }
            }
        }
    }

    /// A failure to be put on record now, if any.
    pub(super) fn next_record(&mut self, now: Time) -> Option<Incident> {
        let deaths = self.victims.values_mut().flat_map(|victim| victim.dead.iter_mut());
        for (member, death) in deaths.chain(&mut self.told.replaced) {
            if matches!(death.on_record, OnRecord::Due(at) if now >= at) {
                death.on_record = OnRecord::Open;
                let (reason, term, found, is_claimed) = (death.reason, death.term, death.found, death.look);
                return Some(Incident { member: member.clone(), reason, term, found, is_claimed });
            }
        }
        None
    }

    /// The failure is on record, and told by whoever claimed it.
    pub(super) fn recorded(&mut self, member: &Member) {
        if let Some(death) = self.death(member) {
            death.on_record = OnRecord::Claimed;
        }
    }

    /// The failure is not settled yet: at `at`, claim it, or look who has.
    pub(super) fn record_again(&mut self, member: &Member, at: Time, look: bool) {
        if let Some(death) = self.death(member) {
            (death.on_record, death.look) = (OnRecord::Due(at), look);
        }
    }

    fn death(&mut self, member: &Member) -> Option<&mut Death> {
        let victim = self.victims.get_mut(&member.node).and_then(|victim| victim.dead.get_mut(member));
        victim.or_else(|| self.told.replaced.get_mut(member))
    }

    /// `wait`: every call for a lost node's lease that may be under way is; `recording`: so is one that puts a failure on record.
    pub(super) fn deadline(&self, wait: bool, recording: bool) -> Option<Time> {
        let claims = self.victims.values().filter(|_| !wait).filter_map(|victim| victim.claim.deadline());
        let deaths = self.victims.values().flat_map(|victim| victim.dead.values()).chain(self.told.replaced.values());
        let deaths = deaths.filter(|_| !recording);
        let due = deaths.filter_map(|death| match death.on_record {
            OnRecord::Due(at) => Some(at),
            OnRecord::Open | OnRecord::Claimed => None,
        });
        claims.chain(due).min()
    }
}

/// The store's terms fell.
pub(super) struct Regressed;

impl Death {
    fn new(found: Time, reason: Reason, term: Term) -> Self {
        Self { reason, term, found, on_record: OnRecord::Due(found), look: false }
    }
}

impl Told {
    /// This member's death, which is found now unless it was told before: what is on record already is not put there again.
    fn death(&mut self, now: Time, member: &Member, reason: Reason, term: Term) -> Death {
        let mut death = self.replaced.remove(member).unwrap_or_else(|| Death::new(now, reason, term));
        if self.settled.contains(member) {
            death.on_record = OnRecord::Claimed;
        }
        death
    }
}

impl Victim {
    /// Whether there is something to do about it yet, or something under way.
    fn is_wanted(&self) -> bool {
        !self.claim.is_idle() || !self.dead.is_empty()
    }

    /// Whether it is dead, and every failure of it claimed.
    fn is_on_record(&self) -> bool {
        !self.dead.is_empty() && self.dead.values().all(|death| death.on_record == OnRecord::Claimed)
    }

    fn find_dead(&mut self, now: Time, member: Member, reason: Reason, term: Term, told: &mut Told) {
        self.dead.entry(member).or_insert_with_key(|member| told.death(now, member, reason, term));
    }

    /// The node's lease is not this node's any more: what is not settled has to be proven again.
    fn lose_hold(&mut self, now: Time) {
        self.dead.retain(|_, death| death.reason == Reason::Superseded);
        self.claim.abandon();
        self.claim.seek(now);
    }
}
