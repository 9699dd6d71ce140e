use std::time::Duration;

use uuid::Uuid;

use super::{Admin, fenced};
use crate::control::{self, SwitchPhase, Switchover};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{LeaseName, NodeId, Version};
use crate::lease::Tenant;
use crate::record;
use crate::state::{Expect, Written};

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
    /// It was not over in time. One that nobody had begun was withdrawn; one that had begun goes on.
    #[error("the switchover was not over in time: {}", match phase {
        SwitchPhase::Requested => "the active node did not begin it, so it was withdrawn; see whether that node is alive, and try again",
        SwitchPhase::Started | SwitchPhase::Done | SwitchPhase::Refused => "it has begun and goes on; look at the status to see how it ends",
    })]
    TimedOut {
        /// How far it was.
        phase: SwitchPhase,
    },
    /// No node is active that could hand over.
    #[error("no node is active, so there is nothing to hand over: wait until one is, or start one")]
    NoActive,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Admin {
    /// Hands the active role over as planned, to `to` or else to the standby, and waits until that is done: the new active node
    /// is promoted, the old one carries on as a member. At no moment are two active; if the target fails, another takes over.
    ///
    /// Returns the switchover as it ended: its `to` names the active node and `term` its term. Not cancel safe: one that was asked
    /// for goes on.
    ///
    /// # Errors
    /// [`SwitchoverError`] tells what to do next for each.
    pub async fn switchover(&self, to: Option<NodeId>, within: Duration) -> Result<Switchover, SwitchoverError> {
        let deadline = self.clock.now() + within;
        let active = LeaseName::active();
        let lease = self.ask("current", self.backend.leases.current(&active)).await?;
        if !matches!(lease.tenant, Tenant::Held { .. }) {
            return Err(SwitchoverError::NoActive);
        }
        let (wish, unsure) = self.request(to).await?;

        let poll = (within / 50).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let mut seen = Err(unsure);
        loop {
            match self.read::<Switchover>(&control::switchover_key()).await {
                Ok(Some((now, _))) if now.id == wish.id && now.phase.is_over() => return ended(now),
                Ok(Some((now, version))) if now.id == wish.id => seen = Ok((now, version)),
                // Either the write whose outcome is unknown was not applied, or somebody wished for something else since.
                Ok(_) => match seen {
                    Err(Some(error)) => return Err(error.into()),
                    Err(None) | Ok(_) => return Err(refused("another wish has replaced it")),
                },
                Err(error) if !error.is_retryable() => return Err(error.into()),
                Err(error) if self.clock.now() >= deadline => return Err(error.into()),
                Err(_) => {}
            }
            if self.clock.now() >= deadline {
                return match seen {
                    Ok((last, version)) => self.withdraw(last, version).await,
                    Err(_) => Err(SwitchoverError::TimedOut { phase: SwitchPhase::Requested }),
                };
            }
            self.pause(self.backend.state.changed(&control::switchover_key()), poll, Some(deadline)).await;
        }
    }

    /// Writes the wish. With the error, if nobody knows whether it was written.
    async fn request(&self, to: Option<NodeId>) -> Result<(Switchover, Option<Error>), SwitchoverError> {
        const OPERATION: &str = "switchover";
        let key = control::switchover_key();
        let expect = match self.read::<Switchover>(&key).await? {
            Some((last, _)) if last.phase == SwitchPhase::Started => {
                return Err(refused("an earlier switchover is under way: wait until it is over"));
            }
            Some((_, version)) => Expect::Version(version),
            None => Expect::Absent,
        };
        let id = Uuid::now_v7().to_string();
        let wish = Switchover { id, to, phase: SwitchPhase::Requested, from: None, term: None, reason: None };
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

    /// Takes back a wish that nobody has begun to fulfil, so that it does not come true when nobody expects it any more.
    async fn withdraw(&self, mut last: Switchover, version: Version) -> Result<Switchover, SwitchoverError> {
        const OPERATION: &str = "withdraw";
        let phase = last.phase;
        if phase == SwitchPhase::Requested {
            let key = control::switchover_key();
            last.phase = SwitchPhase::Refused;
            last.reason = Some("it was not begun in time and withdrawn".into());
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

fn ended(switchover: Switchover) -> Result<Switchover, SwitchoverError> {
    match switchover.phase {
        SwitchPhase::Done => Ok(switchover),
        SwitchPhase::Refused => Err(refused(switchover.reason.as_deref().unwrap_or("no reason was given"))),
        SwitchPhase::Requested | SwitchPhase::Started => {
            let message = "a switchover that is not over was taken for one that is";
            Err(Error::new(ErrorKind::Corrupt, "switchover", message).into())
        }
    }
}

fn refused(reason: &str) -> SwitchoverError {
    SwitchoverError::Refused { reason: reason.to_owned() }
}
