//! Whether another node is fit to take over, and why not.

use super::Machine;
use super::reason::Reason;
use crate::heartbeat::News;
use crate::ids::NodeId;
use crate::replica::MaxLag;

impl Machine {
    /// Why this node could not be handed the active role, if it could not: the checks of a switchover's target, in order.
    pub(super) fn unfit(&self, to: &NodeId) -> Option<Reason> {
        if *to == self.config.member.node {
            return Some(Reason::TargetIsActive);
        }
        self.unable(to)
    }

    /// The same, but for how far it is behind if that is not known yet: then it prepares itself still.
    pub(super) fn unfit_so_far(&self, to: &NodeId) -> Option<Reason> {
        self.unfit(to).filter(|reason| *reason != Reason::TargetBehind || self.knows_its_lag(to))
    }

    /// Whether it is known how far that node is behind, if it is one that has replicas.
    fn knows_its_lag(&self, node: &NodeId) -> bool {
        let lag = self.peers.get(node).and_then(|peer| peer.news.lag);
        lag.is_none_or(|lag| lag.is_known())
    }

    /// Whether that node is ready to take over: prepared, and it knows how far it is behind.
    pub(super) fn is_prepared(&self, node: &NodeId) -> bool {
        self.peers.get(node).is_some_and(|peer| peer.news.ready) && self.knows_its_lag(node)
    }

    /// Why a node, this one or another, could not take the active role, if it could not.
    pub(super) fn unable(&self, to: &NodeId) -> Option<Reason> {
        let Some(peer) = self.peers.get(to) else { return Some(Reason::TargetUnknown) };
        if peer.missing {
            return Some(Reason::TargetMissing);
        }
        if peer.news.health.hung {
            return Some(Reason::TargetHung);
        }
        if !peer.is_fit() || self.roster.in_maintenance(to) {
            return Some(Reason::TargetUnfit);
        }
        if !self.roster.may_lead(to) {
            return Some(Reason::TargetNotNamed);
        }
        if !self.roster.settings().admits(peer.news.version.as_deref(), || self.leading_version()) {
            return Some(Reason::TargetVersion);
        }
        if peer.weight() > self.wellbeing.health().weight() {
            return Some(Reason::TargetIll);
        }
        self.falls_short(&peer.news).then_some(Reason::TargetBehind)
    }

    /// Whether another node could take over by itself, if this one does not, by everything that is known of it.
    pub(super) fn has_rivals(&self) -> bool {
        let leading = self.leading_version();
        let fit = self.roster.fit(&self.peers, &self.config.member.node, None, leading.as_deref());
        let most = self.roster.settings().max_lag.as_ref();
        let lag = |node: &NodeId| self.peers.get(node).and_then(|peer| peer.news.lag);
        fit.iter().any(|member| !lag(&member.node).zip(most).is_some_and(|(lag, most)| lag.exceeds(most)))
    }

    /// Whether a node that tells this is not caught up, so that it could not go on where this one stops: further behind than the settings let it be, or
    /// without any, not at the journal's end for a whole ttl.
    fn falls_short(&self, news: &News) -> bool {
        let Some(lag) = news.lag else { return self.config.replicates };
        match &self.roster.settings().max_lag {
            Some(most) => lag.exceeds(most),
            None => lag.exceeds(&MaxLag::behind(self.timing.ttl())),
        }
    }
}
