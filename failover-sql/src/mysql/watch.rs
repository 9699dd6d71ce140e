//! How a change by another process is noticed: the server pushes nothing, so it is asked, while somebody waits.
//!
//! What a transaction changes for others, it notes in the hints table at the next number of a counter (the pulse), which it holds
//! locked until it commits: hints become visible in their order. A hot operation is one statement on one row and notes the moment
//! in that row (`told`); those may become visible out of order, so each look goes back a little and compares.
//!
//! One query a second for a handle while nothing changes, more of them for a moment after something has ([`Pace`]), whoever waits for
//! whatever; none when nobody waits. It reads by index what is new. The end of a hold rings a [`bell`](super::bell), and is looked
//! for at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use failover_core::time::{Clock as _, SystemClock};
use failover_core::{Error, ErrorKind, Result};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::bell::Listeners;
use super::classify::{Stage, classify};
use super::pace::Pace;
use super::session::Database;
use super::{connection, now};
use crate::dialect::{Fault, Row, args};
use crate::keys::BEATS;

/// How far a look goes back, in nanoseconds: for statements that took so long from reading the clock to their commit.
const BACK: i64 = 5_000_000_000;

const LOOK: &str = concat!(
    "SELECT 0, area, pulse FROM {hints} WHERE cluster = ? AND pulse > ? \
     UNION ALL SELECT 1, name, told FROM {leases} WHERE cluster = ? AND told > ? \
     UNION ALL SELECT 2, node, told FROM {heartbeats} WHERE cluster = ? AND told > ? \
     UNION ALL SELECT 3, store, ",
    now!(),
    " FROM {meta} WHERE id = 1"
);

/// What is known of changes.
struct Board {
    /// The number of the latest look that found one, by area.
    areas: HashMap<String, u64>,
    /// Why nothing will be known any more.
    ended: Option<Error>,
}

/// Up to where changes are known.
#[derive(Debug, Clone)]
struct Upto {
    /// Counts the looks that found something, from the pulse at the opening.
    number: u64,
    pulse: u64,
    /// The server's clock when the store was opened: what was told before is no news.
    opened: i64,
    /// And at the latest look.
    looked: i64,
    /// What that found told, by row: what the next one finds again is no news.
    told: HashMap<String, i64>,
}

/// One task for each handle, shared by all who wait on it: started by the first, ended with the last.
pub(super) struct Watcher {
    board: Arc<watch::Sender<Board>>,
    upto: Arc<tokio::sync::Mutex<Upto>>,
    rung: Arc<Notify>,
    listeners: Listeners,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Watcher {
    pub(super) fn new(pulse: u64, opened: i64) -> Self {
        let board = Board { areas: HashMap::new(), ended: None };
        let upto = Upto { number: pulse, pulse, opened, looked: opened, told: HashMap::new() };
        Self {
            board: Arc::new(watch::Sender::new(board)),
            upto: Arc::new(upto.into()),
            rung: Arc::default(),
            listeners: Listeners::default(),
            task: Mutex::default(),
        }
    }

    /// Completes with the number of the area's latest change once that is above `since`.
    pub(super) async fn changed(&self, database: &Arc<Database>, area: &str, since: u64) -> Result<u64> {
        let mut board = self.board.subscribe();
        self.start(database);
        if let Some(lease) = area.strip_prefix("lease/") {
            self.listeners.listen(database, lease, &self.rung);
        }
        let known =
            board.wait_for(|board| board.ended.is_some() || board.areas.get(area).is_some_and(|n| *n > since)).await;
        let gone = |_| Error::new(ErrorKind::Unavailable, "changed", "the store's handle was dropped");
        let known = known.map_err(gone)?;
        match (&known.ended, known.areas.get(area)) {
            (None, Some(number)) => Ok(*number),
            (Some(error), _) => Err(error.clone()),
            (None, None) => Ok(since),
        }
    }

    /// Starts the task, also anew if the runtime it ran on has ended.
    fn start(&self, database: &Arc<Database>) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let (board, upto, rung) = (Arc::clone(&self.board), Arc::clone(&self.upto), Arc::clone(&self.rung));
            let watching = watch(Arc::clone(database), board, upto, rung);
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

async fn watch(
    database: Arc<Database>,
    board: Arc<watch::Sender<Board>>,
    upto: Arc<tokio::sync::Mutex<Upto>>,
    rung: Arc<Notify>,
) {
    let clock = SystemClock::new();
    let mut upto = upto.lock().await;
    let mut pace = Pace::new(clock.now());
    loop {
        // Also before the first look: whoever waits again and again does not ask more often.
        if tokio::time::timeout(pace.pause(), rung.notified()).await.is_ok() {
            pace.soon();
        }
        pace.looks(clock.now());
        if board.receiver_count() == 0 {
            // Nobody waits; whoever comes now finds the task at work, or starts it again.
            continue;
        }
        match tokio::time::timeout(Duration::from_secs(5), look(&database, &mut upto)).await {
            Ok(Ok(areas)) if areas.is_empty() => {}
            Ok(Ok(areas)) => {
                pace.soon();
                let number = upto.number;
                board.send_modify(|board| board.areas.extend(areas.into_iter().map(|area| (area, number))));
            }
            Ok(Err(Fault::Failed(error))) if !error.is_retryable() && error.kind() != ErrorKind::Denied => {
                board.send_modify(|board| board.ended = Some(error));
                return;
            }
            Ok(Err(Fault::Failed(error) | Fault::Busy(error))) => {
                tracing::debug!(%error, "the change hints could not be read");
            }
            Err(_elapsed) => tracing::debug!("the change hints could not be read in time"),
        }
    }
}

/// The areas that changed since the last look.
async fn look(database: &Arc<Database>, upto: &mut Upto) -> Result<Vec<String>, Fault> {
    const OPERATION: &str = "changed";
    let mut taken = database.take_watch(OPERATION).await?;
    let (cluster, since) = (database.cluster.as_str(), upto.opened.max(upto.looked - BACK));
    let args = args![cluster, upto.pulse, cluster, since, cluster, since];
    let rows = match connection::rows(taken.get(), database.sql.get(LOOK), args).await {
        Ok(rows) => rows,
        Err(error) => return Err(classify(OPERATION, Stage::Before, error)),
    };
    taken.give_back();
    let (mut areas, mut told, mut store) = (Vec::new(), HashMap::new(), None);
    for values in rows {
        let row = Row { operation: OPERATION, values };
        let (kind, name, value) = (row.int(0)?, row.text(1)?, row.int(2)?);
        match kind {
            0 => {
                areas.push(name.to_owned());
                upto.pulse = upto.pulse.max(row.number(2)?);
            }
            1 | 2 => {
                let area = if kind == 1 { format!("lease/{name}") } else { BEATS.to_owned() };
                let key = format!("{kind} {name}");
                if upto.told.get(&key) != Some(&value) {
                    areas.push(area);
                }
                told.insert(key, value);
            }
            _ => {
                store = Some(name.to_owned());
                upto.looked = value;
            }
        }
    }
    upto.told = told;
    if !areas.is_empty() {
        upto.number += 1;
    }
    if store.is_some_and(|store| store == database.identity.store) {
        return Ok(areas);
    }
    let message =
        "the database holds another store than the one this node opened, or none: restart the node, with a term floor";
    Err(Error::new(ErrorKind::StoreChanged, OPERATION, message).into())
}
