//! `PostgreSQL` beyond the conformance suite: round trips, bad input, faults, fences, rights.
#![cfg(feature = "postgres")]

mod assign;
mod bad_input;
mod documents;
mod faults;
mod fence;
mod restored;
mod rights;
mod round_trips;

use std::sync::LazyLock;
use std::time::Duration;

use failover_core::lease::Acquired;
use failover_core::{
    ClusterName, Error, ErrorKind, Incarnation, JobId, JobSpec, Lease, LeaseManager, LeaseName, Member, NodeId,
};
use failover_sql::{PostgresOptions, SqlStore};
use failover_testing::postgres::{Database, Postgres};

/// The server of all tests that do it no harm.
static SERVER: LazyLock<Postgres> = LazyLock::new(Postgres::start);

/// For leases that must not lapse while a test runs.
const LONG: Duration = Duration::from_hours(1);

fn options(url: &str) -> PostgresOptions {
    PostgresOptions::from_url(url).expect("a valid address")
}

async fn try_open(url: &str) -> Result<SqlStore, Error> {
    options(url).open(&ClusterName::new("c").expect("a valid name")).await
}

async fn open(url: &str) -> SqlStore {
    try_open(url).await.unwrap_or_else(|e| panic!("the store has to open: {e}: {e:?}"))
}

fn name(text: &str) -> LeaseName {
    LeaseName::new(text).expect("a valid name")
}

fn member(node: &str, bits: u128) -> Member {
    Member::new(NodeId::new(node).expect("a valid name"), Incarnation::from_u128(bits))
}

fn job(id: &str) -> JobSpec {
    JobSpec::new(JobId::new(id).expect("a valid name"), "").expect("a valid job")
}

async fn granted(store: &SqlStore, lease: &str, to: &Member, ttl: Duration) -> Lease {
    // Asked again, it is the same grant: a slow machine does not matter.
    for _ in 0..10 {
        match store.acquire(&name(lease), to, ttl).await {
            Ok(Acquired::Granted(lease)) => return lease,
            Err(e) if e.is_retryable() => {}
            other => panic!("{to} has to be granted {lease}: {other:?}"),
        }
    }
    panic!("{to} gets no answer about {lease}");
}

/// Waits until what handles do beside their calls is over: nothing runs on the database for a while.
async fn idle(database: &Database<'_>) {
    let running = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'failover' AND state <> 'idle'";
    let mut looks = 0;
    while looks < 5 {
        looks = if database.sql(running) == "0" { looks + 1 } else { 0 };
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Tries until it works: what a driver does after a fault.
async fn in_the_end<T>(mut call: impl AsyncFnMut() -> Result<T, Error>) -> T {
    for _ in 0..600 {
        match call().await {
            Ok(done) => return done,
            Err(e) => assert!(e.is_retryable(), "{e}: {e:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the store did not come back");
}

#[track_caller]
fn fails<T: std::fmt::Debug>(answer: Result<T, Error>, kind: ErrorKind) -> Error {
    let error = answer.expect_err("it has to fail");
    assert_eq!(error.kind(), kind, "{error}: {error:?}");
    error
}
