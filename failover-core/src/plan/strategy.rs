//! How a node is chosen among those that can take a job: [`Strategy`].

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

use crate::capacity::Capacity;
use crate::ids::{JobId, NodeId};
use crate::job::JobPolicy;

/// A job that needs a place.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Demand<'a> {
    /// Which.
    pub job: &'a JobId,
    /// How much of a node's capacity it takes.
    pub weight: u32,
    /// Its policy.
    pub policy: &'a JobPolicy,
}

/// A node that can take it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Candidate<'a> {
    /// Which.
    pub node: &'a NodeId,
    /// Its place in the roster, from zero.
    pub rank: usize,
    /// How much it can run.
    pub capacity: Capacity,
    /// How much of that is taken, by jobs on their way there too.
    pub used: Capacity,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// How a node is chosen among those that can take a job and are alike in what the job prefers. A pinned job is not asked about: its pins
/// are in order.
///
/// # Contract
/// The score follows from its arguments alone: all nodes of a cluster decide alike, and the same again tomorrow. It is asked for each
/// job and each node that can take it, so it should be quick.
pub trait Strategy: Any + Send + Sync + fmt::Debug {
    /// The name under which the cluster's settings choose it.
    fn name(&self) -> &str;

    /// The lowest is chosen; among equals, the first in rank.
    fn score(&self, job: &Demand<'_>, node: &Candidate<'_>) -> i64;
}

/// The first in rank that can take it, so that the roster fills up in order. The default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ordered;

impl Strategy for Ordered {
    fn name(&self) -> &'static str {
        "ordered"
    }

    fn score(&self, _: &Demand<'_>, _: &Candidate<'_>) -> i64 {
        0
    }
}

/// The least loaded: by the share of weight that is taken, then by the share of jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread;

impl Strategy for Spread {
    fn name(&self) -> &'static str {
        "spread"
    }

    fn score(&self, _: &Demand<'_>, node: &Candidate<'_>) -> i64 {
        share_score(node.used, node.capacity)
    }
}

/// The shares of weight and of jobs that are taken, in parts of a million and in 31 bits each.
pub(super) fn share_score(used: Capacity, capacity: Capacity) -> i64 {
    (share(used.weight, capacity.weight) << 31) | share(used.jobs, capacity.jobs)
}

fn share(used: u32, of: u32) -> i64 {
    let parts = u64::from(used) * 1_000_000 / u64::from(of.max(1));
    i64::try_from(parts.min((1 << 31) - 1)).unwrap_or(i64::MAX)
}
