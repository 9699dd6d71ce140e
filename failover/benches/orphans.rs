//! What it costs a store to fail a whole node over: 1,000 jobs that one dead member runs are seized for nine others, by
//! [`JobAssigner::assign`](failover::JobAssigner::assign) in batches of [`MAX_BATCH`], beside single durable writes to the same store in the same run.
//!
//! `cargo bench -p failover --all-features --bench orphans` starts the servers it needs and ends with an error if the orphans take longer
//! than fifty writes; a name behind `--` measures the stores whose name begins so. Every store flushes to disk what it acknowledges, as one that keeps terms has to.
//!
//! Two writes are measured beside it: the bare store's (one row or key that is there, through a plain client: one round trip and a
//! flush), and a `put` of a small document through the same handle, with all that a store owes to it (its identity, fences, hints).
//!
//! Servers are measured on the loopback and through a proxy that holds everything back for a millisecond and more each way, as between
//! two sites of a region; what that comes to is the bare write's time. The latter is judged, in bare writes: on the loopback a round
//! trip costs next to nothing, and the work on a thousand records is compared with the work on one. A file has no round trips: it is
//! judged in puts, and stays above the bound where a flush costs as little as on a virtual disk. etcd has no bound but its limit of
//! operations, which a batch that is applied has kept; its put is its bare write, one transaction.

use std::process::ExitCode;
use std::time::Duration;

use failover::job::{Assigned, JobReport, JobStatus, MAX_BATCH, Move, Reported, Step, Submitted};
use failover::lease::Acquired;
use failover::state::Expect;
use failover::time::{Clock, SystemClock};
use failover::{Backend, ClusterName, Epoch, Incarnation, JobId, JobSpec, Lease, LeaseName, Member, NodeId, StateKey};
use failover_testing::etcd::Etcd;
use failover_testing::postgres::PostgresSetup;
use failover_testing::proxy::Proxy;
use failover_testing::redis::Redis;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{Connection, PgConnection, SqliteConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const ORPHANS: usize = 1000;
/// How often a node is lost, each time in a cluster of its own, and how many writes are timed before each time.
const ROUNDS: usize = 5;
const WRITES: usize = 100;
/// So many writes' worth of time may the orphans take.
const MOST: f64 = 50.0;

#[tokio::main]
async fn main() -> Outcome<ExitCode> {
    println!("{ORPHANS} orphans, {ROUNDS} times, in ms (medians); at most {MOST} writes' worth of time\n");
    println!(
        "{:16} {:>10} {:>8} {:>8} {:>12} {:>8} {:>8}",
        "store", "bare write", "put", "a batch", "all orphans", "in bare", "in puts"
    );
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let wanted = |name: &str| name.starts_with(&wanted);
    let mut within = true;
    if wanted("SQLite") {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("orphans.db");
        let url = format!("sqlite://{}", path.display());
        drop(open(&url, "made").await?);
        let file = SqliteConnectOptions::new().filename(&path).synchronous(SqliteSynchronous::Full);
        let raw = Raw::Sqlite(SqliteConnection::connect_with(&file).await?);
        within &= judge("SQLite", [&url, &url], Some(raw), Bound::Puts).await?;
    }
    if wanted("PostgreSQL") {
        let server = PostgresSetup::default().setting("fsync=on").start();
        let proxy = far(server.port()).await?;
        let (near, distant) = (server.url(), server.url_at(proxy.port()));
        let raw = Raw::Postgres(PgConnection::connect(&near).await?);
        judge("PostgreSQL", [&near, &near], Some(raw), Bound::None).await?;
        let raw = Raw::Postgres(PgConnection::connect(&distant).await?);
        within &= judge("PostgreSQL, far", [&near, &distant], Some(raw), Bound::BareWrites).await?;
    }
    if wanted("Redis") {
        let server = Redis::durable();
        let proxy = far(server.port()).await?;
        let (near, distant) = (server.url(), server.url_at(proxy.port()));
        judge("Redis", [&near, &near], Some(Raw::redis(server.port()).await?), Bound::None).await?;
        let raw = Raw::redis(proxy.port()).await?;
        within &= judge("Redis, far", [&near, &distant], Some(raw), Bound::BareWrites).await?;
    }
    if wanted("etcd") {
        let server = Etcd::start_with(&["--unsafe-no-fsync=false"]);
        let proxy = far(server.port()).await?;
        let (near, distant) = (server.url(), server.url_at(proxy.port()));
        judge("etcd", [&near, &near], None, Bound::None).await?;
        judge("etcd, far", [&near, &distant], None, Bound::None).await?;
    }

    if cfg!(debug_assertions) {
        println!("\nnot optimized, so not judged: cargo bench");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// In what so many as [`MOST`] are the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    None,
    BareWrites,
    Puts,
}

/// A proxy before a server, which is some way off by it. It has a runtime of its own, and is not made inside another.
async fn far(port: u16) -> Outcome<Proxy> {
    let proxy = tokio::task::spawn_blocking(move || Proxy::to_port(port)).await?;
    proxy.delay(Duration::from_millis(1));
    Ok(proxy)
}

/// The smallest durable write of a bare store.
enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    Redis(TcpStream),
}

impl Raw {
    async fn redis(port: u16) -> Outcome<Self> {
        let wire = TcpStream::connect(("127.0.0.1", port)).await?;
        wire.set_nodelay(true)?;
        Ok(Self::Redis(wire))
    }

    async fn prepare(&mut self) -> Outcome<()> {
        self.run("CREATE TABLE IF NOT EXISTS raw (id INTEGER PRIMARY KEY, n BIGINT NOT NULL)").await?;
        self.run("INSERT INTO raw VALUES (1, 0) ON CONFLICT DO NOTHING").await?;
        self.write().await
    }

    async fn write(&mut self) -> Outcome<()> {
        self.run("UPDATE raw SET n = n + 1 WHERE id = 1").await
    }

    /// Redis, which has no tables to prepare, sets a key instead.
    async fn run(&mut self, sql: &'static str) -> Outcome<()> {
        match self {
            Self::Sqlite(file) => {
                sqlx::query(sql).execute(file).await?;
            }
            Self::Postgres(session) => {
                sqlx::query(sql).execute(session).await?;
            }
            Self::Redis(wire) => {
                wire.write_all(b"*3\r\n$3\r\nSET\r\n$3\r\nraw\r\n$1\r\n1\r\n").await?;
                let mut answer = [0; 5];
                wire.read_exact(&mut answer).await?;
                if &answer != b"+OK\r\n" {
                    return Err("the server refused a SET".into());
                }
            }
        }
        Ok(())
    }
}

async fn open(url: &str, cluster: &str) -> Outcome<Backend> {
    // What is measured is the store, not the way to a thread.
    Ok(failover::open_here(url, &ClusterName::new(cluster)?).await?)
}

fn member(n: usize) -> Outcome<Member> {
    Ok(Member::new(NodeId::new(format!("node-{n}"))?, Incarnation::from_u128(1)))
}

fn job(n: usize) -> Outcome<JobId> {
    Ok(JobId::new(format!("import-{n}"))?)
}

/// Measures one store, at the second address after it was set up at the first; prints its line and tells whether it keeps its bound.
async fn judge(name: &str, [near, url]: [&str; 2], mut raw: Option<Raw>, bound: Bound) -> Outcome<bool> {
    let clock = SystemClock::new();
    if let Some(raw) = &mut raw {
        raw.prepare().await?;
    }
    let (mut bare, mut puts, mut batches, mut all) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let cluster = format!("{}-{round}", if near == url { "near" } else { "far" });
        let crowd = Crowd::settle(&open(near, &cluster).await?).await?;
        let backend = open(url, &cluster).await?;
        let key = StateKey::new("small")?;
        backend.state.put(&key, b"1", Expect::Any, None).await?;
        for _ in 0..WRITES {
            if let Some(raw) = &mut raw {
                let start = clock.now();
                raw.write().await?;
                bare.push(clock.now().since(start));
            }
            let start = clock.now();
            backend.state.put(&key, b"1", Expect::Any, None).await?;
            puts.push(clock.now().since(start));
        }
        let took = crowd.fail_over(&backend).await?;
        all.push(took.iter().sum());
        batches.extend(took);
    }
    let (put, batch, all) = (median(puts), median(batches), median(all));
    let bare = if bare.is_empty() { put } else { median(bare) };
    let ratio = |write: Duration| all.as_secs_f64() / write.as_secs_f64();
    let (in_bare, in_puts) = (ratio(bare), ratio(put));
    let (said, within) = match bound {
        Bound::None => ("", true),
        Bound::BareWrites if in_bare <= MOST => ("within", true),
        Bound::Puts if in_puts <= MOST => ("within", true),
        Bound::BareWrites | Bound::Puts => ("ABOVE", false),
    };
    let [bare, put, batch, all] = [bare, put, batch, all].map(|span| span.as_secs_f64() * 1000.0);
    println!("{name:16} {bare:10.3} {put:8.3} {batch:8.3} {all:12.3} {in_bare:8.1} {in_puts:8.1}  {said}");
    Ok(within)
}

fn median(mut of: Vec<Duration>) -> Duration {
    of.sort_unstable();
    of[of.len() / 2]
}

/// The jobs of a member that is lost.
struct Crowd {
    fence: Lease,
    dead: Member,
}

impl Crowd {
    /// All jobs run on one member, which has told its progress.
    async fn settle(backend: &Backend) -> Outcome<Self> {
        let (dead, active) = (member(0)?, member(1)?);
        let granted = backend.leases.acquire(&LeaseName::active(), &active, Duration::from_hours(1)).await?;
        let Acquired::Granted(fence) = granted else { return Err("nobody else asks for the lease".into()) };
        let all: Vec<JobId> = (0..ORPHANS).map(job).collect::<Outcome<_>>()?;
        for id in &all {
            let spec = JobSpec::new(id.clone(), format!(r#"{{"source":"/srv/in/{id}.csv","into":"warehouse"}}"#))?;
            if backend.jobs.submit(&spec).await? != Submitted::Created {
                return Err("the store is not empty".into());
            }
        }
        for some in all.chunks(MAX_BATCH) {
            let place = |id: &JobId| Move::new(id.clone(), Epoch::ZERO, Step::Place { to: dead.clone() });
            applied(backend, &fence, &some.iter().map(place).collect::<Vec<_>>()).await?;
            let (epoch, status) = (Epoch(1), JobStatus::Progress("17 of 23 files".to_owned()));
            let said = |id: &JobId| JobReport { job: id.clone(), member: dead.clone(), epoch, status: status.clone() };
            let answers = backend.jobs.report(&some.iter().map(said).collect::<Vec<_>>()).await?;
            if answers.iter().any(|answer| *answer != Reported::Accepted) {
                return Err("a report did not count".into());
            }
        }
        Ok(Self { fence, dead })
    }

    /// All jobs are taken and given to nine others; how long each batch took.
    async fn fail_over(&self, backend: &Backend) -> Outcome<Vec<Duration>> {
        let mut moves = Vec::with_capacity(ORPHANS);
        for n in 0..ORPHANS {
            let step = Step::Seize { from: self.dead.clone(), to: Some(member(1 + n % 9)?) };
            moves.push(Move::new(job(n)?, Epoch(1), step));
        }
        let clock = SystemClock::new();
        let mut took = Vec::new();
        for batch in moves.chunks(MAX_BATCH) {
            let start = clock.now();
            applied(backend, &self.fence, batch).await?;
            took.push(clock.now().since(start));
        }
        Ok(took)
    }
}

async fn applied(backend: &Backend, fence: &Lease, moves: &[Move]) -> Outcome<()> {
    match backend.jobs.assign(fence, moves).await? {
        Assigned::Applied(_) => Ok(()),
        other => Err(format!("a batch has to be applied, and was {other:?}").into()),
    }
}
