//! What clients are told of leases on a server that is killed, stopped and cut off meanwhile can be explained by one lease.

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{cluster, options};
use failover_core::LeaseManager;
use failover_core::testkit::history::{Bounds, History, Play, Verdict};
use failover_testing::proxy::Proxy;
use failover_testing::redis::Redis;

const ROUNDS: u64 = 12;
/// Plays at a time, each around a lease of its own.
const PLAYS: u64 = 9;

/// One fault, there and over.
fn strike(redis: &mut Redis, proxy: &Proxy, number: u64) {
    let short = || std::thread::sleep(Duration::from_millis(40));
    match number % 6 {
        0 => {
            redis.kill();
            redis.start_again();
        }
        1 => proxy.half_open(),
        2 => {
            proxy.lose_replies();
            short();
            proxy.heal();
        }
        3 => {
            redis.pause();
            short();
            redis.resume();
        }
        4 => {
            proxy.cut_replies();
            short();
            proxy.heal();
        }
        _ => drop(redis.command(&["SCRIPT", "FLUSH"])),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_histories_under_faults_are_linearizable() {
    let started = tokio::task::spawn_blocking(|| {
        let redis = Redis::durable();
        let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], redis.port())));
        (Arc::new(Mutex::new(redis)), Arc::new(proxy))
    });
    let (redis, proxy) = started.await.unwrap();
    let url = redis.lock().unwrap().url_at(proxy.port());
    let (mut told, mut undecided) = (0, 0);
    for round in 0..ROUNDS {
        let mut plays = tokio::task::JoinSet::new();
        for number in 0..PLAYS {
            let history = History::new();
            let mut clients: Vec<Arc<dyn LeaseManager>> = Vec::new();
            for _ in 0..3 {
                let store = options(&url).open(&cluster(&format!("c{number}"))).await.unwrap();
                clients.push(history.wrap(Arc::new(store)));
            }
            plays.spawn(async move {
                let ttl = Duration::from_millis(150);
                let play = Play { seed: round * PLAYS + number, ttl, calls: 12, deadline: Duration::from_millis(200) };
                play.run(&format!("round-{round}"), clients).await;
                history
            });
        }
        let striking = {
            let (redis, proxy) = (Arc::clone(&redis), Arc::clone(&proxy));
            tokio::task::spawn_blocking(move || {
                for number in 0..2 {
                    std::thread::sleep(Duration::from_millis(120));
                    strike(&mut redis.lock().unwrap(), &proxy, round * 2 + number);
                }
            })
        };
        for history in plays.join_all().await {
            told += history.events().iter().filter(|event| event.answer.is_some()).count();
            let verdict = history.check(Bounds::default());
            let verdict = verdict.unwrap_or_else(|violation| panic!("round {round}: {violation}"));
            undecided += u64::from(verdict == Verdict::Undecided);
        }
        striking.await.unwrap();
    }
    assert!(undecided < ROUNDS * PLAYS / 2, "most calls of {undecided} histories had no answer");
    assert!(told > 300, "the faults leave something to check: {told} answers");
}
