//! A node made active when the active one cannot be asked.

use std::time::Duration;

use super::Admin;
use super::switchover::{Seen, Steps, SwitchoverError, ended, poll, refused};
use crate::control::{self, SwitchPhase, SwitchStep, SwitchWay, Switchover};
use crate::error::Error;
use crate::ids::{LeaseName, NodeId, Term};
use crate::lease::{LeaseView, Tenant};
use crate::time::Time;

/// What the operator knows of the node that was active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Former {
    /// Nothing: if it holds the lease, it may act.
    Unknown,
    /// Its machine is off and stays so: whatever ran there has ended, and nobody has to wait for more than its lease.
    Off,
}

impl Admin {
    /// Makes `node` active when no active node can be asked to hand over: in a paused cluster, after the loss of every node that might take over
    /// by itself, or to choose who takes over from a machine that is off. Waits until it is done, and shows every step as
    /// [`switchover_in_steps`](Self::switchover_in_steps) does.
    ///
    /// **A lease that is held is never broken.** While another node holds it, this is refused, because that node may be acting. An operator who says that
    /// its machine is [`Off`](Former::Off) is taken at their word so far: the wish is written at once, `node` takes over the moment that lease
    /// has lapsed, before any other, and a paused cluster stays paused. If the lease is *renewed* meanwhile, the machine is not off, and the activation is
    /// withdrawn. So a wrong word costs no more than the wait; two nodes are never active by it.
    ///
    /// The node itself checks whether it could take over, as for a switchover. One that is not over in time is withdrawn, unless the node holds the lease
    /// already and its host takes longer to become active: then it goes on. Not cancel safe: what was asked for goes on.
    ///
    /// # Errors
    /// [`Held`](SwitchoverError::Held), [`Renewed`](SwitchoverError::Renewed), and those of a switchover.
    /// [`Invalid`](crate::ErrorKind::Invalid) for a node that nobody knows.
    pub async fn activate(
        &self,
        node: &NodeId,
        former: Former,
        within: Duration,
        step: impl FnMut(&SwitchStep) + Send,
    ) -> Result<Switchover, SwitchoverError> {
        let deadline = self.clock.now() + within;
        self.known().await?.check_node("node", node).map_err(|invalid| Error::invalid("activate", invalid))?;
        let holding = self.holding().await?;
        match &holding {
            Some(holding) if holding.by == *node => return Err(refused("that node is active already")),
            Some(Holding { by, remaining, .. }) if former == Former::Unknown => {
                return Err(SwitchoverError::Held { holder: by.clone(), remaining: *remaining });
            }
            Some(_) | None => {}
        }
        let last = self.last_wish().await?;
        let (wish, unsure) = self.request(last, Some(node.clone()), SwitchWay::Activation, within).await?;
        let mut steps = Steps { step, shown: 0 };
        let mut seen = Seen::from(unsure);
        loop {
            if let Some(over) = self.look_after(&wish, &mut seen, &mut steps, deadline).await? {
                return ended(over);
            }
            if let Some(before) = &holding
                && self.is_renewed(before).await
                && let Seen::There(last, version) = seen
            {
                let why = "the active lease was renewed, so that machine is not off";
                self.withdraw(*last, version, why).await.map_err(|error| match error {
                    SwitchoverError::TimedOut { phase } if !phase.is_under_way() => {
                        SwitchoverError::Renewed { holder: before.by.clone() }
                    }
                    other => other,
                })?;
                return Err(SwitchoverError::Renewed { holder: before.by.clone() });
            }
            if self.clock.now() >= deadline {
                if self.holding().await?.is_some_and(|holding| holding.by == *node) {
                    return Err(SwitchoverError::TimedOut { phase: SwitchPhase::Released });
                }
                return self.give_up(seen).await;
            }
            self.pause(self.backend.state.changed(&control::switchover_key()), poll(within), Some(deadline)).await;
        }
    }

    async fn holding(&self) -> Result<Option<Holding>, Error> {
        let sent = self.clock.now();
        let LeaseView { term, tenant } = self.ask("current", self.backend.leases.current(&LeaseName::active())).await?;
        let now = self.clock.now();
        Ok(match tenant {
            Tenant::Held { holder, remaining } => {
                Some(Holding { by: holder.node, term, remaining, ends: (sent + remaining, now + remaining) })
            }
            Tenant::Free | Tenant::Reserved { .. } => None,
        })
    }

    /// Whether the lease ends later than it would without a renewal. A store that does not answer shows nothing.
    async fn is_renewed(&self, before: &Holding) -> bool {
        let Ok(Some(now)) = self.holding().await else { return false };
        // The two clocks may differ by a little over the wait.
        now.term == before.term && now.ends.0 > before.ends.1 + before.remaining / 20 + Duration::from_millis(50)
    }
}

/// Who holds the active lease.
struct Holding {
    by: NodeId,
    term: Term,
    remaining: Duration,
    /// Between which moments its lease ends, as far as the store's answer tells.
    ends: (Time, Time),
}
