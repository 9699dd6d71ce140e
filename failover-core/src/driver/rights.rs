//! The rights that the driver keeps, and what goes with them.

use super::Driver;
use crate::ids::LeaseName;
use crate::machine::Call;
use crate::right::{Right, RightKeeper};

impl Driver {
    /// Whether it is to renew a right whose work was told to stop by the host's own clock, while this driver stood still.
    pub(super) fn counts_as_lost(&self, call: &Call) -> bool {
        let name = match call {
            Call::Renew(lease) => &lease.name,
            Call::Acquire { name, .. } => name,
            _ => return false,
        };
        self.rights.get(name).is_some_and(RightKeeper::was_told)
    }

    pub(super) fn is_own(&self, name: &LeaseName) -> bool {
        *name == LeaseName::node(&self.member.node)
    }

    pub(super) fn right(&self, name: &LeaseName) -> Option<Right> {
        self.rights.get(name).map(RightKeeper::right)
    }

    pub(super) fn hold(&mut self, name: LeaseName, keeper: RightKeeper) {
        if name == LeaseName::active() {
            self.shared.set_active(Some(keeper.right()));
        }
        // Only these are handed to the host.
        if name == LeaseName::active() || self.is_own(&name) {
            self.host.guard(keeper.right());
        }
        if let Some(earlier) = self.rights.insert(name, keeper) {
            earlier.end();
        }
    }

    pub(super) fn end(&mut self, name: &LeaseName) {
        if let Some(keeper) = self.rights.remove(name) {
            keeper.end();
        }
        if *name == LeaseName::active() {
            self.shared.set_active(None);
            self.hooks.cut();
        }
        if self.is_own(name) {
            self.jobs.cut();
        }
    }
}
