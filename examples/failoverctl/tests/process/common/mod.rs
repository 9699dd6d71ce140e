//! The harness: processes that a test starts and that never outlive it.

mod journal;
mod mounts;
mod process;
mod strays;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use failover::time::{Clock, SystemClock, Time};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use journal::JOURNAL_JOB;
pub(crate) use journal::Journal;
pub(crate) use mounts::{in_own_mounts, mount, own_mounts};
pub(crate) use process::Process;
use strays::{MARK, Stray, marked};

/// How long anything may take before a test gives up. Far above what it does take, for slow machines.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// Tells in the environment of whom a process is.
pub(crate) const OF: &str = "FAILOVER_TEST_OF";

/// The program under test.
pub(crate) const FAILOVERCTL: &str = env!("CARGO_BIN_EXE_failoverctl");

/// Short timings, so that tests are quick.
pub(crate) const PACE: [&str; 4] = ["--ttl", "2s", "--beat", "400ms"];

/// A pace at which no node is lost on a busy machine, for tests in which none is meant to be.
pub(crate) const CALM: [&str; 4] = ["--ttl", "15s", "--beat", "400ms"];

pub(crate) fn now() -> Time {
    SystemClock::new().now()
}

/// Looks again and again until there is something to see.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = now() + LIMIT;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(now() < end, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

/// A directory, a store in it, and whatever a test starts there. Everything ends with it.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    database: PathBuf,
    /// Where the store is, if it is not the database here.
    elsewhere: Option<String>,
    mark: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().file_name().unwrap().to_str().unwrap().to_owned();
        Self { database: dir.path().join("store.db"), elsewhere: None, dir, mark }
    }

    /// Uses the store at this address instead of a database here.
    pub(crate) fn point_at(&mut self, address: &str) {
        self.elsewhere = Some(address.to_owned());
    }

    /// Has the store somewhere else than everything else.
    pub(crate) fn keep_database_in(&mut self, directory: &Path) {
        self.database = directory.join("store.db");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.database.clone()
    }

    pub(crate) fn url(&self) -> String {
        self.elsewhere.clone().unwrap_or_else(|| format!("sqlite://{}", self.database().display()))
    }

    /// The program, with the store in its environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(FAILOVERCTL);
        self.mark(&mut command);
        command.env("FAILOVER_STORE", self.url()).env("FAILOVER_CLUSTER", "test").stdin(Stdio::null());
        command
    }

    /// Makes a command's descendants findable.
    pub(crate) fn mark(&self, command: &mut Command) {
        command.env(MARK, &self.mark);
    }

    /// Runs the program to its end.
    pub(crate) fn ctl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// Runs the program to its end, which must be a good one, and returns what it wrote as JSON lines.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Vec<Value> {
        let output = self.command().arg("--json").args(args).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// Starts a node with the tests' pace.
    pub(crate) fn node(&self, name: &str) -> Process {
        self.node_with(name, &[])
    }

    /// Starts a node with the tests' pace and further options.
    pub(crate) fn node_with(&self, name: &str, options: &[&str]) -> Process {
        let mut command = self.command();
        command.args(["--json", "node", name]).env(OF, name);
        // An option may be given once only.
        for pace in PACE.chunks(2).filter(|pace| !options.contains(&pace[0])) {
            command.args(pace);
        }
        command.args(options);
        Process::start(name, command)
    }

    /// Starts nodes of these names and waits until the first is active and another its standby.
    pub(crate) fn nodes<const N: usize>(&self, names: [&str; N]) -> [Process; N] {
        self.nodes_with(names, &[])
    }

    /// The same at a calm pace.
    pub(crate) fn calm_nodes<const N: usize>(&self, names: [&str; N]) -> [Process; N] {
        self.nodes_with(names, &CALM)
    }

    fn nodes_with<const N: usize>(&self, names: [&str; N], options: &[&str]) -> [Process; N] {
        self.line_up(names.map(|name| (name, options)))
    }

    /// Starts nodes with options, one after another, so that the first is active, the second its standby and the others behind them:
    /// of nodes that begin together, whoever is heard of first stands before the others.
    pub(crate) fn line_up<const N: usize>(&self, nodes: [(&str, &[&str]); N]) -> [Process; N] {
        let mut line: Vec<Process> = Vec::with_capacity(N);
        for (name, options) in nodes {
            let mut node = self.node_with(name, options);
            node.event("node_joined");
            match &mut line[..] {
                [] => drop(node.role("active")),
                [first] => drop(first.event("standby_appointed")),
                [..] => {}
            }
            line.push(node);
        }
        line.try_into().unwrap_or_else(|_| unreachable!("as many as were named"))
    }

    /// The cluster's status.
    pub(crate) fn status(&self) -> Value {
        self.json(["status", "--missing", "2s"]).remove(0)
    }

    /// Waits until the status is as wanted.
    pub(crate) fn until_status(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        eventually(what, || Some(self.status()).filter(&mut wanted))
    }

    /// Adds a job that writes into the journal, and waits until it runs.
    pub(crate) fn add_journal_job(&self, id: &str) {
        let script = self.path("journal.sh");
        std::fs::write(&script, JOURNAL_JOB).unwrap();
        let args = [OsStr::new("job"), "add".as_ref(), id.as_ref(), "--".as_ref(), "sh".as_ref(), script.as_ref()];
        let output = self.ctl(args.into_iter().chain([self.path("journal").as_ref()]));
        assert!(output.status.success(), "{output:?}");
    }

    /// Changes the store behind everybody's back.
    pub(crate) fn tamper(&self, sql: &'static str) {
        use sqlx::Connection as _;
        block_on(async {
            let mut connection = sqlx::SqliteConnection::connect(&self.url()).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
    }

    /// Whether somebody is in the middle of writing to the store.
    fn is_being_written(&self) -> bool {
        use sqlx::ConnectOptions as _;
        let mut locked = false;
        block_on(async {
            let options: sqlx::sqlite::SqliteConnectOptions = self.url().parse().unwrap();
            let mut connection = options.busy_timeout(Duration::from_millis(50)).connect().await.unwrap();
            locked = sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.is_err();
        });
        locked
    }

    /// Stops a process with SIGSTOP, but not in the middle of a write: there it would hold the file's lock for as long as it
    /// stands still, and with it everybody else, which is safe but shows nothing.
    pub(crate) fn stop(&self, process: &Process) {
        eventually("a moment between two writes", || {
            process.pause();
            let between = !self.is_being_written();
            if !between {
                process.resume();
            }
            between.then_some(())
        });
    }

    /// Submits a job as another program would.
    pub(crate) fn submit(&self, id: &str, payload: &str) {
        let (id, cluster) = (failover::JobId::new(id).unwrap(), failover::ClusterName::new("test").unwrap());
        block_on(async {
            let store = failover::open(&self.url(), &cluster).await.unwrap();
            store.jobs.submit(&failover::JobSpec::new(id, payload).unwrap()).await.unwrap();
        });
    }

    pub(crate) fn journal(&self) -> Journal {
        Journal::read(&self.path("journal"))
    }

    /// Waits until the journal is as wanted.
    pub(crate) fn until_journal(&self, what: &str, mut wanted: impl FnMut(&Journal) -> bool) -> Journal {
        eventually(what, || Some(self.journal()).filter(&mut wanted))
    }

    /// The living processes that descend from this test and are neither nodes nor guards, nor about to become either.
    pub(crate) fn strays(&self) -> Vec<Stray> {
        let ours = ["failoverctl", "failover-guard", "failover-heir", "exe", "tokio-rt-worker"];
        marked(&self.mark).into_iter().filter(|stray| !ours.contains(&stray.name.as_str())).collect()
    }

    /// Those of them that were started by this node.
    pub(crate) fn strays_of(&self, node: &str) -> Vec<Stray> {
        self.strays_with("FAILOVER_NODE", node)
    }

    /// Those of them that have this in their environment.
    pub(crate) fn strays_with(&self, name: &str, value: &str) -> Vec<Stray> {
        let of = |stray: &Stray| stray.environment.get(name).is_some_and(|v| v == value);
        self.strays().into_iter().filter(of).collect()
    }

    /// The guards of this node's host itself.
    pub(crate) fn heirs_of(&self, node: &str) -> Vec<Stray> {
        let of =
            |stray: &Stray| stray.name == "failover-heir" && stray.environment.get(OF).is_some_and(|of| of == node);
        marked(&self.mark).into_iter().filter(of).collect()
    }

    /// The guards of commands.
    pub(crate) fn guards(&self) -> Vec<Stray> {
        marked(&self.mark).into_iter().filter(|stray| stray.name == "failover-guard").collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever is still there has been left behind by a test that failed.
        while let Some(stray) = marked(&self.mark).first() {
            let _gone = kill_process(stray.pid, Signal::KILL);
            thread::sleep(Duration::from_millis(5));
        }
    }
}
