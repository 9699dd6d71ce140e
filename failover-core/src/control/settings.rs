//! What operators set once and every node follows: [`Settings`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Pace, VersionRule};
use crate::capacity::Capacity;
use crate::ids::{ClassName, NodeId};
use crate::job::{Failback, JobPolicy, whole_millis};
use crate::replica::MaxLag;
use crate::time::Stamp;

/// The cluster's settings. Every node follows a change without a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Settings {
    /// Who runs the jobs.
    pub topology: Topology,
    /// The order of takeover and placement. Nodes that are not named come after those that are, by name.
    pub roster: Vec<NodeId>,
    /// The nodes that are to take no part.
    pub maintenance: BTreeSet<NodeId>,
    /// The nodes that are given no further jobs; what runs there goes on.
    pub cordoned: BTreeSet<NodeId>,
    /// The nodes that are to be emptied, and how. A drained node is given no jobs either.
    pub drains: BTreeMap<NodeId, Drain>,
    /// Capacities that hold instead of what the nodes themselves say.
    pub capacity: BTreeMap<NodeId, Capacity>,
    /// How nodes are chosen for jobs: `ordered`, `spread`, or the name of a strategy that the nodes' hosts bring along.
    pub strategy: StrategyName,
    /// Whether jobs return to the node they were moved from, if their own policy does not say.
    pub failback: Failback,
    /// When a node counts as flapping, so that jobs return to it later.
    pub damping: Damping,
    /// The policies that jobs of a class have by default.
    pub classes: BTreeMap<ClassName, JobPolicy>,
    /// How far behind a node's replicas may be if it is to take over by itself. Without it, any node may that can catch up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lag: Option<MaxLag>,
    /// The policy that jobs without a class have by default.
    pub defaults: JobPolicy,
    /// How fast the nodes are; without it, each is as fast as it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// How the versions of nodes that are active and standby must match.
    pub versions: VersionRule,
    /// The version they must match; without it, that of the active node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How long the role stays where it is after it went to a standby in better health, before it may do so again.
    pub hold_off: HoldOff,
    /// Whether nothing happens by itself in the cluster: no node takes over, no job is moved. Everything is watched, shown and told
    /// all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
}

impl Settings {
    /// Whether a node that tells this version may be active or standby, and be given jobs. `active` gives the version of the active node, which is
    /// asked for only where the settings require none themselves.
    pub fn admits(&self, told: Option<&str>, active: impl FnOnce() -> Option<String>) -> bool {
        if self.versions == VersionRule::Any {
            return true;
        }
        match &self.version {
            Some(required) => self.versions.admits(told, Some(required)),
            None => self.versions.admits(told, active().as_deref()),
        }
    }
}

/// How long the role stays where it is after it has moved for a node's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HoldOff(#[serde(with = "whole_millis")] pub Duration);

impl Default for HoldOff {
    /// Half a minute.
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

/// Who runs the jobs of a cluster, and who may lead it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Topology {
    /// All nodes, in the roster's order; any of them may lead.
    #[default]
    Ordered,
    /// The active node runs all of them, and they follow its role. Only nodes on the roster may be active or standby, if there is one; the
    /// others watch, and have a part as soon as the roster names them.
    ActiveStandby,
}

impl Topology {
    /// The topology's name, as it is written to JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::ActiveStandby => "active_standby",
        }
    }
}

/// Who paused a cluster, and since when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Pause {
    /// By whom, as they call themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Since when, by the wall clock of whoever paused it: to be read, never reckoned with (law 10).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Stamp>,
}

impl Pause {
    /// A pause that begins now.
    pub fn now(by: Option<String>) -> Self {
        Self { by, since: Some(Stamp::now()) }
    }
}

/// How a node is emptied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Drain {
    /// Tells one drain from the next.
    pub id: String,
    /// Whether jobs stop at once. Otherwise each one stops only when a node that can take it is there, with its room reserved.
    pub at_once: bool,
    /// How long the node may take. Counted by the active node from when it first sees the wish; a later active node counts anew.
    #[serde(with = "whole_millis")]
    pub within: Duration,
    /// What happens then to the jobs that are still there.
    pub then: Overdue,
}

impl Drain {
    /// A drain that stops nothing before its successor is ready.
    pub fn new(within: Duration, then: Overdue) -> Self {
        Self { id: uuid::Uuid::now_v7().to_string(), at_once: false, within, then }
    }

    /// Stops the jobs at once.
    pub fn at_once(self) -> Self {
        Self { at_once: true, ..self }
    }
}

/// What becomes of the jobs that a drain has not moved in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overdue {
    /// They stay, and the node stays cordoned.
    Abort,
    /// They stop and wait until there is room elsewhere.
    Force,
}

/// The name of a strategy of placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StrategyName(pub String);

impl Default for StrategyName {
    fn default() -> Self {
        Self("ordered".to_owned())
    }
}

/// When a node flaps: after so many falls within this time, each further fall doubles how long it has to be stable before jobs
/// return, up to 16 times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Damping {
    /// So many falls are not flapping yet.
    pub falls: u32,
    /// Within this time.
    #[serde(with = "whole_millis")]
    pub within: Duration,
}

impl Default for Damping {
    /// Two falls within ten minutes are not flapping yet; the third is.
    fn default() -> Self {
        Self { falls: 2, within: Duration::from_mins(10) }
    }
}

impl Damping {
    /// How long a node that fell so often within the time has to be stable.
    pub fn wait(&self, stable_for: Duration, falls: u32) -> Duration {
        stable_for.saturating_mul(1 << falls.saturating_sub(self.falls).min(4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_later_build_can_be_read_and_those_of_an_earlier_one() {
        let settings: Settings = serde_json::from_str(r#"{"roster":["a"],"more":1}"#).unwrap();
        assert_eq!(settings.roster, [NodeId::new("a").unwrap()]);
        assert_eq!(settings.strategy.0, "ordered");
    }

    #[test]
    fn a_node_that_flaps_waits_longer_and_not_for_ever() {
        let (damping, minute) = (Damping::default(), Duration::from_mins(1));
        let waits: Vec<_> = (0..9).map(|falls| damping.wait(minute, falls).as_secs() / 60).collect();
        assert_eq!(waits, [1, 1, 1, 2, 4, 8, 16, 16, 16]);
    }
}
