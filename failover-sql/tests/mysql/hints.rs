//! How soon a change is noticed, and what becomes of it where a hint is lost or false.

use std::time::Duration;

use failover_core::lease::{Acquired, Tenant};
use failover_core::time::{Clock, SystemClock};
use failover_core::{Lease, LeaseManager, StateStore, state::Expect};
use failover_sql::SqlStore;
use sqlx::{AssertSqlSafe, Row};

use crate::common::{LONG, Place, granted, key, lease_name, member};

/// Longer than any pause between two looks: who looks ever more rarely has come to the longest.
const CALM: Duration = Duration::from_secs(3);
/// More than a busy machine needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits for the next change of the lease.
async fn woken(store: &SqlStore) {
    let name = lease_name("active");
    let woken = tokio::time::timeout(PATIENCE, LeaseManager::changed(store, &name));
    woken.await.expect("it is woken").unwrap();
}

/// The server's locks that are had, by the text with which they are asked for, and the sessions that have them.
async fn bells(place: &Place) -> Vec<i64> {
    let sql = "SELECT id FROM information_schema.processlist WHERE id IN \
        (SELECT IS_USED_LOCK(CONCAT('failover:', LEFT(SHA2(CONCAT(m.store, ' c active'), 256), 48))) FROM failover_meta AS m)";
    let mut host = place.host().await;
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut host).await.unwrap();
    rows.iter().map(|row| row.get_unchecked::<u64, _>(0).cast_signed()).collect()
}

/// Waits until the holder has the lock.
async fn rung_by_holder(place: &Place) -> i64 {
    let waiting = async {
        loop {
            if let [id] = bells(place).await[..] {
                return id;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the holder has the lock")
}

async fn held(place: &Place) -> (SqlStore, SqlStore, Lease) {
    let (holder, waiter) = (place.open().await, place.open().await);
    let lease = granted(&holder, "active", &member("a", 1), LONG).await;
    woken(&waiter).await;
    rung_by_holder(place).await;
    (holder, waiter, lease)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_noticed_at_once_however_long_nothing_has_happened() {
    let place = Place::new();
    let (holder, waiter, mut lease) = held(&place).await;
    let clock = SystemClock::new();
    let mut took = Vec::new();
    for n in 0..7_u32 {
        let (waits, name) = (waiter.clone(), lease_name("active"));
        // Until it has heard of all that was before.
        while tokio::time::timeout(CALM / 2, LeaseManager::changed(&waits, &name)).await.is_ok() {}
        let wakes = tokio::spawn(async move {
            woken(&waits).await;
            SystemClock::new().now()
        });
        // At any moment between two looks.
        tokio::time::sleep(CALM + Duration::from_millis(143) * n).await;
        let released = clock.now();
        holder.release(&lease, None).await.unwrap();
        took.push(wakes.await.unwrap().since(released));
        lease = granted(&holder, "active", &member("a", 1), LONG).await;
        rung_by_holder(&place).await;
    }
    took.sort();
    // By looking once a second it would be half a second.
    assert!(took[3] < Duration::from_millis(250), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_noticed_although_a_stranger_has_the_lock() {
    let place = Place::new();
    let (holder, waiter, lease) = held(&place).await;
    let id = rung_by_holder(&place).await;
    let mut stranger = place.host().await;
    let stolen = tokio::spawn(async move {
        let store: String =
            sqlx::query("SELECT store FROM failover_meta").fetch_one(&mut stranger).await.unwrap().get_unchecked(0);
        let take = "SELECT GET_LOCK(CONCAT('failover:', LEFT(SHA2(CONCAT(?, ' c active'), 256), 48)), 60)";
        let row = sqlx::query(AssertSqlSafe(take)).bind(store).fetch_one(&mut stranger).await.unwrap();
        assert_eq!(row.get_unchecked::<i64, _>(0), 1);
        stranger
    });
    // The holder's connection ends, as if its process had died, which rings for nothing.
    place.tamper(&format!("KILL {id}")).await;
    let _stranger = stolen.await.unwrap();
    holder.release(&lease, None).await.unwrap();
    woken(&waiter).await;
    let view = waiter.current(&lease_name("active")).await.unwrap();
    assert_eq!(view.tenant, Tenant::Free);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_lost_says_nothing_about_who_holds_and_is_taken_again() {
    let place = Place::new();
    let (holder, waiter, lease) = held(&place).await;
    let id = rung_by_holder(&place).await;
    place.tamper(&format!("KILL {id}")).await;
    let refused = waiter.acquire(&lease_name("active"), &member("b", 2), LONG).await.unwrap();
    assert!(matches!(refused, Acquired::Refused(view) if view.term == lease.term));
    // Another one is taken by the same handle in a moment, or at the latest with its next grant.
    let lease = granted(&holder, "active", &member("a", 1), LONG).await;
    let again = rung_by_holder(&place).await;
    assert_ne!(again, id);
    holder.release(&lease, None).await.unwrap();
    woken(&waiter).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_ring_no_bell_are_noticed_too() {
    let place = Place::new();
    let (one, other) = (place.open().await, place.open().await);
    let doc = key("control");
    let changed = async || {
        let woken = tokio::time::timeout(PATIENCE, StateStore::changed(&other, &doc));
        woken.await.expect("it is woken").unwrap();
    };
    for n in 0..3_u8 {
        one.put(&doc, &[n], Expect::Any, None).await.unwrap();
        changed().await;
        tokio::time::sleep(CALM).await;
    }
}
