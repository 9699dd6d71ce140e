//! What an operator asks for once: a job moved, a node's jobs returned. The active node carries it out.

use std::time::Duration;

use super::{Admin, RACES, fenced};
use crate::control::{self, Errand, MAX_ORDERS, Order, OrderPhase, Orders};
use crate::error::{Error, ErrorKind, Invalid, Result};
use crate::ids::{JobId, LeaseName, NodeId};
use crate::job::{FailoverPolicy, JobRecord, Phase};
use crate::lease::Tenant;
use crate::record;
use crate::state::{Expect, Written};
use crate::time::Time;

/// Why an order was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// There is no such job.
    #[error("there is no job `{job}`: list the jobs to see which there are")]
    NoJob {
        /// Its name.
        job: JobId,
    },
    /// Nobody knows such a node.
    #[error("{0}")]
    NoNode(Invalid),
    /// The job's own policy, or what became of it, forbids it. Nothing was asked for.
    #[error("job `{job}` cannot be moved to `{to}`: {reason}")]
    Forbidden {
        /// The job.
        job: JobId,
        /// The node.
        to: NodeId,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// The active node refused it. Nothing was moved.
    #[error("the active node refused it: {reason}")]
    Refused {
        /// Why, as a sentence.
        reason: String,
    },
    /// It was not over in time. One that nobody had begun was withdrawn; one that had begun goes on.
    #[error("it was not over in time: {}", match phase {
        OrderPhase::Requested => "the active node did not begin it, so it was withdrawn; see whether that node is alive, and try again",
        OrderPhase::Started | OrderPhase::Done | OrderPhase::Refused => "it has begun and goes on; ask for an explanation of the job to see what it waits for",
    })]
    TimedOut {
        /// How far it was.
        phase: OrderPhase,
    },
    /// Too many orders are open.
    #[error("{MAX_ORDERS} orders are open already: wait until some of them are over")]
    TooMany,
    /// No node is active that could carry it out.
    #[error("no node is active that could carry it out: wait until one is, or start one")]
    NoActive,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Admin {
    /// Has a job run on this node, by handover, and waits until it does. That is where it belongs from then on.
    ///
    /// Returns the order as it ended. Not cancel safe: what was asked for goes on.
    ///
    /// # Errors
    /// [`OrderError`] tells what to do next for each.
    pub async fn move_job(&self, job: &JobId, to: &NodeId, within: Duration) -> Result<Order, OrderError> {
        let deadline = self.clock.now() + within;
        let (known, jobs) = tokio::try_join!(self.known(), self.jobs())?;
        known.check_node("node", to).map_err(OrderError::NoNode)?;
        let Some(record) = jobs.iter().find(|record| record.spec.id() == job) else {
            return Err(OrderError::NoJob { job: job.clone() });
        };
        if let Some(reason) = forbidden(record, to) {
            return Err(OrderError::Forbidden { job: job.clone(), to: to.clone(), reason });
        }
        self.order(Errand::Move { job: job.clone(), to: to.clone() }, deadline, within).await
    }

    /// Returns to a node everything that was moved from it, by handover and in order, and waits until that is done.
    ///
    /// Returns the order as it ended: its reason says what could not return. Not cancel safe: what was asked for goes on.
    ///
    /// # Errors
    /// [`OrderError`] tells what to do next for each.
    pub async fn failback(&self, node: &NodeId, within: Duration) -> Result<Order, OrderError> {
        let deadline = self.clock.now() + within;
        self.known().await?.check_node("node", node).map_err(OrderError::NoNode)?;
        self.order(Errand::Failback { node: node.clone() }, deadline, within).await
    }

    /// The orders and how each came out.
    ///
    /// # Errors
    /// The store's.
    pub async fn orders(&self) -> Result<Orders> {
        Ok(self.read::<Orders>(&control::orders_key()).await?.map(|(orders, _)| orders).unwrap_or_default())
    }

    /// Gives an order and waits until it is over.
    pub(super) async fn order(&self, what: Errand, deadline: Time, within: Duration) -> Result<Order, OrderError> {
        let lease = self.ask("current", self.backend.leases.current(&LeaseName::active())).await?;
        if !matches!(lease.tenant, Tenant::Held { .. }) {
            return Err(OrderError::NoActive);
        }
        let (name, mut unsure) = self.place_order(what).await?;
        let key = control::orders_key();
        let poll = (within / 50).clamp(Duration::from_millis(10), Duration::from_secs(1));
        loop {
            match self.orders().await {
                Ok(orders) => match (orders.orders.get(&name), unsure.take()) {
                    (Some(order), _) if order.phase.is_over() => return ended(order),
                    (Some(_), _) => {}
                    // The write whose outcome is unknown was not applied.
                    (None, Some(error)) => return Err(OrderError::Store(error)),
                    (None, None) => return Err(refused("it was taken off the list of orders")),
                },
                Err(error) if !error.is_retryable() || self.clock.now() >= deadline => return Err(error.into()),
                Err(_) => {}
            }
            if self.clock.now() >= deadline {
                return match self.withdraw_order(&name).await? {
                    Some(order) if order.phase.is_over() => ended(&order),
                    Some(order) => Err(OrderError::TimedOut { phase: order.phase }),
                    None => Err(OrderError::TimedOut { phase: OrderPhase::Requested }),
                };
            }
            self.pause(self.backend.state.changed(&key), poll, Some(deadline)).await;
        }
    }

    /// Writes the order. With the error, if nobody knows whether it was written.
    async fn place_order(&self, what: Errand) -> Result<(String, Option<Error>), OrderError> {
        const OPERATION: &str = "order";
        let key = control::orders_key();
        for _ in 0..RACES {
            let (mut orders, expect) = match self.read::<Orders>(&key).await? {
                Some((orders, version)) => (orders, Expect::Version(version)),
                None => (Orders::default(), Expect::Absent),
            };
            let name = orders.add(Order::new(what.clone()).by(&self.operator)).ok_or(OrderError::TooMany)?;
            let value = record::encode(OPERATION, &orders)?;
            match self.ask(OPERATION, self.backend.state.put(&key, value.as_bytes(), expect, None)).await {
                Ok(Written::Written(_)) => return Ok((name, None)),
                Ok(Written::Conflict(_)) => {}
                Ok(Written::Fenced { .. }) => return Err(fenced(OPERATION).into()),
                Err(error) if error.is_outcome_unknown() => return Ok((name, Some(error))),
                Err(error) => return Err(error.into()),
            }
        }
        let message = "others keep giving orders at the same time; try again";
        Err(Error::new(ErrorKind::Unavailable, OPERATION, message).into())
    }

    /// Takes back an order that nobody has begun, so that it is not carried out when nobody expects it any more. The order as it
    /// is if it has begun; nothing if it was withdrawn.
    async fn withdraw_order(&self, name: &str) -> Result<Option<Order>, OrderError> {
        const OPERATION: &str = "withdraw";
        let key = control::orders_key();
        for _ in 0..RACES {
            let Some((mut orders, version)) = self.read::<Orders>(&key).await? else { return Ok(None) };
            let Some(order) = orders.orders.get_mut(name) else { return Ok(None) };
            if order.phase != OrderPhase::Requested {
                return Ok(Some(order.clone()));
            }
            order.phase = OrderPhase::Refused;
            order.reason = Some("it was not begun in time and withdrawn".into());
            let value = record::encode(OPERATION, &orders)?;
            let expect = Expect::Version(version);
            let written = self.ask(OPERATION, self.backend.state.put(&key, value.as_bytes(), expect, None)).await?;
            if let Written::Written(_) = written {
                return Ok(None);
            }
        }
        let message = "others keep changing the orders at the same time; look whether it was begun";
        Err(Error::new(ErrorKind::Unavailable, OPERATION, message).into())
    }
}

/// Why a job cannot be moved there, whatever the active node thinks.
fn forbidden(record: &JobRecord, to: &NodeId) -> Option<&'static str> {
    let policy = record.spec.policy();
    if policy.failover == FailoverPolicy::Never {
        return Some("its policy is to run nowhere but on its own node: change its failover policy first");
    }
    if !policy.pins.is_empty() && !policy.pins.contains(to) {
        return Some("it is pinned to other nodes: change its pins first");
    }
    match record.phase {
        _ if record.retiring => Some("it is being removed"),
        Phase::Completed => Some("it is completed: add it again under another name to have it run again"),
        _ => None,
    }
}

fn ended(order: &Order) -> Result<Order, OrderError> {
    match order.phase {
        OrderPhase::Refused => Err(refused(order.reason.as_deref().unwrap_or("no reason was given"))),
        OrderPhase::Requested | OrderPhase::Started | OrderPhase::Done => Ok(order.clone()),
    }
}

fn refused(reason: &str) -> OrderError {
    OrderError::Refused { reason: reason.to_owned() }
}
