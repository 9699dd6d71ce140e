//! Which nodes an operator can name, and which jobs they could ever run.

use std::collections::BTreeMap;

use super::Admin;
use crate::capacity::Capacity;
use crate::control::Settings;
use crate::error::{Invalid, Result};
use crate::ids::NodeId;
use crate::job::{JobDraft, JobPolicy, JobSpec};

/// The settings, and the nodes that send heartbeats or once did.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) settings: Settings,
    seen: BTreeMap<NodeId, Capacity>,
}

impl Admin {
    pub(super) async fn known(&self) -> Result<Known> {
        let (settings, sightings) =
            tokio::try_join!(self.settings(), self.ask("sightings", self.backend.heartbeats.sightings()))?;
        let seen = sightings.into_iter().map(|s| (s.heartbeat.member.node, s.heartbeat.news.capacity)).collect();
        Ok(Known { settings, seen })
    }
}

impl Known {
    fn knows(&self, node: &NodeId) -> bool {
        self.settings.roster.contains(node) || self.seen.contains_key(node)
    }

    pub(super) fn check_node(&self, field: &str, node: &NodeId) -> Result<(), Invalid> {
        if self.knows(node) {
            return Ok(());
        }
        let nodes: Vec<_> = self.settings.roster.iter().chain(self.seen.keys()).collect();
        let mut names: Vec<_> = nodes.iter().map(|node| node.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let known = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
        let rule = format!("no such node is known: start it or put it on the roster first (known: {known})");
        Err(Invalid::new(field, node, rule))
    }

    /// The job with its class's defaults, if it could ever run here.
    pub(super) fn resolve(&self, draft: &JobDraft) -> Result<JobSpec, Invalid> {
        let spec = draft.resolve_over(&self.settings.defaults, &self.settings.classes)?;
        self.check(&spec).map(|()| spec)
    }

    pub(super) fn check_pins(&self, policy: &JobPolicy) -> Result<(), Invalid> {
        policy.pins.iter().try_for_each(|node| self.check_node("pins", node))
    }

    fn check(&self, spec: &JobSpec) -> Result<(), Invalid> {
        self.check_pins(spec.policy())?;
        let pins = &spec.policy().pins;
        match self.largest(pins) {
            Some((node, weight)) if spec.weight() > weight => {
                let among = if pins.is_empty() { "" } else { "of those it is pinned to, " };
                let rule =
                    format!("{among}no node takes more than {weight} (`{node}`): give one more, or split the job");
                Err(Invalid::new("weight", spec.weight(), rule))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The node that takes the heaviest job, of these or, if these are none, of all. Nothing if it cannot be told, because a node has
    /// not said yet what it takes or none runs jobs at all.
    fn largest<'a>(&'a self, pins: &'a [NodeId]) -> Option<(&'a NodeId, u32)> {
        let all = || self.settings.roster.iter().chain(self.seen.keys());
        let nodes: Vec<_> = if pins.is_empty() { all().collect() } else { pins.iter().collect() };
        let capacity = |node: &NodeId| self.settings.capacity.get(node).or_else(|| self.seen.get(node));
        let weights: Option<Vec<_>> = nodes.into_iter().map(|node| Some((node, capacity(node)?.weight))).collect();
        weights?.into_iter().max_by_key(|(_, weight)| *weight).filter(|(_, weight)| *weight > 0)
    }
}
