//! The number of round trips each operation takes, counted on the wire.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use failover_core::heartbeat::News;
use failover_core::job::{Assigned, JobReport, JobStatus, Move, Step};
use failover_core::state::{Expect, Written};
use failover_core::{
    Capacity, Epoch, Heartbeat, HeartbeatStore, JobAssigner, LeaseManager, Revision, Role, StateKey, StateStore, Term,
};

use failover_sql::SqlStore;

use super::{LONG, SERVER, granted, job, member, open};

/// Passes connections on, and counts how often a client spoke after it was answered.
pub(super) struct Counter {
    pub(super) port: u16,
    trips: Arc<AtomicU64>,
}

impl Counter {
    pub(super) fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let trips = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&trips);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let answered = Arc::new(AtomicBool::new(true));
                let (from, to, trips, said) = (
                    client.try_clone().unwrap(),
                    server.try_clone().unwrap(),
                    Arc::clone(&counted),
                    Arc::clone(&answered),
                );
                thread::spawn(move || {
                    pass(from, to, || {
                        if said.swap(false, Ordering::SeqCst) {
                            trips.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                });
                thread::spawn(move || pass(server, client, || answered.store(true, Ordering::SeqCst)));
            }
        });
        Self { port, trips }
    }

    pub(super) async fn of<T>(&self, call: impl Future<Output = T>) -> (u64, T) {
        let before = self.trips.load(Ordering::SeqCst);
        let answer = call.await;
        (self.trips.load(Ordering::SeqCst) - before, answer)
    }

    /// Waits until a handle that holds a lease has its connection ready.
    pub(super) async fn ready(&self, store: &SqlStore) {
        // Any call on it.
        store.get(&StateKey::new("any").unwrap()).await.unwrap();
        self.quiet().await;
    }

    /// Waits until what is done beside the calls is over.
    async fn quiet(&self) {
        loop {
            let before = self.trips.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(200)).await;
            if self.trips.load(Ordering::SeqCst) == before {
                return;
            }
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, seen: impl Fn()) {
    let mut bytes = [0; 8192];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        seen();
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _gone = to.shutdown(Shutdown::Both);
}

fn beat(seq: u64, load: u32) -> Heartbeat {
    let news = News { load, ready: true, ..News::new(Role::Inactive, Capacity::default()) };
    Heartbeat { member: member("n", 1), term: Term(1), seq, news }
}

#[tokio::test]
async fn a_hot_operation_is_one_round_trip() {
    let database = SERVER.database();
    let counter = Counter::before(SERVER.port());
    let store = open(&database.url_at(counter.port)).await;
    let (a, b) = (member("a", 1), member("b", 2));
    // Once each, so that the connections are there, the statements prepared and the lease has its row.
    store.beat(&beat(1, 0)).await.unwrap();
    store.beat(&beat(2, 0)).await.unwrap();
    let lease = granted(&store, "l", &a, LONG).await;
    store.renew(&lease).await.unwrap();
    store.release(&lease, Some(&b.node)).await.unwrap();
    let lease = granted(&store, "l", &b, LONG).await;
    store.release(&lease, None).await.unwrap();
    counter.quiet().await;

    assert_eq!(counter.of(store.beat(&beat(3, 0))).await.0, 1, "a beat");
    assert_eq!(counter.of(store.beat(&beat(4, 7))).await.0, 1, "a beat with news");
    let (trips, lease) = counter.of(granted(&store, "l", &a, LONG)).await;
    assert_eq!((trips, lease.term), (1, Term(3)), "a grant");
    assert_eq!(counter.of(granted(&store, "l", &a, LONG)).await.0, 1, "a grant repeated");
    assert_eq!(counter.of(store.renew(&lease)).await.0, 1, "a renewal");
    let (trips, released) = counter.of(store.release(&lease, Some(&b.node))).await;
    released.unwrap();
    assert_eq!(trips, 1, "a release to a successor");
    assert_eq!(counter.of(granted(&store, "l", &b, LONG)).await.0, 1, "a grant of what is reserved");
    assert_eq!(store.sightings().await.unwrap()[0].heartbeat, beat(4, 7));
}

#[tokio::test]
async fn whoever_holds_a_lease_has_what_a_takeover_takes_ready_before_it_happens() {
    let database = SERVER.database();
    let counter = Counter::before(SERVER.port());
    let (store, other) = (open(&database.url_at(counter.port)).await, open(&database.url()).await);
    let (a, b) = (member("a", 1), member("b", 2));
    // All that a takeover finds has been there for long.
    let lease = granted(&other, "active", &b, LONG).await;
    other.assign(&lease, &[]).await.unwrap();
    let key = StateKey::new("k").unwrap();
    let Written::Written(version) = other.put(&key, b"", Expect::Absent, Some(&lease)).await.unwrap() else {
        panic!("nobody else writes it")
    };
    other.release(&lease, Some(&a.node)).await.unwrap();

    let own = granted(&store, "node/a", &a, LONG).await;
    counter.ready(&store).await;
    let (trips, lease) = counter.of(granted(&store, "active", &a, LONG)).await;
    assert_eq!(trips, 1, "the grant");
    assert_eq!(counter.of(store.assign(&lease, &[])).await.0, 1, "its fence");
    assert_eq!(counter.of(store.put(&key, b"1", Expect::Version(version), Some(&lease))).await.0, 1, "a document");
    let fresh = StateKey::new("fresh").unwrap();
    assert_eq!(counter.of(store.put(&fresh, b"1", Expect::Absent, Some(&lease))).await.0, 3, "another");
    assert_eq!(counter.of(store.release(&lease, Some(&b.node))).await.0, 1, "a release");
    assert_eq!(counter.of(store.release(&own, None)).await.0, 1, "another");
}

#[tokio::test]
async fn a_fence_is_installed_in_one_round_trip_and_lasts() {
    let database = SERVER.database();
    let counter = Counter::before(SERVER.port());
    let store = open(&database.url_at(counter.port)).await;
    let (a, b) = (member("a", 1), member("b", 2));
    let mut leases = Vec::new();
    for n in 0..4 {
        let member = if n % 2 == 0 { &a } else { &b };
        let lease = granted(&store, "active", member, LONG).await;
        store.release(&lease, None).await.unwrap();
        leases.push(lease);
    }
    counter.ready(&store).await;
    store.submit(&job("j")).await.unwrap();
    let applied = |assigned: Assigned| assigned == Assigned::Applied(Revision(1));
    // The first makes the row, the second has the statement prepared.
    assert!(applied(store.assign(&leases[0], &[]).await.unwrap()));
    assert!(applied(store.assign(&leases[1], &[]).await.unwrap()));
    for _ in 0..2 {
        let (trips, assigned) = counter.of(store.assign(&leases[3], &[])).await;
        assert!(trips == 1 && applied(assigned.unwrap()), "{trips} round trips");
    }
    for late in &leases[..3] {
        let current = leases[3].term;
        assert_eq!(store.assign(late, &[]).await.unwrap(), Assigned::Fenced { current });
        let place = Move::new(job("j").id().clone(), Epoch(0), Step::Place { to: a.clone() });
        assert_eq!(store.assign(late, &[place]).await.unwrap(), Assigned::Fenced { current });
    }
}

#[tokio::test]
async fn a_single_read_is_one_round_trip() {
    let database = SERVER.database();
    let counter = Counter::before(SERVER.port());
    let store = open(&database.url_at(counter.port)).await;
    granted(&store, "l", &member("a", 1), LONG).await;
    counter.ready(&store).await;
    let key = StateKey::new("k").unwrap();
    for round in 0..2 {
        let sightings = counter.of(store.sightings()).await.0;
        let current = counter.of(store.current(&super::name("l"))).await.0;
        let get = counter.of(store.get(&key)).await.0;
        if round > 0 {
            assert_eq!((sightings, current, get), (1, 1, 1));
        }
    }
}

#[tokio::test]
async fn a_batch_of_a_hundred_takes_as_many_round_trips_as_one_of_one() {
    let database = SERVER.database();
    let counter = Counter::before(SERVER.port());
    let store = open(&database.url_at(counter.port)).await;
    let a = member("a", 1);
    let active = granted(&store, "active", &a, LONG).await;
    counter.ready(&store).await;
    for n in 0..102 {
        store.submit(&job(&format!("j{n}"))).await.unwrap();
    }
    let place = |n: usize| Move::new(job(&format!("j{n}")).id().clone(), Epoch(0), Step::Place { to: a.clone() });
    let report = |n: usize| {
        let (job, status) = (job(&format!("j{n}")).id().clone(), JobStatus::Progress("half".into()));
        JobReport { job, member: a.clone(), epoch: Epoch(1), status }
    };
    // The first installs the fence, the second has the statement prepared.
    store.assign(&active, &[place(100)]).await.unwrap();
    store.assign(&active, &[place(101)]).await.unwrap();
    store.report(&[report(100)]).await.unwrap();

    let moves: Vec<Move> = (0..100).map(place).collect();
    let (trips, assigned) = counter.of(store.assign(&active, &moves)).await;
    assert!(matches!(assigned.unwrap(), failover_core::job::Assigned::Applied(_)));
    assert_eq!(trips, 2, "100 moves: a look and a write");
    let reports: Vec<JobReport> = (0..100).map(report).collect();
    let (trips, answers) = counter.of(store.report(&reports)).await;
    assert_eq!(answers.unwrap().len(), 100);
    assert!(trips <= 6, "{trips} round trips for 100 reports");
}
