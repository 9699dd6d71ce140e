//! The version gate: whether this node may be active or standby beside the others, by what the cluster's settings say of versions.

use super::Machine;
use super::effect::Effect;
use super::event::{Event, EventKind};
use super::reason::Reason;
use super::table::{Stage, Trigger};
use crate::time::Time;

impl Machine {
    /// The version of the node that is active now, as far as this one knows. When there is none, nobody is held back for its sake: somebody has
    /// to begin.
    pub(super) fn leading_version(&self) -> Option<String> {
        match self.stage {
            Stage::Promoting | Stage::Active | Stage::Demoting => self.config.version.clone(),
            Stage::Joining
            | Stage::Inactive
            | Stage::Standby
            | Stage::Maintenance
            | Stage::Isolated
            | Stage::Leaving
            | Stage::Left
            | Stage::Refused
            | Stage::Condemned => self.peers.leading().and_then(|peer| peer.news.version.clone()),
        }
    }

    /// Whether its version keeps it from being active or standby.
    pub(super) fn is_held_back(&self) -> bool {
        let settings = self.roster.settings();
        !settings.admits(self.config.version.as_deref(), || self.leading_version())
    }

    /// Tells when its version begins to keep it back, and when that is over.
    pub(super) fn review_version(&mut self, out: &mut Vec<Effect>) {
        let held_back = self.is_held_back();
        if held_back == std::mem::replace(&mut self.held_back, held_back) {
            return;
        }
        let (kind, reason) = if held_back {
            (EventKind::VersionRefused, Reason::VersionDiffers)
        } else {
            (EventKind::VersionAccepted, Reason::VersionFits)
        };
        let settings = self.roster.settings();
        let wanted = settings.version.clone().or_else(|| self.leading_version()).unwrap_or_else(|| "none".into());
        let told = self.config.version.as_deref().unwrap_or("none");
        let detail = format!("{told}, where {wanted} is wanted: {}", settings.versions.as_str());
        out.push(Effect::Tell(Event::new(kind, self.config.member.node.clone(), reason).detail(detail)));
    }

    /// An active node that the settings hold back goes on until another that they do not can take over without delay; then it hands
    /// over as planned.
    pub(super) fn yield_to_version(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.stage != Stage::Active || !self.held_back || self.roster.settings().paused.is_some() {
            return;
        }
        let standby = self.steward.as_ref().and_then(|steward| steward.standby());
        let Some(standby) = standby.map(|standby| standby.node.clone()) else { return };
        if self.unfit(&standby).is_none() && self.peers.get(&standby).is_some_and(|peer| peer.news.ready) {
            self.successor = Some(standby);
            self.fire(now, Trigger::VersionDiffers, out);
        }
    }
}
