//! What the board keeps of a job, and of the policies that jobs share.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::slab::{FilterKey, GroupKey, MemberKey, NodeKey, PolicyKey, Shared, Slab, Slot};
use crate::ids::{Epoch, GroupName, JobId, NodeId, Revision};
use crate::job::{FailoverPolicy, JobPolicy, Phase};
use crate::time::Time;

/// A job, without what it runs. There are a million of these: mind its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) epoch: Epoch,
    pub(super) submitted: Revision,
    pub(super) read_at: Time,
    pub(super) owner: Option<MemberKey>,
    /// Where it stands in its owner's list.
    pub(super) position: u32,
    pub(super) home: Option<NodeKey>,
    pub(super) target: Option<NodeKey>,
    /// The node of its latest run.
    pub(super) last: Option<NodeKey>,
    pub(super) policy: PolicyKey,
    pub(super) weight: u32,
    pub(super) retries: u32,
    pub(super) failures: u32,
    pub(super) phase: Phase,
    pub(super) retiring: bool,
    /// Whether the wait after its failure is over.
    pub(super) ripe: bool,
}

impl Job {
    /// Whether it is, or was, given to a node and has not been asked to stop.
    pub(super) fn settled(&self) -> bool {
        matches!(self.phase, Phase::Assigned | Phase::Running) && !self.retiring
    }

    /// Where room is kept for it besides that of its owner.
    pub(super) fn reserved(&self) -> Option<NodeKey> {
        match self.phase {
            Phase::Assigned | Phase::Running | Phase::Completed => None,
            Phase::Draining | Phase::Queued | Phase::Failed | Phase::Lost => self.target,
        }
    }
}

/// A job's turn among all: by priority, then by submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    priority: Reverse<i32>,
    pub(super) submitted: Revision,
    pub(super) slot: Slot,
}

impl Turn {
    pub(super) fn new(priority: i32, submitted: Revision, slot: Slot) -> Self {
        Self { priority: Reverse(priority), submitted, slot }
    }
}

/// A policy that jobs share.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) spec: Arc<JobPolicy>,
    /// What it asks of a node itself; nothing if any will do.
    pub(super) filter: Option<FilterKey>,
    pub(super) group: Option<GroupKey>,
}

impl Policy {
    /// Whether its jobs leave a node that is lost or emptied.
    pub(super) fn leaves(&self) -> bool {
        match self.spec.failover {
            FailoverPolicy::Automatic => true,
            FailoverPolicy::Manual | FailoverPolicy::Never => false,
        }
    }

    /// Whether a job that failed should be tried on another node than the one it failed on.
    pub(super) fn avoids(&self) -> bool {
        self.spec.retries.is_some() || self.spec.progress.is_some()
    }

    /// The wait after so many failures: doubles with each, up to 32 times the first.
    pub(super) fn wait(&self, failures: u32, first: Duration) -> Duration {
        self.spec.backoff.unwrap_or(first).saturating_mul(1 << failures.saturating_sub(1).min(5))
    }
}

/// What a policy asks of a node itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Filter {
    pub(super) pins: Vec<NodeKey>,
    pub(super) requires: BTreeMap<String, String>,
    pub(super) prefers: BTreeMap<String, String>,
}

/// The policies in use.
#[derive(Debug, Clone)]
pub(super) struct Policies {
    keys: HashMap<Arc<JobPolicy>, PolicyKey>,
    items: Slab<PolicyKey, (Policy, usize)>,
    pub(super) filters: Shared<FilterKey, Filter>,
    groups: Shared<GroupKey, GroupName>,
}

impl Policies {
    pub(super) fn new() -> Self {
        Self { keys: HashMap::new(), items: Slab::new(), filters: Shared::new(), groups: Shared::new() }
    }

    pub(super) fn get(&self, key: PolicyKey) -> &Policy {
        &self.items[key].0
    }

    /// One more job has this policy. `node` finds the keys of the nodes it names.
    pub(super) fn hold(&mut self, spec: &JobPolicy, node: impl FnMut(&NodeId) -> NodeKey) -> PolicyKey {
        if let Some(key) = self.keys.get(spec) {
            self.items[*key].1 += 1;
            return *key;
        }
        let plain = spec.pins.is_empty() && spec.requires.is_empty() && spec.prefers.is_empty();
        let filter = (!plain).then(|| {
            let pins = spec.pins.iter().map(node).collect();
            self.filters.hold(Filter { pins, requires: spec.requires.clone(), prefers: spec.prefers.clone() })
        });
        let group = spec.apart.as_ref().map(|group| self.groups.hold(group.clone()));
        let spec = Arc::new(spec.clone());
        let key = self.items.insert((Policy { spec: Arc::clone(&spec), filter, group }, 1));
        self.keys.insert(spec, key);
        key
    }

    /// One job less has it. The key of its filter, if that went too.
    pub(super) fn release(&mut self, key: PolicyKey) -> Option<FilterKey> {
        let (_, holders) = &mut self.items[key];
        *holders -= 1;
        if *holders > 0 {
            return None;
        }
        let (policy, _) = self.items.remove(key)?;
        self.keys.remove(&policy.spec);
        if let Some(group) = policy.group {
            self.groups.release(group);
        }
        policy.filter.filter(|filter| self.filters.release(*filter))
    }
}
