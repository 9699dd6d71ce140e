//! What becomes of a reservation, and of what it hangs on.

use std::time::Duration;

use failover_core::lease::{Acquired, Tenant};
use failover_core::time::{Clock as _, SystemClock};
use failover_core::{Lease, LeaseManager, Member};
use failover_etcd::EtcdStore;
use failover_etcd::etcd_client::{self, Client, GetOptions};
use failover_testing::etcd::Etcd;

use super::stock::hangs_on;
use crate::common::{LONG, client, granted, lease_name, member, node, open, until};

async fn revision(host: &mut Client) -> i64 {
    host.get("any", None).await.unwrap().header().unwrap().revision()
}

/// The lease, once it is this member's turn.
async fn in_turn(store: &EtcdStore, to: &Member) -> Lease {
    loop {
        LeaseManager::changed(store, &lease_name("active")).await.unwrap();
        if let Acquired::Granted(lease) = store.acquire(&lease_name("active"), to, LONG).await.unwrap() {
            return lease;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_taken_up_is_not_written_again_and_what_it_hung_on_goes_with_the_next_renewal() {
    let etcd = Etcd::start();
    let (active, standby) = (open(&etcd.url()).await, open(&etcd.url()).await);
    let mut host = client(&etcd.url()).await;
    let (a, b) = (member("a", 1), member("b", 2));
    let mut lease = granted(&active, "active", &a, LONG).await;
    let (clock, mut quick) = (SystemClock::new(), 0);
    // On a machine that is too busy the successor may come too late now and then, and then the reservation is written again.
    for round in 0..40 {
        let start = clock.now();
        let (old, before) = (hangs_on(&mut host, "active").await, revision(&mut host).await);
        let releasing = {
            let (active, lease) = (active.clone(), lease.clone());
            tokio::spawn(async move { active.release(&lease, Some(&node("b"))).await })
        };
        let next = in_turn(&standby, &b).await;
        releasing.await.unwrap().unwrap();
        let written = revision(&mut host).await - before;
        if clock.now().since(start) < Duration::from_millis(100) {
            assert_eq!(written, 2, "round {round}: the release and the grant");
            quick += 1;
        }
        assert!(next.term > lease.term);
        standby.renew(&next).await.unwrap();
        until("it is given back", || {
            let mut host = host.lease_client();
            async move { host.time_to_live(old, None).await.unwrap().ttl() <= 0 }
        })
        .await;
        standby.release(&next, None).await.unwrap();
        if quick == 5 {
            return;
        }
        lease = granted(&active, "active", &a, LONG).await;
    }
    panic!("the successor came in time {quick} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_nobody_takes_up_is_kept_for_a_third_of_the_ttl() {
    let etcd = Etcd::start();
    let store = open(&etcd.url()).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    store.release(&lease, Some(&node("b"))).await.unwrap();
    let tenant = store.current(&lease_name("active")).await.unwrap().tenant;
    let Tenant::Reserved { successor, remaining } = tenant else { panic!("{tenant:?}") };
    assert_eq!(successor, node("b"));
    assert!(remaining <= LONG / 3 + Duration::from_secs(2), "{remaining:?}");
}

/// What the reservation of a lease hangs on, if there is one.
async fn reserved_on(host: &mut Client, name: &str) -> Option<i64> {
    let found = host.get("failover/", Some(GetOptions::new().with_prefix())).await.unwrap();
    let reserve = found.kvs().iter().find(|kv| kv.key().ends_with(format!("/reserve/{name}").as_bytes()));
    reserve.map(etcd_client::KeyValue::lease)
}

/// Whole seconds until an etcd lease lapses, without the one that has begun.
async fn left(host: &mut Client, id: i64) -> i64 {
    host.lease_client().time_to_live(id, None).await.unwrap().ttl()
}

/// A lease of this name is released by `by` shortly before it lapses.
async fn is_kept(store: &EtcdStore, by: EtcdStore, mut host: Client, name: &str) {
    const TTL: Duration = Duration::from_secs(9);
    let lease = granted(store, name, &member("a", 1), TTL).await;
    let old = hangs_on(&mut host, name).await;
    until("less than two seconds of it are left", || {
        let mut host = host.clone();
        async move { left(&mut host, old).await <= 1 }
    })
    .await;
    let releasing = tokio::spawn(async move { by.release(&lease, Some(&node("b"))).await });
    until("it is reserved", || {
        let mut host = host.clone();
        let name = name.to_owned();
        async move { reserved_on(&mut host, &name).await.is_some() }
    })
    .await;
    let on = reserved_on(&mut host, name).await.expect("nobody takes it up");
    let left = left(&mut host, on).await;
    assert!(left >= 2, "{name}: a third of the ttl, of which the second that has begun is not told: {left}");
    releasing.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_a_hold_that_is_about_to_lapse_is_kept_for_a_third_of_the_ttl_from_the_first_moment() {
    let etcd = Etcd::start();
    let (store, guard, host) = (open(&etcd.url()).await, open(&etcd.url()).await, client(&etcd.url()).await);
    // By whom it was acquired, and by another who knows its token.
    tokio::join!(is_kept(&store, store.clone(), host.clone(), "mine"), is_kept(&store, guard, host.clone(), "another"),);
}
