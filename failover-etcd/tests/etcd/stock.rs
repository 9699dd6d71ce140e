//! The etcd lease in stock, and what may become of it before it is used.

use std::time::Duration;

use failover_core::time::{Clock, SystemClock};
use failover_core::{Lease, LeaseManager};
use failover_etcd::EtcdStore;
use failover_etcd::etcd_client::{Client, GetOptions, LeaseTimeToLiveOptions};
use failover_testing::etcd::Etcd;

use crate::common::{client, granted, holder, member, open, until};

const TTL: Duration = Duration::from_secs(20);

/// The etcd leases that no key hangs on.
async fn spares(host: &mut Client) -> Vec<i64> {
    let mut spares = Vec::new();
    for lease in host.lease_client().leases().await.unwrap().leases() {
        let told = host.lease_client().time_to_live(lease.id(), Some(LeaseTimeToLiveOptions::new().with_keys())).await;
        if told.is_ok_and(|told| told.ttl() > 0 && told.keys().is_empty()) {
            spares.push(lease.id());
        }
    }
    spares
}

/// A server, a handle with something in stock, a lease it holds, and a host's own client.
async fn stocked(ttl: Duration) -> (Etcd, EtcdStore, Lease, Client, i64) {
    let etcd = Etcd::start();
    let store = open(&etcd.url()).await;
    let host = client(&etcd.url()).await;
    let held = granted(&store, "held", &member("a", 1), ttl).await;
    store.renew(&held).await.unwrap();
    let spare = spare(&host).await;
    (etcd, store, held, host, spare)
}

/// The one in stock, once there is one.
async fn spare(host: &Client) -> i64 {
    let found = std::cell::Cell::new(None);
    until("one is in stock", || async {
        found.set(spares(&mut host.clone()).await.first().copied());
        found.get().is_some()
    })
    .await;
    found.get().expect("it was found")
}

/// The etcd lease that a hold hangs on.
pub(super) async fn hangs_on(host: &mut Client, name: &str) -> i64 {
    let found = host.get("failover/", Some(GetOptions::new().with_prefix())).await.unwrap();
    let hold = found.kvs().iter().find(|kv| kv.key().ends_with(format!("/lease/{name}").as_bytes()));
    hold.expect("it is held").lease()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_hangs_on_what_was_in_stock_lasts_its_whole_ttl_from_then_on() {
    let (_etcd, store, _, mut host, spare) = stocked(TTL).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let clock = SystemClock::new();
    let sent = clock.now();
    granted(&store, "active", &member("a", 1), TTL).await;
    assert_eq!(hangs_on(&mut host, "active").await, spare, "it was used");
    let left = host.lease_client().time_to_live(spare, None).await.unwrap().ttl();
    let left = Duration::from_secs(u64::try_from(left).unwrap() + 1);
    assert!(left + clock.now().since(sent) >= TTL, "{left:?} are left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_in_stock_and_is_gone_is_replaced_by_another() {
    let (etcd, store, held, mut host, gone) = stocked(TTL).await;
    host.lease_client().revoke(gone).await.unwrap();
    let m = member("a", 1);
    granted(&store, "active", &m, TTL).await;
    assert_ne!(hangs_on(&mut host, "active").await, gone);
    let other = open(&etcd.url()).await;
    assert_eq!(holder(&other, "active").await, Some(m));
    // And the next one comes into stock.
    store.renew(&held).await.unwrap();
    spare(&host).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_stock_is_used_for_its_own_ttl_only() {
    let (_etcd, store, held, mut host, first) = stocked(TTL).await;
    for ttl in [TTL * 2, TTL / 2] {
        let name = format!("of-{}", ttl.as_secs());
        let lease = granted(&store, &name, &member("a", 1), ttl).await;
        assert_eq!(lease.ttl, ttl);
        let id = hangs_on(&mut host, &name).await;
        assert_ne!(id, first);
        let told = host.lease_client().time_to_live(id, None).await.unwrap();
        assert_eq!(told.granted_ttl(), i64::try_from(ttl.as_secs()).unwrap());
    }
    // What nobody wants any more makes room for what was asked for last.
    store.renew(&held).await.unwrap();
    until("the one in stock is of the new ttl", || async {
        let spares = spares(&mut host.clone()).await;
        let [id] = spares[..] else { return false };
        let told = host.clone().lease_client().time_to_live(id, None).await.unwrap();
        told.granted_ttl() == i64::try_from((TTL / 2).as_secs()).unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_stock_is_kept_alive_while_somebody_renews_and_lapses_when_nobody_does() {
    let ttl = Duration::from_secs(2);
    let (_etcd, store, held, mut host, spare) = stocked(ttl).await;
    let clock = SystemClock::new();
    let start = clock.now();
    while clock.now().since(start) < ttl * 3 {
        store.renew(&held).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let kept = spares(&mut host).await;
    // On a machine that is too busy to renew in time it has lapsed like any other, and another has come.
    assert_eq!(kept.len(), 1, "there is one as ever");
    assert!(
        kept == [spare] || holder(&store, "held").await.is_none() || clock.now().since(start) > ttl * 4,
        "the same one"
    );
    until("it lapses", || async { spares(&mut host.clone()).await.is_empty() }).await;
}
