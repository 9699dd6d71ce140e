//! What this node leaves behind if its process dies now: every lease that the store may still have as its own, and its last word.
//!
//! Told again whenever it changes, and settled by somebody else ([`Heir`](crate::Heir)). Nothing is decided by it: each lease is given back by its token, so
//! that an estate which is told late gives back what is not held any more, which does nothing.

use super::Machine;
use super::peers::Sign;
use super::steward::Steward;
use crate::heartbeat::{Heartbeat, Sighting};
use crate::heir::{Bequest, Estate};
use crate::ids::NodeId;
use crate::time::Time;

impl Machine {
    /// What this node leaves behind if its process dies now. The role comes first, because everybody waits for that.
    pub fn estate(&self) -> Estate {
        let mut estate = Estate::empty(self.config.member.clone());
        let active = self.active.claim.bequest().map(|Bequest { lease, successor }| {
            let successor = successor.or_else(|| self.next_in_line());
            Bequest { lease, successor }
        });
        estate.bequests.extend(active);
        estate.bequests.extend(self.node.claim.bequest());
        // What it has taken from lost nodes: whoever follows as the active node needs it to go on.
        estate.bequests.extend(self.steward.iter().flat_map(|steward| steward.fencing.bequests()));
        estate.last_word = self.last_word();
        estate
    }

    /// Who is to have the role if this node dies: as is being arranged, or else the standby.
    fn next_in_line(&self) -> Option<NodeId> {
        let standby = self.steward.as_ref().and_then(Steward::standby).map(|standby| &standby.node);
        let next =
            self.wishes.handover.as_ref().map(super::handover::Handover::to).or(self.successor.as_ref()).or(standby)?;
        // One that is gone itself would only keep the others waiting.
        self.peers.get(next).filter(|peer| peer.is_fit()).map(|peer| peer.member.node.clone())
    }

    /// Before its first beat: an earlier incarnation whose heartbeat is still there did not leave in good order. If others have not missed it
    /// yet, they will not any more, because the first beat hides it; so that beat has to tell.
    pub(super) fn look_back(&mut self, sightings: &[Sighting]) {
        let (me, overdue) = (&self.config.member, self.overdue());
        if self.cadence.has_beaten() {
            return;
        }
        let mine = sightings.iter().find(|sighting| sighting.heartbeat.member.node == me.node);
        let fresh = mine.filter(|s| s.heartbeat.member != *me && s.age < overdue.after(&s.heartbeat.news));
        if let Some(earlier) = fresh {
            self.replaces = Some(earlier.heartbeat.member.incarnation);
        }
    }

    /// The last word comes after the leases were given back: whoever was refused the dead node's a moment before asks again, instead of when it would lapse.
    pub(super) fn heed_last_word(&mut self, now: Time, sign: &Sign) {
        let Sign::Missing(member) = sign else { return };
        let died = self.peers.get(&member.node).is_some_and(|peer| peer.news.died);
        if let Some(steward) = self.steward.as_mut().filter(|_| died) {
            steward.fencing.hint(now);
        }
    }

    /// Nothing before its first beat, so that nobody hears of it who has not before; and nothing once it says goodbye.
    fn last_word(&self) -> Option<Heartbeat> {
        let term =
            self.node.term().filter(|_| self.cadence.has_beaten() && !self.forgotten && !self.is_forgetting())?;
        Some(Heartbeat::last_word(self.config.member.clone(), term, self.news()))
    }
}
