//! A node as a process of its own: the library's `Node` on a backend, with work that writes to the resource all the time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use failover::machine::JobEnd;
use failover::testkit::faults::{Fault, Faults, Faulty};
use failover::time::{Clock, SystemClock};
use failover::{CommandFencer, FencingToken, JobHandler, JobRun, Node, NodeId, Right, RoleHooks, Timing};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

/// The environment variable that makes this binary a node.
pub(crate) const PART: &str = "FAILOVER_FAULTS_PART";

/// Between two writes of one piece of work.
const TICK: Duration = Duration::from_millis(20);

/// What a node's process is told at its start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) node: String,
    pub(crate) url: String,
    /// The resource.
    pub(crate) socket: PathBuf,
    pub(crate) pace: Pace,
    /// Whom it asks whether it is cut off.
    pub(crate) witness: Option<String>,
    /// How long its host may be silent.
    pub(crate) watchdog: Option<Duration>,
    /// The command that switches others off. Such a node misses them after four beats.
    pub(crate) fencer: Option<Vec<String>>,
}

/// How fast a cell runs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Pace {
    pub(crate) beat: Duration,
    pub(crate) ttl: Duration,
    pub(crate) call: Duration,
}

impl Pace {
    pub(crate) fn timing(self) -> Timing {
        Timing::builder(self.beat, self.ttl).call(self.call).build().expect("a cell's pace keeps the rules")
    }
}

/// What a node says to the resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Said {
    /// It is there. `wall` is its wall clock, in seconds since 1970.
    Hello {
        node: String,
        process: u32,
        wall: u64,
    },
    Event {
        kind: String,
        role: Option<String>,
        reason: String,
    },
    /// It wants to write. Its right was valid at some moment between `asked` and `checked`, by the machine's clock.
    Write {
        id: u64,
        work: String,
        token: u64,
        asked: u64,
        checked: u64,
        ends_at: u64,
    },
    /// It has checked its right, and waits before it writes. No call to the store is under way.
    Held,
    /// Its right is over.
    Over {
        work: String,
        token: u64,
    },
    Finished {
        finish: String,
    },
}

/// What it is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Told {
    Wrote {
        id: u64,
        accepted: bool,
    },
    /// Wait between the next check of the active right and the write that follows it, until `Go`. Meanwhile no call to the store is under way: one
    /// that a process has half of when it is paused may hold a file or a row, and then nobody can take over, which is safe but shows nothing.
    Hold,
    Go,
    /// No call to the store reaches it, until `Heal`.
    Silence,
    Heal,
    /// Report a failure of this name and weight.
    Fail(String, u32),
    /// It is over.
    Clear(String),
    /// Feed the watchdog no more, until `Feed`.
    Starve,
    Feed,
    Leave,
}

pub(crate) fn part() -> Option<Part> {
    let part = std::env::var(PART).ok()?;
    Some(serde_json::from_str(&part).expect("a part that the stage wrote"))
}

/// Plays the part; the process ends with it.
pub(crate) fn play(part: &Part) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let link = Link::connect(part).await;
        let backend = crate::stores::open(&part.url).await;
        let (backend, faults) = Faulty::wrap(backend);
        link.faults.set(faults).expect("once");
        let mut node = Node::builder(backend, NodeId::new(&part.node).expect("a valid name"))
            .timing(part.pace.timing())
            .roster([NodeId::new("a").expect("a valid name"), NodeId::new("b").expect("a valid name")])
            .jobs(Worker(link.clone()))
            .hooks(Leader(link.clone()));
        if let Some(witness) = &part.witness {
            node = node.witness(witness.parse().expect("a witness's address"));
        }
        if let Some(fencer) = &part.fencer {
            let timing = Timing::builder(part.pace.beat, part.pace.ttl).call(part.pace.call);
            let timing = timing.missing(part.pace.beat * 4).build().expect("a cell's pace keeps the rules");
            let fencer = CommandFencer::new(fencer, Duration::from_mins(1)).expect("a command");
            node = node.timing(timing).node_fencer(fencer);
        }
        if let Some(limit) = part.watchdog {
            node = node.watchdog(limit);
        }
        let node = node.start().expect("a node can be started");
        link.reports.set(node.clone()).map_err(|_| "set before").expect("once");
        let (mut events, mut leave) = (node.events(), link.leave.subscribe());
        let telling = async {
            while let Some(stamped) = events.next().await {
                let event = stamped.event;
                let role = event.role.map(|role| role.to_string());
                link.say(&Said::Event { kind: event.kind.to_string(), role, reason: event.reason.to_string() });
            }
        };
        let leaving = async {
            tokio::select! {
                finish = node.finished() => finish,
                _ = leave.wait_for(|leave| *leave) => node.shutdown().await,
            }
        };
        let feeding = async {
            let clock = SystemClock::new();
            loop {
                if *link.fed.borrow() {
                    node.feed();
                }
                clock.sleep_until(clock.now() + TICK).await;
            }
        };
        let ((), finish) = tokio::select! {
            ended = async { tokio::join!(telling, leaving) } => ended,
            () = feeding => unreachable!("it never ends"),
        };
        link.say(&Said::Finished { finish: format!("{finish:?}") });
        // Until the resource has heard it: it closes the connection then.
        std::future::pending::<()>().await;
    });
}

/// The connection to the resource. When it ends, the process does: nobody is left to see what it does.
struct Link {
    out: mpsc::UnboundedSender<String>,
    answers: Mutex<BTreeMap<u64, oneshot::Sender<bool>>>,
    next: AtomicU64,
    hold: watch::Sender<bool>,
    leave: watch::Sender<bool>,
    /// What can be done to its calls to the store.
    faults: OnceLock<Faults>,
    /// To whom its host reports.
    reports: OnceLock<Node>,
    /// Whether its host feeds the watchdog.
    fed: watch::Sender<bool>,
    /// By when every call has ended or was given up, and its connection with it.
    call: Duration,
}

impl Link {
    async fn connect(part: &Part) -> Arc<Self> {
        let stream = UnixStream::connect(&part.socket).await.expect("the resource is there");
        let (read, mut write) = stream.into_split();
        let (out, mut lines) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                if write.write_all(line.as_bytes()).await.is_err() {
                    std::process::exit(0);
                }
            }
        });
        let link = Arc::new(Self {
            out,
            answers: Mutex::default(),
            next: AtomicU64::new(0),
            hold: watch::Sender::new(false),
            leave: watch::Sender::new(false),
            faults: OnceLock::new(),
            reports: OnceLock::new(),
            fed: watch::Sender::new(true),
            call: part.pace.call,
        });
        let (node, process) = (part.node.clone(), std::process::id());
        link.say(&Said::Hello { node, process, wall: wall() });
        tokio::spawn({
            let link = link.clone();
            async move {
                let mut lines = BufReader::new(read).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    link.hear(&serde_json::from_str(&line).expect("a line of the stage's"));
                }
                std::process::exit(0);
            }
        });
        link
    }

    fn hear(&self, told: &Told) {
        match told {
            Told::Wrote { id, accepted } => {
                if let Some(answer) = self.answers.lock().expect("no panic").remove(id) {
                    let _gone = answer.send(*accepted);
                }
            }
            Told::Hold => drop(self.hold.send_replace(true)),
            Told::Go => drop(self.hold.send_replace(false)),
            Told::Silence => self.faults().all(Fault::Hang),
            Told::Heal => self.faults().heal(),
            Told::Fail(name, weight) => {
                self.report().report_failure(name, "as it was told", *weight).expect("it may weigh that");
            }
            Told::Clear(name) => self.report().clear_failure(name).expect("a name"),
            Told::Starve => drop(self.fed.send_replace(false)),
            Told::Feed => drop(self.fed.send_replace(true)),
            Told::Leave => drop(self.leave.send_replace(true)),
        }
    }

    fn faults(&self) -> &Faults {
        self.faults.get().expect("nobody is told anything before its node is there")
    }

    fn report(&self) -> &Node {
        self.reports.get().expect("it has started, because it has told an event")
    }

    fn say(&self, said: &Said) {
        let line = serde_json::to_string(said).expect("plain data") + "\n";
        let _ended = self.out.send(line);
    }

    /// Checks the right, and then writes under the token: two moments, as in every real program. The answer is the resource's.
    async fn write(&self, right: &Right, token: &FencingToken, asked: u64) -> bool {
        let (id, (answer, answered)) = (self.next.fetch_add(1, Ordering::Relaxed), oneshot::channel());
        self.answers.lock().expect("no panic").insert(id, answer);
        let (work, checked, ends_at) = (token.name.clone(), now(), right.ends_at().as_nanos());
        if *self.hold.borrow() && work == "active" {
            self.faults().all(Fault::Hang);
            let clock = SystemClock::new();
            clock.sleep_until(clock.now() + self.call).await;
            self.say(&Said::Held);
            let mut hold = self.hold.subscribe();
            hold.wait_for(|hold| !hold).await.expect("the link lasts");
            self.faults().heal();
        }
        self.say(&Said::Write { id, work, token: token.number, asked, checked, ends_at });
        answered.await.unwrap_or(false)
    }

    /// Writes again and again while the right lasts.
    async fn work(&self, right: &Right, token: &FencingToken) {
        let clock = SystemClock::new();
        loop {
            let asked = now();
            if !right.is_valid() || !self.write(right, token, asked).await {
                return;
            }
            clock.sleep_until(clock.now() + TICK).await;
        }
    }
}

/// Says that a right is over, also when the work was dropped where it stood.
struct Over<'a>(&'a Link, FencingToken);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.say(&Said::Over { work: self.1.name.clone(), token: self.1.number });
    }
}

struct Worker(Arc<Link>);

#[async_trait::async_trait]
impl JobHandler for Worker {
    async fn run(&self, run: JobRun) -> JobEnd {
        let (stop, token) = (run.stop(), run.token());
        let _over = Over(&self.0, token.clone());
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.0.work(run.right(), &token) => {}
        }
        JobEnd::Stopped
    }
}

struct Leader(Arc<Link>);

#[async_trait::async_trait]
impl RoleHooks for Leader {
    async fn promote(&self, right: Right) {
        let link = self.0.clone();
        tokio::spawn(async move {
            let token = right.token();
            let _over = Over(&link, token.clone());
            link.work(&right, &token).await;
        });
    }
}

pub(crate) fn now() -> u64 {
    SystemClock::new().now().as_nanos()
}

#[expect(clippy::disallowed_methods, reason = "to show that it is off: nothing is decided by it")]
pub(crate) fn wall() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}
