//! A host's own writes in the same file, under a fence.

mod common;

use std::time::Duration;

use common::{LONG, Place, granted, member, node};
use failover_core::job::{JobChange, Move, Step};
use failover_core::lease::Renewed;
use failover_core::{Epoch, ErrorKind, JobAssigner, JobId, JobRecord, JobSpec, LeaseManager, Revision, Term};
use failover_sql::{Fence, SqlStore};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};

const UPDATE: &str = "UPDATE account SET balance = balance - ?, writer = ? WHERE id = ?";

async fn host_with_an_account(place: &Place) -> SqliteConnection {
    let mut host = place.host().await;
    host.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER, writer TEXT)").await.unwrap();
    host.execute("INSERT INTO account VALUES (1, 100, '')").await.unwrap();
    host
}

/// One fenced statement; whether it took effect.
async fn withdraw(host: &mut SqliteConnection, fence: &Fence, writer: &str) -> bool {
    let update = sqlx::query(AssertSqlSafe(format!("{UPDATE} AND {}", fence.condition_after(3))));
    let update = update.bind(10).bind(writer.to_owned()).bind(1);
    fence.bind(update).execute(host).await.expect("the statement runs").rows_affected() == 1
}

async fn account(host: &mut SqliteConnection) -> (i64, String) {
    sqlx::query_as("SELECT balance, writer FROM account").fetch_one(host).await.unwrap()
}

#[tokio::test]
async fn a_paused_holders_late_write_is_refused_after_a_successor_got_the_lease() {
    let place = Place::new();
    let store = place.open().await;
    let (a, b) = (member("a", 1), member("b", 2));
    let mut host = host_with_an_account(&place).await;
    let ttl = Duration::from_millis(200);
    let old = granted(&store, "active", &a, ttl).await;
    let late = store.fence(&old);
    assert!(withdraw(&mut host, &late, "a").await, "while it holds the lease");
    // The pause: it neither renews nor writes, and another comes.
    let new = loop {
        match store.acquire(&old.name, &b, LONG).await.unwrap() {
            failover_core::lease::Acquired::Granted(lease) => break lease,
            failover_core::lease::Acquired::Refused(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert!(new.term > old.term);
    assert!(withdraw(&mut host, &store.fence(&new), "b").await);
    assert!(!withdraw(&mut host, &late, "a").await, "it woke too late");
    assert!(!withdraw(&mut host, &store.fence(&old), "a").await);
    assert_eq!(account(&mut host).await, (80, "b".into()));

    let mut tx = host.begin_with("BEGIN IMMEDIATE").await.unwrap();
    tx.execute("UPDATE account SET balance = 0").await.unwrap();
    let fenced = late.check(&mut tx).await.unwrap().unwrap_err();
    assert_eq!(fenced.token, old.token());
    drop(tx);
    assert_eq!(account(&mut host).await.0, 80);
}

#[tokio::test]
async fn a_lapsed_lease_fences_although_nobody_took_it() {
    let place = Place::new();
    let store = place.open().await;
    let mut host = host_with_an_account(&place).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    let fence = store.fence(&lease);
    assert!(withdraw(&mut host, &fence, "a").await);
    place.tamper("UPDATE failover_leases SET ends = 1").await;
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Lost);
    assert!(!withdraw(&mut host, &fence, "a").await);
}

#[tokio::test]
async fn no_higher_term_is_granted_between_a_check_and_its_commit() {
    let place = Place::new();
    let store = place.open().await;
    let (a, b) = (member("a", 1), member("b", 2));
    let mut host = host_with_an_account(&place).await;
    let lease = granted(&store, "active", &a, LONG).await;
    // A deferred transaction: the check itself takes the lock.
    let mut tx = host.begin().await.unwrap();
    store.fence(&lease).check(&mut tx).await.unwrap().unwrap();
    let successor = {
        let (store, lease) = (store.clone(), lease.clone());
        tokio::spawn(async move {
            store.release(&lease, Some(&b.node)).await.unwrap();
            granted(&store, "active", &b, LONG).await
        })
    };
    let early = tokio::time::timeout(Duration::from_millis(300), async {
        while !successor.is_finished() {
            tokio::task::yield_now().await;
        }
    });
    assert!(early.await.is_err(), "the write lock is the host's");
    tx.execute("UPDATE account SET balance = 1, writer = 'a'").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(successor.await.unwrap().term, Term(2));
    assert_eq!(account(&mut host).await, (1, "a".into()));
}

#[tokio::test]
async fn a_check_outside_of_a_transaction_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    let mut host = host_with_an_account(&place).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    let error = store.fence(&lease).check(&mut host).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("BEGIN IMMEDIATE"), "{error}");
    // And left none open.
    let mut tx = host.begin_with("BEGIN IMMEDIATE").await.unwrap();
    store.fence(&lease).check(&mut tx).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_token_of_another_store_is_never_current() {
    let (place, other) = (Place::new(), Place::new());
    let (store, elsewhere) = (place.open().await, other.open().await);
    let a = member("a", 1);
    let lease = granted(&store, "active", &a, LONG).await;
    assert_eq!(lease, granted(&elsewhere, "active", &a, LONG).await, "equal in everything");
    let mut host = host_with_an_account(&other).await;
    assert!(withdraw(&mut host, &elsewhere.fence(&lease), "a").await);
    assert!(!withdraw(&mut host, &store.fence(&lease), "a").await);
}

async fn record(store: &SqlStore) -> JobRecord {
    match store.changes(Revision::ZERO, 1).await.unwrap().changes.remove(0) {
        JobChange::Put(record) => record,
        other @ JobChange::Removed { .. } => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_jobs_epoch_fences_the_run_that_was_seized() {
    let place = Place::new();
    let store = place.open().await;
    let (a, b) = (member("a", 1), member("b", 2));
    let mut host = host_with_an_account(&place).await;
    let active = granted(&store, "active", &a, LONG).await;
    let job = JobId::new("import").unwrap();
    store.submit(&JobSpec::new(job.clone(), "").unwrap()).await.unwrap();
    assert_eq!(store.fence_job(&record(&store).await).unwrap_err().kind(), ErrorKind::Invalid);
    let place_it = Move::new(job.clone(), Epoch(0), Step::Place { to: a.clone() });
    store.assign(&active, &[place_it]).await.unwrap();
    let first = store.fence_job(&record(&store).await).unwrap();
    assert!(withdraw(&mut host, &first, "a").await);
    let seize = Move::new(job, Epoch(1), Step::Seize { from: a, to: Some(b) });
    store.assign(&active, &[seize]).await.unwrap();
    assert!(!withdraw(&mut host, &first, "a").await);
    let second = store.fence_job(&record(&store).await).unwrap();
    assert!(withdraw(&mut host, &second, "b").await);
    assert_eq!(second.token().number, 2);
    assert_eq!(record(&store).await.owner.unwrap().node, node("b"));
}
