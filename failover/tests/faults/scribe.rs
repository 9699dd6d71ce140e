//! A node that publishes records without a pause, as a process of its own: what it is told comes by its input, what it says goes to its
//! output, and it ends when its input does.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use failover::memory::MemoryStore;
use failover::replica::{Publisher, Replica};
use failover::state::{Deleted, Document, Expect, Written};
use failover::testkit::faults::{Fault, Faults, Faulty};
use failover::time::{Clock, SystemClock};
use failover::{
    Backend, Lease, LeaseManager, Node, NodeId, Replicated, Result, Right, RoleHooks, StateKey, StateStore, Term,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::node::Pace;

/// The environment variable that makes this binary a scribe.
pub(crate) const SCRIPT: &str = "FAILOVER_FAULTS_SCRIPT";

/// So many clients publish at the same time.
const CLIENTS: usize = 4;

/// What a scribe is told at its start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Script {
    pub(crate) node: String,
    pub(crate) url: String,
    pub(crate) pace: Pace,
    /// Tells its records from those of the others.
    pub(crate) run: u64,
    /// Its leases are of its own, with terms above the run, so that it is active at once: only the documents are the store's.
    pub(crate) alone: bool,
}

/// What it says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Said {
    /// Its program runs and waits for `go`.
    There,
    /// It stands by.
    Standby,
    /// It was promoted, and this is all it knows of this earlier run; nothing of which is there twice.
    Knows { run: u64, records: Vec<String>, position: u64 },
    /// A record is acknowledged.
    Published(String),
    /// A record of the held call waits.
    Held,
    /// The held call has reached the store, and this is its answer.
    Late(String),
}

pub(crate) fn say(said: &Said) {
    let line = serde_json::to_string(said).expect("plain data");
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@{line}").and_then(|()| out.flush()).expect("somebody listens");
}

#[derive(Default)]
struct Book(Mutex<Vec<String>>);

#[async_trait]
impl Replicated for Book {
    async fn apply(&self, record: &[u8]) -> std::result::Result<(), String> {
        let text = std::str::from_utf8(record).map_err(|e| e.to_string())?;
        // Of a long record the name is enough.
        let name = text.split(' ').next().unwrap_or_default();
        self.0.lock().expect("no panic").push(name.to_owned());
        Ok(())
    }

    async fn snapshot(&self) -> Vec<u8> {
        self.0.lock().expect("no panic").join("\n").into_bytes()
    }

    async fn restore(&self, snapshot: &[u8]) -> std::result::Result<(), String> {
        let text = std::str::from_utf8(snapshot).map_err(|e| e.to_string())?;
        *self.0.lock().expect("no panic") = text.lines().map(str::to_owned).collect();
        Ok(())
    }
}

struct Front {
    book: Arc<Book>,
    publisher: Publisher,
    run: u64,
}

#[async_trait]
impl RoleHooks for Front {
    async fn promote(&self, _right: Right) {
        let all = self.book.0.lock().expect("no panic").clone();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "a record is there twice");
        let run = self.run - 1;
        let earlier = format!("{run}-");
        let records = all.iter().filter(|record| record.starts_with(&earlier)).cloned().collect();
        say(&Said::Knows { run, records, position: all.len() as u64 });
        for client in 0..CLIENTS {
            tokio::spawn(publish(self.publisher.clone(), self.run, client));
        }
    }
}

async fn publish(publisher: Publisher, run: u64, client: usize) {
    for n in 0u64.. {
        let name = format!("{run}-{client}-{n}");
        // Now and then one that does not fit into one document of the store.
        let long = if client == 0 && n % 16 == 7 { 300_000 } else { 20 };
        let record = format!("{name} {}", "x".repeat(long));
        if publisher.publish(record).await.is_err() {
            return;
        }
        say(&Said::Published(name));
    }
}

/// Documents of which one write can be held back, and let go later whoever waits for it. While it is, no other call to the store is under way: one
/// that a server has half of when the process is paused holds its rows until the connection is gone, and then nobody can take over.
struct Held {
    inner: Arc<dyn StateStore>,
    hold: AtomicBool,
    /// By when every call has ended or was given up, and its connection with it.
    call: Duration,
    others: Arc<OnceLock<Faults>>,
    go: Arc<Notify>,
}

#[async_trait]
impl StateStore for Held {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        self.inner.list(prefix, after, limit).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        if key.as_str().contains("/journal/") && self.hold.swap(false, Ordering::SeqCst) {
            let (inner, key, value, fence) = (self.inner.clone(), key.clone(), value.to_vec(), fence.cloned());
            let (others, go, call) = (self.others.clone(), self.go.clone(), self.call);
            tokio::spawn(async move {
                others.get().expect("they are there before the node is").all(Fault::Hang);
                let clock = SystemClock::new();
                clock.sleep_until(clock.now() + call).await;
                say(&Said::Held);
                go.notified().await;
                let answer = inner.put(&key, &value, expect, fence.as_ref()).await;
                say(&Said::Late(format!("{answer:?}")));
            });
            return std::future::pending().await;
        }
        self.inner.put(key, value, expect, fence).await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        self.inner.delete(key, expect, fence).await
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        self.inner.changed(prefix).await
    }
}

pub(crate) fn script() -> Option<Script> {
    let script = std::env::var(SCRIPT).ok()?;
    Some(serde_json::from_str(&script).expect("a script that the cell wrote"))
}

/// Plays the script; the process ends with its input.
pub(crate) fn play(script: &Script) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut backend = crate::stores::open(&script.url).await;
        let (hold, call) = (AtomicBool::new(false), script.pace.call);
        let holder = Arc::new(Held { inner: backend.state, hold, call, others: Arc::default(), go: Arc::default() });
        backend.state = holder.clone();
        if script.alone {
            let own = MemoryStore::new();
            own.raise_floor(Term(script.run * 10)).await.expect("a small term");
            let own = own.backend();
            backend = Backend::mixed(own.heartbeats, own.leases, own.jobs, backend.state);
        }
        let (backend, others) = Faulty::wrap(backend);
        holder.others.set(others).expect("once");
        let go = listen(holder);
        say(&Said::There);
        go.clone().wait_for(|go| *go).await.expect("the input lasts");

        let book = Arc::new(Book::default());
        let replica = Replica::builder("book", book.clone()).snapshot_after(25, 1 << 30).build();
        let replica = replica.expect("a proper replica");
        let front = Front { book, publisher: replica.publisher(), run: script.run };
        let name = |name: &str| NodeId::new(name).expect("a valid name");
        let node = Node::builder(backend, name(&script.node))
            .timing(script.pace.timing())
            .roster([name("a"), name("b")])
            .hooks(front)
            .replica(&replica)
            .start()
            .expect("a node can be started");
        let mut roles = node.roles();
        if roles.wait_for(|role| *role == failover::Role::Standby).await.is_ok() && !script.alone {
            say(&Said::Standby);
        }
        std::future::pending::<()>().await;
    });
}

/// Does what the input says, and ends the process with it.
fn listen(held: Arc<Held>) -> watch::Receiver<bool> {
    let (sender, go) = watch::channel(false);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            match line.as_deref() {
                Ok("go") => drop(sender.send_replace(true)),
                Ok("hold") => held.hold.store(true, Ordering::SeqCst),
                Ok("let go") => held.go.notify_one(),
                Ok(_) | Err(_) => break,
            }
        }
        std::process::exit(0);
    });
    go
}

/// For how long a scribe whose leases are its own needs them: longer than any run.
pub(crate) const AT_EASE: Pace =
    Pace { beat: Duration::from_millis(500), ttl: Duration::from_mins(1), call: Duration::from_secs(5) };
