//! The same program on every kind of server: nothing but the address differs.

use failover_testing::etcd::Etcd;
use failover_testing::mariadb::Mariadb;
use failover_testing::postgres::Postgres;
use failover_testing::redis::Redis;
use serde_json::Value;

use crate::common::{Journal, Place};
use crate::operator::is_handed_over_paused_and_activated;

/// Two nodes and two jobs: the active node is killed, the other takes over, and hands the role back to it afterwards.
fn fails_over_and_back(address: &str) {
    let mut place = Place::new();
    place.point_at(address);
    // Long enough for the least that etcd grants, and for servers that share a busy machine.
    let options = ["--ttl", "3s"];
    let mut a = place.node_with("a", &options);
    a.role("active");
    let mut b = place.node_with("b", &options);
    a.event("standby_appointed");
    place.add_journal_job("one");
    place.add_journal_job("two");
    place.until_journal("both run on a", |j| j.runs_on("one", "a") && j.runs_on("two", "a"));

    a.kill();
    b.role("active");
    place.until_journal("both run on b", |j| j.runs_on("one", "b") && j.runs_on("two", "b"));

    let mut again = place.node_with("a", &options);
    again.role("standby");
    let done = place.json(["switchover"]).pop().unwrap();
    assert_eq!((&done["from"], &done["to"]), (&Value::from("b"), &Value::from("a")), "{done}");
    let third = |j: &Journal| ["one", "two"].iter().all(|job| j.tokens(job) == [1, 2, 3] && j.runs_on(job, "a"));
    place.until_journal("both run on a again", third).assert_never_two_owners();
    let status = place.status();
    assert_eq!(
        (&status["active"]["node"], status["jobs"].as_array().map(Vec::len)),
        (&"a".into(), Some(2)),
        "{status}"
    );
}

/// A cluster on such a server does what its operators want.
fn obeys(address: &str) {
    let mut place = Place::new();
    place.point_at(address);
    is_handed_over_paused_and_activated(&place, &["--ttl", "3s"]);
}

#[test]
fn postgres_obeys() {
    obeys(&Postgres::start().url());
}

#[test]
fn redis_obeys() {
    obeys(&Redis::durable().url());
}

#[test]
fn etcd_obeys() {
    obeys(&Etcd::start().url());
}

#[test]
fn postgres_fails_over_and_back() {
    fails_over_and_back(&Postgres::start().url());
}

#[test]
fn mariadb_fails_over_and_back() {
    fails_over_and_back(&Mariadb::start().url());
}

#[test]
fn redis_fails_over_and_back() {
    fails_over_and_back(&Redis::durable().url());
}

#[test]
fn etcd_fails_over_and_back() {
    fails_over_and_back(&Etcd::start().url());
}

#[test]
fn postgres_keeps_claims_of_actions() {
    crate::incidents::responds_once_at(&Postgres::start().url());
}

#[test]
fn redis_keeps_claims_of_actions() {
    crate::incidents::responds_once_at(&Redis::durable().url());
}

#[test]
fn etcd_keeps_claims_of_actions() {
    crate::incidents::responds_once_at(&Etcd::start().url());
}
