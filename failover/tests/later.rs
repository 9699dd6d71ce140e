//! The conformance suite of all backends, on one that is opened later; and a file that comes later.

use std::path::{Path, PathBuf};
use std::time::Duration;

use failover::testkit::conformance::Fixture;
use failover::{Backend, ClusterName, ErrorKind, LeaseName};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

struct SqliteFile {
    directory: TempDir,
}

fn later(path: &Path, options: &str, cluster: &str) -> Backend {
    let url = format!("sqlite://{}{options}", path.display());
    failover::open_later(&url, &ClusterName::new(cluster).expect("a valid name")).expect("a valid address")
}

impl SqliteFile {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("store.db")
    }
}

#[async_trait::async_trait]
impl Fixture for SqliteFile {
    async fn open(&self) -> Backend {
        let backend = later(&self.path(), "", "c");
        // A handle knows the store from its first call on, and the suite wants one that does.
        backend.leases.current(&LeaseName::active()).await.expect("the store has to open");
        backend
    }

    async fn open_other(&self) -> Backend {
        later(&self.path(), "", "other")
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
        let mut host = SqliteConnectOptions::new().filename(self.path()).connect().await.expect("a connection");
        let tables = ["heartbeats", "leases", "jobs", "documents"];
        let sql = tables.map(|table| format!("UPDATE failover_{table} SET format = 99;")).concat();
        host.execute(AssertSqlSafe(sql)).await.expect("the statement runs");
        host.close().await.expect("the connection closes");
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn hints(&self) -> bool {
        cfg!(target_os = "linux")
    }
}

failover::conformance!(SqliteFile::new());

/// Whether a call is answered within a time that is long for everybody, and how it was refused until then.
async fn until_it_answers(backend: &Backend) -> Vec<ErrorKind> {
    let mut refused = Vec::new();
    let answered = async {
        while let Err(error) = backend.leases.current(&LeaseName::active()).await {
            refused.push(error.kind());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), answered).await.expect("it is opened within a minute");
    refused
}

#[tokio::test]
async fn a_file_whose_directory_is_mounted_later_is_away_until_then_and_never_made() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let (mounted, away) = (place.path().join("mounted"), place.path().join("away"));
    std::fs::create_dir(&away).expect("a directory");
    let path = mounted.join("store.db");
    let made = later(&away.join("store.db"), "", "c");
    made.leases.current(&LeaseName::active()).await.expect("a new store");
    drop(made);

    let backend = later(&path, "?create=false", "c");
    let error = backend.leases.current(&LeaseName::active()).await.expect_err("its directory is not there");
    let said = error.to_string();
    assert!(error.kind() == ErrorKind::Unavailable && said.contains("no such file"), "{said}");
    // The place where it is to be mounted.
    std::fs::create_dir(&mounted).expect("a directory");
    let error = backend.leases.current(&LeaseName::active()).await.expect_err("the file is not there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    std::fs::remove_dir(&mounted).expect("it is empty: no other store was made there");
    std::fs::rename(&away, &mounted).expect("it is mounted");
    until_it_answers(&backend).await;
}

#[tokio::test]
async fn what_does_not_mend_itself_is_told_by_its_kind_until_an_operator_mends_it() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let path = place.path().join("store.db");
    std::fs::create_dir(&path).expect("a directory in the place of the file");
    let backend = later(&path, "", "c");
    let error = backend.heartbeats.sightings().await.expect_err("it is no file");
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Invalid, "sightings"), "{error}");
    std::fs::remove_dir(&path).expect("it is empty");
    std::fs::write(&path, "this is no database, and long enough to be looked at").expect("a file");
    let refused = until_told(&backend, ErrorKind::Corrupt).await;
    assert!(refused.iter().all(|kind| *kind == ErrorKind::Invalid), "{refused:?}");
    std::fs::remove_file(&path).expect("it is there");
    until_it_answers(&backend).await;
}

/// How it was refused before it was refused like this.
async fn until_told(backend: &Backend, kind: ErrorKind) -> Vec<ErrorKind> {
    let mut refused = Vec::new();
    let told = async {
        loop {
            let error = backend.leases.current(&LeaseName::active()).await.expect_err("nobody has mended it");
            if error.kind() == kind {
                return;
            }
            refused.push(error.kind());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), told).await.expect("it is told within a minute");
    refused
}

/// What a backend says of its store before that is open is what a store of its kind says then.
async fn foretells(url: &str) {
    let backend = failover::open_later(url, &ClusterName::new("c").expect("a valid name")).expect("a valid address");
    let says = || (backend.leases.least_ttl(), backend.leases.slack());
    let before = says();
    until_it_answers(&backend).await;
    assert_eq!(says(), before, "{}", url.split(':').next().unwrap_or_default());
}

#[tokio::test]
async fn a_file_is_as_it_was_foretold() {
    let place = tempfile::tempdir().expect("a temporary directory");
    foretells(&format!("sqlite://{}", place.path().join("store.db").display())).await;
}

#[cfg(all(feature = "postgres", feature = "mysql", feature = "redis", feature = "etcd"))]
#[tokio::test]
async fn every_server_is_as_it_was_foretold() {
    use failover_testing::{etcd::Etcd, mariadb::Mariadb, postgres::Postgres, redis::Redis};

    foretells(&Postgres::start().url()).await;
    foretells(&Mariadb::start().url()).await;
    foretells(&Redis::durable().url()).await;
    foretells(&Etcd::start().url()).await;
}
