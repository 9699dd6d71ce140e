//! Hosts with a runtime of one thread that they block again and again, for longer than their leases last, on real stores.

mod stage;

use std::time::Duration;

use failover_testing::etcd::Etcd;
use failover_testing::postgres::Postgres;
use failover_testing::redis::Redis;
use stage::{Way, keeps, loses};

/// The host blocks for twice as long. The least that etcd keeps, and enough for a store that has other things to do.
const TTL: Duration = Duration::from_secs(2);

#[test]
fn on_sqlite_a_host_that_blocks_keeps_its_role_and_without_a_home_it_loses_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = |name: &str| format!("sqlite://{}", directory.path().join(name).display());
    keeps(&url("a.db"), Way::Open, TTL);
    loses(&url("b.db"), TTL);
}

#[test]
fn opened_later_it_keeps_its_role_as_well() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    keeps(&format!("sqlite://{}", directory.path().join("a.db").display()), Way::Later, TTL);
}

#[test]
fn on_redis_a_host_that_blocks_keeps_its_role_and_without_a_home_it_loses_it() {
    let server = Redis::durable();
    keeps(&server.url(), Way::Open, TTL);
    loses(&server.url(), TTL);
}

#[test]
fn on_postgres_a_host_that_blocks_keeps_its_role_and_without_a_home_it_loses_it() {
    let server = Postgres::start();
    keeps(&server.url(), Way::Open, TTL);
    loses(&server.url(), TTL);
}

#[test]
fn on_etcd_a_host_that_blocks_keeps_its_role_and_without_a_home_it_loses_it() {
    let server = Etcd::start();
    keeps(&server.url(), Way::Open, TTL);
    loses(&server.url(), TTL);
}
