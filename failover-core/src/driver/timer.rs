use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::time::{Clock, Time};

/// Sleeps until a moment, and goes on sleeping where it was when the moment is still the same.
pub(crate) struct Timer {
    clock: Arc<dyn Clock>,
    sleeping: Option<(Time, BoxFuture<'static, ()>)>,
}

impl Timer {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sleeping: None }
    }

    /// Cancel safe.
    pub(crate) async fn until(&mut self, at: Option<Time>) {
        let Some(at) = at else { return std::future::pending().await };
        if self.sleeping.as_ref().is_none_or(|(sleeping, _)| *sleeping != at) {
            let clock = self.clock.clone();
            self.sleeping = Some((at, Box::pin(async move { clock.sleep_until(at).await })));
        }
        if let Some((_, sleep)) = &mut self.sleeping {
            Pin::new(sleep).await;
        }
        self.sleeping = None;
    }
}
