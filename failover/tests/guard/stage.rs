//! Hosts as processes, and the stores they use.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use failover::lease::Tenant;
use failover::time::{Clock, SystemClock};
use failover::{Backend, LeaseName};
use failover_testing::{etcd, postgres, redis};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::host::{LATE, PART, SAYS, cluster};

/// How long anything is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(50);
/// How long leases last: so much longer that none of them can lapse while something is waited for.
pub(crate) const TTL: Duration = Duration::from_secs(150);
/// For how long something that must not happen is given the chance to. A guard that acts does so within milliseconds.
pub(crate) const MEANWHILE: Duration = Duration::from_millis(1500);

/// A store of one test's own.
pub(crate) trait Store: 'static {
    fn start() -> Self;
    fn url(&self) -> String;
}

pub(crate) struct Sqlite(tempfile::TempDir);

impl Store for Sqlite {
    fn start() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.0.path().join("store.db").display())
    }
}

impl Store for postgres::Postgres {
    fn start() -> Self {
        Self::start()
    }

    fn url(&self) -> String {
        self.url()
    }
}

impl Store for redis::Redis {
    fn start() -> Self {
        Self::durable()
    }

    fn url(&self) -> String {
        self.url()
    }
}

impl Store for etcd::Etcd {
    fn start() -> Self {
        Self::start()
    }

    fn url(&self) -> String {
        self.url()
    }
}

/// Runs a test on a runtime of its own.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// Starts a store. A server is started by calls that block.
pub(crate) fn store<S: Store>() -> S {
    tokio::task::block_in_place(S::start)
}

pub(crate) async fn open(url: &str) -> Backend {
    failover::open(url, &cluster()).await.expect("the store")
}

/// A host's process. Killed when it is dropped; its guard ends by itself.
pub(crate) struct Host {
    process: Child,
    said: Receiver<String>,
    heard: Vec<String>,
    pub(crate) guard: u32,
}

impl Host {
    /// A host with a guard that knows the store.
    pub(crate) fn start(url: &str) -> Self {
        Self::with_guard(url, &[])
    }

    /// The same, with a guard that begins only when its host is dead.
    pub(crate) fn with_late_guard(url: &str) -> Self {
        Self::with_guard(url, &[(LATE, "yes")])
    }

    fn with_guard(url: &str, environment: &[(&str, &str)]) -> Self {
        let mut host = Self::unattached(environment);
        host.tell(&format!("attach {url}"));
        host.hears("attached");
        host
    }

    fn unattached(environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
        command.args(["a_host_process", "--exact", "--nocapture", "--test-threads=1"]).env(PART, "yes");
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the test's own binary runs");
        let (out, said) = channel();
        let stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            for line in lines.filter_map(|line| line.strip_prefix(SAYS).map(str::to_owned)) {
                if out.send(line).is_err() {
                    break;
                }
            }
        });
        let mut host = Self { process, said, heard: Vec::new(), guard: 0 };
        host.guard = host.hears("guard ").parse().expect("a process id");
        host
    }

    pub(crate) fn tell(&mut self, what: &str) {
        writeln!(self.process.stdin.as_mut().expect("it is piped"), "{what}").expect("the host listens");
    }

    /// Waits until it says something that begins so; the rest of that.
    pub(crate) fn hears(&mut self, beginning: &str) -> String {
        loop {
            let line = self.said.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|e| panic!("no `{beginning}`: {e}; it said {:#?}", self.heard));
            self.heard.push(line.clone());
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    /// Waits until it has said something that begins with each of these, in whatever order.
    pub(crate) fn hears_all<const N: usize>(&mut self, beginnings: [&str; N]) {
        let from = self.heard.len();
        for beginning in beginnings {
            if !self.heard[from..].iter().any(|line| line.starts_with(beginning)) {
                self.hears(beginning);
            }
        }
    }

    /// Acquires a lease, and tells the guard of it.
    pub(crate) fn holds(&mut self, name: &str) {
        self.acquires(name);
        self.tell(&format!("tell {name}"));
        self.hears("told");
    }

    pub(crate) fn acquires(&mut self, name: &str) -> u64 {
        self.tell(&format!("acquire {name} {}", TTL.as_millis()));
        self.hears("term ").parse().expect("a number")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("it is a child that was not waited for");
    }

    /// SIGKILL, and it is gone.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it is a child");
        self.ends();
    }

    /// Waits until it is gone.
    pub(crate) fn ends(&mut self) {
        self.process.wait().expect("it is a child");
    }

    pub(crate) fn guard(&self) -> Pid {
        pid(self.guard)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

pub(crate) fn pid(number: u32) -> Pid {
    i32::try_from(number).ok().and_then(Pid::from_raw).expect("a process id")
}

/// Waits until something is so.
pub(crate) async fn eventually<T>(what: &str, mut is_so: impl AsyncFnMut() -> Option<T>) -> T {
    let clock = SystemClock::new();
    let end = clock.now() + LIMIT;
    loop {
        if let Some(found) = is_so().await {
            return found;
        }
        assert!(clock.now() < end, "not within {LIMIT:?}: {what}");
        clock.sleep_until(clock.now() + Duration::from_millis(20)).await;
    }
}

/// Waits until a process is gone, whether its parent has noticed or not.
pub(crate) async fn gone(process: Pid) {
    let is_dead = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
        stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
    };
    eventually("a process is gone", async || (test_kill_process(process).is_err() || is_dead()).then_some(())).await;
}

pub(crate) async fn tenant(backend: &Backend, name: &str) -> Tenant {
    let name = LeaseName::new(name).expect("a valid name");
    backend.leases.current(&name).await.expect("the store answers").tenant
}

pub(crate) async fn is_held(backend: &Backend, name: &str) -> bool {
    matches!(tenant(backend, name).await, Tenant::Held { .. })
}

/// Waits until nobody holds the lease.
pub(crate) async fn is_given_back(backend: &Backend, name: &str) -> Tenant {
    eventually(&format!("{name} is given back"), async || {
        let tenant = tenant(backend, name).await;
        (!matches!(tenant, Tenant::Held { .. })).then_some(tenant)
    })
    .await
}

/// Holds that nobody gives the lease back for a while.
pub(crate) async fn stays_held(backend: &Backend, name: &str) {
    let clock = SystemClock::new();
    let end = clock.now() + MEANWHILE;
    while clock.now() < end {
        assert!(is_held(backend, name).await, "{name} was given back");
        clock.sleep_until(clock.now() + Duration::from_millis(50)).await;
    }
}
