//! The documents below `control`: what operators tell a cluster, and what it answers.
//!
//! They are shared by the machine, which acts on them, and by `Admin`, which writes them.

mod check;
mod orders;
mod settings;

use serde::{Deserialize, Serialize};

pub use orders::{Errand, MAX_ORDERS, Order, OrderPhase, Orders};
pub use settings::{Damping, Drain, Overdue, Settings, StrategyName};

use crate::ids::{NodeId, StateKey, Term};

/// The key all of them lie below.
pub fn control() -> StateKey {
    StateKey::new("control").unwrap_or_else(|_| unreachable!("a constant that a test parses"))
}

/// Where [`Settings`] are.
pub fn settings_key() -> StateKey {
    StateKey::new("control/cluster").unwrap_or_else(|_| unreachable!("a constant that a test parses"))
}

/// Where the last [`Switchover`] is.
pub fn switchover_key() -> StateKey {
    StateKey::new("control/switchover").unwrap_or_else(|_| unreachable!("a constant that a test parses"))
}

/// Where the [`Orders`] are.
pub fn orders_key() -> StateKey {
    StateKey::new("control/orders").unwrap_or_else(|_| unreachable!("a constant that a test parses"))
}

/// One switchover: an operator's wish, and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switchover {
    /// Tells one wish from the next.
    pub id: String,
    /// The node that is to become active; without one, the standby.
    pub to: Option<NodeId>,
    /// How far it is.
    pub phase: SwitchPhase,
    /// The node that was active.
    pub from: Option<NodeId>,
    /// The term of the node that wrote this phase.
    pub term: Option<Term>,
    /// Why it was refused, or how it ended.
    pub reason: Option<String>,
}

/// How far a [`Switchover`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchPhase {
    /// Asked for; the active node has not seen it yet.
    Requested,
    /// The active node is stepping down.
    Started,
    /// The node it names in `to` is active.
    Done,
    /// It will not happen, for the `reason` given.
    Refused,
}

impl SwitchPhase {
    /// Whether nothing more will come of it.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Requested | Self::Started => false,
            Self::Done | Self::Refused => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_lie_below_control() {
        assert!(settings_key().is_below(&control()));
        assert!(switchover_key().is_below(&control()));
        assert!(orders_key().is_below(&control()));
    }
}
