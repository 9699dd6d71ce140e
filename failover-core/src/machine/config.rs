use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Kept, Switch};
use crate::capacity::Capacity;
use crate::client::Endpoint;
use crate::detect::Detector;
use crate::ids::{ActionName, Member, NodeId};
use crate::plan::{Ordered, Spread, Strategy};
use crate::timing::Timing;

/// What a machine is told once, at its start.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Who it is.
    pub member: Member,
    /// How fast, unless the cluster's settings say otherwise.
    pub timing: Timing,
    /// The shortest ttl that its store can keep: no pace below it is followed.
    pub least_ttl: Duration,
    /// By how much a lease may outlast its ttl after a fault of its store.
    pub slack: Duration,
    /// How it suspects.
    pub detector: Detector,
    /// How much it can run, unless the cluster's settings say otherwise.
    pub capacity: Capacity,
    /// The order of takeover and placement until the cluster's [`Settings`](crate::control::Settings) say otherwise. Nodes it does not name come
    /// after those it does, by name.
    pub roster: Vec<NodeId>,
    /// The strategies of placement it knows beside those that are built in.
    pub strategies: Vec<Arc<dyn Strategy>>,
    /// What to tell the others about it.
    pub labels: BTreeMap<String, String>,
    /// The response actions that its host can run, in their order.
    pub responses: Vec<ActionName>,
    /// Where clients can reach it.
    pub endpoints: Vec<Endpoint>,
    /// The version of the host's program, if the host tells one.
    pub version: Option<String>,
    /// What it kept of the cluster's configuration on its own disk, to begin with.
    pub kept: Option<Kept>,
    /// Whether it keeps the configuration there.
    pub keeps: bool,
    /// Within which time its host feeds its watchdog, if it does. Counted from the first [`handle`](super::Machine::handle).
    pub watchdog: Option<Duration>,
    /// Whether there are witnesses that can be asked when the store does not answer.
    pub witnessed: bool,
    /// Whether its host can switch off the machines of others.
    pub fencer: Switch,
    /// Whether it has replicas, which are complete before it is promoted.
    pub replicates: bool,
}

impl Config {
    /// The defaults for this member: capacity 50, no roster, no labels, no endpoints.
    pub fn new(member: Member, timing: Timing) -> Self {
        let detector = Detector::Deadline;
        let strategies: Vec<Arc<dyn Strategy>> = vec![Arc::new(Ordered), Arc::new(Spread)];
        Self {
            member,
            timing,
            least_ttl: Duration::ZERO,
            slack: Duration::ZERO,
            detector,
            capacity: Capacity::default(),
            roster: Vec::new(),
            strategies,
            labels: BTreeMap::new(),
            responses: Vec::new(),
            endpoints: Vec::new(),
            version: None,
            kept: None,
            keeps: false,
            watchdog: None,
            witnessed: false,
            fencer: Switch::Off,
            replicates: false,
        }
    }
}
