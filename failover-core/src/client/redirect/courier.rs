//! Carries one redirect out, once per term.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tracing::warn;

use super::{Redirect, RedirectError, RedirectPhase, Redirected};
use crate::client::pen::Pen;
use crate::client::{Address, Endpoint};
use crate::driver::panic_text;
use crate::ids::StateKey;
use crate::machine::{Event, EventKind, Reason};
use crate::record;
use crate::right::Right;

/// The most of what a redirect says that is kept, in bytes.
const MAX_SAID: usize = 1024;

/// The pauses between two tries, from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(crate) struct Courier {
    pub(crate) name: String,
    pub(crate) key: StateKey,
    pub(crate) redirect: Arc<dyn Redirect>,
    pub(in crate::client) pen: Pen,
    pub(crate) endpoints: Vec<Endpoint>,
}

impl Courier {
    /// Until it is dropped.
    pub(crate) async fn run(self) {
        let mut last = None;
        loop {
            let right = self.pen.shared.active_after(last).await;
            last = Some(right.lease().term);
            let stopping = right.stopping();
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = self.carry_out(&right) => {}
            }
        }
    }

    async fn carry_out(&self, right: &Right) {
        let node = self.pen.shared.member.node.clone();
        let to = Address::new(right.lease().term, node, self.endpoints.clone());
        if let Some(claim) = note(right, RedirectPhase::Claimed, None)
            && self.pen.insist("redirect", &self.key, &claim, right.lease()).await.is_err()
        {
            return;
        }
        let (mut failing, mut pauses) = (false, self.pen.pauses(FIRST_PAUSE, LONGEST_PAUSE));
        loop {
            let (kind, phase, reason, said) = match self.attempt(&to, right).await {
                Ok(said) => (EventKind::RedirectDone, RedirectPhase::Done, Reason::ClientsLed, said),
                Err(why @ RedirectError::Superseded(_)) => {
                    (EventKind::RedirectFailed, RedirectPhase::Failed, Reason::LedByLater, why.to_string())
                }
                Err(RedirectError::Failed(why)) => {
                    (EventKind::RedirectFailed, RedirectPhase::Failed, Reason::RedirectBroke, why)
                }
            };
            let said = end_of(&said).to_owned();
            let is_over = reason != Reason::RedirectBroke;
            if is_over || !failing {
                let event = Event::new(kind, to.node.clone(), reason).term(to.term);
                self.pen.shared.tell(event.detail(format!("{}: {said}", self.name)));
                // For people: that it cannot be written now is no reason to do anything again.
                if let Some(note) = note(right, phase, Some(said))
                    && let Err(error) = self.pen.write("redirect", &self.key, &note, right.lease()).await
                {
                    warn!(redirect = self.name, %error, "how far a redirect is could not be written");
                }
            }
            if is_over {
                return;
            }
            failing = true;
            pauses.rest().await;
        }
    }

    /// One try, within its deadline.
    async fn attempt(&self, to: &Address, right: &Right) -> Result<String, RedirectError> {
        let limit = self.redirect.deadline();
        let clock = &*self.pen.clock;
        let end = clock.now() + limit;
        tokio::select! {
            biased;
            outcome = AssertUnwindSafe(self.redirect.redirect(to, right)).catch_unwind() => outcome.unwrap_or_else(|panic| {
                Err(RedirectError::Failed(format!("it panicked: {}", panic_text(&*panic))))
            }),
            () = clock.sleep_until(end) => {
                Err(RedirectError::Failed(format!("it was not done within {limit:?} and was dropped")))
            }
        }
    }
}

/// How far it is, as it is written.
fn note(right: &Right, phase: RedirectPhase, said: Option<String>) -> Option<Vec<u8>> {
    let lease = right.lease();
    let note = Redirected { term: lease.term, node: lease.holder.node.clone(), phase, said };
    record::encode("redirect", &note).ok().map(String::into_bytes)
}

/// The end, where the reason is, as a rule.
fn end_of(said: &str) -> &str {
    let said = said.trim();
    &said[said.ceil_char_boundary(said.len().saturating_sub(MAX_SAID))..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_said_the_end_is_kept() {
        let long = format!("{}end\n", "é".repeat(MAX_SAID));
        let kept = end_of(&long);
        assert!(kept.len() <= MAX_SAID && kept.ends_with("éend") && kept.starts_with('é'));
        assert_eq!(end_of(" short "), "short");
    }
}
