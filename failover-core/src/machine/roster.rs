//! Who comes before whom.

use super::peers::{Peer, Peers};
use crate::control::{Settings, Topology};
use crate::ids::{Member, NodeId};

/// The order of the nodes: those on the roster first, in its order, then the others by name.
#[derive(Debug, Clone)]
pub(super) struct Roster {
    own: Vec<NodeId>,
    settings: Settings,
    version: u64,
}

impl Roster {
    pub(super) fn new(own: Vec<NodeId>) -> Self {
        Self { own, settings: Settings::default(), version: 0 }
    }

    /// Follows the cluster's settings from now on.
    pub(super) fn follow(&mut self, settings: Settings) {
        if self.settings != settings {
            self.settings = settings;
            self.version += 1;
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Another number whenever the settings have changed.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Whether the cluster's settings want the node to take no part.
    pub(super) fn in_maintenance(&self, node: &NodeId) -> bool {
        self.settings.maintenance.contains(node)
    }

    /// Whether nothing is to happen by itself.
    pub(super) fn is_paused(&self) -> bool {
        self.settings.paused.is_some()
    }

    /// Whether the settings want jobs moved: off a node that is drained or parked, or to where the active node is.
    pub(super) fn moves_jobs(&self) -> bool {
        let Settings { drains, maintenance, topology, .. } = &self.settings;
        !drains.is_empty() || !maintenance.is_empty() || *topology == Topology::ActiveStandby
    }

    /// Whether the node may be active or standby, by the cluster's topology.
    pub(super) fn may_lead(&self, node: &NodeId) -> bool {
        match self.settings.topology {
            Topology::Ordered => true,
            Topology::ActiveStandby => self.order().is_empty() || self.order().contains(node),
        }
    }

    /// The place of a node that the roster names.
    fn place(&self, node: &NodeId) -> Option<usize> {
        self.order().iter().position(|named| named == node)
    }

    /// The nodes that are named, in order.
    pub(super) fn order(&self) -> &[NodeId] {
        if self.settings.roster.is_empty() { &self.own } else { &self.settings.roster }
    }

    /// The fit members that could take over from, or beside, `me`, in order, without `me`: those in better health first. The `favourite`
    /// comes first among those that the roster does not name: whoever is standby stays it. `leading` is the version of the active node.
    pub(super) fn fit(
        &self,
        peers: &Peers,
        me: &NodeId,
        favourite: Option<&Member>,
        leading: Option<&str>,
    ) -> Vec<Member> {
        let is_fit = |node: &NodeId| *node != *me && !self.in_maintenance(node) && self.may_lead(node);
        let admits = |peer: &&Peer| self.settings.admits(peer.news.version.as_deref(), || leading.map(str::to_owned));
        let mut fit: Vec<_> =
            peers.iter().filter(|peer| peer.is_fit() && is_fit(&peer.member.node)).filter(admits).collect();
        fit.sort_by_cached_key(|peer| {
            let member = &peer.member;
            let place = self.place(&member.node).unwrap_or(usize::MAX);
            (peer.weight(), place, Some(member) != favourite, member.node.clone())
        });
        fit.into_iter().map(|peer| peer.member.clone()).collect()
    }

    /// How many candidates for the active lease come before `me`, on which so much `weight`s.
    ///
    /// Those in better health come first; among equals the appointed standby, then whoever the roster puts first. The node that led last is no
    /// candidate in the eyes of others: its lease has ended, so it is gone or has stepped down.
    pub(super) fn rank(&self, peers: &Peers, me: &Member, weight: u32, leading: Option<&str>) -> u32 {
        let leader = peers.lead();
        let standby = leader.as_ref().and_then(|(_, lead)| lead.standby.as_ref());
        let key = |member: &Member, weight: u32| {
            let place = self.place(&member.node).unwrap_or(usize::MAX);
            (weight, standby != Some(member), place, member.node.clone())
        };
        let mut others = self.fit(peers, &me.node, standby, leading);
        others.retain(|member| leader.as_ref().is_none_or(|(led, _)| *led != member));
        let mine = key(me, weight);
        let weight = |member: &Member| peers.get(&member.node).map_or(0, Peer::weight);
        let before = others.iter().filter(|member| key(member, weight(member)) < mine);
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }
}
