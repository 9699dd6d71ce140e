use crate::lease::{Lease, LeaseView};
use crate::time::Time;

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimEvent {
    /// The right begins, or goes on, until `ends_at`; work under it begins to stop at `stop_at`.
    Held {
        /// The lease.
        lease: Lease,
        /// When work under it has to begin stopping.
        stop_at: Time,
        /// When the right ends.
        ends_at: Time,
    },
    /// It was not granted; this is how the lease stands.
    Refused(LeaseView),
    /// It could not be renewed in time: stop the work under it now. It is not renewed any more.
    Ending,
    /// The right is over.
    Ended,
    /// The store says that it is lost. The right is over.
    Lost,
    /// It was given back, or has lapsed while that was tried.
    Released,
    /// The store told a lower term than it had told before (law 2).
    Regressed,
}
