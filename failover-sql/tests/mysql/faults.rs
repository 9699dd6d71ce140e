//! Servers that die, and networks that swallow.

use std::time::Duration;

use failover_core::lease::{Acquired, Renewed};
use failover_core::{ErrorKind, HeartbeatStore, LeaseManager, Term};
use failover_sql::SqlStore;
use failover_testing::mariadb::Mariadb;
use failover_testing::proxy::Proxy;

use crate::common::{LONG, Place, beat, cluster, granted, member};

/// As a node's driver calls: it drops what takes longer than this.
const DEADLINE: Duration = Duration::from_millis(700);

async fn through(proxy: &Proxy, place: &Place) -> SqlStore {
    place.options().port(proxy.port()).open(&cluster("c")).await.expect("the store opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_connection_costs_one_call() {
    let place = Place::new();
    let proxy = Proxy::to_port(place.port);
    let store = through(&proxy, &place).await;
    let a = member("a", 1);
    let lease = granted(&store, "active", &a, LONG).await;
    // Several connections of each kind are idle now.
    let beats = [1, 2, 3].map(|seq| {
        let (store, a) = (store.clone(), a.clone());
        async move { store.beat(&beat(&a, seq, 0)).await }
    });
    for done in futures_join(beats).await {
        done.unwrap();
    }
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
    proxy.half_open();
    assert!(tokio::time::timeout(DEADLINE, store.renew(&lease)).await.is_err(), "it is swallowed");
    // Generous, because the machine is busy; a connection that is dead would not answer at all.
    let patient = Duration::from_secs(20);
    for seq in 10..13 {
        let renewed = tokio::time::timeout(patient, store.renew(&lease)).await.expect("by another connection");
        assert_eq!(renewed.unwrap(), Renewed::Extended);
        tokio::time::timeout(patient, store.beat(&beat(&a, seq, 0))).await.expect("by another connection").unwrap();
    }
}

/// All at once, on threads of their own.
async fn futures_join<T: Send + 'static>(
    calls: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.expect("no panic"));
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_whose_answer_was_lost_is_the_same_when_asked_again() {
    let place = Place::new();
    let proxy = Proxy::to_port(place.port);
    let store = through(&proxy, &place).await;
    let a = member("a", 1);
    store.release(&granted(&store, "active", &a, LONG).await, None).await.unwrap();
    for cut in [false, true] {
        let before = term(&place).await;
        if cut {
            proxy.cut_replies();
        } else {
            proxy.lose_replies();
        }
        let name = crate::common::lease_name("active");
        match tokio::time::timeout(DEADLINE, store.acquire(&name, &a, LONG)).await {
            Err(_dropped) => {}
            Ok(answer) => assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unknown, "it may have been applied"),
        }
        proxy.heal();
        // Applied once the server has carried it out, whatever its client knows of it.
        while term(&place).await == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let again = granted(&store, "active", &a, LONG).await;
        assert_eq!(again.term, Term(u64::try_from(before).unwrap() + 1), "one grant");
        store.release(&again, None).await.unwrap();
    }
}

async fn term(place: &Place) -> i64 {
    place.number("SELECT term FROM failover_leases WHERE name = 'active'").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_survive_a_killed_server_and_not_an_emptied_one() {
    let mut server = Mariadb::start();
    let place = Place::on(&server);
    let store = place.open().await;
    let a = member("a", 1);
    let lease = granted(&store, "active", &a, LONG).await;
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
    server.kill();
    for _ in 0..2 {
        let error = store.renew(&lease).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
    }
    server.start_again();
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended, "at once, by a new connection");
    let refused = store.acquire(&lease.name, &member("b", 2), LONG).await.unwrap();
    assert!(matches!(refused, Acquired::Refused(view) if view.term == lease.term));
    server.start_empty();
    server.execute(&format!("CREATE DATABASE {}", place.database));
    let error = store.renew(&lease).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreChanged, "{error}");
    let fresh = place.open().await;
    assert_eq!(store.current(&lease.name).await.unwrap_err().kind(), ErrorKind::StoreChanged, "for ever");
    assert_eq!(fresh.current(&lease.name).await.unwrap().term, Term::ZERO);
}
