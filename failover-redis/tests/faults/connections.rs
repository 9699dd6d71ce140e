//! Connections that break, servers that restart, hints that are lost.

use std::time::Duration;

use crate::common::{LONG, beat, cluster, eventually, granted, key, lease_name, member, open, options};
use crate::{DEADLINE, address, proxy, soon};
use failover_core::lease::{Acquired, LeaseView, Renewed, Tenant};
use failover_core::state::{Expect, Written};
use failover_core::{ErrorKind, HeartbeatStore, JobAssigner, JobId, JobSpec, LeaseManager, StateStore, Term};
use failover_testing::proxy::Proxy;
use failover_testing::redis::{DURABLE, Redis};

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
        Acquired::Refused(LeaseView { tenant: Tenant::Held { holder, remaining }, .. }) => {
            assert_eq!(holder, a);
            assert!(remaining <= store.slack(), "it outlasts its ttl by what is declared: {remaining:?}");
        }
        Acquired::Refused(view) => panic!("it is still held: {view:?}"),
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
async fn a_server_knows_all_scripts_before_the_first_call_and_again_after_its_restart() {
    let mut redis = Redis::durable();
    let store = open(&redis.url()).await;
    let m = member("a", 1);
    for round in 1..3 {
        let lease = eventually(|| async {
            match store.acquire(&lease_name("active"), &m, LONG).await? {
                Acquired::Granted(lease) => Ok(lease),
                Acquired::Refused(view) => panic!("nobody else asks: {view:?}"),
            }
        })
        .await;
        store.renew(&lease).await.unwrap();
        store.beat(&beat(&m, round, 0)).await.unwrap();
        store.put(&key("a"), b"x", Expect::Any, None).await.unwrap();
        store.release(&lease, None).await.unwrap();
        assert_eq!(redis.calls("eval"), 1, "the greeting, and nothing after it");
        redis.kill();
        redis.start_again();
    }
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
