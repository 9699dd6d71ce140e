//! What becomes of servers: paused, killed, wiped, restored.

use std::time::Duration;

use failover_core::lease::{Acquired, Renewed};
use failover_core::time::{Clock, SystemClock};
use failover_core::{Durability, ErrorKind, HeartbeatStore, JobAssigner, LeaseManager, Revision, StateStore, Term};
use failover_etcd::etcd_client::{Client, GetOptions};
use failover_testing::etcd::{Etcd, EtcdCluster};

use crate::common::{
    LEAST, LONG, beat, client, cluster, granted, holder, job_id, key, lease_name, member, open, options, until,
};

/// How long a call of a driver may take.
const CALL: Duration = Duration::from_millis(700);

async fn in_time<T>(call: impl Future<Output = Result<T, failover_core::Error>>) -> Option<T> {
    tokio::time::timeout(CALL, call).await.ok()?.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keep_alive_that_a_deposed_leader_answers_is_no_renewal() {
    let servers = EtcdCluster::start();
    for round in 0..3 {
        let leader = servers.leader();
        let others: Vec<u16> = (0..3).filter(|i| *i != leader).map(|i| servers.members()[i].port()).collect();
        let store = open(&servers.members()[leader].url()).await;
        let other = open(&servers.url_at(&others)).await;
        let name = format!("round-{round}");
        let lease = granted(&store, &name, &member("a", 1), Duration::from_secs(2)).await;
        assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
        servers.members()[leader].pause();
        assert_ne!(servers.leader_but(Some(leader)), leader);
        let heir = member("b", 2);
        until("the lease is another's", || async {
            let asked = other.acquire(&lease_name(&name), &heir, LONG).await;
            matches!(asked, Ok(Acquired::Granted(next)) if next.term > lease.term)
        })
        .await;
        // Sent while it stands still, and answered by a leader that does not know that it is none.
        let renewals: Vec<_> = (0..4)
            .map(|_| {
                let (store, lease) = (store.clone(), lease.clone());
                tokio::spawn(async move { store.renew(&lease).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        servers.members()[leader].resume();
        for renewal in renewals {
            let answer = renewal.await.unwrap();
            assert!(!matches!(answer, Ok(Renewed::Extended)), "it is another's since long");
        }
        until("it is told that it lost", || async { in_time(store.renew(&lease)).await == Some(Renewed::Lost) }).await;
        assert_eq!(holder(&other, &name).await, Some(heir));
    }
}

/// A deposed leader answers the keep-alive, and the real one shows that the key is there: neither is a whole ttl from now on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deposed_leader_keeps_alive_lasts_its_whole_ttl_before_anybody_is_told_so() {
    const TTL: Duration = Duration::from_secs(30);
    let servers = EtcdCluster::start();
    let clock = SystemClock::new();
    for round in 0..4 {
        let leader = servers.leader();
        let others: Vec<u16> = (0..3).filter(|i| *i != leader).map(|i| servers.members()[i].port()).collect();
        let mut host = client(&servers.url_at(&others)).await;
        let store = open(&servers.members()[leader].url()).await;
        let held = granted(&store, &format!("held-{round}"), &member("a", 1), TTL).await;
        // Opens the stream, and has one put in stock.
        assert_eq!(store.renew(&held).await.unwrap(), Renewed::Extended);
        tokio::time::sleep(Duration::from_millis(300)).await;
        servers.members()[leader].pause();
        assert_ne!(servers.leader_but(Some(leader)), leader);
        // What the new leader gave them when it took over runs down meanwhile.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let sent = clock.now();
        let asking = if round % 2 == 0 {
            let (store, held) = (store.clone(), held.clone());
            tokio::spawn(async move { store.renew(&held).await.is_ok_and(|renewed| renewed == Renewed::Extended) })
        } else {
            let (store, name) = (store.clone(), lease_name(&format!("new-{round}")));
            tokio::spawn(
                async move { matches!(store.acquire(&name, &member("a", 1), TTL).await, Ok(Acquired::Granted(_))) },
            )
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        servers.members()[leader].resume();
        if asking.await.unwrap() {
            let name = if round % 2 == 0 { format!("held-{round}") } else { format!("new-{round}") };
            let left = time_left(&mut host, &name).await;
            assert!(left + clock.now().since(sent) >= TTL, "{name}: {left:?} are left of {TTL:?}");
        }
    }
}

/// The time an etcd lease has under which somebody holds a lease, in whole seconds and the one that has begun.
async fn time_left(host: &mut Client, name: &str) -> Duration {
    let found = host.get("failover/", Some(GetOptions::new().with_prefix())).await.unwrap();
    let hold = found.kvs().iter().find(|kv| kv.key().ends_with(format!("/lease/{name}").as_bytes()));
    let id = hold.expect("it is held").lease();
    let left = host.lease_client().time_to_live(id, None).await.unwrap().ttl();
    Duration::from_secs(u64::try_from(left).expect("it lasts") + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_kept_while_the_leader_is_paused_or_killed() {
    let mut servers = EtcdCluster::start();
    let store = open(&servers.url()).await;
    assert_eq!(store.durability(), Durability::Quorum);
    let m = member("a", 1);
    let lease = granted(&store, "active", &m, Duration::from_mins(1)).await;
    let renewed = || async { in_time(store.renew(&lease)).await == Some(Renewed::Extended) };
    until("it is renewed", renewed).await;
    let leader = servers.leader();
    servers.members()[leader].pause();
    until("it is renewed with the leader paused", renewed).await;
    until("a beat arrives with the leader paused", || async { in_time(store.beat(&beat(&m, 1, 0))).await.is_some() })
        .await;
    servers.members()[leader].resume();
    let leader = servers.leader();
    servers.member(leader).kill();
    until("it is renewed with the leader killed", renewed).await;
    servers.member(leader).start_again();
    until("it is renewed with all there again", renewed).await;
    assert_eq!(store.current(&lease_name("active")).await.unwrap().term, lease.term, "one term all along");
    assert!(matches!(
        store.acquire(&lease_name("active"), &member("b", 2), LONG).await.unwrap(),
        Acquired::Refused(view) if view.term == lease.term
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_makes_a_lease_longer_by_no_more_than_the_declared_slack() {
    let mut etcd = Etcd::start();
    let store = open(&etcd.url()).await;
    assert_eq!((store.least_ttl(), store.durability()), (LEAST, Durability::SingleNode));
    let kept = granted(&store, "kept", &member("a", 1), LEAST).await;
    let left = granted(&store, "left", &member("a", 1), LEAST).await;
    etcd.kill();
    let clock = SystemClock::new();
    let starts = clock.now();
    etcd.start_again();
    let serves = clock.now();
    let mut renewals = 0;
    until("the one nobody renews lapses", || {
        let (store, kept) = (&store, &kept);
        renewals += 1;
        async move {
            let renewed = in_time(store.renew(kept)).await;
            assert_ne!(renewed, Some(Renewed::Lost), "the one that is renewed is kept");
            holder(store, "left").await.is_none()
        }
    })
    .await;
    let lasted = clock.now();
    assert!(lasted.since(starts) >= LEAST, "no server ends a lease early because it was restarted");
    assert!(lasted.since(serves) <= LEAST + store.slack(), "{:?}", lasted.since(serves));
    assert_eq!(store.renew(&left).await.unwrap(), Renewed::Lost);
}

async fn fails_closed(store: &failover_etcd::EtcdStore) {
    for _ in 0..2 {
        let kinds = [
            store.current(&lease_name("active")).await.unwrap_err().kind(),
            store.acquire(&lease_name("active"), &member("a", 1), LONG).await.unwrap_err().kind(),
            store.sightings().await.unwrap_err().kind(),
            store.changes(Revision::ZERO, 1).await.unwrap_err().kind(),
            store.get(&key("a")).await.unwrap_err().kind(),
            StateStore::changed(store, &key("a")).await.unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::StoreChanged; 6]);
    }
}

/// The first call on a connection that the restart has broken may fail for that reason alone.
async fn reconnect(store: &failover_etcd::EtcdStore) {
    until("it answers again", || async {
        !matches!(store.get(&key("a")).await, Err(e) if matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Unknown))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_server_is_noticed_for_ever_and_goes_on_above_a_floor() {
    let mut etcd = Etcd::start();
    let store = open(&etcd.url()).await;
    let lost = granted(&store, "active", &member("a", 1), LONG).await;
    etcd.wipe();
    // Begun anew by somebody, at the same first revisions.
    let somebody = open(&etcd.url()).await;
    granted(&somebody, "active", &member("b", 2), LONG).await;
    reconnect(&store).await;
    fails_closed(&store).await;
    let anew = options(&etcd.url()).term_floor(Term(5_000)).open(&cluster("c")).await.unwrap();
    let next = granted(&anew, "other", &member("a", 1), LONG).await;
    assert!(next.term > Term(5_000) && next.term > lost.term);
    let job = failover_core::JobSpec::new(job_id("j"), "").unwrap();
    anew.submit(&job).await.unwrap();
    let page = anew.changes(Revision::ZERO, 1).await.unwrap();
    assert!(matches!(&page.changes[..], [failover_core::job::JobChange::Put(job)] if job.epoch.0 == 5_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_restored_from_a_copy_is_noticed() {
    let mut etcd = Etcd::start();
    let store = open(&etcd.url()).await;
    let first = granted(&store, "active", &member("a", 1), LONG).await;
    let copy = etcd.save();
    store.release(&first, None).await.unwrap();
    granted(&store, "active", &member("b", 2), LONG).await;
    etcd.restore(&copy);
    reconnect(&store).await;
    fails_closed(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lapse_wakes_who_waits_for_the_lease() {
    let etcd = Etcd::start();
    let store = open(&etcd.url()).await;
    granted(&store, "active", &member("a", 1), LEAST).await;
    LeaseManager::changed(&store, &lease_name("active")).await.unwrap();
    LeaseManager::changed(&store, &lease_name("active")).await.unwrap();
    assert_eq!(holder(&store, "active").await, None, "woken by its end");
}
