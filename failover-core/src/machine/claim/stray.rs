//! Grants that come when nobody waits for them any more. A claim stops to seek, or gives its lease back, while an `acquire` is still under way; the store
//! may grant that one last, and whoever is next would wait for a whole ttl. So what nothing ever ran under is given back as soon as it is known.

use super::{Claim, State};
use crate::lease::{Acquired, Lease};
use crate::machine::input::{Fault, Reply};
use crate::time::Time;
use crate::timing::Timing;

impl Claim {
    /// Takes in the outcome of a call that was given up.
    pub(super) fn stray(&mut self, now: Time, sent: Time, asked: Timing, outcome: &Result<Reply, Fault>) {
        let Ok(Reply::Acquired(Acquired::Granted(lease))) = outcome else { return };
        // What this claim has held before ends as it was to end: something may still run under it (law 8).
        if lease.term <= self.had || lease.term < self.known {
            return;
        }
        let successor = match &mut self.state {
            State::Idle => None,
            // A release that is under way does not concern the lease any more: this grant came after it, or after its lapse.
            State::Releasing { successor, .. } => successor.take(),
            State::Seeking(seeking) => {
                (seeking.try_at, seeking.free_at, seeking.armed) = (now, None, true);
                return;
            }
            State::Held(_) | State::Ending { .. } => return,
        };
        self.known = lease.term;
        let lease: Lease = lease.clone();
        let (_, ends_at) = self.moments(sent, &asked, &lease);
        self.give_back(now, lease, ends_at, successor);
    }
}
