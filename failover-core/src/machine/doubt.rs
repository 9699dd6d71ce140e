//! Silence: since when a node is missed, and what can only be guessed while the store is silent, too.
//!
//! Without the store nobody can be fenced and nothing claimed. All that is left is to say so, once for each silence.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Machine;
use super::effect::Effect;
use super::event::{Event, EventKind};
use super::peers::{Peers, Sign};
use super::reason::Reason;
use super::table::Stage;
use crate::ids::{Member, NodeId};
use crate::incident::Phases;
use crate::time::Time;

/// A member whose heartbeats have stopped.
#[derive(Debug, Clone)]
struct Silence {
    member: Member,
    beaten_at: Time,
    noticed_at: Time,
}

/// Who is missed, and who was told to be in doubt.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubts {
    silences: BTreeMap<NodeId, Silence>,
    raised: BTreeSet<NodeId>,
}

impl Doubts {
    /// How long it took to notice that the member is missing, and from then until `found`. Often it is its lease that shows it, because
    /// that lapses before a heartbeat is too old; then both are one moment. One that beat within `fresh` before was not missed at all.
    pub(super) fn until_found(&self, peers: &Peers, member: &Member, found: Time, fresh: Duration) -> Phases {
        let silence = self.silences.get(&member.node).filter(|silence| silence.member == *member);
        let silence = silence.filter(|silence| silence.noticed_at <= found);
        let seen = peers.get(&member.node).filter(|peer| peer.member == *member);
        let (beaten_at, noticed_at) = match (silence, seen) {
            (Some(silence), _) => (silence.beaten_at, silence.noticed_at),
            (None, Some(peer)) if found.since(peer.beaten_at) >= fresh => (peer.beaten_at, found),
            (None, Some(_) | None) => return Phases::default(),
        };
        let (detect, decide) = (Some(noticed_at.since(beaten_at)), Some(found.since(noticed_at)));
        Phases { detect, decide, ..Phases::default() }
    }
}

impl Machine {
    /// Remembers since when a node is missed.
    pub(super) fn note_sign(&mut self, now: Time, sign: &Sign) {
        match sign {
            Sign::Missing(member) => {
                let beaten_at = self.peers.get(&member.node).map_or(now, |peer| peer.beaten_at);
                let silence = Silence { member: member.clone(), beaten_at, noticed_at: now };
                self.doubts.silences.insert(member.node.clone(), silence);
            }
            Sign::Returned(member) => drop(self.doubts.silences.remove(&member.node)),
        }
    }

    /// The active node as this one knows it, if it is another and no earlier start of this one, and when it would be missed.
    fn lead_overdue(&self) -> Option<(&NodeId, Time)> {
        let (lead, _) = self.peers.lead().filter(|(lead, _)| lead.node != self.config.member.node)?;
        let peer = self.peers.get(&lead.node).filter(|peer| peer.member == *lead)?;
        Some((&lead.node, peer.beaten_at + self.overdue().after(&peer.news)))
    }

    /// Tells of what seems to be lost and cannot be confirmed: whoever was missed so shortly before the store fell silent that nobody can
    /// be expected to have fenced it, and the active node once its heartbeats would be too old.
    pub(super) fn doubt(&mut self, now: Time, out: &mut Vec<Effect>) {
        let Some(since) = self.contact.silent_since() else { return };
        if self.stage == Stage::Leaving {
            return;
        }
        let fresh = self.timing.missing() + self.timing.ttl();
        // Of those it has claimed itself there is no doubt.
        let is_claimed = |member: &Member| {
            let archive = self.steward.as_ref().map(|steward| &steward.archive);
            archive.is_some_and(|archive| archive.responses.cases.get(member).is_some())
        };
        let lost = self.doubts.silences.values();
        let lost = lost.filter(|silence| silence.beaten_at + fresh >= since && !is_claimed(&silence.member));
        let mut suspects: Vec<_> = lost.map(|silence| (silence.member.node.clone(), Reason::NotConfirmed)).collect();
        let lead = self.lead_overdue().filter(|(_, overdue)| now >= *overdue);
        suspects.extend(lead.map(|(node, _)| (node.clone(), Reason::ActiveNotConfirmed)));
        for (node, reason) in suspects {
            if node != self.config.member.node && self.doubts.raised.insert(node.clone()) {
                out.push(Effect::Tell(Event::new(EventKind::Unconfirmed, node, reason)));
            }
        }
    }

    /// The store answers again.
    pub(super) fn end_doubts(&mut self, out: &mut Vec<Effect>) {
        for node in std::mem::take(&mut self.doubts.raised) {
            out.push(Effect::Tell(Event::new(EventKind::UnconfirmedOver, node, Reason::CallsSucceed)));
        }
    }

    /// When the next node would have to be told to be in doubt.
    pub(super) fn doubt_deadline(&self) -> Option<Time> {
        self.contact.silent_since().filter(|_| self.stage != Stage::Leaving)?;
        let (node, overdue) = self.lead_overdue()?;
        (!self.doubts.raised.contains(node)).then_some(overdue)
    }
}
