//! What the tests of this crate share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use failover_core::heartbeat::News;
use failover_core::lease::Acquired;
use failover_core::{
    Capacity, ClusterName, Error, Heartbeat, Incarnation, Lease, LeaseManager, LeaseName, Member, NodeId, Role,
    StateKey, Term,
};
use failover_sql::{SqlStore, SqliteOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, SqliteConnection};
use tempfile::TempDir;

/// For leases that must not lapse while a test runs.
pub const LONG: Duration = Duration::from_hours(1);

/// A directory with the path of a database in it, which is not made yet.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("store.db")
    }

    pub fn options(&self) -> SqliteOptions {
        SqliteOptions::new(self.path())
    }

    pub async fn open(&self) -> SqlStore {
        self.try_open().await.unwrap_or_else(|e| panic!("the store has to open: {e}"))
    }

    pub async fn try_open(&self) -> Result<SqlStore, Error> {
        self.options().open(&cluster("c")).await
    }

    /// A connection such as a host has to its own tables in the same file.
    pub async fn host(&self) -> SqliteConnection {
        host(&self.path()).await
    }

    /// Runs statements behind the store's back.
    pub async fn tamper(&self, sql: &str) {
        let mut host = self.host().await;
        host.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        host.close().await.expect("the connection closes");
    }

    /// Deletes the database with all that belongs to it.
    pub fn delete(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let path = format!("{}{suffix}", self.path().display());
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{path}: {e}"),
                _ => {}
            }
        }
    }
}

pub async fn host(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
    options.connect().await.expect("a connection")
}

pub fn cluster(name: &str) -> ClusterName {
    ClusterName::new(name).expect("a valid name")
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a valid name")
}

pub fn member(name: &str, bits: u128) -> Member {
    Member::new(node(name), Incarnation::from_u128(bits))
}

pub fn lease_name(name: &str) -> LeaseName {
    LeaseName::new(name).expect("a valid name")
}

pub fn key(key: &str) -> StateKey {
    StateKey::new(key).expect("a valid key")
}

pub fn beat(member: &Member, seq: u64, load: u32) -> Heartbeat {
    let news = News { load, ready: true, ..News::new(Role::Inactive, Capacity::default()) };
    Heartbeat { member: member.clone(), term: Term(1), seq, news }
}

/// Acquires a lease that has to be granted.
pub async fn granted(store: &SqlStore, name: &str, member: &Member, ttl: Duration) -> Lease {
    match store.acquire(&lease_name(name), member, ttl).await {
        Ok(Acquired::Granted(lease)) => lease,
        other => panic!("{member} has to be granted {name}: {other:?}"),
    }
}

/// The environment variable that tells a test to be its own child: the part it plays, and where.
const PART: &str = "FAILOVER_SQL_TEST_PART";

/// The part this process plays in its test, if it is a child.
pub fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// A process that runs only the test `test` of this binary, as `part`.
pub fn child(test: &str, part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(PART, part);
    command
}

/// The same, as root of a mount namespace of its own, so that it may mount and nobody else sees it.
pub fn child_that_mounts(test: &str, part: &str) -> Command {
    let child = child(test, part);
    let mut command = Command::new("unshare");
    command.args(["-r", "-m"]).arg(child.get_program()).args(child.get_args()).env(PART, part);
    command
}

/// What a child printed after `mark`, line by line; fails if it failed.
pub fn said(output: &Output, mark: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "a child failed:\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "the child ran no test: {text}");
    text.lines().filter_map(|line| line.split_once(mark).map(|(_, said)| said.trim().to_owned())).collect()
}

/// Runs a mount command, inside [`child_that_mounts`].
#[track_caller]
pub fn mount(args: &[&str]) {
    let done = Command::new("mount").args(args).status().expect("`mount` is there (package mount)");
    assert!(done.success(), "mount {args:?} failed: the test needs user namespaces, or root");
}

/// A runtime such as a host's.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}
