//! The documents below `control`: what operators tell a cluster, and what it answers.
//!
//! They are shared by the machine, which acts on them, and by `Admin`, which writes them.

mod check;
mod config;
mod orders;
mod pace;
mod parse;
mod settings;
mod switchover;
mod version;

pub use config::{Edit, KEPT_VERSIONS, Versioned, history_key, version_key};
pub use orders::{Errand, MAX_ORDERS, Order, OrderPhase, Orders};
pub use pace::Pace;
pub use settings::{Damping, Drain, HoldOff, Overdue, Pause, Settings, StrategyName, Topology};
pub use switchover::{SwitchCause, SwitchPhase, SwitchStep, SwitchWay, Switchover};
pub use version::{VersionRule, check_version};

use crate::ids::StateKey;

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
