//! [`Hints`]: one watch for all that a handle's waiters wait for.
//!
//! The watch begins behind the revision at which the store was opened and is resumed behind the last one it told of, so
//! nothing is missed that the servers still remember. Where they do not (compaction), and whenever the watch was lost, everybody
//! is woken: a hint may come for nothing (law 7).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::{Event, EventType, WatchOptions, WatchStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::classify::Fault;
use crate::connection::{Access, Call, Connection, Lane, jitter};
use crate::keys::Keys;
use crate::store::lock;
use crate::txn::{Cache, Entry};

/// A watch that was silent for this long is asked whether it lives, and given up if it is silent for as long again. etcd's
/// own notice of progress comes every ten minutes, and its servers forbid more than one ping in five seconds.
const SILENCE: Duration = Duration::from_secs(3);

/// The longest pause between two attempts to watch again.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

pub(crate) struct Hints {
    lane: Lane,
    keys: Keys,
    /// What is told of keys that were asked for, so that who is woken by a change can act on it without asking first.
    cache: Arc<Cache>,
    state: Mutex<State>,
    stir: watch::Sender<()>,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Debug, Default)]
struct State {
    /// Up to where the watch has told.
    revision: i64,
    /// Counts what was told.
    stamp: u64,
    /// The last that was told of each area.
    areas: HashMap<String, u64>,
    /// The last that everybody was told.
    all: u64,
}

impl Hints {
    pub(crate) fn new(lane: Lane, keys: Keys, cache: Arc<Cache>, revision: i64) -> Self {
        let state = Mutex::new(State { revision, ..State::default() });
        Self { lane, keys, cache, state, stir: watch::Sender::new(()), task: Mutex::default() }
    }

    /// Waits until something later than `since` is told of an area, and returns up to where it was told.
    pub(crate) async fn changed(self: &Arc<Self>, area: &str, since: u64) -> u64 {
        self.watch();
        let mut stir = self.stir.subscribe();
        loop {
            {
                let state = lock(&self.state);
                let told = state.areas.get(area).copied().unwrap_or(0).max(state.all);
                if told > since {
                    return told;
                }
            }
            // `self` owns the sender, so the channel cannot close while this is awaited.
            let _open = stir.changed().await;
        }
    }

    pub(crate) fn wake_all(&self) {
        let mut state = lock(&self.state);
        state.stamp += 1;
        state.all = state.stamp;
        drop(state);
        self.stir.send_replace(());
    }

    /// Begins to watch, if nobody does.
    fn watch(self: &Arc<Self>) {
        let mut task = lock(&self.task);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let hints = Arc::downgrade(self);
        let watching = async move {
            let mut pause = Duration::ZERO;
            while let Some(hints) = hints.upgrade() {
                let heard = hints.follow().await;
                tracing::debug!(cause = %heard.fault.text, "the watch has ended and is begun again");
                hints.wake_all();
                // At once after one that worked, then ever later, but never much: a server that is back is to be noticed.
                pause =
                    if heard.anything { Duration::ZERO } else { (pause * 2).clamp(LONGEST_PAUSE / 16, LONGEST_PAUSE) };
                drop(hints);
                tokio::time::sleep(jitter(pause)).await;
            }
        };
        *task = Some(tokio::spawn(watching).abort_handle());
    }

    /// Watches until that fails.
    async fn follow(&self) -> Heard {
        let call = Call::new("changed");
        let next = lock(&self.state).revision + 1;
        let options = || WatchOptions::new().with_prefix().with_start_revision(next).with_progress_notify();
        let opened = self.lane.run(&call, Access::Read, |connection: Connection| {
            let (mut watch, number) = (connection.client.watch_client(), connection.number);
            let watched = self.keys.watched();
            async move {
                let opened = tokio::time::timeout(SILENCE, watch.watch(watched, Some(options()))).await;
                let silent = Fault::new(crate::classify::What::Lost, "the watch does not begin");
                opened.map_err(|_| silent)?.map(|stream| (stream, number)).map_err(Fault::from)
            }
        });
        let (mut stream, number) = match opened.await {
            Ok(opened) => opened,
            Err(fault) => return Heard { anything: false, fault },
        };
        let heard = self.listen(&mut stream).await;
        self.lane.suspect(number);
        heard
    }

    async fn listen(&self, stream: &mut WatchStream) -> Heard {
        let mut anything = false;
        let mut asked = false;
        let end = |anything, text: &str| Heard { anything, fault: Fault::new(crate::classify::What::Lost, text) };
        loop {
            let message = match tokio::time::timeout(SILENCE, stream.message()).await {
                Err(_) if asked => return end(anything, "the watch is silent"),
                Err(_) => {
                    asked = true;
                    if stream.request_progress().await.is_err() {
                        return end(anything, "the watch takes no request");
                    }
                    continue;
                }
                Ok(Ok(None)) => return end(anything, "the watch has ended"),
                Ok(Err(error)) => return Heard { anything, fault: Fault::from(error) },
                Ok(Ok(Some(message))) => message,
            };
            asked = false;
            if message.canceled() {
                // What happened before the compaction is lost, which the waking of everybody makes good.
                let mut state = lock(&self.state);
                state.revision = state.revision.max(message.compact_revision() - 1);
                drop(state);
                // A store that was wiped has not come as far as was watched.
                return end(anything && message.compact_revision() > 0, message.cancel_reason());
            }
            anything = true;
            let revision = message.header().map_or(0, etcd_client::ResponseHeader::revision);
            let told: Vec<String> = message.events().iter().filter_map(|event| self.take_in(event)).collect();
            if message.created() {
                continue;
            }
            let mut state = lock(&self.state);
            // With events the header may already be further than they are; only theirs is sure to be complete.
            let upto = message.events().iter().filter_map(|event| Some(event.kv()?.mod_revision())).max();
            state.revision = state.revision.max(upto.unwrap_or(revision));
            if told.is_empty() {
                continue;
            }
            state.stamp += 1;
            let stamp = state.stamp;
            for area in told {
                state.areas.insert(area, stamp);
            }
            drop(state);
            self.stir.send_replace(());
        }
    }
}

impl Hints {
    /// Remembers what an event tells of its key, and says which area it is about.
    fn take_in(&self, event: &Event) -> Option<String> {
        let kv = event.kv()?;
        let key = kv.key_str().ok()?;
        let entry = match event.event_type() {
            EventType::Put => Some(Entry::of(kv)),
            EventType::Delete => None,
        };
        self.cache.heard(key, entry.as_ref(), kv.mod_revision());
        self.keys.area_of(key)
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

/// What a watch has come to.
struct Heard {
    /// Whether it told anything.
    anything: bool,
    fault: Fault,
}
