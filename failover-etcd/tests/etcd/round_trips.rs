//! The number of round trips each operation takes, counted on the wire.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use failover_core::job::{Assigned, JobReport, JobStatus, MAX_BATCH, Move, Reported, Revised, Step};
use failover_core::lease::{Acquired, Renewed};
use failover_core::state::Expect;
use failover_core::{Epoch, HeartbeatStore, JobAssigner, JobSpec, Lease, LeaseManager, Revision, StateStore};
use failover_etcd::EtcdStore;

use crate::common::{LONG, ONE, beat, granted, job_id, key, lease_name, member, node, open, own_prefix, until};

/// Passes connections on, answers a moment late, and counts how often a client sent a message after any of its connections was answered: what is
/// asked at the same time is one round trip. What HTTP/2 says besides, of settings and windows, is nobody's answer.
struct Counter {
    port: u16,
    trips: Arc<AtomicU64>,
    passed: Arc<AtomicU64>,
}

/// How late answers are, so that what is asked at the same time is asked before any is there.
const LATE: Duration = Duration::from_millis(30);

impl Counter {
    fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (trips, passed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counter = Self { port, trips: Arc::clone(&trips), passed: Arc::clone(&passed) };
        let answered = Arc::new(AtomicBool::new(true));
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (trips, said, sent) = (Arc::clone(&trips), Arc::clone(&answered), Arc::clone(&passed));
                let asked = move |kind| {
                    if kind == DATA {
                        sent.fetch_add(1, Ordering::SeqCst);
                        if said.swap(false, Ordering::SeqCst) {
                            trips.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                };
                thread::spawn(move || pass(from, to, Frames::after(PREFACE), Duration::ZERO, asked));
                let (heard, came) = (Arc::clone(&answered), Arc::clone(&passed));
                let told = move |kind| {
                    if matches!(kind, DATA | HEADERS) {
                        came.fetch_add(1, Ordering::SeqCst);
                        heard.store(true, Ordering::SeqCst);
                    }
                };
                thread::spawn(move || pass(server, client, Frames::after(0), LATE, told));
            }
        });
        counter
    }

    async fn of<T>(&self, call: impl Future<Output = T>) -> (u64, T) {
        let before = self.trips.load(Ordering::SeqCst);
        let answer = call.await;
        (self.trips.load(Ordering::SeqCst) - before, answer)
    }

    /// Waits until nothing goes on in the background any more.
    async fn quiet(&self) {
        let mut seen = None;
        let passed = || self.passed.load(Ordering::SeqCst);
        until("nothing is passed on", || {
            let still = seen.replace(passed()) == Some(passed());
            async move {
                tokio::time::sleep(LATE * 6).await;
                still
            }
        })
        .await;
    }
}

/// What a client says before its first frame, in bytes.
const PREFACE: usize = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// Types of frames: RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// The frames in a stream of bytes.
struct Frames {
    /// So many bytes belong to what was seen already.
    skip: usize,
    head: Vec<u8>,
}

impl Frames {
    fn after(skip: usize) -> Self {
        Self { skip, head: Vec::new() }
    }

    /// Sees the types of the frames with a body that begin in these bytes.
    fn look(&mut self, mut bytes: &[u8], seen: &impl Fn(u8)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            let wanted = (9 - self.head.len()).min(bytes.len() - skipped);
            self.head.extend(&bytes[skipped..skipped + wanted]);
            bytes = &bytes[skipped + wanted..];
            let [a, b, c, kind, ..] = self.head[..] else { return };
            if self.head.len() < 9 {
                return;
            }
            self.head.clear();
            self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
            if self.skip > 0 {
                seen(kind);
            }
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut frames: Frames, late: Duration, seen: impl Fn(u8)) {
    let mut bytes = [0; 8192];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        thread::sleep(late);
        frames.look(&bytes[..n], &seen);
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _gone = to.shutdown(Shutdown::Both);
}

/// A counter, the address that leads through it, and a handle that has made its connections.
async fn counted() -> (Counter, String, EtcdStore) {
    let counter = Counter::before(ONE.port());
    let url = format!("etcd://127.0.0.1:{}?prefix={}", counter.port, own_prefix());
    let store = open(&url).await;
    (counter, url, store)
}

// On one thread, so that what is done in the background afterwards is not counted.
#[tokio::test]
async fn a_beat_a_grant_a_renewal_and_a_release_are_one_round_trip_each() {
    let (counter, _, store) = counted().await;
    let (a, b) = (member("a", 1), member("b", 2));
    store.beat(&beat(&a, 1, 0)).await.unwrap();
    let (trips, other) = counter.of(granted(&store, "other", &a, LONG)).await;
    assert_eq!(trips, 3, "the first grant: a look, an etcd lease, a transaction");
    // Puts an etcd lease in stock.
    store.renew(&other).await.unwrap();
    counter.quiet().await;

    assert_eq!(counter.of(store.beat(&beat(&a, 2, 0))).await.0, 1, "a beat");
    assert_eq!(counter.of(store.beat(&beat(&a, 3, 7))).await.0, 1, "a beat with news");
    assert_eq!(counter.of(store.sightings()).await.0, 1, "sightings");
    assert_eq!(counter.of(granted(&store, "l", &a, LONG)).await.0, 2, "a grant by who never saw the lease");
    let (trips, refused) = counter.of(store.acquire(&lease_name("l"), &b, LONG)).await;
    assert!(matches!(refused.unwrap(), Acquired::Refused(_)));
    assert_eq!(trips, 2, "a refusal");
    counter.quiet().await;
    let (trips, lease) = counter.of(granted(&store, "l", &a, LONG)).await;
    assert_eq!(trips, 1, "a grant repeated");
    for _ in 0..3 {
        counter.quiet().await;
        let (trips, renewed) = counter.of(store.renew(&lease)).await;
        assert_eq!((trips, renewed.unwrap()), (1, Renewed::Extended), "a renewal");
    }
    counter.quiet().await;
    assert_eq!(counter.of(store.current(&lease_name("l"))).await.0, 2, "a look at a lease");
    assert_eq!(counter.of(store.release(&lease, None)).await.0, 1, "a release");
    counter.quiet().await;
    assert_eq!(counter.of(granted(&store, "l", &a, LONG)).await.0, 1, "a grant");
}

// On one thread, so that what is done in the background afterwards is not counted.
#[tokio::test]
async fn a_successor_that_was_woken_is_granted_the_lease_in_one_round_trip() {
    let (counter, url, standby) = counted().await;
    let around = url.replace(&counter.port.to_string(), &ONE.port().to_string());
    let (active, heir) = (open(&around).await, member("b", 2));
    let lease = granted(&active, "active", &member("a", 1), LONG).await;
    let own = granted(&standby, "node/b", &heir, LONG).await;
    standby.renew(&own).await.unwrap();
    // Once for what was before.
    LeaseManager::changed(&standby, &lease_name("active")).await.unwrap();
    let refused = standby.acquire(&lease_name("active"), &heir, LONG).await.unwrap();
    assert!(matches!(refused, Acquired::Refused(_)));
    active.submit(&JobSpec::new(job_id("j"), "what to do").unwrap()).await.unwrap();
    let Assigned::Applied(head) = active.assign(&lease, &[]).await.unwrap() else { panic!("it is fenced") };
    assert_eq!(head, active.changes(Revision::ZERO, 10).await.unwrap().upto);
    active.release(&lease, Some(&node("b"))).await.unwrap();
    LeaseManager::changed(&standby, &lease_name("active")).await.unwrap();
    counter.quiet().await;
    let (trips, next) = counter.of(granted(&standby, "active", &heir, LONG)).await;
    assert_eq!(trips, 1, "it acts on what it was told");
    counter.quiet().await;
    let (trips, installed) = counter.of(standby.assign(&next, &[])).await;
    assert_eq!((trips, installed.unwrap()), (1, Assigned::Applied(head)), "and the grant told of its fence");
    // Which is a guess: what has become of it since then counts.
    standby.release(&next, None).await.unwrap();
    let last = granted(&standby, "active", &heir, LONG).await;
    let later = Lease { term: last.term.next(), ..last.clone() };
    active.assign(&later, &[]).await.unwrap();
    assert_eq!(standby.assign(&last, &[]).await.unwrap(), Assigned::Fenced { current: later.term });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_moves_are_one_round_trip_and_two_for_who_has_not_seen_the_jobs() {
    let (counter, url, store) = counted().await;
    let (a, b) = (member("a", 1), member("b", 2));
    let active = granted(&store, "active", &a, LONG).await;
    let spec = |n: usize| JobSpec::new(job_id(&format!("j{n}")), "what to do").unwrap();
    for n in 0..MAX_BATCH {
        assert_eq!(counter.of(store.submit(&spec(n))).await.0, 2, "a job that is new");
    }
    store.assign(&active, &[]).await.unwrap();
    let moves = |epoch: u64, step: &Step| -> Vec<Move> {
        (0..MAX_BATCH).map(|n| Move::new(spec(n).id().clone(), Epoch(epoch), step.clone())).collect()
    };
    let place = moves(0, &Step::Place { to: a.clone() });
    let (trips, assigned) = counter.of(store.assign(&active, &place)).await;
    assert!(matches!(assigned.unwrap(), Assigned::Applied(_)));
    assert_eq!(trips, 1, "a hundred moves");
    let said = |n: usize| {
        let status = JobStatus::Progress("half".into());
        JobReport { job: spec(n).id().clone(), member: a.clone(), epoch: Epoch(1), status }
    };
    let reports: Vec<JobReport> = (0..MAX_BATCH).map(said).collect();
    let (trips, answers) = counter.of(store.report(&reports)).await;
    assert_eq!((trips, answers.unwrap()), (1, vec![Reported::Accepted; MAX_BATCH]), "a hundred reports");
    let (trips, page) = counter.of(store.changes(Revision::ZERO, 1000)).await;
    assert_eq!((trips, page.unwrap().changes.len()), (1, MAX_BATCH), "a page of the feed");
    let (trips, revised) = counter.of(store.revise(&spec(0).with_payload("something else").unwrap())).await;
    assert_eq!((trips, revised.unwrap()), (1, Revised::Changed), "a job that is revised");
    assert_eq!(counter.of(store.remove(spec(0).id())).await.0, 1, "a job that is removed");

    // The jobs have changed since this one saw them, which is never: it has just become active.
    let other = open(&url).await;
    other.assign(&active, &[]).await.unwrap();
    let seize = moves(1, &Step::Seize { from: a.clone(), to: Some(b) });
    let (trips, assigned) = counter.of(other.assign(&active, &seize)).await;
    assert!(matches!(assigned.unwrap(), Assigned::Applied(_)));
    assert_eq!(trips, 2, "a hundred moves of jobs that it has not seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_was_seen_is_written_in_one_round_trip() {
    let (counter, _, store) = counted().await;
    let doc = key("control/cluster");
    store.put(&doc, b"1", Expect::Any, None).await.unwrap();
    assert_eq!(counter.of(store.put(&doc, b"2", Expect::Any, None)).await.0, 1, "a document");
    assert_eq!(counter.of(store.get(&doc)).await.0, 1, "a look at a document");
    assert_eq!(counter.of(store.list(&key("control"), None, 10)).await.0, 1, "a list");
    assert_eq!(counter.of(store.delete(&doc, Expect::Any, None)).await.0, 1, "a deletion");
}
