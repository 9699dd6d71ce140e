//! The harness: processes that a test starts and that never outlive it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use failover_core::time::{Clock, SystemClock, Time};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take before a test gives up. Far above what it does take, for slow machines.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// The program under test.
pub(crate) const FAILOVERCTL: &str = env!("CARGO_BIN_EXE_failoverctl");

/// The environment variable by which a test finds every process that descends from it, wherever it has gone.
const MARK: &str = "FAILOVER_TEST_MARK";

/// Short timings, so that tests are quick.
pub(crate) const PACE: [&str; 4] = ["--ttl", "1s", "--beat", "200ms"];

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
    mark: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().file_name().unwrap().to_str().unwrap().to_owned();
        Self { database: dir.path().join("store.db"), dir, mark }
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
        format!("sqlite://{}", self.database().display())
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
        command.args(["--json", "node", name]);
        // An option may be given once only.
        for pace in PACE.chunks(2).filter(|pace| !options.contains(&pace[0])) {
            command.args(pace);
        }
        command.args(options);
        Process::start(name, command)
    }

    /// Starts nodes of these names and waits until the first is active and another its standby.
    pub(crate) fn nodes<const N: usize>(&self, names: [&str; N]) -> [Process; N] {
        let mut nodes = names.map(|name| {
            let mut node = self.node(name);
            node.event("node_joined");
            if name == names[0] {
                node.role("active");
            }
            node
        });
        if N > 1 {
            nodes[0].event("standby_appointed");
        }
        nodes
    }

    /// The cluster's status.
    pub(crate) fn status(&self) -> Value {
        self.json(["status", "--missing", "1s"]).remove(0)
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
            process.signal(Signal::STOP);
            let between = !self.is_being_written();
            if !between {
                process.signal(Signal::CONT);
            }
            between.then_some(())
        });
    }

    /// Submits a job as another program would.
    pub(crate) fn submit(&self, id: &str, payload: &str) {
        let (id, cluster) = (failover_core::JobId::new(id).unwrap(), failover_core::ClusterName::new("test").unwrap());
        block_on(async {
            let store = failover_sql::open(&self.url(), &cluster).await.unwrap();
            store.jobs.submit(&failover_core::JobSpec::new(id, payload).unwrap()).await.unwrap();
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
        let ours = ["failoverctl", "failover-guard", "exe", "tokio-rt-worker"];
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

/// Where a test has a file system of its own, if this process is one that [`in_own_mounts`] has started.
pub(crate) fn own_mounts() -> Option<String> {
    std::env::var(OWN_MOUNTS).ok()
}

/// Runs this test again as root of a mount namespace of its own, so that it may mount and nobody else sees it.
pub(crate) fn in_own_mounts(test: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-r", "-m"]).arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let output = command.env(OWN_MOUNTS, directory.path()).output().expect("`unshare` is there (package util-linux)");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "it ran no test: {said}");
}

/// Runs a mount command, inside [`in_own_mounts`].
pub(crate) fn mount(args: &[&str]) {
    let done = Command::new("mount").args(args).status().expect("`mount` is there (package mount)");
    assert!(done.success(), "mount {args:?} failed: the test needs user namespaces, or root");
}

const OWN_MOUNTS: &str = "FAILOVER_TEST_OWN_MOUNTS";

/// A living process, by what `/proc` says of it.
#[derive(Debug)]
pub(crate) struct Stray {
    pub(crate) pid: Pid,
    pub(crate) name: String,
    environment: BTreeMap<String, String>,
}

/// The living processes with this mark. A zombie has no environment and is none.
fn marked(mark: &str) -> Vec<Stray> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    let strays = pids.filter_map(|pid| {
        let read = |what: &str| std::fs::read(format!("/proc/{}/{what}", pid.as_raw_nonzero())).ok();
        let environment = String::from_utf8_lossy(&read("environ")?).into_owned();
        // Only what is the program's: the rest is nobody's business in a log.
        let ours =
            environment.split('\0').filter_map(|v| v.split_once('=')).filter(|(k, _)| k.starts_with("FAILOVER_"));
        let environment: BTreeMap<_, _> = ours.map(|(k, v)| (k.into(), v.into())).collect();
        let name = String::from_utf8_lossy(&read("comm")?).trim_end().to_owned();
        (environment.get(MARK).map(String::as_str) == Some(mark)).then_some(Stray { pid, name, environment })
    });
    strays.collect()
}

/// Writes a line on start, on every turn and on a stop it was asked for; the order of the lines in the file is the order in
/// which they were written, whoever wrote them.
const JOURNAL_JOB: &str = r#"
journal=$1
say() { echo "$FAILOVER_JOB $FAILOVER_TOKEN $FAILOVER_NODE $1" >> "$journal"; }
trap 'say stop; exit 0' TERM
say start
while :; do say turn; sleep 0.03; done
"#;

/// What the journal jobs have written.
#[derive(Debug)]
pub(crate) struct Journal(pub(crate) Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) job: String,
    pub(crate) token: u64,
    pub(crate) node: String,
    pub(crate) what: String,
}

impl Journal {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let entry = |line: &str| {
            let words: Vec<_> = line.split(' ').collect();
            let [job, token, node, what] = words[..] else { panic!("journal: {line:?}") };
            Entry { job: job.into(), token: token.parse().unwrap(), node: node.into(), what: what.into() }
        };
        // The last line may be half written.
        Self(text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(entry).collect())
    }

    pub(crate) fn runs_on(&self, job: &str, node: &str) -> bool {
        self.0.iter().any(|e| e.job == job && e.node == node)
    }

    pub(crate) fn tokens(&self, job: &str) -> Vec<u64> {
        let mut tokens: Vec<_> = self.0.iter().filter(|e| e.job == job).map(|e| e.token).collect();
        tokens.dedup();
        tokens
    }

    /// That for each job no run wrote anything once a later one had begun, and that each run was of one node only.
    pub(crate) fn assert_never_two_owners(&self) {
        let mut latest: BTreeMap<&str, &Entry> = BTreeMap::new();
        for entry in &self.0 {
            let before = latest.insert(&entry.job, entry);
            let Some(before) = before.filter(|before| before.node != entry.node || before.token != entry.token) else {
                continue;
            };
            assert!(before.token < entry.token, "{before:?} and then {entry:?}");
            assert_eq!(entry.what, "start", "a run begins with its start: {entry:?}");
        }
    }
}

/// A process of the program and what it says.
pub(crate) struct Process {
    pub(crate) name: String,
    child: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
    errors: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a process that writes JSON lines.
    pub(crate) fn start(name: &str, mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(format!("not JSON: {line}")));
                if out.send(line).is_err() {
                    break;
                }
            }
        });
        let errors = Arc::new(Mutex::new(String::new()));
        let (mut stderr, kept) = (child.stderr.take().unwrap(), errors.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut buffer) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
        });
        Self { name: name.into(), child, lines, seen: Vec::new(), errors }
    }

    /// Waits for the next event that is as wanted, passing over others.
    pub(crate) fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = now() + LIMIT;
        loop {
            let event = match self.lines.recv_timeout(end.since(now())) {
                Ok(event) => event,
                Err(e) => {
                    let why = if e == RecvTimeoutError::Timeout { "in time" } else { "before its end" };
                    panic!("{}: no {what} {why}; seen: {:#?}\nerrors: {}", self.name, self.seen, self.errors());
                }
            };
            assert!(event.is_object(), "{}: {event}", self.name);
            self.seen.push(event.clone());
            if wanted(&event) {
                return event;
            }
        }
    }

    /// Waits for the next event of this kind.
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        self.wait(kind, |event| event["event"] == kind)
    }

    /// Waits until it has this role.
    pub(crate) fn role(&mut self, role: &str) -> Value {
        let name = self.name.clone();
        self.wait(role, |event| event["event"] == "role_changed" && event["node"] == *name && event["role"] == role)
    }

    /// Waits for an event of this kind about this job.
    pub(crate) fn job(&mut self, kind: &str, job: &str) -> Value {
        self.wait(kind, |event| event["event"] == kind && event["job"] == job)
    }

    /// The events that were waited for or passed over so far, and all that are there by now.
    pub(crate) fn all(&mut self) -> &[Value] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// All events up to its end.
    pub(crate) fn rest(&mut self) -> &[Value] {
        while let Ok(event) = self.lines.recv_timeout(LIMIT) {
            self.seen.push(event);
        }
        &self.seen
    }

    /// What it wrote to its standard error so far.
    pub(crate) fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        eventually(&format!("the end of {}", self.name), || self.child.try_wait().unwrap())
    }

    /// Whether it is still running.
    pub(crate) fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lives() {
            self.kill();
        }
        if thread::panicking() {
            let events: Vec<String> = self.all().iter().map(Value::to_string).collect();
            eprintln!("--- {}:\n{}\n{}", self.name, events.join("\n"), self.errors());
        }
    }
}
