//! Relief: the active node hands its role to a standby in better health, as in a switchover that it wishes for itself.
//!
//! Only strictly better will do, so that two nodes which are ill alike leave the role where it is. And not soon again: every node notes when it last read
//! of a relief, and none asks for another before the hold-off is over, so that failures which come and go with the role do not carry it to and fro.
//! The hold-off counts on each node's own clock, from the last step of a relief that it has read of: late rather than early (law 10).

use super::Machine;
use super::effect::Effect;
use super::reason::Reason;
use super::table::Stage;
use super::wishes::{Attempt, Vacancy};
use crate::control::{SwitchCause, SwitchPhase, Switchover};
use crate::ids::{NodeId, Term, Version};
use crate::time::Time;

/// What this node knows of reliefs.
#[derive(Debug, Clone, Default)]
pub(super) struct Relief {
    /// The last document that told of one, and when this node read of it.
    last: Option<(Version, Time)>,
    /// Under which term this node is active, and since when.
    tenure: Option<(Term, Time)>,
    /// When it may ask, if it is only too early for that.
    wake_at: Option<Time>,
}

impl Relief {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.wake_at
    }
}

impl Machine {
    /// Notes when a relief came this far.
    pub(super) fn note_relief(&mut self, now: Time) {
        let Some((version, wish)) = self.wishes.known() else { return };
        if wish.cause == SwitchCause::Health && self.relief.last.is_none_or(|(noted, _)| noted < version) {
            self.relief.last = Some((version, now));
        }
    }

    /// Asks for relief, as the active node, if it is due.
    pub(super) fn relieve(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.relief.wake_at = None;
        let Some(lease) = self.steward.as_ref().map(|steward| steward.lease().clone()) else { return };
        if self.stage != Stage::Active || self.roster.is_paused() {
            return;
        }
        let since = match self.relief.tenure {
            Some((term, since)) if term == lease.term => since,
            _ => now,
        };
        self.relief.tenure = Some((lease.term, since));
        // The relief that made it active may be one it has not read of yet.
        let has_read = self.cadence.control_read_at().is_some_and(|read| read >= since);
        let standby = self.steward.as_ref().and_then(|steward| steward.standby()).map(|standby| standby.node.clone());
        let Some(to) = standby.filter(|to| has_read && self.unfit(to).is_none() && self.is_healthier(to)) else {
            return;
        };
        let hold_off = self.roster.settings().hold_off.0;
        if let Some(over) = self.relief.last.map(|(_, at)| at + hold_off).filter(|over| now < *over) {
            self.relief.wake_at = Some(over);
            return;
        }
        let expect = match self.wishes.vacant(now) {
            Vacancy::Taken => return,
            Vacancy::Later(at) => {
                self.relief.wake_at = Some(at);
                return;
            }
            Vacancy::Now(expect) => expect,
        };
        let me = &self.config.member.node;
        let version = self.wishes.known().map_or(Version(0), |(version, _)| version);
        let document = Switchover::relief(format!("relief-{}-{}", lease.term, version.0), to);
        let mut document = match self.wishes.known() {
            Some((_, before)) => document.after(before),
            None => document,
        };
        (document.from, document.term) = (Some(me.clone()), Some(lease.term));
        let attempt = Attempt::on(now, document, None).step(SwitchPhase::Requested, me, Reason::InBetterHealth);
        self.write_wish(now, expect, attempt, lease, out);
    }

    /// Whether that node's failures weigh less than this one's.
    pub(super) fn is_healthier(&self, node: &NodeId) -> bool {
        self.peers.get(node).is_some_and(|peer| peer.weight() < self.wellbeing.health().weight())
    }
}
