//! What networks and servers do, done to real ones: no call is lost without saying so, no term comes twice.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{LONG, beat, cluster, eventually, granted, key, lease_name, member, open, options, try_open};
use failover_core::lease::{Acquired, Renewed, Tenant};
use failover_core::state::{Expect, Written};
use failover_core::{
    Durability, ErrorKind, HeartbeatStore, JobAssigner, JobId, JobSpec, LeaseManager, Revision, StateStore, Term,
};
use failover_redis::RedisStore;
use failover_testing::proxy::Proxy;
use failover_testing::redis::{DURABLE, Redis};

/// The deadline that a node gives each of its calls: far more than one needs on a busy machine.
const DEADLINE: Duration = Duration::from_secs(2);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Made on another thread: it has a runtime of its own.
fn proxy(redis: &Redis) -> Proxy {
    let upstream = address(redis.port());
    std::thread::spawn(move || Proxy::to(upstream)).join().expect("a proxy")
}

async fn soon<T>(what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(DEADLINE, what).await.ok()
}

#[tokio::test]
async fn a_half_open_connection_costs_one_call_of_each_kind() {
    let redis = Redis::start();
    let proxy = proxy(&redis);
    let store = open(&redis.url_at(proxy.port())).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    store.renew(&lease).await.unwrap();
    proxy.half_open();
    assert!(soon(store.renew(&lease)).await.is_none(), "the connection is silent");
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended, "the next call has a new one");
    store.beat(&beat(&lease.holder, 1, 0)).await.unwrap();
    // The connection for durable work is another, and dead too.
    assert!(soon(store.put(&key("a"), b"x", Expect::Any, None)).await.is_none());
    assert!(matches!(store.put(&key("a"), b"x", Expect::Any, None).await, Ok(Written::Written(_))));
}

#[tokio::test]
async fn a_call_that_ends_by_its_own_timeout_is_unknown_and_its_connection_is_replaced() {
    let redis = Redis::start();
    let proxy = proxy(&redis);
    let store = options(&redis.url_at(proxy.port())).timeout(DEADLINE).unwrap().open(&cluster("c")).await.unwrap();
    proxy.half_open();
    let error = store.put(&key("a"), b"x", Expect::Any, None).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    store.put(&key("a"), b"x", Expect::Any, None).await.unwrap();
    // What only reads was surely not applied.
    proxy.half_open();
    assert_eq!(store.get(&key("a")).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn while_nothing_passes_every_call_fails_in_time_and_all_works_when_it_does_again() {
    let redis = Redis::start();
    let proxy = proxy(&redis);
    let store = options(&redis.url_at(proxy.port())).timeout(DEADLINE).unwrap().open(&cluster("c")).await.unwrap();
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    proxy.black_hole();
    for _ in 0..3 {
        assert!(store.renew(&lease).await.unwrap_err().is_retryable());
    }
    proxy.heal();
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
}

#[tokio::test]
async fn the_first_call_after_a_restart_succeeds_and_the_lease_has_its_time_again() {
    let mut redis = Redis::durable();
    let store = open(&redis.url()).await;
    let (a, b) = (member("a", 1), member("b", 2));
    let lease = granted(&store, "active", &a, LONG).await;
    redis.kill();
    assert_eq!(store.renew(&lease).await.unwrap_err().kind(), ErrorKind::Unavailable, "it surely did not arrive");
    redis.start_again();
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended, "no pause before it is tried again");
    store.release(&lease, None).await.unwrap();
    let next = granted(&store, "active", &b, LONG).await;
    // Grants that a crash might have made it forget are left out.
    assert!(next.term.0 > lease.term.0 + 1_000_000, "{next:?}");
}

#[tokio::test]
async fn the_stores_time_stands_still_while_its_server_is_down() {
    let mut redis = Redis::durable();
    let store = open(&redis.url()).await;
    let (a, b) = (member("a", 1), member("b", 2));
    let ttl = Duration::from_secs(3);
    let seen = granted(&store, "seen", &a, Duration::from_millis(20)).await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert_eq!(store.current(&seen.name).await.unwrap().tenant, Tenant::Free, "it has lapsed, and was seen to");
    store.beat(&beat(&a, 1, 0)).await.unwrap();
    let lease = granted(&store, "active", &a, ttl).await;
    redis.kill();
    tokio::time::sleep(ttl + Duration::from_millis(100)).await;
    redis.start_again();
    // Its holder counts by its own clock, and nobody else gets it before all of its time is over.
    match store.acquire(&lease.name, &b, LONG).await.unwrap() {
        Acquired::Refused(view) => assert!(matches!(view.tenant, Tenant::Held { holder, .. } if holder == a)),
        Acquired::Granted(later) => panic!("it was granted to another: {later:?}"),
    }
    assert_eq!(store.renew(&seen).await.unwrap(), Renewed::Lost, "what was seen to lapse does not come back");
    let sighted = store.sightings().await.unwrap();
    assert!(sighted[0].age < ttl, "an age is never overstated: {sighted:?}");
}

#[tokio::test]
async fn a_lost_reply_to_acquire_is_unknown_and_a_retry_has_the_same_term() {
    let redis = Redis::start();
    let proxy = proxy(&redis);
    let store = options(&redis.url_at(proxy.port())).timeout(DEADLINE).unwrap().open(&cluster("c")).await.unwrap();
    let (a, b) = (member("a", 1), member("b", 2));
    // The server knows the scripts from here on: a call is one message.
    let known = granted(&store, "other", &a, LONG).await;
    store.release(&known, None).await.unwrap();
    proxy.lose_replies();
    let asked = store.acquire(&lease_name("active"), &a, LONG).await.unwrap_err();
    assert!(asked.is_outcome_unknown(), "{asked}");
    proxy.heal();
    let other = open(&redis.url()).await;
    assert!(
        matches!(other.acquire(&lease_name("active"), &b, LONG).await.unwrap(), Acquired::Refused(_)),
        "it was applied"
    );
    let lease = granted(&store, "active", &a, LONG).await;
    assert_eq!(lease.term, Term(1));
    // The same with the release: replayed after a new grant it does nothing.
    proxy.lose_replies();
    assert!(store.release(&lease, None).await.unwrap_err().is_outcome_unknown());
    proxy.heal();
    let next = granted(&other, "active", &b, LONG).await;
    store.release(&lease, None).await.unwrap();
    assert_eq!(other.renew(&next).await.unwrap(), Renewed::Extended);
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_write_is_unknown_and_under_a_repeatable_call_not_seen() {
    let redis = Redis::start();
    let proxy = proxy(&redis);
    let store = open(&redis.url_at(proxy.port())).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    store.renew(&lease).await.unwrap();
    proxy.cut_replies();
    let error = store.submit(&JobSpec::new(JobId::new("j").unwrap(), "").unwrap()).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    proxy.heal();
    proxy.cut();
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let redis = Redis::start();
    let store = open(&redis.url()).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    redis.command(&["SCRIPT", "FLUSH"]);
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
    store.put(&key("a"), b"x", Expect::Any, None).await.unwrap();
}

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
        let wanted = self.primary.command(&["HGET", &common::meta("c"), "version"]);
        store.raise_floor(Term(1)).await.unwrap();
        while self.replica.command(&["HGET", &common::meta("c"), "version"]) != wanted {
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
    redis.command(&["HSET", &common::meta("c"), "format", "2"]);
    assert_eq!(store.changes(Revision::ZERO, 1).await.unwrap_err().kind(), ErrorKind::TooNew);
    assert_eq!(try_open(&redis.url()).await.unwrap_err().kind(), ErrorKind::TooNew);
}

#[tokio::test]
async fn a_subscription_that_was_lost_is_made_again_and_wakes_who_waits() {
    let redis = Redis::start();
    let proxy = proxy(&redis);
    let (store, other) = (open(&redis.url_at(proxy.port())).await, open(&redis.url()).await);
    let patience = Duration::from_secs(20);
    let wait =
        async || tokio::time::timeout(patience, JobAssigner::changed(&store)).await.expect("it is woken").unwrap();
    wait().await; // listening from here on
    for (n, fault) in [Proxy::cut, Proxy::half_open].into_iter().enumerate() {
        fault(&proxy);
        wait().await; // something may have been missed
        let submit = async {
            other.submit(&JobSpec::new(JobId::new(format!("j{n}")).unwrap(), "").unwrap()).await.unwrap();
        };
        tokio::join!(wait(), submit);
    }
}

#[tokio::test]
async fn each_handle_is_told_of_what_another_changes_and_of_nothing_twice() {
    let redis = Redis::start();
    let (one, two) = (open(&redis.url()).await, open(&redis.url()).await);
    let (a, name) = (member("a", 1), lease_name("active"));
    let patience = Duration::from_secs(20);
    for area in 0..2 {
        // The first time for each is when the changes begin to be listened to.
        let first = async {
            if area == 0 { LeaseManager::changed(&two, &name).await } else { HeartbeatStore::changed(&two).await }
        };
        tokio::time::timeout(patience, first).await.expect("it listens").unwrap();
    }
    let lease = granted(&one, "active", &a, LONG).await;
    tokio::time::timeout(patience, LeaseManager::changed(&two, &name)).await.expect("a grant is told").unwrap();
    one.beat(&beat(&a, 1, 0)).await.unwrap();
    tokio::time::timeout(patience, HeartbeatStore::changed(&two)).await.expect("a new node is told").unwrap();
    // Neither a renewal nor a beat without news wakes anybody.
    one.renew(&lease).await.unwrap();
    one.beat(&beat(&a, 2, 0)).await.unwrap();
    let woken = async {
        tokio::select! {
            told = LeaseManager::changed(&two, &name) => told,
            told = HeartbeatStore::changed(&two) => told,
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(1500), woken).await.is_err());
}

#[tokio::test]
async fn after_a_name_points_elsewhere_new_connections_go_there() {
    let primary = Redis::durable();
    let front = proxy(&primary);
    let store = open(&primary.url_at(front.port())).await;
    store.put(&key("x"), b"1", Expect::Any, None).await.unwrap();
    let replica = Redis::replica_of(primary.port(), DURABLE);
    front.redirect(address(replica.port()));
    front.cut();
    // A replica is no store: it is refused, not written to and not read from.
    let error = store.get(&key("x")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("replica"), "{error}");
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(store.get(&key("x")).await.unwrap().map(|d| d.value), Some(b"1".to_vec()));
}
