//! The hot operations: those that a database where each statement is a round trip may do in one.
#![cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "one file needs no short ways")
)]

use failover_core::{Heartbeat, Lease, LeaseName, Member, NodeId, StateKey, Version};

/// The operations that every node does all the time, and those that are many at once when a node is lost. Times are in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hot<'a> {
    /// `beat`: if it is newer than what is there. The number does not matter. Hints at [`BEATS`](crate::keys::BEATS) if the
    /// news or the incarnation differ.
    Beat { heartbeat: &'a Heartbeat, news: &'a str },
    /// `acquire`, if the lease has a row: the number is the term. Hints at the lease's area if it rises.
    Acquire { name: &'a LeaseName, member: &'a Member, lasts: i64, seen: Seen },
    /// `renew`, if it is current. The number does not matter.
    Renew { lease: &'a Lease, lasts: i64 },
    /// `release`, if it is current. The number does not matter. Hints at the lease's area. `reserved` is zero without a successor,
    /// and only right if the row says that the lease `lasts` as long as its holder says.
    Release { lease: &'a Lease, successor: Option<&'a NodeId>, lasts: i64, reserved: i64 },
    /// `assign`, if the cluster's revision is still `before` and the fence's term is installed: writes `rows`, as
    /// [`Save::Rows`](crate::dialect::Save::Rows) takes them, and the revision `after`. The number does not matter. Hints at [`JOBS`](crate::keys::JOBS).
    /// Only asked of a database with [`Words::save_jobs_and_revision`](crate::dialect::Words::save_jobs_and_revision), and, as `Put` where nothing is, never to be sent twice: what the
    /// first has applied, the second finds changed.
    Assign { fence: &'a Lease, rows: &'a str, before: u64, after: u64 },
    /// `assign` of nothing, if a fence is there: installs a higher term. The number is the cluster's revision.
    Install { fence: &'a Lease, seen: Seen },
    /// `put`, if what is there has the version `over`, or nothing is there if that is `None`, and the fence, if it has one, is known: installs a
    /// higher term of it. The number is the version. Hints at the area of the key. Over a version it may be sent twice, for what the first has applied the second finds changed,
    /// and then it is in doubt; where nothing is it must not be.
    Put { key: &'a StateKey, value: &'a [u8], over: Option<Version>, fence: Option<&'a Lease>, seen: Seen },
}

/// The highest counters a handle has seen: a store that shows lower ones is not what it was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) term: u64,
    pub(crate) revision: u64,
    pub(crate) state_version: u64,
}
