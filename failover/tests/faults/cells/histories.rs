//! A hundred short plays around leases, recorded and checked: everything that clients were told has to have one explanation.

use std::sync::Arc;
use std::time::Duration;

use failover::LeaseManager;
use failover_core::testkit::faults::{Fault, Faulty};
use failover_core::testkit::history::{Bounds, History, Play, Verdict};
use failover_testing::proxy::Proxy;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::stage::Proxies;
use crate::stores::{Served, Store};

const PLAYS: usize = 100;
const CLIENTS: u64 = 3;

/// What passes and what does not, one after the other; each for a moment, and between them all is well.
const WEATHER: [fn(&Proxy); 6] =
    [Proxy::cut, Proxy::lose_replies, Proxy::half_open, Proxy::cut_replies, Proxy::black_hole, |proxy| {
        proxy.delay(Duration::from_millis(30));
    }];

/// Each client's connection suffers what networks do.
pub(crate) async fn a_hundred_histories_under_network_faults_are_linearizable<S: Served>() {
    let store = tokio::task::block_in_place(S::start);
    let (mut handles, mut all) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        let proxies = Proxies::new(&store);
        handles.push(crate::stores::open(&store.url_at(&proxies.ports())).await.leases);
        all.push(proxies);
    }
    let weather = async {
        for round in 0.. {
            for (number, proxies) in all.iter().enumerate() {
                // Two of three suffer, each something else.
                if (round + number) % 3 != 0 {
                    proxies.all(WEATHER[(round + 2 * number) % WEATHER.len()]);
                }
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
            for proxies in &all {
                proxies.all(Proxy::heal);
            }
            // Long enough for connections to be made anew, on a busy machine too.
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
    };
    tokio::select! {
        () = weather => {}
        () = plays(handles) => {}
    }
    // Before the runtimes of the proxies are dropped, which must not happen within ours.
    tokio::task::block_in_place(|| drop(all));
}

/// The same where there is no network, or none that a proxy can stand in: calls are lost on their way by a wrapper.
pub(crate) async fn a_hundred_histories_with_lost_calls_are_linearizable<S: Store>() {
    let store = tokio::task::block_in_place(S::start);
    let mut handles = Vec::new();
    for client in 0..CLIENTS {
        let (backend, faults) = Faulty::wrap(crate::stores::open(&store.url()).await);
        faults.seeded(client, 8, &[Fault::LoseReply, Fault::LoseRequest, Fault::HangReply]);
        handles.push(backend.leases);
    }
    plays(handles).await;
}

async fn plays(handles: Vec<Arc<dyn LeaseManager>>) {
    let least = handles[0].least_ttl();
    let ttl = least.max(Duration::from_millis(1200));
    let late = handles[0].slack() + Duration::from_secs(5);
    let mut running = JoinSet::new();
    // So many at once that they meet, and not so many that the store answers none of them in time.
    let room = Arc::new(Semaphore::new(20));
    for seed in 0..PLAYS {
        let (handles, room) = (handles.clone(), room.clone());
        running.spawn(async move {
            let _in = room.acquire().await;
            let history = History::new();
            let clients = handles.into_iter().map(|leases| history.wrap(leases)).collect();
            let play = Play { seed: seed as u64, ttl, calls: 12, deadline: ttl / 2 };
            play.run(&format!("play/{seed}"), clients).await;
            let verdict = history.check(Bounds { late, ..Bounds::default() });
            let verdict = verdict.unwrap_or_else(|violation| panic!("{violation}"));
            let answered = history.events().iter().filter(|event| event.answer.is_some()).count();
            (answered, usize::from(verdict == Verdict::Undecided))
        });
    }
    let (answered, undecided): (Vec<_>, Vec<_>) = running.join_all().await.into_iter().unzip();
    let (answered, undecided) = (answered.iter().sum::<usize>(), undecided.iter().sum::<usize>());
    println!("{answered} answered calls in {PLAYS} histories, of which {undecided} had too few");
    assert!(undecided < PLAYS / 2, "most calls of {undecided} histories had no answer");
    assert!(answered > PLAYS, "the faults left {answered} answers to check");
}
