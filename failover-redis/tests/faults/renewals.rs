//! Renewals that are asked for together, and share their calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::common::{LONG, granted, lease_name, member, open};
use crate::{proxy, soon};
use failover_core::lease::Renewed;
use failover_core::{ErrorKind, Lease, LeaseManager, Result};
use failover_redis::RedisStore;
use failover_testing::redis::Redis;
use tokio::task::{JoinHandle, JoinSet};

async fn leases(store: &RedisStore, count: u32) -> Vec<Lease> {
    let mut leases = Vec::new();
    for n in 0..count {
        leases.push(granted(store, &format!("l{n}"), &member("a", 1), LONG).await);
    }
    leases
}

fn renewing(store: &RedisStore, lease: &Lease) -> JoinHandle<Result<Renewed>> {
    let (store, lease) = (store.clone(), lease.clone());
    tokio::spawn(async move { store.renew(&lease).await })
}

/// By one who gives up after a while.
fn trying(store: &RedisStore, lease: &Lease) -> JoinHandle<Option<Result<Renewed>>> {
    let (store, lease) = (store.clone(), lease.clone());
    tokio::spawn(async move { soon(store.renew(&lease)).await })
}

async fn renew_all(store: &RedisStore, leases: &[Lease]) -> Vec<Result<Renewed>> {
    let renewals: Vec<_> = leases.iter().map(|lease| renewing(store, lease)).collect();
    let mut all = Vec::new();
    for renewal in renewals {
        all.push(renewal.await.unwrap());
    }
    all
}

#[tokio::test]
async fn many_at_once_take_a_few_calls_and_each_has_its_own_answer() {
    let redis = Redis::start();
    let store = open(&redis.url()).await;
    let mut all = leases(&store, 200).await;
    for n in (0..200).step_by(3) {
        store.release(&all[n], None).await.unwrap();
    }
    // Held again, and not by what is renewed.
    granted(&store, "l0", &member("b", 2), LONG).await;
    all[1].term = all[1].term.next();
    let before = redis.calls("evalsha");
    let answers = renew_all(&store, &all).await;
    for (n, answer) in answers.into_iter().enumerate() {
        let wanted = if n % 3 == 0 || n == 1 { Renewed::Lost } else { Renewed::Extended };
        assert_eq!(answer.unwrap(), wanted, "l{n}");
    }
    let took = redis.calls("evalsha") - before;
    assert!(took <= 20, "{took} calls");
}

#[tokio::test]
async fn a_record_that_is_none_is_the_trouble_of_its_own_lease_only() {
    let redis = Redis::start();
    let store = open(&redis.url()).await;
    let all = leases(&store, 40).await;
    redis.command(&["HSET", "failover:{c}:leases", "l30", "nonsense"]);
    for (n, answer) in renew_all(&store, &all).await.into_iter().enumerate() {
        match answer {
            Ok(renewed) => assert!(renewed == Renewed::Extended && n != 30, "l{n}: {renewed:?}"),
            Err(error) => assert!(error.kind() == ErrorKind::Corrupt && n == 30, "l{n}: {error}"),
        }
    }
}

#[tokio::test]
async fn one_that_is_given_up_costs_those_that_wait_nothing_but_that_time() {
    let redis = Redis::start();
    let proxy = proxy(&redis);
    let store = open(&redis.url_at(proxy.port())).await;
    let all = leases(&store, 40).await;
    store.renew(&all[0]).await.unwrap();
    proxy.half_open();
    let impatient: Vec<_> = all[..8].iter().map(|lease| trying(&store, lease)).collect();
    // Those are under way, or first in line.
    tokio::task::yield_now().await;
    let patient: Vec<_> = all[8..].iter().map(|lease| renewing(&store, lease)).collect();
    for renewal in impatient {
        assert!(renewal.await.unwrap().is_none(), "the connection is silent");
    }
    for renewal in patient {
        assert_eq!(renewal.await.unwrap().unwrap(), Renewed::Extended, "on a new one");
    }
    // And nobody's place is left taken.
    for _ in 0..8 {
        assert!(renew_all(&store, &all).await.into_iter().all(|answer| answer.is_ok()));
    }
    assert_eq!(store.current(&lease_name("l0")).await.unwrap().term, all[0].term);
}

#[tokio::test]
async fn all_that_are_given_up_leave_no_trace() {
    let redis = Redis::start();
    let proxy = proxy(&redis);
    let store = open(&redis.url_at(proxy.port())).await;
    let all = leases(&store, 40).await;
    store.renew(&all[0]).await.unwrap();
    for _ in 0..2 {
        proxy.half_open();
        let given_up: Vec<_> = all.iter().map(|lease| trying(&store, lease)).collect();
        for (n, renewal) in given_up.into_iter().enumerate() {
            let answer = renewal.await.unwrap();
            // Those who waited behind the first may just be in time on another one.
            assert!(answer.is_none_or(|answer| n >= 4 && answer.unwrap() == Renewed::Extended), "it is silent");
        }
        // More of them than there are places.
        for _ in 0..8 {
            assert_eq!(soon(store.renew(&all[0])).await.expect("it does not wait").unwrap(), Renewed::Extended);
        }
    }
}

/// Where everybody asks again and again, all calls are shared when the connection falls silent.
#[tokio::test]
async fn one_that_gives_up_in_a_crowd_frees_the_others() {
    let redis = Redis::start();
    let proxy = proxy(&redis);
    let store = open(&redis.url_at(proxy.port())).await;
    let all = leases(&store, 40).await;
    let (rounds, over) =
        (Arc::new(all.iter().map(|_| AtomicU64::new(0)).collect::<Vec<_>>()), Arc::new(AtomicBool::new(false)));
    let mut crowd = JoinSet::new();
    for (n, lease) in all.into_iter().enumerate() {
        let (store, rounds, over) = (store.clone(), rounds.clone(), over.clone());
        crowd.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let renewed = if n < 8 { soon(store.renew(&lease)).await } else { Some(store.renew(&lease).await) };
                assert!(renewed.is_none_or(|renewed| renewed.unwrap() == Renewed::Extended), "l{n}");
                rounds[n].fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for _ in 0..2 {
        let before: Vec<u64> = rounds.iter().map(|round| round.load(Ordering::Relaxed)).collect();
        let is_on = || rounds.iter().zip(&before).all(|(round, before)| round.load(Ordering::Relaxed) > before + 4);
        while !is_on() {
            // Nobody may have failed meanwhile.
            assert!(crowd.try_join_next().is_none(), "one of them has ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        proxy.half_open();
    }
    over.store(true, Ordering::Relaxed);
    crowd.join_all().await;
}
