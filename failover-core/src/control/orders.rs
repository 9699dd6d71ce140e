//! What operators ask for once: [`Orders`], and how each came out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{ActionName, Incarnation, JobId, NodeId};
use crate::incident::EntryId;

/// How many orders are kept at most. The oldest that are over make room.
pub const MAX_ORDERS: usize = 200;

/// The orders, by their names, which sort by age.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Orders {
    /// By name.
    pub orders: BTreeMap<String, Order>,
}

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Order {
    /// What is to be done.
    pub what: Errand,
    /// How far it is.
    pub phase: OrderPhase,
    /// Why it was refused, or what is left to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asks for it.
    #[serde(default = "somebody")]
    pub by: String,
    /// The place of its entry in the history, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryId>,
}

/// Who asks, if they do not say.
pub(crate) fn somebody() -> String {
    "an operator".to_owned()
}

/// What an [`Order`] asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Errand {
    /// Run this job on that node, by handover. The job's record keeps no home afterwards: this is where it belongs now.
    Move {
        /// Which job.
        job: JobId,
        /// Where.
        to: NodeId,
    },
    /// Return to this node everything that was moved from it, by handover and in order.
    Failback {
        /// Which node.
        node: NodeId,
    },
    /// Note that an operator has seen an incident.
    Ack {
        /// The node that was lost.
        node: NodeId,
        /// Which start of it.
        incarnation: Incarnation,
        /// What they have to say.
        #[serde(default)]
        note: String,
    },
    /// Run a response action of an incident once more: one that failed, or that was begun and never told to be over.
    Retry {
        /// The node that was lost.
        node: NodeId,
        /// Which start of it.
        incarnation: Incarnation,
        /// Which action.
        action: ActionName,
    },
}

impl std::fmt::Display for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Move { job, to } => write!(f, "move {job} to {to}"),
            Self::Failback { node } => write!(f, "failback {node}"),
            Self::Ack { node, note, .. } if note.is_empty() => write!(f, "ack the loss of {node}"),
            Self::Ack { node, note, .. } => write!(f, "ack the loss of {node}: {note}"),
            Self::Retry { node, action, .. } => write!(f, "retry {action} for the loss of {node}"),
        }
    }
}

/// How far an [`Order`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderPhase {
    /// The active node has not seen it yet.
    Requested,
    /// It is being carried out.
    Started,
    /// It is done; `reason` says what could not be.
    Done,
    /// It will not happen, for the `reason` given.
    Refused,
}

impl OrderPhase {
    /// Whether nothing more will come of it.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Requested | Self::Started => false,
            Self::Done | Self::Refused => true,
        }
    }
}

impl Order {
    /// An order that nobody has seen yet.
    pub fn new(what: Errand) -> Self {
        Self { what, phase: OrderPhase::Requested, reason: None, by: somebody(), entry: None }
    }

    /// By whom.
    pub fn by(self, by: impl Into<String>) -> Self {
        Self { by: by.into(), ..self }
    }
}

impl Orders {
    /// Adds an order, making room if there is none. Its name, unless so many are open that there is no room to make.
    pub fn add(&mut self, order: Order) -> Option<String> {
        while self.orders.len() >= MAX_ORDERS {
            let over = self.orders.iter().find(|(_, order)| order.phase.is_over()).map(|(name, _)| name.clone())?;
            self.orders.remove(&over);
        }
        let name = uuid::Uuid::now_v7().to_string();
        self.orders.insert(name.clone(), order);
        Some(name)
    }

    /// Those that are not over yet, oldest first.
    pub fn open(&self) -> impl Iterator<Item = (&String, &Order)> {
        self.orders.iter().filter(|(_, order)| !order.phase.is_over())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_that_are_over_make_room_and_open_ones_do_not() {
        let order = || Order::new(Errand::Failback { node: NodeId::new("a").unwrap() });
        let mut orders = Orders::default();
        let first = orders.add(order()).unwrap();
        for _ in 1..MAX_ORDERS {
            orders.add(order()).unwrap();
        }
        assert_eq!(orders.add(order()), None);
        orders.orders.get_mut(&first).unwrap().phase = OrderPhase::Done;
        let last = orders.add(order()).unwrap();
        assert!(!orders.orders.contains_key(&first) && orders.orders.contains_key(&last));
        assert_eq!(orders.open().count(), MAX_ORDERS);
    }

    #[test]
    fn an_order_survives_serialisation() {
        let mut orders = Orders::default();
        orders.add(Order::new(Errand::Move { job: JobId::new("j").unwrap(), to: NodeId::new("a").unwrap() }));
        let json = serde_json::to_string(&orders).unwrap();
        assert_eq!(serde_json::from_str::<Orders>(&json).unwrap(), orders, "{json}");
    }
}
