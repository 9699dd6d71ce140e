//! When the machine wants to be woken.

use super::steer::FENCES_AT_ONCE;
use super::{Machine, Purpose, Stage};
use crate::time::Time;

impl Machine {
    /// When to come back with [`Input::Wake`](super::Input::Wake), unless something else happens before. `None` once it is finished.
    pub fn deadline(&self) -> Option<Time> {
        if self.stage.is_final() {
            return None;
        }
        let fences_wait = self.fences_open() >= FENCES_AT_ONCE;
        let recording = self.calls.is_open(|purpose| matches!(purpose, Purpose::Incident(_)));
        let steward =
            self.steward.as_ref().and_then(|steward| steward.deadline(fences_wait, recording, self.roster.settings()));
        let archive = self.steward.as_ref().filter(|_| self.stage == Stage::Active).and_then(|s| s.archive.deadline());
        let reports = if self.calls.is_open(|p| *p == Purpose::Report) { None } else { self.runner.deadline() };
        let wishes = match self.stage {
            Stage::Active => self.wishes.deadline(),
            Stage::Inactive | Stage::Standby => self.wishes.retry_at(&self.config.member.node),
            Stage::Joining | Stage::Promoting | Stage::Demoting | Stage::Maintenance | Stage::Isolated => None,
            Stage::Leaving | Stage::Condemned | Stage::Left | Stage::Refused => None,
        };
        let due = [
            self.node.claim.deadline(),
            self.active.claim.deadline(),
            self.reading_deadline(),
            reports,
            self.runner.watch_deadline(),
            steward,
            archive,
            self.doubt_deadline(),
            self.patience_until,
            self.wellbeing.deadline(),
            self.contact_deadline(),
            self.stonith_deadline(),
            self.relief.deadline().filter(|_| self.stage == Stage::Active),
            self.restraint.deadline(),
            self.standoff.until(),
            wishes,
            self.orders.deadline().filter(|_| self.stage == Stage::Active),
            self.forget_deadline(),
        ];
        due.into_iter().flatten().min()
    }
}
