//! Hints by NOTIFY: one listening connection for each handle, however many wait on it.
//!
//! What is notified in a transaction is sent when it has committed, never before. Nothing is sent to one who was not
//! listening, so whenever the connection was made anew, everybody is woken to read again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use failover_core::{Error, ErrorKind, Result};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::session::Database;

/// How long the connection may be silent before it is asked whether it lives: a half-open one says nothing for ever.
const SILENCE: Duration = Duration::from_secs(2);

/// How many times each area was heard of.
#[derive(Default)]
struct Board {
    /// Counts everything that was heard.
    count: u64,
    /// The count at each area's latest notification.
    areas: HashMap<String, u64>,
    /// The count when something may have been missed.
    all: u64,
}

impl Board {
    fn latest(&self, area: &str) -> u64 {
        self.areas.get(area).copied().unwrap_or(0).max(self.all)
    }
}

/// One task for each handle: started by the first who waits, ended with the handle.
pub(super) struct Listener {
    /// What the payloads of this cluster begin with.
    cluster: String,
    board: Arc<watch::Sender<Board>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Listener {
    pub(super) fn new(cluster: &str) -> Self {
        let board = Arc::new(watch::Sender::new(Board::default()));
        Self { cluster: format!("{cluster} "), board, task: Mutex::default() }
    }

    /// Completes with the count of the area's latest notification once that is above `since`.
    pub(super) async fn changed(&self, database: &Database, area: &str, since: u64) -> Result<u64> {
        // A pooler's sessions are nobody's to listen in: then there are no hints, and whoever waits looks when its time comes.
        let Some(options) = database.server.listening() else { return std::future::pending().await };
        let mut board = self.board.subscribe();
        self.start(options, database);
        let known = board.wait_for(|board| board.latest(area) > since).await;
        let gone = |_| Error::new(ErrorKind::Unavailable, "changed", "the store's handle was dropped");
        known.map(|board| board.latest(area)).map_err(gone)
    }

    /// Starts the task, also anew if the runtime it ran on has ended.
    fn start(&self, options: PgConnectOptions, database: &Database) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let (cluster, board, channel) = (self.cluster.clone(), Arc::clone(&self.board), database.channel.clone());
            let limit = database.server.options.common.connect_timeout;
            *task = Some(tokio::spawn(listen(options, channel, cluster, limit, board)));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

async fn listen(
    options: PgConnectOptions,
    channel: String,
    cluster: String,
    limit: Duration,
    board: Arc<watch::Sender<Board>>,
) {
    let mut pause = Duration::ZERO;
    loop {
        tokio::time::sleep(pause).await;
        // At once at first, then slower, but never so slow that a server that is back is not noticed soon.
        pause = (pause * 2).clamp(Duration::from_millis(20), Duration::from_millis(500)) + jitter();
        // The pool is what sqlx wants a listener to come from; nobody else takes a connection of it.
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(limit).connect_lazy_with(options.clone());
        let begun = timeout(limit, async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.listen(&channel).await?;
            Ok::<_, sqlx::Error>(listener)
        });
        let mut listener = match begun.await {
            Ok(Ok(listener)) => listener,
            Ok(Err(error)) => {
                tracing::debug!(%error, "change hints cannot be listened for");
                continue;
            }
            Err(_elapsed) => continue,
        };
        pause = Duration::ZERO;
        board.send_modify(|board| {
            board.count += 1;
            board.all = board.count;
        });
        hear(&mut listener, &cluster, limit, &board).await;
    }
}

/// Tells of every notification until the connection is lost.
async fn hear(listener: &mut PgListener, cluster: &str, limit: Duration, board: &watch::Sender<Board>) {
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(heard))) => {
                let Some(area) = heard.payload().strip_prefix(cluster) else { continue };
                board.send_modify(|board| {
                    board.count += 1;
                    board.areas.insert(area.to_owned(), board.count);
                });
            }
            Ok(Ok(None) | Err(_)) => return,
            Err(_silent) => {
                let alive = sqlx::query("SELECT 1").persistent(false).execute(&mut *listener);
                if !matches!(timeout(limit, alive).await, Ok(Ok(_))) {
                    return;
                }
            }
        }
    }
}

fn jitter() -> Duration {
    use std::hash::{BuildHasher, RandomState};
    Duration::from_millis(RandomState::new().hash_one(0) % 20)
}
