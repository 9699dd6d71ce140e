//! Whether and when to ask for the active lease.

use super::table::Stage;
use super::{Machine, Switch};
use crate::time::Time;

impl Machine {
    /// Whether this node wants no part in deciding, by its own or the cluster's settings.
    pub(super) fn wants_maintenance(&self) -> bool {
        self.maintenance == Switch::On || self.roster.in_maintenance(&self.config.member.node)
    }

    /// Whether it may ask for the active lease: a member that takes part, knows the others and the settings, and understands
    /// what it reads.
    fn is_candidate(&self, now: Time) -> bool {
        matches!(self.stage, Stage::Inactive | Stage::Standby)
            && !self.wants_maintenance()
            && !self.cadence.stands_back()
            && self.cadence.has_read_all()
            && self.node.claim.may_begin(now).is_some()
    }

    /// Takes its place in line for the active lease, or leaves the line.
    pub(super) fn campaign(&mut self, now: Time) {
        if self.is_candidate(now) {
            let rank = self.roster.rank(&self.peers, &self.config.member);
            self.active.claim.set_head_start(self.config.timing.stagger().saturating_mul(rank));
            self.active.claim.seek(now);
        } else {
            self.active.claim.stop_seeking();
        }
    }
}
