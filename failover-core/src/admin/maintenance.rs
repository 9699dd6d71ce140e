//! Nodes and clusters that are to be left alone for a while: maintenance and pause.

use std::time::Duration;

use super::Admin;
use super::known::Known;
use crate::control::{Drain, Pause, Settings};
use crate::error::{Invalid, Result};
use crate::heartbeat::Role;
use crate::ids::{LeaseName, NodeId};
use crate::job::JobRecord;
use crate::lease::Tenant;

/// How often to look without a hint.
const LOOK: Duration = Duration::from_millis(250);

/// How far a node's maintenance is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parked {
    /// It takes part in nothing; or it is not there at all.
    InMaintenance,
    /// These jobs are still on it; it goes into maintenance when they are gone.
    Busy(Vec<JobRecord>),
    /// It is empty and has not said yet that it takes part in nothing.
    NotYet,
}

impl Admin {
    /// Takes a node out of the cluster's work: its jobs are handed over first, as `drain` says, then its role, and then it takes part in nothing. One
    /// document says all of it, so it goes on whatever becomes of the caller; [`parked`](Self::parked) waits for it.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure); [`Invalid`](crate::ErrorKind::Invalid) for a node that nobody knows, and for the active node of a paused cluster, from
    /// which nobody would take over.
    pub async fn begin_maintenance(&self, node: &NodeId, drain: &Drain) -> Result<Settings> {
        let known: Known = self.known().await?;
        let lease = self.ask("current", self.backend.leases.current(&LeaseName::active())).await?;
        let leads = matches!(&lease.tenant, Tenant::Held { holder, .. } if holder.node == *node);
        self.reconfigure(|settings| {
            known.check_node("node", node)?;
            if leads && settings.paused.is_some() {
                let rule =
                    "it is active and the cluster is paused, so nobody would take over: switch over first, or resume";
                return Err(Invalid::new("node", node, rule));
            }
            if settings.maintenance.insert(node.clone()) {
                settings.drains.insert(node.clone(), drain.clone());
            }
            Ok(())
        })
        .await
    }

    /// Lets a node take part again.
    ///
    /// # Errors
    /// As [`cordon`](Self::cordon).
    pub async fn end_maintenance(&self, node: &NodeId) -> Result<Settings> {
        let known: Known = self.known().await?;
        self.reconfigure(|settings| {
            known.check_node("node", node)?;
            if settings.maintenance.remove(node) {
                settings.drains.remove(node);
            }
            Ok(())
        })
        .await
    }

    /// Waits until a node is in maintenance, or `within` is over. Cancel safe.
    ///
    /// # Errors
    /// The store's, if it is of no use to try again.
    pub async fn parked(&self, node: &NodeId, within: Duration) -> Result<Parked> {
        let deadline = self.clock.now() + within;
        loop {
            let looked = self.look_at(node).await;
            let over = self.clock.now() >= deadline;
            match looked {
                Ok(Parked::InMaintenance) => return Ok(Parked::InMaintenance),
                Ok(parked) if over => return Ok(parked),
                Err(error) if over || !error.is_retryable() => return Err(error),
                Ok(_) | Err(_) => {}
            }
            self.pause(self.backend.heartbeats.changed(), LOOK, Some(deadline)).await;
        }
    }

    async fn look_at(&self, node: &NodeId) -> Result<Parked> {
        let sightings = self.ask("sightings", self.backend.heartbeats.sightings()).await?;
        let seen = sightings.iter().find(|sighting| sighting.heartbeat.member.node == *node);
        if seen.is_none_or(|sighting| sighting.heartbeat.news.role == Role::Maintenance) {
            return Ok(Parked::InMaintenance);
        }
        let mut jobs = self.jobs().await?;
        jobs.retain(|record| record.owner.as_ref().is_some_and(|owner| owner.node == *node));
        Ok(if jobs.is_empty() { Parked::NotYet } else { Parked::Busy(jobs) })
    }

    /// Pauses the cluster: no node takes over by itself, no job is moved or started anew, nobody is fenced. Everything is watched, shown and
    /// told all the same, whoever is active stays it, and what operators ask for is done. `by` is shown to others. One that is paused already stays so, by whom it was.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure).
    pub async fn pause_cluster(&self, by: Option<String>) -> Result<Settings> {
        self.put(|settings| drop(settings.paused.get_or_insert_with(|| Pause::now(by.clone())).clone())).await
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure).
    pub async fn resume_cluster(&self) -> Result<Settings> {
        self.put(|settings| settings.paused = None).await
    }
}
