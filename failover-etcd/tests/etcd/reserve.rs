//! What becomes of a reservation, and of what it hangs on.

use std::time::Duration;

use failover_core::lease::{Acquired, Tenant};
use failover_core::time::{Clock as _, SystemClock};
use failover_core::{Lease, LeaseManager, Member};
use failover_etcd::EtcdStore;
use failover_etcd::etcd_client::Client;
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
