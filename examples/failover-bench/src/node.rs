//! A node as a process of its own. It says on its output what becomes of it and when, by the clock that all processes of a machine share, and ends with its
//! input.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use failover::guard::Guard;
use failover::machine::JobEnd;
use failover::time::{Clock as _, SystemClock};
use failover::{ClusterName, JobHandler, JobRun, Node, NodeId, Right, RoleHooks, Timing};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use crate::Outcome;

/// The environment variable that makes this program a node.
pub(crate) const PART: &str = "FAILOVER_BENCH_PART";

/// What a node's process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) url: String,
    pub(crate) cluster: String,
    pub(crate) node: String,
    pub(crate) beat: Duration,
    pub(crate) ttl: Duration,
    /// How many jobs it can run; it tells when it runs all of them.
    pub(crate) jobs: usize,
    /// It holds its runtime up for so long, again and again.
    pub(crate) blocks: Option<Duration>,
    /// While it is active it says so again and again.
    pub(crate) chatty: bool,
}

/// What it says: `WORD MOMENT`, and under which term if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) what: String,
    pub(crate) at: u64,
    pub(crate) term: u64,
}

fn say(what: &str, term: u64) {
    let said = Said { what: what.to_owned(), at: SystemClock::new().now().as_nanos(), term };
    let line = serde_json::to_string(&said).expect("plain data");
    let mut out = std::io::stdout().lock();
    // Whoever listened is gone, and then this process is, too.
    let _gone = writeln!(out, "{line}").and_then(|()| out.flush());
}

pub(crate) fn part() -> Option<Part> {
    serde_json::from_str(&std::env::var(PART).ok()?).ok()
}

/// Plays the part. In the process of its guard, which is this program once more, this does not return.
pub(crate) fn play(part: Part) -> ExitCode {
    let guard = match failover::guard::start() {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("failover-bench, as a node: no guard: {error}");
            return ExitCode::FAILURE;
        }
    };
    std::thread::spawn(|| {
        let _end = std::io::stdin().lock().lines().count();
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.expect("a runtime").block_on(live(part, &guard)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failover-bench, as a node: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn live(part: Part, guard: &Guard) -> Outcome<()> {
    let mut leave = signal(SignalKind::terminate())?;
    let cluster = ClusterName::new(&part.cluster)?;
    let backend = failover::open(&part.url, &cluster).await?;
    let mut node = Node::builder(backend, NodeId::new(&part.node)?)
        .timing(Timing::new(part.beat, part.ttl)?)
        .guarded(guard.attach(&part.url, &cluster))
        .hooks(Stamps { chatty: part.chatty });
    if part.jobs > 0 {
        let capacity = u32::try_from(part.jobs)?;
        node = node.jobs(Idle { running: Arc::default(), all: part.jobs }).capacity(capacity);
    }
    let node = node.start()?;
    if let Some(span) = part.blocks {
        // Each worker of the runtime.
        for _ in 0..2 {
            tokio::spawn(async move {
                loop {
                    std::thread::sleep(span);
                    tokio::time::sleep(span).await;
                }
            });
        }
    }
    let mut roles = node.roles();
    let telling = async {
        while roles.changed().await.is_ok() {
            let role = *roles.borrow_and_update();
            say(&role.to_string(), node.active().map_or(0, |right| right.lease().term.0));
        }
    };
    tokio::select! {
        () = telling => {}
        finish = node.finished() => return Err(format!("it ended: {finish:?}").into()),
        _ = leave.recv() => drop(node.shutdown().await),
    }
    Ok(())
}

struct Stamps {
    chatty: bool,
}

#[async_trait]
impl RoleHooks for Stamps {
    async fn promote(&self, right: Right) {
        say("promote", right.lease().term.0);
        if self.chatty {
            tokio::spawn(async move {
                // As a resource would see it: a right that is valid, and then a write.
                while right.is_valid() {
                    say("own", right.lease().term.0);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
    }
}

/// Jobs that do nothing until they are stopped.
struct Idle {
    running: Arc<AtomicUsize>,
    all: usize,
}

#[async_trait]
impl JobHandler for Idle {
    async fn run(&self, run: JobRun) -> JobEnd {
        if self.running.fetch_add(1, Ordering::Relaxed) + 1 == self.all {
            say("all-jobs", 0);
        }
        run.stop().cancelled().await;
        JobEnd::Stopped
    }
}
