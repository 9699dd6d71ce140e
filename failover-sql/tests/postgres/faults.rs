//! What really happens to servers and to the way there.

use std::time::Duration;

use failover_core::job::Submitted;
use failover_core::lease::{Acquired, Renewed};
use failover_core::{ClusterName, ErrorKind, JobAssigner, LeaseManager, Revision, StateKey, StateStore};
use failover_testing::postgres::Postgres;
use failover_testing::proxy::Proxy;
use sqlx::{Connection, Executor, PgConnection};

use super::{LONG, SERVER, granted, idle, in_the_end, job, member, name, open, options, try_open};

/// A proxy before the shared server. It is made outside of the test's runtime, because it has one of its own.
async fn proxy() -> Proxy {
    tokio::task::spawn_blocking(|| Proxy::to_port(SERVER.port())).await.expect("a proxy")
}

#[tokio::test]
async fn twenty_processes_may_open_a_fresh_database_at_once() {
    let database = SERVER.database();
    let openings: Vec<_> = (0..20)
        .map(|_| {
            let url = database.url();
            tokio::spawn(async move { try_open(&url).await })
        })
        .collect();
    let mut stores = Vec::new();
    for opening in openings {
        stores.push(opening.await.unwrap().unwrap_or_else(|e| panic!("{e}: {e:?}")));
    }
    granted(&stores[0], "l", &member("a", 1), LONG).await;
    for store in &stores {
        assert_eq!(store.current(&name("l")).await.unwrap().term.0, 1, "all of them opened the same store");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_of_a_transaction_applies_nothing_and_loses_nothing() {
    let mut server = Postgres::start();
    let store = open(&server.url()).await;
    let lease = granted(&store, "l", &member("a", 1), LONG).await;
    assert_eq!(store.submit(&job("before")).await.unwrap(), Submitted::Created);
    // Somebody has the cluster's row, so the submission has begun and waits.
    let mut host = PgConnection::connect(&server.url()).await.unwrap();
    host.execute("BEGIN").await.unwrap();
    host.execute("SELECT * FROM failover_clusters FOR UPDATE").await.unwrap();
    let submitting = {
        let store = store.clone();
        tokio::spawn(async move { store.submit(&job("during")).await })
    };
    in_the_end(async || {
        let waiting = server.sql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
        if waiting == "0" {
            return Err(failover_core::Error::new(ErrorKind::Unavailable, "test", "not waiting yet"));
        }
        Ok(())
    })
    .await;
    server.kill();
    let error = submitting.await.unwrap().unwrap_err();
    assert!(error.is_retryable(), "{error}");
    server.start_again();
    // The same handle goes on, also with what it held.
    assert_eq!(in_the_end(async || store.renew(&lease).await).await, Renewed::Extended);
    let feed = in_the_end(async || store.changes(Revision::ZERO, 10).await).await;
    assert_eq!(feed.changes.len(), 1, "what was in the middle was not applied: {feed:?}");
    assert_eq!(store.submit(&job("during")).await.unwrap(), Submitted::Created);
}

#[tokio::test]
async fn whoever_asks_in_vain_waits_for_no_lock_and_is_in_nobodys_way() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let (a, b) = (member("a", 1), member("b", 2));
    let held = granted(&store, "held", &a, LONG).await;
    let kept = granted(&store, "kept", &a, LONG).await;
    store.release(&kept, Some(&a.node)).await.unwrap();
    let mut host = PgConnection::connect(&database.url()).await.unwrap();
    host.execute("BEGIN").await.unwrap();
    host.execute("SELECT * FROM failover_clusters, failover_leases FOR UPDATE").await.unwrap();
    for lease in ["held", "kept"] {
        match store.acquire(&name(lease), &b, LONG).await.unwrap() {
            Acquired::Refused(view) => assert_eq!(view.term, held.term, "{lease}"),
            granted @ Acquired::Granted(_) => panic!("{granted:?}"),
        }
    }
    host.execute("COMMIT").await.unwrap();
    // Whose it is, and for whom it is kept, are not refused.
    assert_eq!(granted(&store, "held", &a, LONG).await.term, held.term);
    assert!(granted(&store, "kept", &a, LONG).await.term > kept.term);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_costs_one_call() {
    let database = SERVER.database();
    let proxy = proxy().await;
    // What a busy machine needs for one call, and a hung one costs.
    let limit = Duration::from_secs(8);
    let cluster = ClusterName::new("c").unwrap();
    let store = options(&database.url_at(proxy.port())).timeout(limit).open(&cluster).await.unwrap();
    let lease = granted(&store, "l", &member("a", 1), LONG).await;
    // Several idle connections, all of which die.
    let renewals: Vec<_> = (0..3)
        .map(|_| {
            let (store, lease) = (store.clone(), lease.clone());
            tokio::spawn(async move { store.renew(&lease).await })
        })
        .collect();
    for renewal in renewals {
        renewal.await.unwrap().unwrap();
    }
    proxy.half_open();
    let error = store.renew(&lease).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}: a renewal that was not answered may have been applied");
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended, "the next goes another way");
    // A call that its caller gave up is as suspect as one that ended itself.
    proxy.half_open();
    assert!(tokio::time::timeout(Duration::from_millis(300), store.renew(&lease)).await.is_err());
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_die_while_they_are_made_ready_do_not_keep_their_turns() {
    let database = SERVER.database();
    let proxy = proxy().await;
    let limit = Duration::from_secs(4);
    let cluster = ClusterName::new("c").unwrap();
    let store = options(&database.url_at(proxy.port())).timeout(limit).open(&cluster).await.unwrap();
    granted(&store, "l", &member("a", 1), LONG).await;
    let key = StateKey::new("k").unwrap();
    // Each statement takes so long that the first call on each connection is over, and making it ready has just begun.
    proxy.delay(Duration::from_millis(100));
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { store.get(&key).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    proxy.half_open();
    proxy.heal();
    let answered = in_the_end(async || store.get(&key).await);
    assert_eq!(tokio::time::timeout(limit * 4, answered).await.expect("they are given up"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_an_unknown_outcome_and_a_retry_keeps_the_term() {
    let database = SERVER.database();
    let proxy = proxy().await;
    let cluster = ClusterName::new("c").unwrap();
    let store = options(&database.url_at(proxy.port())).timeout(Duration::from_secs(8)).open(&cluster).await.unwrap();
    let a = member("a", 1);
    let lease = granted(&store, "l", &a, LONG).await;
    store.release(&lease, None).await.unwrap();
    // Or the next call would have to connect first.
    idle(&database).await;
    proxy.lose_replies();
    let error = store.acquire(&name("l"), &a, LONG).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    proxy.heal();
    let applied = in_the_end(async || store.current(&name("l")).await).await;
    assert_eq!(applied.term.0, 2, "it was applied: {applied:?}");
    assert_eq!(granted(&store, "l", &a, LONG).await.term.0, 2, "asked again, it is the same grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_subscription_wakes_the_waiters_and_is_made_anew() {
    let database = SERVER.database();
    let proxy = proxy().await;
    let watching = open(&database.url_at(proxy.port())).await;
    let writing = open(&database.url()).await;
    // Established: the first wait completes because it was not listening before.
    JobAssigner::changed(&watching).await.unwrap();
    let waiter = {
        let watching = watching.clone();
        // A clone has heard nothing yet: once for what was, then it waits.
        JobAssigner::changed(&watching).await.unwrap();
        tokio::spawn(async move {
            JobAssigner::changed(&watching).await.unwrap();
            watching
        })
    };
    // While nobody listens, something happens.
    proxy.refuse();
    writing.submit(&job("unheard")).await.unwrap();
    assert!(!waiter.is_finished());
    proxy.heal();
    let watching = tokio::time::timeout(Duration::from_mins(1), waiter).await.expect("it is woken").unwrap();
    assert_eq!(watching.changes(Revision::ZERO, 10).await.unwrap().changes.len(), 1);
    // And the new one hears.
    let heard = tokio::spawn(async move { JobAssigner::changed(&watching).await });
    let mut n = 0;
    while !heard.is_finished() {
        n += 1;
        assert!(n < 600, "not woken by any of {n} changes");
        writing.submit(&job(&format!("j{n}"))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    heard.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_transaction_that_nobody_ends_holds_its_locks_no_longer_than_the_limit() {
    let database = SERVER.database();
    let proxy = proxy().await;
    let cluster = ClusterName::new("c").unwrap();
    let limited = options(&database.url_at(proxy.port())).timeout(Duration::from_secs(4));
    let stuck = limited.open(&cluster).await.unwrap();
    let other = open(&database.url()).await;
    in_the_end(async || stuck.submit(&job("a")).await).await;
    // It dies after it has locked the cluster's row: its connection stays open, and nobody ends it.
    let mut host = PgConnection::connect(&database.url()).await.unwrap();
    host.execute("BEGIN").await.unwrap();
    host.execute("SELECT * FROM failover_clusters FOR UPDATE").await.unwrap();
    let submitting = tokio::spawn(async move { stuck.submit(&job("b")).await });
    in_the_end(async || {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        if database.sql(waiting) == "0" {
            return Err(failover_core::Error::new(ErrorKind::Unavailable, "test", "not waiting yet"));
        }
        Ok(())
    })
    .await;
    proxy.black_hole();
    host.execute("COMMIT").await.unwrap();
    assert!(submitting.await.unwrap().is_err());
    assert_eq!(in_the_end(async || other.submit(&job("c")).await).await, Submitted::Created);
}
