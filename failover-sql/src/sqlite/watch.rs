//! How a change by another process is noticed, quickly and without hammering the file.
//!
//! A transaction that changes something others wait for writes down what, in the hints table, at the next number of a counter
//! (the pulse). After its commit it sets the file's times. On Linux every watching handle has inotify report exactly that
//! (`IN_ATTRIB`), and then reads the hints that are newer than the last it read: one small query for each change, and
//! none for anything else.
//!
//! Why not watch the `-wal` file, which every commit writes? It tells too early: a reader that wakes then finds the commit
//! not yet published, and is not told again. It also tells of plain heartbeats and renewals, and of every write of the host's
//! own in the same file. The file's times are set after the commit, and only for news. Deleting, renaming and replacing the
//! file is reported the same way, so a node comes to know of that at once.
//!
//! Where there is no inotify (another system, or no instance left), `PRAGMA data_version` is asked every 50 ms, which looks
//! into shared memory and not at the file. In either case the hints are read once a second whatever was reported, for a
//! process that was killed between its commit and its report.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use failover_core::{ClusterName, Error, ErrorKind, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::connection::Purpose;
use super::session::Database;
use crate::dialect::{Access, Fault, Session, args};

/// How long a watcher goes without a look, reports or not.
const AT_LEAST: Duration = Duration::from_secs(1);
/// How long it waits after a look: what is reported meanwhile makes one more look together, so a storm of changes costs at
/// most two hundred a second.
const COALESCE: Duration = Duration::from_millis(5);

/// What is known of changes.
#[derive(Default)]
struct Board {
    /// The pulse of each area's latest change since the store was opened.
    areas: HashMap<String, u64>,
    /// Why nothing will be known any more.
    ended: Option<Error>,
}

/// One task for each handle, shared by all who wait on it: started by the first, ended with the handle.
pub(super) struct Watcher {
    cluster: ClusterName,
    opened: u64,
    board: Arc<watch::Sender<Board>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Watcher {
    pub(super) fn new(cluster: ClusterName, opened: u64) -> Self {
        Self { cluster, opened, board: Arc::new(watch::Sender::new(Board::default())), task: Mutex::default() }
    }

    /// Completes with the pulse of the area's latest change once that is above `since`.
    pub(super) async fn changed(&self, database: &Arc<Database>, area: &str, since: u64) -> Result<u64> {
        let mut board = self.board.subscribe();
        self.start(database);
        let known =
            board.wait_for(|board| board.ended.is_some() || board.areas.get(area).is_some_and(|p| *p > since)).await;
        let gone = |_| Error::new(ErrorKind::Unavailable, "changed", "the store's handle was dropped");
        let known = known.map_err(gone)?;
        match (&known.ended, known.areas.get(area)) {
            (None, Some(pulse)) => Ok(*pulse),
            (Some(error), _) => Err(error.clone()),
            (None, None) => Ok(since),
        }
    }

    /// Starts the task, also anew if the runtime it ran on has ended.
    fn start(&self, database: &Arc<Database>) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let watching = watch(Arc::clone(database), self.cluster.clone(), self.opened, Arc::clone(&self.board));
            *task = Some(tokio::spawn(watching));
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

async fn watch(database: Arc<Database>, cluster: ClusterName, mut upto: u64, board: Arc<watch::Sender<Board>>) {
    // Before the first look, so that nothing falls between the two.
    let mut ear = Ear::new(&database);
    loop {
        match news(&database, &cluster, upto).await {
            Ok(news) if news.is_empty() => {}
            Ok(news) => {
                upto = news.iter().map(|(_, pulse)| *pulse).max().unwrap_or(upto);
                board.send_modify(|board| board.areas.extend(news));
            }
            Err(Fault::Failed(error)) if !error.is_retryable() => {
                board.send_modify(|board| board.ended = Some(error));
                return;
            }
            Err(Fault::Failed(error) | Fault::Busy(error)) => {
                tracing::debug!(%error, "the change hints could not be read");
            }
        }
        tokio::time::sleep(COALESCE).await;
        ear.hear(&database).await;
    }
}

/// The areas that changed after the pulse `upto`.
async fn news(database: &Database, cluster: &ClusterName, upto: u64) -> Result<Vec<(String, u64)>, Fault> {
    let mut session = database.begin("changed", Purpose::Watch, Access::Read).await?;
    let sql = database.sql.get("SELECT area, pulse FROM {hints} WHERE cluster = ? AND pulse > ?");
    let rows = session.rows(sql, args![cluster.as_str(), upto]).await?;
    let mut news = Vec::with_capacity(rows.len());
    for row in &rows {
        news.push((row.text(0)?.to_owned(), row.number(1)?));
    }
    Box::new(session).commit(cluster.as_str(), &[]).await?;
    Ok(news)
}

/// Where reports come from.
enum Ear {
    #[cfg(target_os = "linux")]
    Inotify(inotify::Listener),
    Poll {
        version: Option<i64>,
    },
}

impl Ear {
    #[cfg(target_os = "linux")]
    fn new(database: &Database) -> Self {
        inotify::Listener::new(database.file.path()).map_or_else(
            |error| {
                tracing::warn!(%error, "no inotify instance is left, so changes are polled for: raise fs.inotify.max_user_instances");
                Self::Poll { version: None }
            },
            Self::Inotify,
        )
    }

    #[cfg(not(target_os = "linux"))]
    fn new(_database: &Database) -> Self {
        Self::Poll { version: None }
    }

    /// Completes when something may have changed, and after [`AT_LEAST`] in any case.
    async fn hear(&mut self, database: &Database) {
        let listening = async {
            match self {
                #[cfg(target_os = "linux")]
                Self::Inotify(listener) => listener.hear().await,
                Self::Poll { version } => poll(database, version).await,
            }
        };
        // Elapsed or told, the next thing to do is to look.
        let _either = tokio::time::timeout(AT_LEAST, listening).await;
    }
}

/// Completes when another connection has committed something since `version`.
async fn poll(database: &Database, version: &mut Option<i64>) {
    const EVERY: Duration = Duration::from_millis(50);
    loop {
        tokio::time::sleep(EVERY).await;
        let now = database.data_version().await;
        // An unreadable one is for the look itself to find out about.
        if now.is_none() || now != std::mem::replace(version, now) {
            return;
        }
    }
}

#[cfg(target_os = "linux")]
mod inotify {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    use tokio::io::{Interest, unix::AsyncFd};

    /// Reports about one file: its times were set, or it was deleted, renamed or replaced.
    pub(super) struct Listener(AsyncFd<OwnedFd>);

    impl Listener {
        pub(super) fn new(path: &Path) -> io::Result<Self> {
            let queue = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            add_watch(&queue, path, WatchFlags::ATTRIB | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF)?;
            #[expect(deprecated, reason = "unsound only for a type that swaps its descriptor, which an OwnedFd cannot")]
            AsyncFd::with_interest(queue, Interest::READABLE).map(Self)
        }

        /// Completes when there were reports, and takes all of them: what they say is read from the database.
        pub(super) async fn hear(&self) {
            loop {
                let Ok(mut ready) = self.0.readable().await else { return std::future::pending().await };
                let mut reports = [0_u8; 4096];
                let mut heard = false;
                while rustix::io::read(self.0.get_ref(), &mut reports).is_ok_and(|n| n > 0) {
                    heard = true;
                }
                ready.clear_ready();
                if heard {
                    return;
                }
            }
        }
    }
}
