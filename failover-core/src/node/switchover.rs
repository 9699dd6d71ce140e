//! A switchover asked for by a host, on whichever node it is.

use std::time::Duration;

use super::Node;
use crate::admin::SwitchoverError;
use crate::control::Switchover;
use crate::ids::NodeId;

impl Node {
    /// Asks for the active role to be handed over, to `to` or else to the standby, and waits until that is done. Any node may ask, also one that is
    /// neither; it is the same wish as [`Admin::switchover`](crate::Admin::switchover), and no more than that: the active node answers it.
    ///
    /// # Errors
    /// As there.
    pub async fn switchover(&self, to: Option<NodeId>, within: Duration) -> Result<Switchover, SwitchoverError> {
        self.operator.switchover(to, within).await
    }
}
