//! How often the server is asked.

use std::time::Duration;

use failover_core::{HeartbeatStore, JobAssigner, LeaseManager, StateStore};
use failover_testing::mariadb::Mariadb;

use crate::common::{LONG, Place, beat, granted, key, lease_name, member};

/// What the server was asked so far. Asking that is two: a connection's setup counts for itself.
async fn asked(place: &Place) -> i64 {
    place.number("SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status WHERE variable_name = 'Queries'").await
}

/// The cost of asking alone is taken out.
async fn cost(place: &Place, work: impl Future<Output = ()>) -> i64 {
    let start = asked(place).await;
    let asking = asked(place).await - start;
    let before = asked(place).await;
    work.await;
    asked(place).await - before - asking
}

#[tokio::test]
async fn a_hot_operation_is_one_round_trip() {
    let server = Mariadb::start();
    let place = Place::on(&server);
    let store = place.open().await;
    let a = member("a", 1);
    // Rows and prepared statements are made.
    for seq in 1..3 {
        store.beat(&beat(&a, seq, 0)).await.unwrap();
        let lease = granted(&store, "node/a", &a, LONG).await;
        store.renew(&lease).await.unwrap();
        store.release(&lease, None).await.unwrap();
    }
    let lease = granted(&store, "node/a", &a, LONG).await;
    let beats = cost(&place, async {
        for seq in 10..20 {
            store.beat(&beat(&a, seq, u32::try_from(seq).unwrap())).await.unwrap();
        }
    });
    assert_eq!(beats.await, 10, "ten beats with news");
    let renewals = cost(&place, async {
        for _ in 0..10 {
            store.renew(&lease).await.unwrap();
        }
    });
    assert_eq!(renewals.await, 10, "ten renewals");
    let turns = cost(&place, async {
        let mut lease = lease.clone();
        for _ in 0..10 {
            store.release(&lease, Some(&a.node)).await.unwrap();
            lease = granted(&store, "node/a", &a, LONG).await;
        }
    });
    assert_eq!(turns.await, 20, "ten releases and ten grants");
    store.sightings().await.unwrap();
    let looks = cost(&place, async {
        for _ in 0..10 {
            store.sightings().await.unwrap();
        }
    });
    assert_eq!(looks.await, 10, "ten readings");
}

/// Whoever waits for however much: one look in a second for a handle, and none when nobody waits. The end of a hold is waited for
/// without asking.
#[tokio::test]
async fn waiting_costs_a_call_a_second_and_only_while_somebody_waits() {
    let server = Mariadb::start();
    let place = Place::on(&server);
    let (store, holder) = (place.open().await, place.open().await);
    let (leases, prefix) = (lease_name("active"), key("a"));
    granted(&holder, "active", &member("a", 1), LONG).await;
    let clones = (store.clone(), store.clone(), store.clone());
    // Wakes them for what was before; then come the looks that are soon, ever fewer.
    LeaseManager::changed(&clones.0, &leases).await.unwrap();
    let all = async || {
        tokio::join!(
            HeartbeatStore::changed(&store),
            LeaseManager::changed(&clones.0, &leases),
            JobAssigner::changed(&clones.1),
            StateStore::changed(&clones.2, &prefix),
        )
    };
    let second = Duration::from_secs(1);
    assert!(tokio::time::timeout(second * 4, all()).await.is_err(), "nothing has changed");
    let waiting = cost(&place, async {
        assert!(tokio::time::timeout(second * 5, all()).await.is_err(), "nothing has changed");
    });
    let looks = waiting.await;
    // Five or six looks, and the holder's connection that may be used once.
    assert!((1..=8).contains(&looks), "{looks} calls in five seconds");
    let quiet = cost(&place, tokio::time::sleep(second));
    assert!(quiet.await <= 2, "nobody waits");
}
