//! What a host tells of itself, and what watches over it.

use std::sync::Arc;
use std::time::Duration;

use super::{Node, NodeBuilder};
use crate::driver::Message;
use crate::error::Invalid;
use crate::fencer::NodeFencer;
use crate::health::Failure;
use crate::heir::Heir;
use crate::ids::FailureName;
use crate::machine::{Config, HostInput, Switch};
use crate::timing::Timing;
use crate::witness::Witness;

/// What watches over the node's host and its place in the network.
#[derive(Default)]
pub(super) struct Vigil {
    /// Within which time the host feeds its watchdog, if it does.
    pub(super) limit: Option<Duration>,
    pub(super) witnesses: Vec<Witness>,
    /// Who settles what the node leaves behind, if anybody does.
    pub(super) heir: Option<Arc<dyn Heir>>,
    /// What switches machines off, if anything does.
    pub(super) fencer: Option<Arc<dyn NodeFencer>>,
}

impl Vigil {
    pub(super) fn check(&self, timing: Timing) -> Result<(), Invalid> {
        let (beat, missing) = (timing.beat(), timing.missing());
        if self.fencer.is_some() && missing + beat >= timing.ttl() {
            let rule =
                "with a fencer it must be shorter than the ttl by more than a beat, or leases lapse before it is asked";
            return Err(Invalid::new("missing", format!("{missing:?}"), rule));
        }
        match self.limit.filter(|limit| *limit < beat) {
            Some(limit) => {
                Err(Invalid::new("watchdog", format!("{limit:?}"), format!("it must be at least a beat of {beat:?}")))
            }
            None => Ok(()),
        }
    }

    /// Tells the machine what there is.
    pub(super) fn configure(&self, config: &mut Config) {
        (config.watchdog, config.witnessed) = (self.limit, !self.witnesses.is_empty());
        config.fencer = if self.fencer.is_some() { Switch::On } else { Switch::Off };
    }
}

impl Node {
    /// Tells everybody that something is wrong with this node: what it is called, what it is, and how much it weighs; weight 0 only warns. Reported
    /// again under the same name, it is changed. It stays until it is [cleared](Self::clear_failure), whatever role the node has.
    ///
    /// The weights add up. The active node moves the role, as in a switchover, to a standby whose sum is lower, yet not again within
    /// [`Settings::hold_off`](crate::control::Settings::hold_off) of the last such move; and of several candidates for a takeover those in better health come
    /// first. Where all are equally ill, nobody moves.
    ///
    /// # Errors
    /// [`Invalid`] if the name is not a name, if it weighs more than [`MAX_FAILURE_WEIGHT`](crate::health::MAX_FAILURE_WEIGHT), or if
    /// [`MAX_FAILURES`](crate::health::MAX_FAILURES) others are reported; nothing is changed then. Of the text
    /// [`MAX_FAILURE_TEXT`](crate::health::MAX_FAILURE_TEXT) bytes are kept.
    pub fn report_failure(&self, name: &str, text: impl Into<String>, weight: u32) -> Result<(), Invalid> {
        let (name, failure) = (FailureName::new(name)?, Failure::new(text, weight)?);
        let mut health = self.shared.health();
        if health.report(&name, &failure)? {
            self.send(Message::Host(HostInput::FailureReported { name, failure }));
        }
        Ok(())
    }

    /// Tells everybody that it is over. One that was not reported changes nothing.
    ///
    /// # Errors
    /// [`Invalid`] if the name is not a name.
    pub fn clear_failure(&self, name: &str) -> Result<(), Invalid> {
        let name = FailureName::new(name)?;
        let mut health = self.shared.health();
        if health.clear(&name) {
            self.send(Message::Host(HostInput::FailureCleared { name }));
        }
        Ok(())
    }

    /// A sign of life from the host to the node's [watchdog](NodeBuilder::watchdog). Cheap, from any thread, and without need of the runtime: call
    /// it where the host's own work goes round. Does nothing on a node without a watchdog.
    pub fn feed(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.feed();
        }
    }
}

impl NodeBuilder {
    /// Watches the host: one that has not [fed](Node::feed) its watchdog for this long is hung and loses its role. As long as it does not feed it again, it
    /// takes none and is given no jobs; those that run go on, each by its own [promise of progress](crate::JobPolicy::progress). Counted from the start.
    ///
    /// The node's host is told to [`demote`](crate::RoleHooks::demote), and the active lease is not renewed any more: if that returns, the standby has the lease at
    /// once, and if it does not, it has it when the lease has lapsed. So a hung host is active for at most this long and one lease longer.
    ///
    /// **Without one there is no such bound** on a backend that has a [home](crate::home): the node renews there for as long as the process lives, also while the host's executor is blocked. The watchdog is kept there too,
    /// so it needs nothing of a host that hangs.
    pub fn watchdog(mut self, limit: Duration) -> Self {
        self.vigil.limit = Some(limit);
        self
    }

    /// Somebody outside this process who gives the node's leases back at once when the process dies, such as `failover::guard`; see [`heir`](crate::heir). Without
    /// one, or when it is gone (`guard_lost`), the others wait until the leases have lapsed.
    pub fn guarded(mut self, heir: impl Heir + 'static) -> Self {
        self.vigil.heir = Some(Arc::new(heir));
        self
    }

    /// What can switch the machine of a silent node off, so that its leases need not lapse first: a function, or a [`CommandFencer`](crate::CommandFencer). **It must confirm only what is so**;
    /// see [`fencer`](crate::fencer). All nodes should bring along the same. It is of use only with a [`Timing::missing`](crate::Timing::missing) well below the ttl.
    pub fn node_fencer(mut self, fencer: impl NodeFencer + 'static) -> Self {
        self.vigil.fencer = Some(Arc::new(fencer));
        self
    }

    /// Somebody to ask, while the store does not answer, whether this node is cut off; see [`witness`](crate::witness). May be given several times.
    pub fn witness(mut self, witness: Witness) -> Self {
        self.vigil.witnesses.push(witness);
        self
    }
}
