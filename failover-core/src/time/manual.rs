use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Clock, Time};

/// A clock that stands still until a test moves it. Clones share the same hand.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<watch::Sender<Time>>);

impl ManualClock {
    /// A clock that shows an arbitrary, non-zero moment: code that takes zero for "never" is found out.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Time::from_nanos(1_000_000_000_000))))
    }

    /// Moves the hand forward and wakes every sleeper whose moment has come.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now = *now + by);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait::async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Time {
        *self.0.borrow()
    }

    async fn sleep_until(&self, at: Time) {
        let mut hand = self.0.subscribe();
        // `self` owns the sender, so the channel cannot close while this is awaited.
        let _open = hand.wait_for(|now| *now >= at).await;
    }
}
