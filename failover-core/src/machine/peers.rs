//! The other nodes, as their heartbeats show them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::pace::Overdue;
use crate::detect::{Detector, Rhythm};
use crate::heartbeat::{Lead, News, Role, Sighting};
use crate::ids::{Member, NodeId, Term};
use crate::time::Time;

/// One node, as last seen.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) member: Member,
    pub(super) news: News,
    /// The term of its own lease.
    pub(super) term: Term,
    /// When the store received its last heartbeat, on the local clock. Estimated late rather than early.
    pub(super) beaten_at: Time,
    pub(super) missing: bool,
    /// The node's term and the count of its last heartbeat.
    beat: (Term, u64),
    /// Since when this node has seen it there without a break.
    pub(super) since: Time,
    rhythm: Rhythm,
}

impl Peer {
    /// Whether it may be given something.
    pub(super) fn is_fit(&self) -> bool {
        !self.missing && !self.news.leaving && !self.news.health.hung && self.news.role != Role::Maintenance
    }

    /// What weighs on it, by its own host's word.
    pub(super) fn weight(&self) -> u32 {
        self.news.health.weight()
    }
}

/// All nodes that send heartbeats, this one among them.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    seen: BTreeMap<NodeId, Peer>,
    looked: Option<Time>,
    /// When each node fell, by what this node has seen: every node watches, so that a new active one knows.
    falls: BTreeMap<NodeId, Vec<Time>>,
    /// Counts what a decision about places depends on.
    version: u64,
    /// The claim to lead with the highest term seen so far, also when its heartbeat is gone.
    lead: Option<(Member, Lead)>,
}

/// How many of a node's falls are remembered.
const MOST_FALLS: usize = 16;

/// A node whose silence began or ended.
pub(super) enum Sign {
    Missing(Member),
    Returned(Member),
}

impl Peers {
    pub(super) fn new() -> Self {
        Self { seen: BTreeMap::new(), looked: None, falls: BTreeMap::new(), version: 0, lead: None }
    }

    pub(super) fn get(&self, node: &NodeId) -> Option<&Peer> {
        self.seen.get(node)
    }

    /// Whether a heartbeat still tells of this member: it is its node's latest, or was replaced by that.
    pub(super) fn shows(&self, member: &Member) -> bool {
        let peer = self.seen.get(&member.node);
        peer.is_some_and(|peer| peer.member == *member || peer.news.replaces == Some(member.incarnation))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.seen.values()
    }

    /// When the last look that was answered was sent.
    pub(super) fn looked(&self) -> Option<Time> {
        self.looked
    }

    /// Who led last, by the highest term, and what it told.
    pub(super) fn lead(&self) -> Option<(&Member, &Lead)> {
        self.lead.as_ref().map(|(member, lead)| (member, lead))
    }

    /// The node that leads now: it still says so, and its heartbeats go on.
    pub(super) fn leading(&self) -> Option<&Peer> {
        let (member, _) = self.lead()?;
        self.get(&member.node).filter(|peer| peer.member == *member && !peer.missing && peer.news.lead.is_some())
    }

    /// Another number whenever something changed that a decision about places depends on.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// How often the node fell within this time.
    pub(super) fn falls(&self, node: &NodeId, now: Time, within: Duration) -> u32 {
        let falls = self.falls.get(node).map_or(&[][..], Vec::as_slice);
        u32::try_from(falls.iter().filter(|at| now.since(**at) <= within).count()).unwrap_or(u32::MAX)
    }

    fn fell(&mut self, now: Time, node: &NodeId) {
        let falls = self.falls.entry(node.clone()).or_default();
        falls.push(now);
        let forgotten = falls.len().saturating_sub(MOST_FALLS);
        falls.drain(..forgotten);
    }

    /// Takes in a look. Missing is who was overdue when the store was asked: a silent store makes nobody missing.
    pub(super) fn look(&mut self, now: Time, sent: Time, sightings: Vec<Sighting>, overdue: &Overdue) -> Vec<Sign> {
        self.looked = Some(sent);
        let mut signs = Vec::new();
        let mut old = std::mem::take(&mut self.seen);
        for Sighting { heartbeat, age } in sightings {
            let before = old.remove(&heartbeat.member.node);
            let same = before.as_ref().is_some_and(|peer| peer.member == heartbeat.member);
            let was_missing = before.as_ref().is_some_and(|peer| peer.missing);
            let beat = (heartbeat.term, heartbeat.seq);
            // Who is missing is back with its next heartbeat, not because it may be silent for longer by now.
            let silent = was_missing && before.as_ref().is_some_and(|peer| peer.beat == beat);
            let missing = silent || heartbeat.news.died || age >= overdue.after(&heartbeat.news);
            // It is new here, or it has just died: missing, or replaced by a later incarnation before that was noticed.
            if before.is_some() && !was_missing && (missing || !same) {
                self.fell(now, &heartbeat.member.node);
            }
            let unbroken = before.as_ref().filter(|_| same && !was_missing && !missing);
            let since = unbroken.map_or(now, |peer| peer.since);
            let alike = before.as_ref().is_some_and(|peer| {
                let (then, new) = (&peer.news, &heartbeat.news);
                let lead = |news: &News| news.lead.as_ref().map(|lead| lead.term);
                same && was_missing == missing
                    && (then.role == Role::Maintenance) == (new.role == Role::Maintenance)
                    && (then.leaving, then.health.hung, then.capacity, &then.labels, &then.version, lead(then))
                        == (new.leaving, new.health.hung, new.capacity, &new.labels, &new.version, lead(new))
            });
            self.version += u64::from(!alike);
            let mut rhythm = before.filter(|_| same).map(|peer| peer.rhythm).unwrap_or_default();
            rhythm.observe(heartbeat.seq, now - age);
            if missing && !(was_missing && same) {
                signs.push(Sign::Missing(heartbeat.member.clone()));
            } else if was_missing && !missing {
                signs.push(Sign::Returned(heartbeat.member.clone()));
            }
            if let Some(lead) = &heartbeat.news.lead
                && self.lead.as_ref().is_none_or(|(_, known)| lead.term >= known.term)
            {
                self.lead = Some((heartbeat.member.clone(), lead.clone()));
            }
            let node = heartbeat.member.node.clone();
            let beaten_at = now - age;
            let (member, news, term) = (heartbeat.member, heartbeat.news, heartbeat.term);
            let peer = Peer { member, news, term, beaten_at, missing, beat, since, rhythm };
            self.seen.insert(node, peer);
        }
        // Forgotten since the last look: they have left.
        self.version += u64::from(!old.is_empty());
        signs
    }

    /// Whether the node's last heartbeat still tells that it leads, under a lower term than `term`: it has not beaten since it lost
    /// the lease, so it is probably gone, whatever its age. A wrong suspicion costs a look.
    pub(super) fn is_outdated(&self, node: &NodeId, term: Term) -> bool {
        self.seen.get(node).and_then(|peer| peer.news.lead.as_ref()).is_some_and(|lead| lead.term < term)
    }

    /// When the next node that is not missing would become so if it were silent from now on.
    pub(super) fn next_overdue(&self, overdue: &Overdue) -> Option<Time> {
        self.seen.values().filter(|peer| !peer.missing).map(|peer| peer.beaten_at + overdue.after(&peer.news)).min()
    }

    /// Whether the node's silence is suspicious. Advice only.
    pub(super) fn suspects(&self, node: &NodeId, now: Time, detector: Detector, beat: Duration) -> bool {
        self.seen.get(node).is_some_and(|peer| match detector {
            Detector::Deadline => peer.missing,
            Detector::PhiAccrual { threshold } => peer.missing || peer.rhythm.phi(now, beat) >= threshold,
        })
    }
}
