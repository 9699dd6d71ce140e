//! A network between a node and one server that works, through a proxy.

use std::time::Duration;

use failover_core::lease::{Acquired, Renewed, Tenant};
use failover_core::{HeartbeatStore, LeaseManager, StateStore, Term, state::Expect};
use failover_etcd::etcd_client;
use failover_testing::etcd::Etcd;
use failover_testing::proxy::Proxy;

use crate::common::{
    LEAST, LONG, ONE, beat, client, etcd_leases, granted, holder, key, lease_name, member, node, open, own_prefix,
    until,
};

/// A proxy before the shared server, the address through it and the one around it.
fn behind_a_proxy(options: &str) -> (Proxy, String, String) {
    let proxy = Proxy::to_port(ONE.port());
    let prefix = own_prefix();
    let through = format!("{}?prefix={prefix}{options}", ONE.url_at(proxy.port()));
    (proxy, through, format!("{}?prefix={prefix}", ONE.url()))
}

#[tokio::test]
async fn a_keep_alive_stream_that_was_cut_is_opened_again() {
    let (proxy, through, _) = behind_a_proxy("");
    let store = open(&through).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    for _ in 0..3 {
        assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
        assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended, "over the stream that is open");
        proxy.cut();
    }
}

#[tokio::test]
async fn a_half_open_connection_costs_one_call() {
    let (proxy, through, _) = behind_a_proxy("");
    let store = open(&through).await;
    let m = member("a", 1);
    let lease = granted(&store, "active", &m, LONG).await;
    store.beat(&beat(&m, 1, 0)).await.unwrap();
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
    proxy.half_open();
    let dropped = tokio::time::timeout(Duration::from_millis(300), store.beat(&beat(&m, 2, 0))).await;
    assert!(dropped.is_err(), "nothing comes back over the dead connection");
    // The same lane, which is not the dead connection any more.
    store.beat(&beat(&m, 3, 0)).await.unwrap();
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
}

/// Waits until there are so many etcd leases: what is not needed any more is given back in the background.
async fn leases(host: &mut etcd_client::Client, count: usize, what: &str) {
    let host = tokio::sync::Mutex::new(host);
    until(what, || async { etcd_leases(*host.lock().await).await == count }).await;
}

#[tokio::test]
async fn an_acquisition_whose_answer_was_lost_is_found_again_and_leaves_one_etcd_lease() {
    let etcd = Etcd::start();
    let proxy = Proxy::to_port(etcd.port());
    let store = open(&etcd.url_at(proxy.port())).await;
    let other = open(&etcd.url()).await;
    let m = member("a", 1);
    let mut host = client(&etcd.url()).await;
    for _ in 0..5 {
        proxy.lose_replies();
        let lost =
            tokio::time::timeout(Duration::from_millis(200), store.acquire(&lease_name("active"), &m, LONG)).await;
        assert!(lost.is_err(), "no answer comes back");
        proxy.heal();
    }
    let lease = granted(&store, "active", &m, LONG).await;
    let again = granted(&store, "active", &m, LONG).await;
    assert_eq!(again.term, lease.term, "a retry keeps its term");
    assert_eq!(holder(&other, "active").await, Some(m));
    leases(&mut host, 1, "retries do not pile up").await;
    for i in 2..6 {
        let refused = other.acquire(&lease_name("active"), &member("b", i), LONG).await.unwrap();
        assert!(matches!(refused, Acquired::Refused(_)));
    }
    leases(&mut host, 2, "nor do refusals, but for one in stock").await;
    other.release(&again, None).await.unwrap();
    leases(&mut host, 1, "and a release gives it back").await;
}

#[tokio::test]
async fn a_grant_whose_answer_takes_longer_than_the_ttl_is_no_lease() {
    let (proxy, through, around) = behind_a_proxy("&timeout=60000");
    let (store, other) = (open(&through).await, open(&around).await);
    // Opens the lane that acquires.
    granted(&store, "warm", &member("a", 1), LONG).await;
    proxy.delay(LEAST / 2 + Duration::from_millis(200));
    let asked = store.acquire(&lease_name("active"), &member("a", 1), LEAST).await;
    assert!(asked.is_err(), "its time was over before it was known: {asked:?}");
    proxy.heal();
    until("the lease is free again", || async {
        other.current(&lease_name("active")).await.unwrap().tenant == Tenant::Free
    })
    .await;
    let before = other.current(&lease_name("active")).await.unwrap().term;
    assert!(granted(&other, "active", &member("b", 2), LONG).await.term > before);
}

#[tokio::test]
async fn a_release_that_is_replayed_after_a_new_grant_does_nothing() {
    let (proxy, through, around) = behind_a_proxy("");
    let (store, other) = (open(&through).await, open(&around).await);
    let m = member("a", 1);
    let first = granted(&store, "active", &m, LONG).await;
    proxy.lose_replies();
    let lost = tokio::time::timeout(Duration::from_millis(300), store.release(&first, Some(&node("b")))).await;
    assert!(lost.is_err(), "no answer comes back");
    proxy.heal();
    other.release(&first, None).await.unwrap();
    // Whether the lost one came through or not, the lease is not held any more; if it is reserved, then for nobody here.
    until("the lease is not held", || async { holder(&other, "active").await.is_none() }).await;
    let heir = member("b", 2);
    let second = granted(&other, "active", &heir, LONG).await;
    assert!(second.term > first.term);
    store.release(&first, Some(&node("c"))).await.unwrap();
    other.release(&first, None).await.unwrap();
    assert_eq!(holder(&store, "active").await, Some(heir), "the newer grant stands");
}

#[tokio::test]
async fn a_reservation_by_who_died_of_it_ends_when_the_hold_would_have() {
    let (proxy, through, around) = behind_a_proxy("");
    let (store, other) = (open(&through).await, open(&around).await);
    let lease = granted(&store, "active", &member("a", 1), LEAST).await;
    proxy.lose_replies();
    // Applied, and nobody is there to give it a shorter time.
    let lost = tokio::time::timeout(Duration::from_millis(300), store.release(&lease, Some(&node("b")))).await;
    assert!(lost.is_err(), "no answer comes back");
    let tenant = || async { other.current(&lease_name("active")).await.unwrap().tenant };
    until("it is reserved, or was", || async { !matches!(tenant().await, Tenant::Held { .. }) }).await;
    until("it is free", || async { tenant().await == Tenant::Free }).await;
    assert!(granted(&other, "active", &member("c", 3), LONG).await.term > lease.term);
}

#[tokio::test]
async fn a_lapsed_lease_is_lost_although_its_stream_is_open() {
    let (_proxy, through, around) = behind_a_proxy("");
    let (store, other) = (open(&through).await, open(&around).await);
    let lease = granted(&store, "active", &member("a", 1), LEAST).await;
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
    until("it lapses", || async { holder(&other, "active").await.is_none() }).await;
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Lost);
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Lost);
}

#[tokio::test]
async fn a_watch_that_was_cut_wakes_everybody_and_goes_on() {
    let (proxy, through, around) = behind_a_proxy("");
    let (store, other) = (open(&through).await, open(&around).await);
    let watched = key("control");
    other.put(&watched, b"1", Expect::Any, None).await.unwrap();
    StateStore::changed(&store, &watched).await.unwrap();
    let waits = {
        let (store, watched) = (store.clone(), watched.clone());
        // A clone hears everything since the store was opened, once; then it waits.
        StateStore::changed(&store, &watched).await.unwrap();
        tokio::spawn(async move { StateStore::changed(&store, &watched).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    proxy.cut();
    waits.await.unwrap().unwrap();
    for n in 0..3_u8 {
        other.put(&watched, &[n], Expect::Any, None).await.unwrap();
        StateStore::changed(&store, &watched).await.unwrap();
    }
}

#[tokio::test]
async fn a_watch_that_is_half_open_is_noticed() {
    let (proxy, through, around) = behind_a_proxy("");
    let (store, other) = (open(&through).await, open(&around).await);
    let watched = key("control");
    other.put(&watched, b"1", Expect::Any, None).await.unwrap();
    StateStore::changed(&store, &watched).await.unwrap();
    proxy.half_open();
    other.put(&watched, b"2", Expect::Any, None).await.unwrap();
    // Nothing tells of it but silence.
    StateStore::changed(&store, &watched).await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_cut_off_alone_loses_its_lease_to_another() {
    let (proxy, through, around) = behind_a_proxy("");
    let (store, other) = (open(&through).await, open(&around).await);
    let lease = granted(&store, "active", &member("a", 1), LEAST).await;
    proxy.black_hole();
    let hung = tokio::time::timeout(Duration::from_millis(300), store.renew(&lease)).await;
    assert!(hung.is_err());
    let heir = member("b", 2);
    let mut term = Term::ZERO;
    until("another is granted it", || async {
        matches!(other.acquire(&lease_name("active"), &heir, LONG).await.unwrap(), Acquired::Granted(_))
    })
    .await;
    term = term.max(other.current(&lease_name("active")).await.unwrap().term);
    assert!(term > lease.term);
    proxy.heal();
    until("the former holder is told", || async { matches!(store.renew(&lease).await, Ok(Renewed::Lost)) }).await;
}
