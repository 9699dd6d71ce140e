//! Data that is lost, promoted without its end, not durable enough, or not ours.

use std::time::Duration;

use crate::common::{LONG, beat, cluster, eventually, granted, key, lease_name, member, open, options, try_open};
use crate::{address, proxy};
use failover_core::lease::{Acquired, Renewed};
use failover_core::state::Expect;
use failover_core::{Durability, ErrorKind, HeartbeatStore, JobAssigner, LeaseManager, Revision, StateStore, Term};
use failover_redis::RedisStore;
use failover_testing::proxy::Proxy;
use failover_testing::redis::{DURABLE, Redis};

#[tokio::test]
async fn after_a_flush_the_handle_fails_for_ever_and_only_a_floor_makes_terms_go_on() {
    let redis = Redis::start();
    let (store, quiet) = (open(&redis.url()).await, open(&redis.url()).await);
    assert_eq!(quiet.current(&lease_name("other")).await.unwrap().term, Term(0));
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    redis.wipe();
    assert_eq!(store.renew(&lease).await.unwrap_err().kind(), ErrorKind::StoreChanged);
    // Another has made the cluster anew: that does not bring the old one back.
    let floor = Term(500);
    let anew = options(&redis.url()).term_floor(floor).unwrap().open(&cluster("c")).await.unwrap();
    let error = store.current(&lease.name).await.unwrap_err();
    assert!(error.kind() == ErrorKind::StoreChanged && error.to_string().contains("term_floor"), "{error}");
    assert_eq!(HeartbeatStore::changed(&store).await.unwrap_err().kind(), ErrorKind::StoreChanged);
    // One that did not call meanwhile finds a store that looks like its own, on the connection it had.
    let error = quiet.current(&lease_name("other")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreChanged, "{error}");
    assert!(granted(&anew, "active", &member("b", 2), LONG).await.term > floor);
}

#[tokio::test]
async fn a_server_that_was_restarted_empty_is_noticed_also_when_another_was_first() {
    let mut redis = Redis::start();
    let store = open(&redis.url()).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    redis.restart_empty();
    let _first = open(&redis.url()).await;
    assert_eq!(store.renew(&lease).await.unwrap_err().kind(), ErrorKind::StoreChanged);
    let refused = options(&redis.url()).must_exist().open(&cluster("other")).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Invalid && refused.to_string().contains("create"), "{refused}");
}

/// A primary and a replica that is cut off from it, both reached by clients through one address.
struct Split {
    primary: Redis,
    replica: Redis,
    between: Proxy,
    front: Proxy,
}

impl Split {
    fn new() -> Self {
        let primary = Redis::start_with(DURABLE);
        let between = proxy(&primary);
        let replica = Redis::replica_of(between.port(), DURABLE);
        let front = proxy(&primary);
        Self { primary, replica, between, front }
    }

    fn url(&self, options: &str) -> String {
        format!("redis://127.0.0.1:{}?{options}", self.front.port())
    }

    /// Waits until the replica has all that the primary has.
    async fn in_step(&self, store: &RedisStore) {
        let wanted = self.primary.command(&["HGET", &crate::common::meta("c"), "version"]);
        store.raise_floor(Term(1)).await.unwrap();
        while self.replica.command(&["HGET", &crate::common::meta("c"), "version"]) != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What somebody does who sees that the primary is gone.
    fn promote(&mut self) {
        self.replica.command(&["REPLICAOF", "NO", "ONE"]);
        self.front.redirect(address(self.replica.port()));
        self.front.cut();
    }
}

#[tokio::test]
async fn a_replica_promoted_without_the_last_grants_fails_closed_for_those_who_saw_them_and_repeats_no_term() {
    let mut split = Split::new();
    let url = split.url("durability=async-replica");
    let store = open(&url).await;
    let (a, b) = (member("a", 1), member("b", 2));
    let first = granted(&store, "active", &a, LONG).await;
    store.put(&key("x"), b"1", Expect::Any, None).await.unwrap();
    split.in_step(&store).await;
    split.between.black_hole();
    // The replica never hears of these.
    store.release(&first, None).await.unwrap();
    let lost = granted(&store, "active", &b, LONG).await;
    assert_eq!(lost.term, first.term.next());
    split.promote();
    let error = store.renew(&lost).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreChanged, "{error}");
    // To one who never saw the second grant the first is still held, so it waits; then the term is above both.
    let fresh = open(&url).await;
    assert!(matches!(fresh.acquire(&first.name, &b, LONG).await.unwrap(), Acquired::Refused(_)));
    fresh.release(&first, None).await.unwrap();
    let next = granted(&fresh, "active", &member("c", 3), LONG).await;
    assert!(next.term > lost.term, "{next:?} after {lost:?}");
}

#[tokio::test]
async fn with_wait_a_grant_that_no_replica_has_is_not_a_grant() {
    let split = Split::new();
    let store = open(&split.url("wait=1&timeout=2000")).await;
    assert_eq!(store.durability(), Durability::SyncReplica);
    let a = member("a", 1);
    let lease = granted(&store, "active", &a, LONG).await;
    assert_eq!(split.replica.command(&["HEXISTS", "failover:{c}:leases", "active"]), "1", "the replica has it");
    split.between.black_hole();
    assert!(store.acquire(&lease_name("other"), &a, Duration::from_secs(3)).await.unwrap_err().is_outcome_unknown());
    assert!(store.renew(&lease).await.unwrap_err().is_outcome_unknown());
    assert!(store.put(&key("x"), b"", Expect::Any, None).await.unwrap_err().is_outcome_unknown());
    // What changes nothing needs no replica.
    let told = store.acquire(&lease.name, &member("b", 2), LONG).await.unwrap();
    assert!(matches!(told, Acquired::Refused(_)));
    split.between.heal();
    let other = lease_name("other");
    let again = eventually(|| store.acquire(&other, &a, Duration::from_secs(3))).await;
    assert!(matches!(again, Acquired::Granted(_)));
}

#[tokio::test]
async fn leases_are_refused_on_a_server_that_may_forget_them_and_the_option_is_named() {
    let redis = Redis::start();
    let address = format!("redis://127.0.0.1:{}", redis.port());
    let store = open(&address).await;
    assert_eq!(store.durability(), Durability::Volatile);
    let error = store.acquire(&lease_name("active"), &member("a", 1), LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("durability=volatile") && error.to_string().contains("wait=N"), "{error}");
    assert_eq!(store.current(&lease_name("active")).await.unwrap().term, Term(0));
    // What is no exclusive work goes on.
    store.beat(&beat(&member("a", 1), 1, 0)).await.unwrap();
    let accepted = open(&format!("{address}?durability=volatile")).await;
    granted(&accepted, "active", &member("a", 1), LONG).await;
    let durable = Redis::durable();
    assert_eq!(open(&durable.url()).await.durability(), Durability::SingleNode);
}

#[tokio::test]
async fn a_server_that_became_less_durable_grants_no_more_once_that_is_seen() {
    let redis = Redis::durable();
    let store = open(&redis.url()).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    redis.command(&["CONFIG", "SET", "appendfsync", "everysec"]);
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    let error = eventually(|| async {
        match store.acquire(&lease.name, &lease.holder, LONG).await {
            Err(e) if e.kind() == ErrorKind::Invalid => Ok(e),
            Err(e) => Err(e),
            Ok(_) => Err(failover_core::Error::new(ErrorKind::Unavailable, "acquire", "not noticed yet")),
        }
    });
    assert!(error.await.to_string().contains("appendfsync"));
}

#[tokio::test]
async fn a_server_that_may_evict_our_keys_grants_nothing() {
    let evicting = ["--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"];
    let redis = Redis::start_with(&[DURABLE, &evicting].concat());
    let store = open(&redis.url()).await;
    let error = store.acquire(&lease_name("active"), &member("a", 1), LONG).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("maxmemory-policy"), "{error}");
    // Only what has a time to live is evicted by this one, and none of ours has.
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    granted(&open(&redis.url()).await, "active", &member("a", 1), LONG).await;
}

#[tokio::test]
async fn a_server_without_memory_is_full_and_a_holder_still_renews() {
    let redis = Redis::start_with(&["--maxmemory-policy", "noeviction"]);
    let store = open(&redis.url()).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    store.beat(&beat(&lease.holder, 1, 0)).await.unwrap();
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(store.put(&key("a"), b"x", Expect::Any, None).await.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
    store.beat(&beat(&lease.holder, 2, 0)).await.unwrap();
    store.release(&lease, None).await.unwrap();
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    store.put(&key("a"), b"x", Expect::Any, None).await.unwrap();
}

#[tokio::test]
async fn something_else_under_our_key_is_corrupt_and_left_as_it_is() {
    let redis = Redis::start();
    let store = open(&redis.url()).await;
    redis.command(&["SET", "failover:{c}:leases", "mine"]);
    let error = store.acquire(&lease_name("active"), &member("a", 1), LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    redis.command(&["DEL", "failover:{c}:leases"]);
    redis.command(&["HSET", "failover:{c}:leases", "active", "1 what"]);
    let error = store.acquire(&lease_name("active"), &member("a", 1), LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(redis.command(&["HGET", "failover:{c}:leases", "active"]), "1 what");
}

#[tokio::test]
async fn a_cluster_record_of_a_newer_format_is_refused() {
    let redis = Redis::start();
    let store = open(&redis.url()).await;
    redis.command(&["HSET", &crate::common::meta("c"), "format", "2"]);
    assert_eq!(store.changes(Revision::ZERO, 1).await.unwrap_err().kind(), ErrorKind::TooNew);
    assert_eq!(try_open(&redis.url()).await.unwrap_err().kind(), ErrorKind::TooNew);
}
