//! The cluster's settings, read and edited. Every node follows a change without a restart.

use super::known::Known;
use super::{Admin, By, RACES};
use crate::capacity::Capacity;
use crate::control::{self, Damping, Drain, Settings, StrategyName, Topology};
use crate::error::{Error, ErrorKind, Invalid, Result};
use crate::ids::{ClassName, NodeId};
use crate::job::{Failback, JobPolicy};

const OPERATION: &str = "configure";

/// Where a node of the roster goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// Before the one that comes before it.
    Up,
    /// Behind the one that comes after it.
    Down,
    /// Before all others.
    First,
    /// Behind all others of the roster.
    Last,
}

impl Admin {
    /// The cluster's settings; the default ones if none were written yet.
    ///
    /// # Errors
    /// The store's; [`TooNew`](ErrorKind::TooNew) for settings of a later build.
    pub async fn settings(&self) -> Result<Settings> {
        Ok(self.read::<Settings>(&control::settings_key()).await?.map(|(settings, _)| settings).unwrap_or_default())
    }

    /// Writes the cluster's settings, whatever they were before.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure).
    pub async fn configure(&self, settings: Settings) -> Result<()> {
        let replace = |current: &mut Settings| {
            *current = settings.clone();
            Ok(())
        };
        self.reconfigure(replace).await.map(drop)
    }

    /// Changes the cluster's settings without losing what somebody else changes at the same time: `change` is run again on what
    /// they wrote. Returns the settings as they are now. Every change is a version of the [configuration](Self::config).
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if `change` says so or what it leaves is not [possible](Settings::check); then nothing is written, and what was
    /// there stays in force. Settings of a later build are [`TooNew`](ErrorKind::TooNew) and are left as they are (law 15).
    /// [`Unavailable`](ErrorKind::Unavailable) if others kept changing them. Else the store's.
    pub async fn reconfigure(&self, mut change: impl FnMut(&mut Settings) -> Result<(), Invalid>) -> Result<Settings> {
        let by = By::from(self.operator.as_str());
        for _ in 0..RACES {
            let present = self.present().await?;
            let before = &present.document.settings;
            let mut after = before.clone();
            let possible = change(&mut after).and_then(|()| after.check());
            possible.map_err(|invalid| Error::invalid(OPERATION, invalid))?;
            if present.is_there() && *before == after {
                return Ok(after);
            }
            if self.replace(present, after.clone(), &by).await?.is_some() {
                return Ok(after);
            }
        }
        let message = "others keep changing the cluster's settings at the same time; try again";
        Err(Error::new(ErrorKind::Unavailable, OPERATION, message))
    }

    /// Sets the order of takeover and placement. Nodes that are not there yet may be named.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure); [`Invalid`](ErrorKind::Invalid) for a node that is named twice.
    pub async fn set_roster(&self, roster: Vec<NodeId>) -> Result<Settings> {
        self.put(|settings| settings.roster.clone_from(&roster)).await
    }

    /// Moves a node within the roster. One that is not on it is put there, if it is moved up or first.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure); [`Invalid`](ErrorKind::Invalid) for a node that nobody knows, or that is moved down and not on the roster.
    pub async fn rank(&self, node: &NodeId, rank: Rank) -> Result<Settings> {
        let known = self.known().await?;
        self.reconfigure(|settings| {
            known.check_node("node", node)?;
            ranked(&mut settings.roster, node, rank)
        })
        .await
    }

    /// Sets how much a node can run, whatever it says itself; with nothing, what it says holds again. Jobs that run there already stay.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure); [`Invalid`](ErrorKind::Invalid) for a node that nobody knows, and for a capacity of zero.
    pub async fn set_capacity(&self, node: &NodeId, capacity: Option<Capacity>) -> Result<Settings> {
        self.edit(node, |settings| match capacity {
            Some(capacity) => drop(settings.capacity.insert(node.clone(), capacity)),
            None => drop(settings.capacity.remove(node)),
        })
        .await
    }

    /// Gives a node no further jobs. What runs there goes on.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure); [`Invalid`](ErrorKind::Invalid) for a node that nobody knows.
    pub async fn cordon(&self, node: &NodeId) -> Result<Settings> {
        self.edit(node, |settings| {
            settings.cordoned.insert(node.clone());
        })
        .await
    }

    /// Gives a node jobs again: ends its cordon and its drain. What was moved away comes back as its failback says.
    ///
    /// # Errors
    /// As [`cordon`](Self::cordon).
    pub async fn uncordon(&self, node: &NodeId) -> Result<Settings> {
        self.edit(node, |settings| {
            settings.cordoned.remove(node);
            settings.drains.remove(node);
        })
        .await
    }

    /// Empties a node; [`drained`](Self::drained) waits for it. Until [`uncordon`](Self::uncordon) it is given no jobs.
    ///
    /// # Errors
    /// As [`cordon`](Self::cordon).
    pub async fn drain(&self, node: &NodeId, drain: &Drain) -> Result<Settings> {
        self.edit(node, |settings| drop(settings.drains.insert(node.clone(), drain.clone()))).await
    }

    /// Sets who runs the jobs, and who may lead.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure).
    pub async fn set_topology(&self, topology: Topology) -> Result<Settings> {
        self.put(|settings| settings.topology = topology).await
    }

    /// Sets how nodes are chosen for jobs.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure). Whether the nodes' hosts bring a strategy of another name along is not known here.
    pub async fn set_strategy(&self, strategy: StrategyName) -> Result<Settings> {
        self.put(|settings| settings.strategy = strategy.clone()).await
    }

    /// Sets whether jobs return to the node they were moved from, where their own policy does not say.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure).
    pub async fn set_failback(&self, failback: Failback) -> Result<Settings> {
        self.put(|settings| settings.failback = failback).await
    }

    /// Sets when a node counts as flapping.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure).
    pub async fn set_damping(&self, damping: Damping) -> Result<Settings> {
        self.put(|settings| settings.damping = damping).await
    }

    /// Defines a class, for jobs that are submitted or applied from then on.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure); [`Invalid`](ErrorKind::Invalid) as [`JobPolicy::check`], and for a node in a pin that nobody knows.
    pub async fn set_class(&self, class: &ClassName, policy: &JobPolicy) -> Result<Settings> {
        let known = self.known().await?;
        self.reconfigure(|settings| {
            known.check_pins(policy)?;
            settings.classes.insert(class.clone(), policy.clone());
            Ok(())
        })
        .await
    }

    /// Takes a class away. Jobs that have their policy from it keep that.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure).
    pub async fn remove_class(&self, class: &ClassName) -> Result<Settings> {
        self.put(|settings| drop(settings.classes.remove(class))).await
    }

    pub(super) async fn put(&self, mut change: impl FnMut(&mut Settings)) -> Result<Settings> {
        self.reconfigure(|settings| {
            change(settings);
            Ok(())
        })
        .await
    }

    /// A change about one node, which must be a known one.
    async fn edit(&self, node: &NodeId, mut change: impl FnMut(&mut Settings)) -> Result<Settings> {
        let known: Known = self.known().await?;
        self.reconfigure(|settings| {
            known.check_node("node", node)?;
            change(settings);
            Ok(())
        })
        .await
    }
}

/// Moves `node` within `roster`.
fn ranked(roster: &mut Vec<NodeId>, node: &NodeId, rank: Rank) -> Result<(), Invalid> {
    let place = roster.iter().position(|named| named == node);
    let last = roster.len().saturating_sub(1);
    let to = match (place, rank) {
        (_, Rank::First) => 0,
        (Some(place), Rank::Up) => place.saturating_sub(1),
        (Some(place), Rank::Down) => (place + 1).min(last),
        (Some(_), Rank::Last) => last,
        // Behind the named ones, which is before all that are not.
        (None, Rank::Up) => roster.len(),
        (None, Rank::Down | Rank::Last) => {
            let rule = "it is not on the roster, so it comes behind all that are: promote it, or set the whole roster";
            return Err(Invalid::new("node", node, rule));
        }
    };
    if let Some(place) = place {
        roster.remove(place);
    }
    roster.insert(to, node.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(roster: &str, node: &str, rank: Rank) -> Option<String> {
        let mut roster: Vec<_> = roster.split_terminator(',').map(|name| NodeId::new(name).unwrap()).collect();
        ranked(&mut roster, &NodeId::new(node).unwrap(), rank).ok()?;
        Some(roster.iter().map(NodeId::as_str).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn a_rank_is_changed_by_one_or_to_an_end() {
        let is = |roster: &str| Some(roster.to_owned());
        assert_eq!(after("a,b,c", "b", Rank::Up), is("b,a,c"));
        assert_eq!(after("a,b,c", "a", Rank::Up), is("a,b,c"));
        assert_eq!(after("a,b,c", "b", Rank::Down), is("a,c,b"));
        assert_eq!(after("a,b,c", "c", Rank::Down), is("a,b,c"));
        assert_eq!(after("a,b,c", "c", Rank::First), is("c,a,b"));
        assert_eq!(after("a,b,c", "a", Rank::Last), is("b,c,a"));
        assert_eq!(after("a", "x", Rank::Up), is("a,x"));
        assert_eq!(after("", "x", Rank::First), is("x"));
        assert_eq!((after("a", "x", Rank::Down), after("", "x", Rank::Last)), (None, None));
    }
}
