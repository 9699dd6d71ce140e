//! Who comes before whom.

use super::peers::Peers;
use crate::control::Settings;
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

    /// The place of a node that the roster names.
    fn place(&self, node: &NodeId) -> Option<usize> {
        self.order().iter().position(|named| named == node)
    }

    /// The nodes that are named, in order.
    pub(super) fn order(&self) -> &[NodeId] {
        if self.settings.roster.is_empty() { &self.own } else { &self.settings.roster }
    }

    /// The fit members that could take over from, or beside, `me`, in order, without `me`. The `favourite` comes first among
    /// those that the roster does not name: whoever is standby stays it.
    pub(super) fn fit(&self, peers: &Peers, me: &NodeId, favourite: Option<&Member>) -> Vec<Member> {
        let is_fit = |node: &NodeId| *node != *me && !self.in_maintenance(node);
        let fit = peers.iter().filter(|peer| peer.is_fit() && is_fit(&peer.member.node));
        let mut fit: Vec<_> = fit.map(|peer| peer.member.clone()).collect();
        fit.sort_by_cached_key(|member| {
            let place = self.place(&member.node).unwrap_or(usize::MAX);
            (place, Some(member) != favourite, member.node.clone())
        });
        fit
    }

    /// How many candidates for the active lease come before `me`.
    ///
    /// The appointed standby is first, then whoever the roster puts first. The node that led last is no candidate in the eyes of
    /// others: its lease has ended, so it is gone or has stepped down.
    pub(super) fn rank(&self, peers: &Peers, me: &Member) -> u32 {
        let leader = peers.lead();
        let standby = leader.as_ref().and_then(|(_, lead)| lead.standby.as_ref());
        if standby == Some(me) {
            return 0;
        }
        let mut others = self.fit(peers, &me.node, standby);
        others.retain(|member| leader.as_ref().is_none_or(|(led, _)| *led != member));
        let mine = (self.place(&me.node).unwrap_or(usize::MAX), true, me.node.clone());
        let before = others.iter().filter(|member| {
            let is_standby = Some(*member) == standby;
            is_standby || (self.place(&member.node).unwrap_or(usize::MAX), true, member.node.clone()) < mine
        });
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }
}
