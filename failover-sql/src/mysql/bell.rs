//! Bells: how it is noticed at once that somebody has stopped holding a lease, on a server that pushes nothing.
//!
//! Who is granted a lease takes a lock of the server's (`GET_LOCK`) on a connection of its own, and gives it up when it has released the
//! lease. The server gives it up when the connection ends, as it does when a process dies. Who waits for changes of that lease
//! asks for the lock on a connection of its own: no answer comes until then. It gives it on at once, to wake whoever else
//! waits, and looks.
//!
//! Nobody holds anything by such a lock. It is a hint (law 7), may ring for nothing, and may never ring: where a stranger has it, where
//! nobody has it, or where a connection is dead, changes are looked for as everywhere else. The leases of single nodes have none:
//! nobody is in a hurry for them, and each would cost two connections.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failover_core::LeaseName;
use failover_core::time::{Clock as _, SystemClock};
use sqlx::MySqlConnection;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::classify::{Stage, classify, too_late};
use super::connection;
use super::session::Database;
use crate::dialect::{Fault, Row, args};
use crate::lanes::Taken;

/// The name of a lock is the same for all databases of a server, and short.
macro_rules! lock {
    () => {
        "CONCAT('failover:', LEFT(SHA2(?, 256), 48))"
    };
}
/// Those who wait give it on at once; a holder before, who has not noticed yet that it is none, may keep it longer.
const TAKE: &str = concat!("SELECT GET_LOCK(", lock!(), ", 1)");
const WAIT: &str = concat!("SELECT GET_LOCK(", lock!(), ", 30)");
const GIVE: &str = concat!("SELECT RELEASE_LOCK(", lock!(), ")");
/// How long any of them may take.
const LONGEST: Duration = Duration::from_secs(35);
/// How often the connection that has the locks is used, so that its end is noticed and nobody ends it for being idle.
const TICK: Duration = Duration::from_secs(20);
/// A lock that was had sooner than this was nobody's.
const NOBODYS: Duration = Duration::from_millis(100);
/// How soon it is waited for again after it rang, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// For so many leases at most a handle waits like this.
pub(super) const MOST: usize = 4;

const OPERATION: &str = "changed";

fn has_bell(lease: &str) -> bool {
    !lease.starts_with("node/")
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The locks of the leases that are held through this handle.
#[derive(Default)]
pub(super) struct Ringer {
    held: Arc<Held>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Held {
    leases: Mutex<HashSet<String>>,
    stir: Notify,
}

impl Ringer {
    /// A lease is held through this handle from now on, or not any more.
    pub(super) fn tell(&self, database: &Arc<Database>, name: &LeaseName, held: bool) {
        if !has_bell(name.as_str()) {
            return;
        }
        let changed = {
            let mut leases = guard(&self.held.leases);
            if held { leases.insert(name.to_string()) } else { leases.remove(name.as_str()) }
        };
        let mut task = guard(&self.task);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            if held {
                *task = Some(tokio::spawn(keep(Arc::clone(database), Arc::clone(&self.held))));
            }
        } else if changed || held {
            self.held.stir.notify_one();
        }
    }
}

impl Drop for Ringer {
    fn drop(&mut self) {
        if let Some(task) = guard(&self.task).take() {
            // And with it goes the connection.
            task.abort();
        }
    }
}

/// A connection, and the leases whose locks it has.
type Line = (Taken<MySqlConnection>, HashSet<String>);

async fn keep(database: Arc<Database>, held: Arc<Held>) {
    let mut line: Option<Line> = None;
    loop {
        let wanted = guard(&held.leases).clone();
        match settle(&database, line.take(), &wanted).await {
            Ok(settled) => line = settled,
            Err(Fault::Failed(error) | Fault::Busy(error)) => {
                tracing::debug!(%error, "the bells of the leases held here are lost for now");
            }
        }
        let _either = tokio::time::timeout(TICK, held.stir.notified()).await;
    }
}

/// Gives up the locks that are not wanted any more, and takes those that are.
async fn settle(database: &Arc<Database>, line: Option<Line>, wanted: &HashSet<String>) -> Result<Option<Line>, Fault> {
    let (mut taken, mut had) = match line {
        Some(line) => line,
        None if wanted.is_empty() => return Ok(None),
        None => (database.ringing().take(OPERATION).await?, HashSet::new()),
    };
    for lease in had.difference(wanted) {
        ask(database, &mut taken, GIVE, lease).await?;
    }
    had.retain(|lease| wanted.contains(lease));
    for lease in wanted {
        if !had.contains(lease) && ask(database, &mut taken, TAKE, lease).await? {
            had.insert(lease.clone());
        }
    }
    if had.is_empty() && wanted.is_empty() {
        taken.give_back();
        return Ok(None);
    }
    let alive = tokio::time::timeout(LONGEST, connection::text(taken.get(), "DO 1".into())).await;
    alive.map_err(|_| too_late(OPERATION, Stage::Before))?.map_err(|e| classify(OPERATION, Stage::Before, e))?;
    Ok(Some((taken, had)))
}

/// Asks something about a lease's lock: whether it was so.
async fn ask(
    database: &Database,
    taken: &mut Taken<MySqlConnection>,
    sql: &'static str,
    lease: &str,
) -> Result<bool, Fault> {
    let whose = format!("{} {} {lease}", database.identity.store, database.cluster);
    let asking = connection::rows(taken.get(), sql.into(), args![whose]);
    let rows = tokio::time::timeout(LONGEST, asking).await.map_err(|_| too_late(OPERATION, Stage::Before))?;
    let values = rows.map_err(|e| classify(OPERATION, Stage::Before, e))?.pop().unwrap_or_default();
    // Null where there was an error, or no such lock.
    Ok(Row { operation: OPERATION, values }.int(0).is_ok_and(|told| told == 1))
}

/// Those who wait for the locks of leases that others hold.
#[derive(Default)]
pub(super) struct Listeners(Mutex<HashMap<String, JoinHandle<()>>>);

impl Listeners {
    /// Wakes `rung` from now on when a lease's holder stops holding it.
    pub(super) fn listen(&self, database: &Arc<Database>, lease: &str, rung: &Arc<Notify>) {
        let mut tasks = guard(&self.0);
        let there = tasks.get(lease).is_some_and(|task| !task.is_finished());
        if !there && has_bell(lease) && (tasks.len() < MOST || tasks.contains_key(lease)) {
            let listening = listen(Arc::clone(database), lease.to_owned(), Arc::clone(rung));
            tasks.insert(lease.to_owned(), tokio::spawn(listening));
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for task in guard(&self.0).values() {
            task.abort();
        }
    }
}

async fn listen(database: Arc<Database>, lease: String, rung: Arc<Notify>) {
    let clock = SystemClock::new();
    let mut again = AGAIN.0;
    loop {
        let start = clock.now();
        match wait(&database, &lease).await {
            // Nobody gave up anything sooner than that: nobody had it.
            Ok(true) if clock.now().since(start) < NOBODYS => again = (again * 2).min(AGAIN.1),
            Ok(true) => {
                again = AGAIN.0;
                rung.notify_one();
            }
            Ok(false) => continue,
            Err(Fault::Failed(error) | Fault::Busy(error)) => {
                tracing::debug!(%error, "the end of a hold is not listened for at the moment");
                again = AGAIN.1;
            }
        }
        tokio::time::sleep(again).await;
    }
}

/// Waits for a lock and gives it on: whether it was had.
async fn wait(database: &Arc<Database>, lease: &str) -> Result<bool, Fault> {
    let mut taken = database.listening().take(OPERATION).await?;
    let had = ask(database, &mut taken, WAIT, lease).await?;
    if had {
        ask(database, &mut taken, GIVE, lease).await?;
    }
    taken.give_back();
    Ok(had)
}
