//! Stores that are not what they were: restored, moved, or with a clock that was set back.

use std::time::Duration;

use failover_core::lease::{Acquired, Tenant};
use failover_core::{ErrorKind, HeartbeatStore, LeaseManager, Term};

use crate::common::{LONG, Place, beat, cluster, granted, lease_name, member};

#[tokio::test]
async fn a_database_that_was_restored_in_place_is_noticed_by_its_terms() {
    let place = Place::new();
    let store = place.open().await;
    let a = member("a", 1);
    let first = granted(&store, "active", &a, LONG).await;
    place.tamper("CREATE TABLE copy AS SELECT * FROM failover_leases").await;
    store.release(&first, None).await.unwrap();
    assert_eq!(granted(&store, "active", &a, LONG).await.term, Term(2));
    place.tamper("DELETE FROM failover_leases; INSERT INTO failover_leases SELECT * FROM copy").await;
    let error = store.renew(&first).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreChanged, "{error}");
    assert_eq!(store.sightings().await.unwrap_err().kind(), ErrorKind::StoreChanged, "for ever");
    let anew = place.options().term_floor(Term(50)).open(&cluster("c")).await.unwrap();
    place.tamper("UPDATE failover_leases SET ends = 1, lasts = 1").await;
    assert_eq!(granted(&anew, "active", &a, LONG).await.term, Term(51));
}

/// Terms alone do not tell: what one node was granted last, another may never have seen.
#[tokio::test]
async fn a_store_that_is_found_on_another_server_fails_closed_until_a_floor_is_named() {
    let place = Place::new();
    let store = place.open().await;
    let a = member("a", 1);
    let lease = granted(&store, "active", &a, Duration::from_secs(30)).await;
    place.tamper("UPDATE failover_meta SET clock = 'server 99'").await;
    let error = store.renew(&lease).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreChanged, "{error}");
    assert!(error.to_string().contains("replica"), "{error}");
    let error = place.try_open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreChanged, "{error}");
    assert!(error.to_string().contains("server 99") && error.to_string().contains("term floor"), "{error}");
    let anew = place.options().term_floor(Term(50)).open(&cluster("c")).await.unwrap();
    let view = anew.current(&lease.name).await.unwrap();
    assert!(matches!(view.tenant, Tenant::Held { .. }), "it has its whole time again: {view:?}");
    assert_eq!(granted(&anew, "other", &a, LONG).await.term, Term(51));
    place.open().await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_holds_a_lease_no_longer_than_its_ttl() {
    let place = Place::new();
    let store = place.open().await;
    let (a, b) = (member("a", 1), member("b", 2));
    let ttl = Duration::from_millis(300);
    granted(&store, "active", &a, ttl).await;
    store.beat(&beat(&a, 1, 0)).await.unwrap();
    // As if the clock had been an hour ahead.
    let hour = "3600000000000";
    place
        .tamper(&format!(
            "UPDATE failover_leases SET ends = ends + {hour}; UPDATE failover_heartbeats SET seen = seen + {hour}"
        ))
        .await;
    match store.acquire(&lease_name("active"), &b, LONG).await.unwrap() {
        Acquired::Refused(view) => {
            assert!(matches!(view.tenant, Tenant::Held { remaining, .. } if remaining <= ttl), "{view:?}");
        }
        Acquired::Granted(lease) => panic!("its time has only begun: {lease:?}"),
    }
    assert_eq!(store.sightings().await.unwrap()[0].age, Duration::ZERO, "never overstated");
    let term = loop {
        match store.acquire(&lease_name("active"), &b, LONG).await.unwrap() {
            Acquired::Granted(lease) => break lease.term,
            Acquired::Refused(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(term, Term(2));
    assert!(store.sightings().await.unwrap()[0].age > Duration::ZERO, "its age has begun anew");
}

/// What a session is told, it cannot be talked out of by the server's or the account's defaults.
#[tokio::test]
async fn moments_do_not_depend_on_time_zones() {
    let place = Place::new();
    let store = place.open().await;
    let lease = granted(&store, "active", &member("a", 1), Duration::from_mins(1)).await;
    let server = crate::common::server();
    server.execute("SET GLOBAL time_zone = '+09:00'");
    let other = place.open().await;
    let view = other.current(&lease.name).await.unwrap();
    server.execute("SET GLOBAL time_zone = 'SYSTEM'");
    let held = |remaining| remaining > Duration::from_secs(1) && remaining <= Duration::from_mins(1);
    assert!(matches!(view.tenant, Tenant::Held { remaining, .. } if held(remaining)), "{view:?}");
}
