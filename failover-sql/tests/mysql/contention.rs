//! Who waits for whom.

use std::time::Duration;

use failover_core::lease::{Acquired, Renewed};
use failover_core::state::{Expect, Written};
use failover_core::{ClusterName, HeartbeatStore, LeaseManager, StateStore, Term};
use sqlx::{Connection, Executor};

use crate::common::{LONG, Place, beat, granted, key, lease_name, member};

/// Every call of one node succeeds while another node's rows are locked; the other's waits.
#[tokio::test]
async fn two_nodes_writes_never_wait_for_each_others_rows() {
    let place = Place::new();
    let store = place.open().await;
    let (a, b) = (member("a", 1), member("b", 2));
    for m in [&a, &b] {
        store.beat(&beat(m, 1, 0)).await.unwrap();
        granted(&store, &format!("node/{}", m.node), m, LONG).await;
    }
    let mut host = place.host().await;
    let mut tx = host.begin().await.unwrap();
    tx.execute("SELECT * FROM failover_heartbeats WHERE cluster = 'c' AND node = 'a' FOR UPDATE").await.unwrap();
    tx.execute("SELECT * FROM failover_leases WHERE cluster = 'c' AND name = 'node/a' FOR UPDATE").await.unwrap();

    store.beat(&beat(&b, 2, 7)).await.unwrap();
    let lease = granted(&store, "node/b", &b, LONG).await;
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
    store.release(&lease, None).await.unwrap();
    granted(&store, "node/c", &member("c", 3), LONG).await;
    store.sightings().await.unwrap();

    let blocked = tokio::time::timeout(Duration::from_millis(300), store.beat(&beat(&a, 2, 0))).await;
    assert!(blocked.is_err(), "the lock is on that row: {blocked:?}");
    tx.rollback().await.unwrap();
    store.beat(&beat(&a, 3, 0)).await.unwrap();
}

/// `NOW(6)` would be that of before the wait, and the lease alive.
#[tokio::test]
async fn a_renewal_that_waited_until_the_lease_had_lapsed_is_lost() {
    let place = Place::new();
    let store = place.open().await;
    let ttl = Duration::from_millis(300);
    let lease = granted(&store, "active", &member("a", 1), ttl).await;
    let mut host = place.host().await;
    let mut tx = host.begin().await.unwrap();
    tx.execute("SELECT * FROM failover_leases WHERE cluster = 'c' AND name = 'active' FOR UPDATE").await.unwrap();
    let renewing = tokio::spawn({
        let (store, lease) = (store.clone(), lease.clone());
        async move { store.renew(&lease).await }
    });
    tokio::time::sleep(ttl * 2).await;
    tx.rollback().await.unwrap();
    assert_eq!(renewing.await.unwrap().unwrap(), Renewed::Lost);
}

#[tokio::test]
async fn a_call_that_the_server_rolls_back_in_a_deadlock_is_run_again() {
    let place = Place::new();
    let store = place.open().await;
    store.put(&key("a/b"), b"one", Expect::Absent, None).await.unwrap();
    let mut host = place.host().await;
    host.execute("CREATE TABLE ballast (id INT PRIMARY KEY) ENGINE = InnoDB").await.unwrap();
    let deadlocks = "SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status \
         WHERE variable_name = 'Innodb_deadlocks'";
    let before = place.number(deadlocks).await;
    let mut tx = host.begin().await.unwrap();
    // Of two in a deadlock the server rolls back the one that has changed less.
    tx.execute("INSERT INTO ballast SELECT seq FROM seq_1_to_100").await.unwrap();
    tx.execute("SELECT * FROM failover_documents WHERE cluster = 'c' AND path = 'a/b' FOR UPDATE").await.unwrap();
    let putting = tokio::spawn({
        let store = store.clone();
        async move { store.put(&key("a/b"), b"two", Expect::Any, None).await }
    });
    // It holds the cluster's row and waits for the document's.
    let waits = "SELECT COUNT(*) FROM information_schema.processlist \
         WHERE db = DATABASE() AND info LIKE '%failover_documents%FOR UPDATE' AND id <> CONNECTION_ID()";
    while place.number(waits).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tx.execute("SELECT * FROM failover_clusters WHERE cluster = 'c' FOR UPDATE").await.unwrap();
    tx.rollback().await.unwrap();
    assert!(matches!(putting.await.unwrap().unwrap(), Written::Written(_)));
    assert!(place.number(deadlocks).await > before, "there was no deadlock");
    assert_eq!(store.get(&key("a/b")).await.unwrap().unwrap().value, b"two");
}

/// DDL commits by itself: half a schema is what others may find at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_that_open_an_empty_database_at_once_get_one_store() {
    let place = Place::new();
    let openers: Vec<_> = (0..20)
        .map(|n| {
            let options = place.options().timeout(Duration::from_secs(30)).connect_timeout(Duration::from_secs(30));
            tokio::spawn(async move {
                let store = options.open(&ClusterName::new("c").unwrap()).await.unwrap();
                store.acquire(&lease_name("active"), &member("n", n), LONG).await.unwrap()
            })
        })
        .collect();
    let mut granted = Vec::new();
    for opener in openers {
        if let Acquired::Granted(lease) = opener.await.unwrap() {
            granted.push(lease.term);
        }
    }
    assert_eq!(granted, [Term(1)], "one holder of one store");
    assert_eq!(place.number("SELECT COUNT(*) FROM failover_meta").await, 1);
}

/// Ids that a collation would take for one: by case, and by the blank that most of them ignore at the end.
#[tokio::test]
async fn names_are_compared_byte_for_byte() {
    let place = Place::new();
    let store = place.open().await;
    for name in ["n", "N"] {
        store.beat(&beat(&member(name, 1), 1, 0)).await.unwrap();
        assert_eq!(granted(&store, name, &member("m", 1), LONG).await.term, Term(1));
        store.put(&key(name), name.as_bytes(), Expect::Absent, None).await.unwrap();
    }
    assert_eq!(store.sightings().await.unwrap().len(), 2);
    assert_eq!(store.get(&key("N")).await.unwrap().unwrap().value, b"N");
    let trailing = "SELECT COUNT(*) FROM failover_leases WHERE cluster = 'c' AND name = 'n '";
    assert_eq!(place.number(trailing).await, 0, "a blank at the end counts");
}
