//! Switching a silent machine off (STONITH), so that its leases need not lapse first: [`NodeFencer`], a hook of the host's.
//!
//! Who stands still (a frozen machine, a stopped process, a cut cable) may hold leases and go on at any moment; so everybody waits until they have lapsed.
//! A host that can really switch that machine off need not: **once its fencer has confirmed that the machine is off**, the node gives the leases of that incarnation
//! back by their tokens, and takes over as ever. Nothing else is broken early: what a fencer refuses, does not answer, or answers too late costs only time.
//!
//! # When it is asked
//! By one node: whoever would be served next by the lapse. That is the first in line for the active role, or the active node for a node that has jobs. It has then just
//! read from the store that the other renews **neither heartbeat nor lease** for [`Timing::missing`](crate::Timing::missing), which has to be set well below the ttl for that, and it
//! beats there itself. So a node that is cut off from the store never asks. It asks three times at most for one silence, never in a paused cluster, and never about its own machine.
//!
//! **An order is called off** (its future is dropped at its next `await`, and what it says does not count any more) when the other shows a sign of life, when the cluster is paused, when the leases
//! would have lapsed by themselves, and as soon as the asking node itself has not beaten for so long that others may soon miss it. So two nodes that lose sight of
//! each other do not both have an order against the other at the same time.
//!
//! # What remains
//! - An order that cannot be called back: a power switch that was already told, a node that stands still while its command runs. Two machines can then switch each other off
//!   after all, one after the other. That costs a restart, never two owners.
//! - A later incarnation on the same machine goes down with it, as in any crash. Its leases are not touched; they lapse, or its own silence is seen.
//! - **A fencer that confirms what is not so breaks the promise**: two owners, until the token fences the first. That is not tolerated by design, so confirm only what was seen: not that the
//!   switch was told, but that the machine is off. If in doubt, refuse.
//!
//! All nodes should bring along the same fencer: a first in line without one waits for the lapse.

use std::time::Duration;

use async_trait::async_trait;

use crate::command::CommandLine;
use crate::driver::check_within;
use crate::error::Invalid;
use crate::ids::Member;

/// Switches machines off. Also any `Fn(Member) -> impl Future<Output = Result<String, String>>`. See [`fencer`](crate::fencer) for when it is asked and what it must not do.
#[async_trait]
pub trait NodeFencer: Send + Sync {
    /// Switches the machine that this incarnation runs on off, or at least ends its process and all of its work for good. `Ok`, with what there is to say about it, **only when that is
    /// so**; it may come up again afterwards, as another incarnation. `Err`, in words, when it is not, or when nobody knows.
    ///
    /// To switch off what is off already has to succeed: more than one node may ask, one after the other. Cancel safe in the sense that it is dropped, at its next `await`, when its answer does not count any more; a
    /// panic is a refusal.
    async fn fence(&self, target: &Member) -> Result<String, String>;
}

#[async_trait]
impl<F, R> NodeFencer for F
where
    F: Fn(Member) -> R + Send + Sync,
    R: Future<Output = Result<String, String>> + Send,
{
    async fn fence(&self, target: &Member) -> Result<String, String> {
        self(target.clone()).await
    }
}

/// A fencer that is an external command: a power switch, a cloud's API, a hypervisor.
///
/// It is told whose machine in its environment, as `FAILOVER_LOST_NODE` and `FAILOVER_LOST_INCARNATION`. Status zero confirms; everything else refuses. The end of what it writes is kept. It runs
/// in a process group of its own, all of which is killed when it has run for too long or the order is called off.
#[derive(Debug, Clone)]
pub struct CommandFencer {
    line: CommandLine,
    within: Duration,
}

impl CommandFencer {
    /// Program and arguments, and how long it may run: a millisecond to a day.
    ///
    /// # Errors
    /// [`Invalid`] if there is no program, or for another time.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>, within: Duration) -> Result<Self, Invalid> {
        let line = CommandLine::new("fencer", argv.into_iter().map(Into::into))?;
        Ok(Self { line, within: check_within(within)? })
    }
}

#[async_trait]
impl NodeFencer for CommandFencer {
    async fn fence(&self, target: &Member) -> Result<String, String> {
        let environment = [
            ("FAILOVER_LOST_NODE", target.node.to_string()),
            ("FAILOVER_LOST_INCARNATION", target.incarnation.to_string()),
        ];
        self.line.run(&environment, tokio::time::sleep(self.within)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Incarnation, NodeId};

    fn target() -> Member {
        Member::new(NodeId::new("lost").unwrap(), Incarnation::from_u128(7))
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_is_told_whose_machine_and_confirms_by_its_status() {
        let shell = |script: &str| CommandFencer::new(["sh", "-c", script], Duration::from_mins(1)).unwrap();
        let script = "test $FAILOVER_LOST_NODE = lost && echo $FAILOVER_LOST_INCARNATION";
        assert_eq!(shell(script).fence(&target()).await, Ok(target().incarnation.to_string()));
        let refused = shell("echo no such outlet >&2; exit 3").fence(&target()).await.unwrap_err();
        assert!(refused.ends_with("3: no such outlet"), "{refused}");
        let hangs = CommandFencer::new(["sleep", "1000"], Duration::from_millis(1)).unwrap();
        assert_eq!(hangs.fence(&target()).await.unwrap_err(), "it did not end in time and was killed");
    }

    #[test]
    fn a_fencer_that_cannot_be_is_refused_by_field_value_and_rule() {
        let refused = CommandFencer::new([""], Duration::from_secs(1)).unwrap_err().to_string();
        assert_eq!(refused, "fencer is ``: a command must name a program");
        assert!(CommandFencer::new(["true"], Duration::ZERO).unwrap_err().to_string().starts_with("within is `0ns`"));
    }
}
