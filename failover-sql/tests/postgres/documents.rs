//! Documents in one statement: what it costs, under which fences, and on connections that break.

use failover_core::state::{Expect, Written};
use failover_core::{Lease, LeaseManager, StateKey, StateStore, Term, Version};
use failover_sql::SqlStore;
use failover_testing::proxy::Proxy;

use super::round_trips::Counter;
use super::{LONG, SERVER, fails, granted, member, open};

fn key(name: &str) -> StateKey {
    StateKey::new(name).expect("a valid key")
}

async fn put(store: &SqlStore, name: &str, value: &str, expect: Expect, fence: Option<&Lease>) -> Version {
    match store.put(&key(name), value.as_bytes(), expect, fence).await.expect("it is put") {
        Written::Written(version) => version,
        other => panic!("{name} has to be written: {other:?}"),
    }
}

/// Leases of one name, the terms of which follow one another.
async fn tenures<const N: usize>(store: &SqlStore) -> [Lease; N] {
    let mut leases = Vec::new();
    for n in 0..N {
        let lease = granted(store, "active", &member("a", n as u128 + 1), LONG).await;
        store.release(&lease, None).await.unwrap();
        leases.push(lease);
    }
    leases.try_into().expect("as many as were asked for")
}

#[tokio::test]
async fn over_a_version_it_is_one_round_trip_and_where_nothing_is_three() {
    let database = SERVER.database();
    let counter = Counter::before(SERVER.port());
    let store = open(&database.url_at(counter.port)).await;
    let [lease, next] = tenures(&store).await;
    counter.ready(&store).await;
    for fence in [None, Some(&lease)] {
        // The fence becomes known, and the statements are prepared.
        let warm = if fence.is_some() { "fenced/warm" } else { "free/warm" };
        let version = put(&store, warm, "", Expect::Absent, fence).await;
        put(&store, warm, "", Expect::Version(version), fence).await;
        put(&store, &format!("{warm}/too"), "", Expect::Absent, fence).await;

        let name = warm.replace("warm", "new");
        let (trips, version) = counter.of(put(&store, &name, "1", Expect::Absent, fence)).await;
        assert_eq!(trips, 3, "{name}");
        let (trips, over) = counter.of(put(&store, &name, "2", Expect::Version(version), fence)).await;
        assert_eq!((trips, over), (1, Version(version.0 + 1)), "{name}");
    }
    let version = store.get(&key("fenced/new")).await.unwrap().unwrap().version;
    let (trips, _) = counter.of(put(&store, "fenced/new", "3", Expect::Version(version), Some(&next))).await;
    assert_eq!(trips, 1, "a higher fence");
}

#[tokio::test]
async fn a_late_fence_is_refused_and_a_higher_one_raised_whichever_way_it_goes() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let [first, second, third, fourth] = tenures(&store).await;
    let fenced = |by: &Lease| Written::Fenced { current: by.term };
    // The long way makes the fence's row.
    let one = put(&store, "k", "1", Expect::Absent, Some(&second)).await;
    assert_eq!(store.put(&key("k"), b"late", Expect::Version(one), Some(&first)).await.unwrap(), fenced(&second));
    assert_eq!(store.put(&key("l"), b"late", Expect::Absent, Some(&first)).await.unwrap(), fenced(&second));
    // What is conflicted raises it as well, because it goes the long way.
    let two = put(&store, "k", "2", Expect::Version(one), Some(&third)).await;
    assert_eq!(store.put(&key("k"), b"late", Expect::Version(two), Some(&second)).await.unwrap(), fenced(&third));
    put(&store, "l", "1", Expect::Absent, Some(&fourth)).await;
    assert_eq!(store.put(&key("k"), b"late", Expect::Version(two), Some(&third)).await.unwrap(), fenced(&fourth));
    assert_eq!(fourth.term, Term(4));
    let there = store.get(&key("k")).await.unwrap().unwrap();
    assert_eq!((there.version, &there.value[..]), (two, &b"2"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_get_versions_of_their_own_and_one_of_them_each_document() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let mut version = put(&store, "k", "", Expect::Absent, None).await;
    let mut all = vec![version];
    for round in 0..20 {
        let fresh = key(&format!("fresh/{round}"));
        let writers: Vec<_> = (0..8)
            .map(|n| {
                let (store, fresh) = (store.clone(), fresh.clone());
                let expect = Expect::Version(version);
                tokio::spawn(async move {
                    let (key, expect) = if n % 2 == 0 { (key("k"), expect) } else { (fresh, Expect::Absent) };
                    (n % 2, store.put(&key, format!("{n}").as_bytes(), expect, None).await.unwrap())
                })
            })
            .collect();
        let mut won = [None, None];
        for writer in writers {
            if let (of, Written::Written(version)) = writer.await.unwrap() {
                assert_eq!(won[of].replace(version), None, "two have written document {of} in round {round}");
            }
        }
        all.extend(won.map(|version| version.expect("somebody has written it")));
        version = won[0].expect("somebody has");
    }
    let highest = all.iter().max().expect("there are some").0;
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), highest), (41, 41), "each has a version of its own, and none is left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_ended_while_it_was_idle_costs_nothing() {
    let database = SERVER.database();
    let proxy = tokio::task::spawn_blocking(|| Proxy::to_port(SERVER.port())).await.expect("a proxy");
    let store = open(&database.url_at(proxy.port())).await;
    let version = put(&store, "k", "1", Expect::Absent, None).await;
    proxy.cut();
    let version = put(&store, "k", "2", Expect::Version(version), None).await;
    proxy.cut();
    put(&store, "l", "1", Expect::Absent, None).await;
    let backends = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.sql(backends);
    let version = put(&store, "k", "3", Expect::Version(version), None).await;
    database.sql(backends);
    put(&store, "m", "1", Expect::Absent, None).await;
    assert_eq!(version, Version(4), "and nothing is written twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_breaking_connection_may_have_applied_is_in_doubt_and_neither_denied_nor_done_again() {
    let database = SERVER.database();
    let proxy = tokio::task::spawn_blocking(|| Proxy::to_port(SERVER.port())).await.expect("a proxy");
    let store = open(&database.url_at(proxy.port())).await;
    let version = put(&store, "k", "1", Expect::Absent, None).await;
    let version = put(&store, "k", "2", Expect::Version(version), None).await;
    proxy.cut_last_replies();
    // It is sent once more on a connection that works, and finds its own work.
    let error = store.put(&key("k"), b"3", Expect::Version(version), None).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    let there = store.get(&key("k")).await.unwrap().unwrap();
    assert_eq!((there.version, &there.value[..]), (Version(3), &b"3"[..]), "once");
}

#[tokio::test]
async fn a_database_that_went_back_is_told_of() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let version = put(&store, "k", "1", Expect::Absent, None).await;
    put(&store, "l", "1", Expect::Absent, None).await;
    database.sql("UPDATE failover_clusters SET state_version = 1");
    fails(store.put(&key("k"), b"2", Expect::Version(version), None).await, failover_core::ErrorKind::StoreChanged);
}

#[tokio::test]
async fn a_document_of_a_newer_format_is_left_as_it_is() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let version = put(&store, "k", "1", Expect::Absent, None).await;
    database.sql("UPDATE failover_documents SET format = format + 1");
    fails(store.put(&key("k"), b"2", Expect::Version(version), None).await, failover_core::ErrorKind::TooNew);
    assert_eq!(database.sql("SELECT version FROM failover_documents"), "1");
}
