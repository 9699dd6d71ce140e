//! The task behind a resolver: listen, look, and believe only what is newer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};
use tracing::debug;

use super::ResolveError;
use crate::client::{Address, active_key};
use crate::driver::{bounded, repeat};
use crate::ids::{Incarnation, Member, NodeId};
use crate::machine::Jitter;
use crate::state::StateStore;
use crate::time::Clock;

/// The least time between two looks, however many hints come.
const PAUSE: Duration = Duration::from_millis(20);

/// What is known.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) address: Option<Address>,
    pub(super) trouble: Option<ResolveError>,
}

pub(super) struct Follower {
    pub(super) store: Option<Arc<dyn StateStore>>,
    #[cfg(feature = "http")]
    pub(super) nodes: super::ask::Nodes,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) poll: Duration,
    pub(super) call: Duration,
    pub(super) view: watch::Sender<View>,
}

impl Follower {
    /// Until it is dropped.
    pub(super) async fn run(self) {
        let (key, nudge) = (active_key(), Notify::new());
        let Some(store) = &self.store else { return self.look_again_and_again(&nudge).await };
        let wait = || {
            let changed = store.changed(&key);
            // A store that does not let itself be listened to may be away: that is worth a look, too.
            changed
                .inspect(|heard| {
                    if heard.is_err() {
                        nudge.notify_one();
                    }
                })
                .boxed()
        };
        // It listens before it looks for the first time, so that nothing happens in between.
        tokio::join!(
            repeat(&*self.clock, PAUSE, self.poll, wait, || nudge.notify_one()),
            self.look_again_and_again(&nudge)
        );
    }

    async fn look_again_and_again(&self, nudge: &Notify) {
        let someone = NodeId::new("resolver").unwrap_or_else(|_| unreachable!("a constant that a test parses"));
        let mut jitter = Jitter::of(&Member::new(someone, Incarnation::fresh()));
        let shortest = self.poll / 20;
        let mut retry = shortest;
        loop {
            let looked = self.look().await;
            let pause = if looked.is_ok() { self.poll } else { retry };
            retry = if looked.is_ok() { shortest } else { (retry * 2).min(self.poll) };
            self.view.send_if_modified(|view| {
                let is_news = view.trouble.is_some() || looked.is_err();
                view.trouble = looked.err();
                is_news
            });
            tokio::select! {
                () = nudge.notified() => {}
                () = self.clock.sleep_until(self.clock.now() + jitter.upto(pause)) => {}
            }
        }
    }

    /// Asks the store, and the nodes if it does not tell.
    async fn look(&self) -> Result<(), ResolveError> {
        let asked = self.ask_store().await;
        #[cfg(feature = "http")]
        if !self.nodes.is_empty() && asked.is_err() {
            let store = match asked {
                Err(ResolveError::Store(error)) => Some(error),
                Ok(()) | Err(_) => None,
            };
            let address = self.nodes.ask(self.call).await.map_err(|said| ResolveError::Nodes { said, store })?;
            return self.believe(address);
        }
        asked
    }

    async fn ask_store(&self) -> Result<(), ResolveError> {
        let Some(store) = &self.store else { return Err(ResolveError::NoActive) };
        let key = active_key();
        let deadline = self.clock.now() + self.call;
        let document = bounded(&*self.clock, deadline, "resolve", store.get(&key)).await?;
        let document = document.ok_or(ResolveError::NoActive)?;
        self.believe(Address::decode(&document.value)?)
    }

    /// Takes over what is newer, and refuses what is older.
    fn believe(&self, told: Address) -> Result<(), ResolveError> {
        let (mut older, term) = (None, told.term);
        self.view.send_if_modified(|view| {
            let known = view.address.as_ref().map(|address| address.term);
            older = known.filter(|known| term < *known);
            let is_newer = Some(term) > known;
            if is_newer {
                debug!(term = term.0, node = %told.node, "the active node's address is known");
                view.address = Some(told);
            }
            is_newer
        });
        older.map_or(Ok(()), |known| Err(ResolveError::Older { told: term, known }))
    }
}
