//! A host's own writes in the same database, under a fence.

use std::time::Duration;

use failover_core::lease::{Acquired, Renewed};
use failover_core::{ErrorKind, LeaseManager, Term};
use failover_sql::Fence;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};

use crate::common::{LONG, Place, granted, lease_name, member};

#[path = "../../examples/fenced_write_mysql.rs"]
mod example;

const UPDATE: &str = "UPDATE account SET balance = balance - ?, writer = ? WHERE id = ?";

async fn host_with_an_account(place: &Place) -> MySqlConnection {
    let mut host = place.host().await;
    host.execute("CREATE TABLE account (id INT PRIMARY KEY, balance BIGINT, writer VARCHAR(9)) ENGINE = InnoDB")
        .await
        .unwrap();
    host.execute("INSERT INTO account VALUES (1, 100, '')").await.unwrap();
    host
}

/// One fenced statement; whether it took effect.
async fn withdraw(host: &mut MySqlConnection, fence: &Fence, writer: &str) -> bool {
    let update = sqlx::query(AssertSqlSafe(format!("{UPDATE} AND {}", fence.condition_after(3))));
    let update = update.bind(10).bind(writer.to_owned()).bind(1);
    fence.bind(update).execute(host).await.expect("the statement runs").rows_affected() == 1
}

async fn account(host: &mut MySqlConnection) -> (i64, String) {
    sqlx::query_as("SELECT balance, writer FROM account").fetch_one(host).await.unwrap()
}

#[tokio::test]
async fn a_paused_holders_late_write_is_refused_after_a_successor_got_the_lease() {
    let place = Place::new();
    let store = place.open().await;
    let (a, b) = (member("a", 1), member("b", 2));
    let mut host = host_with_an_account(&place).await;
    let old = granted(&store, "active", &a, Duration::from_millis(500)).await;
    let late = store.fence(&old);
    // The host's session is its own affair: its time zone, and what it calls now.
    host.execute("SET time_zone = '-07:00'").await.unwrap();
    // The pause: it neither renews nor writes, and another comes.
    let new = loop {
        match store.acquire(&old.name, &b, LONG).await.unwrap() {
            Acquired::Granted(lease) => break lease,
            Acquired::Refused(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert!(new.term > old.term);
    assert!(withdraw(&mut host, &store.fence(&new), "b").await);
    assert!(!withdraw(&mut host, &late, "a").await, "it woke too late");
    assert_eq!(account(&mut host).await, (90, "b".into()));
    let mut tx = host.begin().await.unwrap();
    tx.execute("UPDATE account SET balance = 0").await.unwrap();
    let fenced = late.check(&mut *tx).await.unwrap().unwrap_err();
    assert_eq!(fenced.token, old.token());
    tx.rollback().await.unwrap();
    assert_eq!(account(&mut host).await.0, 90);
}

#[tokio::test]
async fn a_lapsed_lease_fences_although_nobody_took_it() {
    let place = Place::new();
    let store = place.open().await;
    let mut host = host_with_an_account(&place).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    let fence = store.fence(&lease);
    for zone in ["+00:00", "+09:00", "-07:00"] {
        host.execute(AssertSqlSafe(format!("SET time_zone = '{zone}'"))).await.unwrap();
        assert!(withdraw(&mut host, &fence, "a").await, "in {zone}");
    }
    place.tamper("UPDATE failover_leases SET ends = 1, lasts = 1").await;
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Lost);
    assert!(!withdraw(&mut host, &fence, "a").await);
}

/// In whatever isolation the host works: a view of the past does not count, and its level stays as it is.
#[tokio::test]
async fn no_higher_term_is_granted_between_a_check_and_its_commit() {
    let place = Place::new();
    let store = place.open().await;
    let (a, b) = (member("a", 1), member("b", 2));
    let mut host = host_with_an_account(&place).await;
    for (level, check) in
        [("REPEATABLE READ", true), ("REPEATABLE READ", false), ("READ COMMITTED", true), ("READ COMMITTED", false)]
    {
        let lease = granted(&store, "active", &a, LONG).await;
        let fence = store.fence(&lease);
        host.execute(AssertSqlSafe(format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}"))).await.unwrap();
        let mut tx = host.begin().await.unwrap();
        // The view of a repeatable read is taken here.
        tx.execute("SELECT * FROM failover_leases").await.unwrap();
        if check {
            fence.check(&mut *tx).await.unwrap().unwrap();
        } else {
            assert!(withdraw(&mut tx, &fence, "a").await);
        }
        let successor = tokio::spawn({
            let (store, b) = (store.clone(), b.clone());
            async move {
                store.release(&lease, Some(&b.node)).await.unwrap();
                granted(&store, "active", &b, LONG).await
            }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!successor.is_finished(), "{level}, {check}: the lease's row is the host's");
        let now: String = sqlx::query_scalar("SELECT @@tx_isolation").fetch_one(&mut *tx).await.unwrap();
        assert_eq!(now, level.replace(' ', "-"));
        tx.commit().await.unwrap();
        let next = successor.await.unwrap();
        assert!(!withdraw(&mut host, &fence, "a").await);
        store.release(&next, None).await.unwrap();
    }
    assert_eq!(store.current(&lease_name("active")).await.unwrap().term, Term(8));
}

#[tokio::test]
async fn the_example_shows_a_late_write_refused() {
    let said = example::late_write(&Place::new().url()).await.unwrap();
    assert!(said.contains("under term 1 was refused; the balance is 80, written under term 2"), "{said}");
}

#[tokio::test]
async fn a_check_outside_of_a_transaction_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    let mut host = host_with_an_account(&place).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    let error = store.fence(&lease).check(&mut host).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let mut tx = host.begin().await.unwrap();
    store.fence(&lease).check(&mut *tx).await.unwrap().unwrap();
    tx.commit().await.unwrap();
}
