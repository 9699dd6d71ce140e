//! The deadline of a right, kept a second time: by the runtime of whoever works under it, when the one who renews it lives in another.

use std::sync::PoisonError;

use super::{Right, Span};
use crate::time::Time;

impl Right {
    /// Tells the work under it to stop at its moment, and that it is over at that. It takes the lead only if the keeper does not: both go by the same clock.
    pub(crate) async fn keep_deadline(mut self) {
        let mut renewed = true;
        loop {
            let Span { stop_at, ends_at, over } = *self.span.borrow_and_update();
            if over {
                return;
            }
            let told = self.is_told();
            tokio::select! {
                biased;
                changed = self.span.changed(), if renewed => renewed = changed.is_ok(),
                () = self.clock.sleep_until(if told { ends_at } else { stop_at }) => {
                    if told {
                        return self.ended.cancel();
                    }
                    self.tell(stop_at);
                }
            }
        }
    }

    /// From here on it is not extended, so that nobody is told to stop under a right that goes on.
    fn tell(&self, stop_at: Time) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if self.span.borrow().stop_at == stop_at {
            *told = true;
            self.stopped.get_or_init(|| self.clock.now());
            self.stopping.cancel();
        }
    }

    fn is_told(&self) -> bool {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
