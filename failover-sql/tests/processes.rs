//! Several processes on one file. Each test is its own child: it starts itself again with a part to play.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use common::{LONG, Place, beat, cluster, granted, key, lease_name, member};
use failover_core::lease::{Acquired, Tenant};
use failover_core::state::{Expect, Written};
use failover_core::time::{Clock, SystemClock};
use failover_core::{HeartbeatStore, JobAssigner, JobId, JobSpec, LeaseManager, Revision, StateStore};
use failover_sql::{SqlStore, SqliteOptions};

/// The path of the database and the child's number, of the part `path,number`.
fn who() -> Option<(PathBuf, u128)> {
    let part = common::part()?;
    let (path, number) = part.rsplit_once(',')?;
    Some((path.into(), number.parse().ok()?))
}

async fn open(path: &Path) -> SqlStore {
    SqliteOptions::new(path).open(&cluster("c")).await.unwrap_or_else(|e| panic!("the store has to open: {e}"))
}

/// Runs `count` children of `test` at once.
fn children(test: &str, path: &Path, count: usize) -> Vec<Output> {
    let start = |number| {
        let mut child = common::child(test, &format!("{},{number}", path.display()));
        child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the test's own binary runs")
    };
    let running: Vec<_> = (0..count).map(start).collect();
    running.into_iter().map(|child| child.wait_with_output().expect("a child ends")).collect()
}

#[test]
fn twenty_processes_open_a_fresh_file_at_once_and_agree() {
    const SELF: &str = "twenty_processes_open_a_fresh_file_at_once_and_agree";
    if let Some((path, number)) = who() {
        common::runtime().block_on(async {
            let store = open(&path).await;
            let me = member(&format!("n{number}"), number);
            match store.acquire(&lease_name("active"), &me, LONG).await.unwrap() {
                Acquired::Granted(lease) => println!("\nsaid: {}", lease.term),
                Acquired::Refused(_) => {}
            }
        });
        return;
    }
    let place = Place::new();
    let outputs = children(SELF, &place.path(), 20);
    let granted: Vec<String> = outputs.iter().flat_map(|output| common::said(output, "said:")).collect();
    assert_eq!(granted, ["1"], "one of them is granted the lease, and all of them mean the same store");
}

/// A counter under optimistic concurrency and a lease handed around, by eight writers.
#[test]
fn eight_writer_processes_meet_no_spurious_error_and_lose_no_write() {
    const SELF: &str = "eight_writer_processes_meet_no_spurious_error_and_lose_no_write";
    const ROUNDS: u64 = 15;
    if let Some((path, number)) = who() {
        common::runtime().block_on(async {
            let store = open(&path).await;
            let me = member(&format!("n{number}"), number);
            let counter = key("test/counter");
            for round in 0..ROUNDS {
                store.beat(&beat(&me, round + 1, 0)).await.expect("a beat");
                loop {
                    let there = store.get(&counter).await.expect("a read");
                    let (count, expect) = there.map_or((0, Expect::Absent), |d| {
                        (String::from_utf8(d.value).unwrap().parse::<u64>().unwrap(), Expect::Version(d.version))
                    });
                    let next = (count + 1).to_string();
                    match store.put(&counter, next.as_bytes(), expect, None).await.expect("a write") {
                        Written::Written(_) => break,
                        Written::Conflict(_) => {}
                        Written::Fenced { .. } => panic!("nobody fences"),
                    }
                }
                if let Acquired::Granted(lease) = store.acquire(&lease_name("baton"), &me, LONG).await.expect("a grant")
                {
                    println!("\nsaid: {}", lease.term);
                    store.release(&lease, None).await.expect("a release");
                }
                let job = JobSpec::new(JobId::new(format!("{}-{round}", me.node)).unwrap(), "").unwrap();
                store.submit(&job).await.expect("a submission");
            }
        });
        return;
    }
    let place = Place::new();
    let outputs = children(SELF, &place.path(), 8);
    let terms: Vec<u64> =
        outputs.iter().flat_map(|output| common::said(output, "said:")).map(|term| term.parse().unwrap()).collect();
    assert!(!terms.is_empty());
    assert_eq!(terms.iter().collect::<BTreeSet<_>>().len(), terms.len(), "no term is granted twice");
    common::runtime().block_on(async {
        let store = open(&place.path()).await;
        let count = store.get(&key("test/counter")).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(count.value).unwrap(), (8 * ROUNDS).to_string());
        let jobs = store.changes(Revision::ZERO, 1000).await.unwrap();
        let revisions: BTreeSet<_> = jobs.changes.iter().map(failover_core::job::JobChange::revision).collect();
        assert_eq!(revisions.len() as u64, 8 * ROUNDS);
        assert_eq!(jobs.upto.0, 8 * ROUNDS);
        assert_eq!(store.sightings().await.unwrap().len(), 8);
        let view = store.current(&lease_name("baton")).await.unwrap();
        assert_eq!(view.term.0, terms.iter().copied().max().unwrap());
    });
}

/// Half of the waits are over in far less than the second after which a watcher looks without having been told.
#[test]
fn another_process_is_told_of_a_change_by_an_event() {
    const SELF: &str = "another_process_is_told_of_a_change_by_an_event";
    const ROUNDS: usize = 9;
    let question = |round| key(&format!("question/{round}"));
    let answer = |round| key(&format!("answer/{round}"));
    if let Some((path, _)) = who() {
        common::runtime().block_on(async {
            let store = open(&path).await;
            for round in 0..ROUNDS {
                while store.get(&question(round)).await.unwrap().is_none() {
                    StateStore::changed(&store, &key("question")).await.unwrap();
                }
                store.put(&answer(round), b"", Expect::Absent, None).await.unwrap();
            }
        });
        return;
    }
    let place = Place::new();
    let clock = SystemClock::new();
    let mut child = common::child(SELF, &format!("{},0", place.path().display())).spawn().expect("it runs");
    let mut took = common::runtime().block_on(async {
        let store = open(&place.path()).await;
        let mut took = Vec::new();
        for round in 0..ROUNDS {
            let asked = clock.now();
            store.put(&question(round), b"", Expect::Absent, None).await.unwrap();
            while store.get(&answer(round)).await.unwrap().is_none() {
                StateStore::changed(&store, &key("answer")).await.unwrap();
            }
            took.push(clock.now().since(asked));
        }
        took
    });
    assert!(child.wait().unwrap().success());
    took.sort_unstable();
    assert!(took[ROUNDS / 2] < Duration::from_millis(400), "there and back, two hints each: {took:?}");
}

/// In a user namespace of its own, which may start no inotify instance.
#[test]
fn without_inotify_changes_are_polled_for() {
    const SELF: &str = "without_inotify_changes_are_polled_for";
    if let Some((path, _)) = who() {
        std::fs::write("/proc/sys/user/max_inotify_instances", "0").expect("the namespace's own limit");
        common::runtime().block_on(async {
            let (one, two, clock) = (open(&path).await, open(&path).await, SystemClock::new());
            let mut took = Vec::new();
            for round in 0..7 {
                one.put(&key(&format!("a/{round}")), b"", Expect::Absent, None).await.unwrap();
                let written = clock.now();
                StateStore::changed(&two, &key("a")).await.unwrap();
                took.push(clock.now().since(written));
            }
            took.sort_unstable();
            assert!(took[3] < Duration::from_millis(300), "every 50 ms, not once a second: {took:?}");
        });
        return;
    }
    let place = Place::new();
    let output = common::child_that_mounts(SELF, &format!("{},0", place.path().display())).output();
    common::said(&output.expect("`unshare` is there (package util-linux)"), "");
}

#[test]
fn a_process_killed_while_it_writes_holds_nobody_up_and_leaves_nothing_half_written() {
    const SELF: &str = "a_process_killed_while_it_writes_holds_nobody_up_and_leaves_nothing_half_written";
    if let Some((path, number)) = who() {
        common::runtime().block_on(async {
            let (store, me) = (open(&path).await, member(&format!("n{number}"), number));
            for seq in 1.. {
                store.put(&key("test/big"), &vec![1; 64 * 1024], Expect::Any, None).await.unwrap();
                store.beat(&beat(&me, seq, 0)).await.unwrap();
            }
        });
        return;
    }
    let place = Place::new();
    common::runtime().block_on(async {
        let store = open(&place.path()).await;
        let lease = granted(&store, "active", &member("a", 99), LONG).await;
        for number in 0..6 {
            let part = format!("{},{number}", place.path().display());
            let mut child = common::child(SELF, &part).stdout(Stdio::null()).spawn().expect("it runs");
            let node = common::node(&format!("n{number}"));
            // It writes; when exactly it dies is left to chance.
            while !store
                .sightings()
                .await
                .unwrap()
                .iter()
                .any(|s| s.heartbeat.member.node == node && s.heartbeat.seq > 2)
            {
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
            child.kill().expect("SIGKILL");
            child.wait().expect("it is gone");
            let renewed = tokio::time::timeout(Duration::from_secs(5), store.renew(&lease)).await;
            assert_eq!(renewed.expect("nobody is in the way").unwrap(), failover_core::lease::Renewed::Extended);
        }
        let mut host = place.host().await;
        let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut host).await.unwrap();
        assert_eq!(sound, "ok");
    });
}

#[tokio::test]
async fn each_handle_is_told_of_what_the_other_changes_and_of_nothing_twice() {
    let place = Place::new();
    let (one, two) = (place.open().await, place.open().await);
    let (a, name) = (member("a", 1), lease_name("active"));
    let soon = Duration::from_secs(20);

    let lease = granted(&one, "active", &a, LONG).await;
    tokio::time::timeout(soon, LeaseManager::changed(&two, &name)).await.expect("a grant is told").unwrap();
    assert!(matches!(two.current(&name).await.unwrap().tenant, Tenant::Held { .. }));
    one.release(&lease, None).await.unwrap();
    tokio::time::timeout(soon, LeaseManager::changed(&two, &name)).await.expect("a release is told").unwrap();

    two.submit(&JobSpec::new(JobId::new("j").unwrap(), "").unwrap()).await.unwrap();
    tokio::time::timeout(soon, JobAssigner::changed(&one)).await.expect("a job is told").unwrap();

    one.put(&key("a/b/c"), b"x", Expect::Any, None).await.unwrap();
    tokio::time::timeout(soon, StateStore::changed(&two, &key("a/b"))).await.expect("a document is told").unwrap();

    one.beat(&beat(&a, 1, 0)).await.unwrap();
    tokio::time::timeout(soon, HeartbeatStore::changed(&two)).await.expect("a new node is told").unwrap();
    one.beat(&beat(&a, 2, 7)).await.unwrap();
    tokio::time::timeout(soon, HeartbeatStore::changed(&two)).await.expect("news are told").unwrap();

    let lease = granted(&one, "active", &a, LONG).await;
    tokio::time::timeout(soon, LeaseManager::changed(&two, &name)).await.expect("a grant is told").unwrap();
    // Neither a renewal nor a beat without news wakes anybody, not even at the look once a second.
    one.renew(&lease).await.unwrap();
    one.beat(&beat(&a, 3, 7)).await.unwrap();
    let woken = async {
        tokio::select! {
            told = LeaseManager::changed(&two, &name) => told,
            told = HeartbeatStore::changed(&two) => told,
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(1500), woken).await.is_err());
}

#[tokio::test]
async fn a_call_that_was_dropped_halfway_leaves_its_handle_usable() {
    let place = Place::new();
    let store = place.open().await;
    let (me, name) = (member("a", 1), lease_name("active"));
    for spins in 0..60_u32 {
        let mut call = Box::pin(store.acquire(&name, &me, LONG));
        // So many polls, then it is dropped wherever it is.
        for _ in 0..spins {
            if futures_poll(&mut call).await {
                break;
            }
        }
        drop(call);
        assert!(matches!(store.current(&name).await.unwrap().term.0, 0 | 1));
    }
    assert_eq!(granted(&store, "active", &me, LONG).await.term.0, 1, "every repetition kept the term");
}

/// Polls once, and lets other tasks and threads run. Whether it is done.
async fn futures_poll<T>(call: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> bool {
    let done = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
    tokio::time::sleep(Duration::from_micros(200)).await;
    done
}

#[tokio::test]
async fn a_hosts_long_transaction_delays_a_call_and_does_not_fail_it() {
    use sqlx::{Connection, Executor};
    let place = Place::new();
    let store = place.open().await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    let mut host = place.host().await;
    host.execute("CREATE TABLE own (n INTEGER)").await.unwrap();
    let mut tx = host.begin_with("BEGIN IMMEDIATE").await.unwrap();
    tx.execute("INSERT INTO own VALUES (1)").await.unwrap();
    let renewal = tokio::spawn({
        let (store, lease) = (store.clone(), lease.clone());
        async move { store.renew(&lease).await }
    });
    // Who only reads need not wait for it.
    assert!(matches!(store.current(&lease_name("active")).await.unwrap().tenant, Tenant::Held { .. }));
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!renewal.is_finished(), "the host's transaction comes first");
    tx.commit().await.unwrap();
    assert_eq!(renewal.await.unwrap().unwrap(), failover_core::lease::Renewed::Extended);
}
