//! The conformance suite of all backends, on a `SQLite` file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use failover_core::testkit::conformance::Fixture;
use failover_core::{Backend, ClusterName};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

struct SqliteFile {
    directory: TempDir,
}

impl SqliteFile {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("store.db")
    }

    async fn open_cluster(&self, name: &str) -> Backend {
        let url = format!("sqlite://{}", self.path().display());
        let cluster = ClusterName::new(name).expect("a valid name");
        failover_sql::open(&url, &cluster).await.unwrap_or_else(|e| panic!("the store has to open: {e}"))
    }
}

async fn execute(path: &Path, sql: String) {
    let mut host = SqliteConnectOptions::new().filename(path).connect().await.expect("a connection");
    host.execute(AssertSqlSafe(sql)).await.expect("the statement runs");
    host.close().await.expect("the connection closes");
}

#[async_trait::async_trait]
impl Fixture for SqliteFile {
    async fn open(&self) -> Backend {
        self.open_cluster("c").await
    }

    async fn open_other(&self) -> Backend {
        self.open_cluster("other").await
    }

    async fn wipe(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let path = format!("{}{suffix}", self.path().display());
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{path}: {e}"),
                _ => {}
            }
        }
    }

    async fn make_newer(&self) {
        let tables = ["heartbeats", "leases", "jobs", "documents"];
        execute(&self.path(), tables.map(|table| format!("UPDATE failover_{table} SET format = 99;")).concat()).await;
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(300)
    }

    fn hints(&self) -> bool {
        true
    }
}

failover_core::conformance!(SqliteFile::new());
