use std::time::Duration;

use futures_util::future::join;
use uuid::Uuid;

use super::{Admin, fenced};
use crate::control::{self, SwitchPhase, SwitchStep, SwitchWay, Switchover};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{LeaseName, NodeId, Version};
use crate::lease::Tenant;
use crate::record;
use crate::state::{Expect, Written};
use crate::time::Time;

/// Why a switchover did not happen.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SwitchoverError {
    /// The cluster's state does not allow it. Nothing was moved.
    #[error("the switchover was refused: {reason}")]
    Refused {
        /// Why, as a sentence.
        reason: String,
    },
    /// It was begun and fell back: the node that was active is so again, or whoever came first after it.
    #[error("the switchover failed and fell back: {reason}")]
    Failed {
        /// Why, as a sentence.
        reason: String,
    },
    /// It was not over in time. One under which nothing had been stopped yet was withdrawn; one that was further goes on.
    #[error("the switchover was not over in time: {}", if phase.is_under_way() {
        "it has begun and goes on; look at the status to see how it ends"
    } else if *phase == SwitchPhase::Requested {
        "no node took it up, so it was withdrawn; see whether that node is alive, and try again"
    } else {
        "the target had not prepared itself, so it was withdrawn; see what it does, or give it more time"
    })]
    TimedOut {
        /// How far it was.
        phase: SwitchPhase,
    },
    /// No node is active that could hand over.
    #[error("no node is active, so there is nothing to hand over: wait until one is, start one, or activate one")]
    NoActive,
    /// A node may not be activated because another one has the right to act. Nothing was written.
    #[error(
        "`{holder}` holds the active lease for another {remaining:?}: if it answers, hand its role over with a switchover; if its machine is \
         off, say so, and the other takes over once that lease has lapsed"
    )]
    Held {
        /// Who.
        holder: NodeId,
        /// For how long, unless it renews.
        remaining: Duration,
    },
    /// The node whose machine was said to be off has renewed its lease, so it is not. The activation was withdrawn.
    #[error(
        "`{holder}` has renewed the active lease, so its machine is not off: hand its role over with a switchover, or switch it off first"
    )]
    Renewed {
        /// Who.
        holder: NodeId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Admin {
    /// Hands the active role over as planned, to `to` or else to the standby, and waits until that is done: the new active node
    /// is promoted, the old one carries on as a member. At no moment are two active; if it fails at any step, the old one is active again.
    ///
    /// Returns the switchover as it ended: its `to` names the active node and `term` its term. The target may take as long to prepare as there is time.
    /// A target that has prepared itself is active seven round trips to the store later, beside what the two hosts take to stop and to start. A renewal that hangs meanwhile
    /// delays nothing; a call of these that is lost does so by a call's deadline ([`Timing::call`](crate::Timing::call)) and a quarter of a beat.
    /// Not cancel safe: one that was asked for goes on.
    ///
    /// # Errors
    /// [`SwitchoverError`] tells what to do next for each.
    pub async fn switchover(&self, to: Option<NodeId>, within: Duration) -> Result<Switchover, SwitchoverError> {
        self.switchover_in_steps(to, within, |_| {}).await
    }

    /// As [`switchover`](Self::switchover), and shows every step once, in order, as soon as it is on record.
    ///
    /// # Errors
    /// As there.
    pub async fn switchover_in_steps(
        &self,
        to: Option<NodeId>,
        within: Duration,
        step: impl FnMut(&SwitchStep) + Send,
    ) -> Result<Switchover, SwitchoverError> {
        let deadline = self.clock.now() + within;
        let active = LeaseName::active();
        let current = self.ask("current", self.backend.leases.current(&active));
        let (lease, last) = join(current, self.last_wish()).await;
        if !matches!(lease?.tenant, Tenant::Held { .. }) {
            return Err(SwitchoverError::NoActive);
        }
        let (wish, unsure) = self.request(last?, to, SwitchWay::Planned, within).await?;
        let mut steps = Steps { step, shown: 0 };
        let mut seen = Seen::from(unsure);
        loop {
            // First: there is nothing to see of it yet, and a look would be in its way.
            self.pause(self.backend.state.changed(&control::switchover_key()), poll(within), Some(deadline)).await;
            if let Some(over) = self.look_after(&wish, &mut seen, &mut steps, deadline).await? {
                return ended(over);
            }
            if self.clock.now() >= deadline {
                return self.give_up(seen).await;
            }
        }
    }

    /// Looks how far the wish is. Gives it once it is over.
    pub(super) async fn look_after(
        &self,
        wish: &Switchover,
        seen: &mut Seen,
        steps: &mut Steps<impl FnMut(&SwitchStep)>,
        deadline: Time,
    ) -> Result<Option<Switchover>, SwitchoverError> {
        match self.last_wish().await {
            Ok(Some((now, version))) if now.id == wish.id => {
                steps.show(&now);
                if now.phase.is_over() {
                    return Ok(Some(now));
                }
                *seen = Seen::There(Box::new(now), version);
            }
            // Either the write whose outcome is unknown was not applied, or somebody wished for something else since.
            Ok(_) => match seen {
                Seen::Unsure(error) => return Err(error.clone().into()),
                Seen::Nothing | Seen::There(..) => return Err(refused("another wish has replaced it")),
            },
            Err(error) if !error.is_retryable() || self.clock.now() >= deadline => return Err(error.into()),
            Err(_) => {}
        }
        Ok(None)
    }

    /// It takes too long.
    pub(super) async fn give_up(&self, seen: Seen) -> Result<Switchover, SwitchoverError> {
        match seen {
            Seen::There(last, version) => self.withdraw(*last, version, "it was not over in time and withdrawn").await,
            Seen::Unsure(_) | Seen::Nothing => Err(SwitchoverError::TimedOut { phase: SwitchPhase::Requested }),
        }
    }

    /// The wish that was made last.
    pub(super) async fn last_wish(&self) -> Result<Option<(Switchover, Version)>> {
        self.read(&control::switchover_key()).await
    }

    /// Writes the wish in the place of the `last` one. With the error, if nobody knows whether it was written.
    pub(super) async fn request(
        &self,
        last: Option<(Switchover, Version)>,
        to: Option<NodeId>,
        way: SwitchWay,
        within: Duration,
    ) -> Result<(Switchover, Option<Error>), SwitchoverError> {
        const OPERATION: &str = "switchover";
        let key = control::switchover_key();
        let mut wish = Switchover::new(Uuid::now_v7().to_string(), to, way);
        (wish.within, wish.by) = (Some(within), Some(self.operator.clone()));
        let expect = match last {
            // Under one that nothing was done about yet, a later wish is the one that counts; so it is where nobody is active who could go on.
            Some((last, _)) if way == SwitchWay::Planned && is_begun(&last) => {
                return Err(refused("an earlier switchover is under way: wait until it is over"));
            }
            Some((last, version)) => {
                wish = wish.after(&last);
                Expect::Version(version)
            }
            None => Expect::Absent,
        };
        let value = record::encode(OPERATION, &wish)?;
        match self.ask(OPERATION, self.backend.state.put(&key, value.as_bytes(), expect, None)).await {
            Ok(Written::Written(_)) => Ok((wish, None)),
            Ok(Written::Conflict(_)) => {
                Err(refused("somebody else wished for one at the same moment: look at the status first"))
            }
            Ok(Written::Fenced { .. }) => Err(fenced(OPERATION).into()),
            Err(error) if error.is_outcome_unknown() => Ok((wish, Some(error))),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes back a wish under which nothing was stopped yet, so that it does not come true when nobody expects it any more.
    pub(super) async fn withdraw(
        &self,
        mut last: Switchover,
        version: Version,
        why: &str,
    ) -> Result<Switchover, SwitchoverError> {
        const OPERATION: &str = "withdraw";
        let phase = last.phase;
        if !phase.is_under_way() {
            let key = control::switchover_key();
            let over = if phase == SwitchPhase::Requested { SwitchPhase::Refused } else { SwitchPhase::Failed };
            last.step(over, None, why, None);
            let value = record::encode(OPERATION, &last)?;
            let expect = Expect::Version(version);
            let written = self.ask(OPERATION, self.backend.state.put(&key, value.as_bytes(), expect, None)).await?;
            if let Written::Conflict(_) = written {
                // Somebody has begun, or even ended it, this very moment.
                return match self.read::<Switchover>(&key).await? {
                    Some((now, _)) if now.id == last.id && now.phase.is_over() => ended(now),
                    Some((now, _)) if now.id == last.id => Err(SwitchoverError::TimedOut { phase: now.phase }),
                    Some(_) | None => Err(refused("another wish has replaced it")),
                };
            }
        }
        Err(SwitchoverError::TimedOut { phase })
    }
}

/// What is known of a wish since it was made.
pub(super) enum Seen {
    Nothing,
    /// Nobody knows whether it was written.
    Unsure(Error),
    There(Box<Switchover>, Version),
}

impl From<Option<Error>> for Seen {
    fn from(unsure: Option<Error>) -> Self {
        unsure.map_or(Self::Nothing, Self::Unsure)
    }
}

/// Shows each step once.
pub(super) struct Steps<F> {
    pub(super) step: F,
    pub(super) shown: usize,
}

impl<F: FnMut(&SwitchStep)> Steps<F> {
    fn show(&mut self, wish: &Switchover) {
        wish.steps.iter().skip(self.shown).for_each(&mut self.step);
        self.shown = self.shown.max(wish.steps.len());
    }
}

/// How often to look without a hint.
pub(super) fn poll(within: Duration) -> Duration {
    (within / 50).clamp(Duration::from_millis(10), Duration::from_secs(1))
}

/// Whether a node has taken the wish up.
fn is_begun(wish: &Switchover) -> bool {
    wish.way == SwitchWay::Planned && wish.phase != SwitchPhase::Requested && !wish.phase.is_over()
}

pub(super) fn ended(switchover: Switchover) -> Result<Switchover, SwitchoverError> {
    let reason = || switchover.reason.clone().unwrap_or_else(|| "no reason was given".into());
    match switchover.phase {
        SwitchPhase::Done => Ok(switchover),
        SwitchPhase::Refused => Err(SwitchoverError::Refused { reason: reason() }),
        SwitchPhase::Failed => Err(SwitchoverError::Failed { reason: reason() }),
        SwitchPhase::Requested
        | SwitchPhase::Checked
        | SwitchPhase::Preparing
        | SwitchPhase::Started
        | SwitchPhase::Released => {
            let message = "a switchover that is not over was taken for one that is";
            Err(Error::new(ErrorKind::Corrupt, "switchover", message).into())
        }
    }
}

pub(super) fn refused(reason: &str) -> SwitchoverError {
    SwitchoverError::Refused { reason: reason.to_owned() }
}
