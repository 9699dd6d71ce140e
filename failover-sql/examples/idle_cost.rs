//! What watching costs when nothing happens, and how soon a change is told, beside the cost of one bare write.
//!
//! `cargo run --release -p failover-sql --example idle_cost` (Linux). The processes it starts are itself.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use failover_core::heartbeat::News;
use failover_core::state::Expect;
use failover_core::time::{Clock, SystemClock, Time};
use failover_core::{
    Capacity, ClusterName, Heartbeat, HeartbeatStore, Incarnation, JobAssigner, LeaseManager, LeaseName, Member,
    NodeId, Role, StateKey, StateStore, Term,
};
use failover_sql::{SqlStore, SqliteOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, Executor};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long idleness is watched, and how many changes are timed.
const WATCHED: Duration = Duration::from_secs(10);
const CHANGES: usize = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => measure().await,
        ["beat", path, node] => beat(Path::new(path), node).await,
        ["change", path] => change(Path::new(path)).await,
        _ => Err("call it without arguments".into()),
    }
}

async fn measure() -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store.db");
    let bare = bare_write(&directory.path().join("bare.db")).await?;
    println!("bare write         one row, one flushed commit: median {bare:?}");

    let store = open(&path).await?;
    watch(&store);
    report("idle, alone", WATCHED).await?;

    let mut others = Vec::new();
    for node in ["n1", "n2", "n3"] {
        others.push(Process::start(&["beat", &path.display().to_string(), node])?);
    }
    // Their first beats are news, the others are not.
    tokio::time::sleep(Duration::from_secs(2)).await;
    report("idle, 3 beat once/s", WATCHED).await?;
    drop(others);

    let changer = Process::start(&["change", &path.display().to_string()])?;
    let mut took = Vec::new();
    let (clock, prefix) = (SystemClock::new(), StateKey::new("timed")?);
    while took.len() < CHANGES {
        StateStore::changed(&store, &prefix).await?;
        let told = clock.now();
        if let Some(document) = store.get(&prefix.join("moment")?).await? {
            took.push(told.since(Time::from_nanos(String::from_utf8(document.value)?.parse()?)));
        }
    }
    drop(changer);
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "change to hint     from before the write to the other process's wake: p10 {:?}, median {:?}, p90 {:?}, p99 {:?}",
        at(10),
        at(50),
        at(90),
        at(99)
    );
    println!("ratio              median hint / median bare write = {:.1}", at(50).as_secs_f64() / bare.as_secs_f64());
    Ok(())
}

async fn open(path: &Path) -> Outcome<SqlStore> {
    Ok(SqliteOptions::new(path).open(&ClusterName::new("idle")?).await?)
}

/// Waits for all that a node waits for.
fn watch(store: &SqlStore) {
    let store = store.clone();
    tokio::spawn(async move {
        let active = LeaseName::active();
        loop {
            tokio::select! {
                _ = HeartbeatStore::changed(&store) => {}
                _ = LeaseManager::changed(&store, &active) => {}
                _ = JobAssigner::changed(&store) => {}
            }
        }
    });
}

/// A node that does nothing but beat once a second.
async fn beat(path: &Path, node: &str) -> Outcome<()> {
    let store = open(path).await?;
    let member = Member::new(NodeId::new(node)?, Incarnation::fresh());
    let news = News { ready: true, ..News::new(Role::Inactive, Capacity::default()) };
    for seq in 1.. {
        let heartbeat = Heartbeat { member: member.clone(), term: Term(1), seq, news: news.clone() };
        store.beat(&heartbeat).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Writes the moment, every 30 ms.
async fn change(path: &Path) -> Outcome<()> {
    let (store, clock, key) = (open(path).await?, SystemClock::new(), StateKey::new("timed/moment")?);
    loop {
        let moment = clock.now().as_nanos().to_string();
        store.put(&key, moment.as_bytes(), Expect::Any, None).await?;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// The median time of a plain `SQLite` write of one row in a database of its own, flushed as a grant is.
async fn bare_write(path: &Path) -> Outcome<Duration> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).disable_statement_logging();
    let mut connection = options.connect().await?;
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 0)").await?;
    let (clock, mut took) = (SystemClock::new(), Vec::new());
    for _ in 0..CHANGES {
        let before = clock.now();
        sqlx::query("UPDATE t SET n = n + 1 WHERE id = 1").execute(&mut connection).await?;
        took.push(clock.now().since(before));
    }
    connection.close().await?;
    took.sort_unstable();
    Ok(took[took.len() / 2])
}

/// Processor time and system calls of this process over a while.
async fn report(what: &str, over: Duration) -> Outcome<()> {
    let (cpu, (reads, writes)) = (cpu()?, io()?);
    tokio::time::sleep(over).await;
    let (cpu, (read, written)) = (self::cpu()?.saturating_sub(cpu), io()?);
    let seconds = over.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "printed with one digit")]
    let per_second = |n: u64| n as f64 / seconds;
    println!(
        "{what:<18} cpu {:?} per second, {:.1} reads/s, {:.1} writes/s",
        cpu.div_f64(seconds),
        per_second(read.saturating_sub(reads)),
        per_second(written.saturating_sub(writes))
    );
    Ok(())
}

/// The time all threads of this process spent on a processor.
fn cpu() -> Outcome<Duration> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split(' ').next().ok_or("no time in schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// How many system calls have read and written.
fn io() -> Outcome<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/self/io")?;
    let number = |name: &str| -> Outcome<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line in io")?;
        Ok(line.trim().parse()?)
    };
    Ok((number("syscr:")?, number("syscw:")?))
}

/// Another process of this program, killed when it is dropped.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str]) -> Outcome<Self> {
        Ok(Self(Command::new(std::env::current_exe()?).args(arguments).spawn()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _gone_already = self.0.wait();
    }
}
