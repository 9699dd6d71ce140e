//! How a change by another process is noticed: the scripts publish what has changed, one connection listens.
//!
//! A message that nobody listened to is gone. So everybody who waits is woken each time the subscription was made (again): they
//! look, and wait from there on.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use failover_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::connection::{Ear, News};
use crate::options::Servers;
use crate::store::Shared;

/// How often it is looked whether the other side of the subscription is still there.
const PROBE: Duration = Duration::from_secs(1);
/// The first pause before another attempt, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));
/// What Sentinels publish when another server has become the primary.
const SWITCHED: &str = "+switch-master";

/// What is known of changes.
#[derive(Default)]
struct Board {
    /// Counts what was heard.
    pulse: u64,
    /// The pulse of each area's latest change.
    areas: HashMap<String, u64>,
    /// The pulse when the subscription was last made: before it anything may have changed.
    since: u64,
    /// Why nothing will be known any more.
    ended: Option<Error>,
}

impl Board {
    fn latest(&self, area: &str) -> u64 {
        self.areas.get(area).copied().unwrap_or(0).max(self.since)
    }
}

/// One task for each store, shared by all who wait on it: started by the first, ended with the store.
#[derive(Default)]
pub(crate) struct Watcher {
    board: Arc<watch::Sender<Board>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Watcher {
    /// Completes with the pulse of the area's latest change once that is above `since`.
    pub(crate) async fn changed(&self, shared: &Arc<Shared>, area: &str, since: u64) -> Result<u64> {
        let mut board = self.board.subscribe();
        self.start(shared);
        let known = board.wait_for(|board| board.ended.is_some() || board.latest(area) > since).await;
        let gone = |_| Error::new(ErrorKind::Unavailable, "changed", "the store's handle was dropped");
        let known = known.map_err(gone)?;
        known.ended.clone().map_or_else(|| Ok(known.latest(area)), Err)
    }

    /// Wakes everybody for the last time.
    pub(crate) fn end(&self, error: Error) {
        self.board.send_modify(|board| board.ended = Some(error));
    }

    /// Starts the task, also anew if the runtime it ran on has ended.
    fn start(&self, shared: &Arc<Shared>) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(listen(Arc::downgrade(shared), Arc::clone(&self.board))));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

async fn listen(shared: Weak<Shared>, board: Arc<watch::Sender<Board>>) {
    let mut pause = PAUSES.0;
    loop {
        let Some(store) = shared.upgrade() else { return };
        if store.alive().is_err() {
            return;
        }
        let subscribed = tokio::time::timeout(store.options.connect_timeout * 2, subscribe(&store)).await;
        drop(store);
        match subscribed {
            Ok(Ok(subscription)) => {
                pause = PAUSES.0;
                board.send_modify(|board| {
                    board.pulse += 1;
                    board.since = board.pulse;
                });
                hear(&shared, &board, subscription).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "the change hints cannot be subscribed to"),
            Err(_) => tracing::debug!("the change hints cannot be subscribed to: no answer"),
        }
        // Different for everybody, so that they do not all come at once.
        let jitter = RandomState::new().hash_one(pause) % 50;
        tokio::time::sleep(pause + pause * u32::try_from(jitter).unwrap_or(0) / 100).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

struct Subscription {
    ear: Ear,
    news: mpsc::UnboundedReceiver<News>,
    /// At a Sentinel, which tells when another server becomes the primary. Kept: dropped, it falls silent.
    sentinel: Option<(Ear, mpsc::UnboundedReceiver<News>)>,
}

/// Subscribes at the server that holds the data. It publishes there; in a cluster every node hears it.
async fn subscribe(shared: &Shared) -> Result<Subscription> {
    let sentinel = match shared.router.sentinels() {
        Some((addresses, Servers::Sentinel { login, .. })) => {
            let mut found = None;
            for address in addresses {
                // A Sentinel that hangs must not keep the others from being asked.
                let asking = shared.router.connector.subscribe(&address, login, SWITCHED);
                if let Ok(Ok(ear)) = tokio::time::timeout(Duration::from_millis(500), asking).await {
                    found = Some(ear);
                    break;
                }
            }
            found
        }
        _ => None,
    };
    let server = shared.connect("changed").await.map_err(|error| shared.note(error))?;
    let channel = shared.keys.channel();
    let (ear, news) = shared.router.connector.subscribe(&server.address, &shared.options.login, &channel).await?;
    Ok(Subscription { ear, news, sentinel })
}

/// Passes on what is heard, until the subscription is lost.
async fn hear(shared: &Weak<Shared>, board: &watch::Sender<Board>, mut subscription: Subscription) {
    loop {
        let switched = async {
            match &mut subscription.sentinel {
                Some((_, news)) => news.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            told = subscription.news.recv() => match told {
                Some(News::Message(area)) => {
                    let area = String::from_utf8_lossy(&area).into_owned();
                    board.send_modify(|board| {
                        board.pulse += 1;
                        board.areas.insert(area, board.pulse);
                    });
                }
                Some(News::Ended) | None => return,
            },
            told = switched => {
                if let (Some(News::Message(_)), Some(shared)) = (told, shared.upgrade()) {
                    // What was the primary may still answer: it must not be asked any more.
                    shared.disconnect();
                }
                return;
            }
            () = tokio::time::sleep(PROBE) => {
                // Silence may also be a connection that is dead and does not know.
                let probe = tokio::time::timeout(PROBE, subscription.ear.probe()).await;
                if !matches!(probe, Ok(true)) {
                    return;
                }
            }
        }
    }
}
