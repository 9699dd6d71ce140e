//! A host's own writes in the same database, under a fence.

use std::time::Duration;

use failover_core::job::{JobChange, Move, Step};
use failover_core::lease::Renewed;
use failover_core::{Epoch, ErrorKind, JobAssigner, LeaseManager, Revision};
use failover_sql::Fence;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::{LONG, SERVER, granted, job, member, open};

#[path = "../../examples/fenced_write_postgres.rs"]
mod example;

async fn host_with_an_account(url: &str) -> PgConnection {
    let mut host = PgConnection::connect(url).await.unwrap();
    host.execute("CREATE TABLE account (id BIGINT PRIMARY KEY, balance BIGINT, writer TEXT)").await.unwrap();
    host.execute("INSERT INTO account VALUES (1, 100, '')").await.unwrap();
    host
}

/// One fenced statement; whether it took effect.
async fn withdraw(host: &mut PgConnection, fence: &Fence, writer: &str) -> bool {
    let update = "UPDATE account SET balance = balance - $1, writer = $2 WHERE id = $3";
    let update = sqlx::query(AssertSqlSafe(format!("{update} AND {}", fence.condition_after(3))));
    let update = update.bind(10_i64).bind(writer.to_owned()).bind(1_i64);
    fence.bind(update).execute(host).await.expect("the statement runs").rows_affected() == 1
}

async fn account(host: &mut PgConnection) -> (i64, String) {
    sqlx::query_as("SELECT balance, writer FROM account").fetch_one(host).await.unwrap()
}

#[tokio::test]
async fn the_example_shows_a_late_write_refused() {
    let database = SERVER.database();
    let said = example::late_write(&database.url()).await.unwrap();
    assert!(said.contains("refused"), "{said}");
}

#[tokio::test]
async fn a_paused_holders_late_write_is_refused() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let mut host = host_with_an_account(&database.url()).await;
    let (a, b) = (member("a", 1), member("b", 2));
    let old = granted(&store, "active", &a, LONG).await;
    let late = store.fence(&old);
    assert!(withdraw(&mut host, &late, "a").await, "while it holds the lease");
    database.sql("UPDATE failover_leases SET ends = 1");
    assert!(!withdraw(&mut host, &late, "a").await, "lapsed, though nobody took it");
    let new = granted(&store, "active", &b, LONG).await;
    assert!(withdraw(&mut host, &store.fence(&new), "b").await);
    assert!(!withdraw(&mut host, &late, "a").await, "it woke too late");
    assert_eq!(account(&mut host).await, (80, "b".into()));

    let mut tx = host.begin().await.unwrap();
    tx.execute("UPDATE account SET balance = 0").await.unwrap();
    let fenced = late.check(&mut tx).await.unwrap().unwrap_err();
    assert_eq!(fenced.token, old.token());
    tx.rollback().await.unwrap();
    assert_eq!(account(&mut host).await.0, 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_holds_off_a_grant_but_not_a_renewal() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let mut host = host_with_an_account(&database.url()).await;
    let (a, b) = (member("a", 1), member("b", 2));
    let lease = granted(&store, "active", &a, LONG).await;
    let mut tx = host.begin().await.unwrap();
    store.fence(&lease).check(&mut tx).await.unwrap().unwrap();
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended, "the holder is not held up by its own work");
    let successor = {
        let (store, lease) = (store.clone(), lease.clone());
        tokio::spawn(async move {
            store.release(&lease, Some(&b.node)).await.unwrap();
            granted(&store, "active", &b, LONG).await
        })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!successor.is_finished(), "the row's lock is the host's");
    tx.execute("UPDATE account SET balance = 1, writer = 'a'").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(successor.await.unwrap().term.0, 2);
    assert_eq!(account(&mut host).await, (1, "a".into()));
}

#[tokio::test]
async fn a_check_outside_of_a_transaction_is_refused() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let mut host = PgConnection::connect(&database.url()).await.unwrap();
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    assert_eq!(store.fence(&lease).check(&mut host).await.unwrap_err().kind(), ErrorKind::Invalid);
    // One begun by a statement counts as well.
    host.execute("BEGIN").await.unwrap();
    store.fence(&lease).check(&mut host).await.unwrap().unwrap();
    host.execute("COMMIT").await.unwrap();
}

#[tokio::test]
async fn a_jobs_epoch_fences_the_run_that_was_seized() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let mut host = host_with_an_account(&database.url()).await;
    let (a, b) = (member("a", 1), member("b", 2));
    let active = granted(&store, "active", &a, LONG).await;
    let spec = job("import");
    store.submit(&spec).await.unwrap();
    let record = async || match store.changes(Revision::ZERO, 1).await.unwrap().changes.remove(0) {
        JobChange::Put(record) => record,
        other @ JobChange::Removed { .. } => panic!("{other:?}"),
    };
    assert_eq!(store.fence_job(&record().await).unwrap_err().kind(), ErrorKind::Invalid);
    let id = spec.id().clone();
    let place = Move::new(id.clone(), Epoch(0), Step::Place { to: a.clone() });
    store.assign(&active, &[place]).await.unwrap();
    let first = store.fence_job(&record().await).unwrap();
    assert!(withdraw(&mut host, &first, "a").await);
    let seize = Move::new(id, Epoch(1), Step::Seize { from: a, to: Some(b) });
    store.assign(&active, &[seize]).await.unwrap();
    assert!(!withdraw(&mut host, &first, "a").await);
    let second = store.fence_job(&record().await).unwrap();
    assert!(withdraw(&mut host, &second, "b").await);
    let mut tx = host.begin().await.unwrap();
    second.check(&mut tx).await.unwrap().unwrap();
    first.check(&mut tx).await.unwrap().unwrap_err();
}
