//! One cell's stage: a store, proxies before it, nodes as processes, and the resource they write to.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use failover::time::{Clock, SystemClock};
use failover::{Admin, Backend, JobId, JobSpec};
use failover_testing::process;
use failover_testing::proxy::Proxy;
use tempfile::TempDir;

use crate::node::{PART, Pace, Part, Told};
use crate::resource::{Record, Resource, Tenure};
use crate::stores::{Served, Store};

/// What everything gets on top of its bound: a machine with two cores may run a dozen other cells.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Quick leases, for cells in which one has to lapse.
pub(crate) const LAPSING: Pace =
    Pace { beat: Duration::from_millis(700), ttl: Duration::from_secs(5), call: Duration::from_millis(1250) };

/// Long leases, for cells in which none may lapse, on however slow a machine, and calls that end soon.
pub(crate) const KEEPING: Pace =
    Pace { beat: Duration::from_millis(500), ttl: Duration::from_secs(30), call: Duration::from_secs(1) };

/// The work that every cell has: to be active, and one job.
pub(crate) const WORKS: [&str; 2] = ["active", "job/j"];

/// Runs a cell to its end, on a runtime of its own. Servers are started and stopped by calls that block, so the resource
/// answers from other threads.
pub(crate) fn run(cell: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(cell);
}

pub(crate) struct Stage<S> {
    pub(crate) store: S,
    pub(crate) resource: Arc<Resource>,
    pub(crate) pace: Pace,
    /// What is put behind the `?` of every address from now on.
    pub(crate) option: Option<String>,
    /// Whom the nodes ask whether they are cut off.
    witness: Option<String>,
    /// How long their hosts may be silent.
    watchdog: Option<Duration>,
    /// What switches others off, for the nodes that are started from now on.
    pub(crate) fencer: Option<Vec<String>>,
    nodes: BTreeMap<String, Process>,
    _directory: TempDir,
}

/// Killed when it is dropped; if this process is killed, it notices by its connection.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// What the tokens of these tenures are.
pub(crate) fn tokens(tenures: &[Tenure; 2]) -> [u64; 2] {
    tenures.each_ref().map(|tenure| tenure.token)
}

impl<S: Served> Stage<S> {
    /// As [`set`](Self::set), with proxies between `a` and the server, for `a` alone.
    pub(crate) async fn set_with_proxies(pace: Pace) -> (Self, Proxies) {
        Self::set_with_proxies_and(pace, None).await
    }

    /// The same, with a witness for both nodes.
    pub(crate) async fn set_with_proxies_and(pace: Pace, witness: Option<String>) -> (Self, Proxies) {
        let mut stage = Self::empty(pace).await;
        stage.witness = witness;
        let proxies = Proxies::new(&stage.store);
        let url = stage.with_option(stage.store.url_at(&proxies.ports()));
        stage.enter_at("a", url, &[]).await;
        stage.holds("a").await;
        stage.enter("b", &[]).await;
        stage.stands_by("b").await;
        (stage, proxies)
    }

    /// Does something to the server that takes its time.
    pub(crate) fn server(&mut self, what: impl FnOnce(&mut S)) {
        tokio::task::block_in_place(|| what(&mut self.store));
    }
}

/// A proxy before each port of a server.
pub(crate) struct Proxies(Vec<Proxy>);

impl Proxies {
    pub(crate) fn new(store: &impl Served) -> Self {
        // A proxy has a runtime of its own, which is made and dropped outside of ours.
        Self(tokio::task::block_in_place(|| store.ports().into_iter().map(Proxy::to_port).collect()))
    }

    pub(crate) fn ports(&self) -> Vec<u16> {
        self.0.iter().map(Proxy::port).collect()
    }

    pub(crate) fn all(&self, what: impl Fn(&Proxy)) {
        self.0.iter().for_each(what);
    }
}

impl<S: Store> Stage<S> {
    /// A stage with nobody on it yet.
    pub(crate) async fn empty(pace: Pace) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = tokio::task::block_in_place(S::start);
        let resource = Resource::open(directory.path());
        let (option, witness, watchdog, fencer, nodes) = (None, None, None, None, BTreeMap::new());
        let stage = Self { store, resource, pace, option, witness, watchdog, fencer, nodes, _directory: directory };
        stage.submit().await;
        stage
    }

    /// Submits the job.
    pub(crate) async fn submit(&self) {
        let job = JobSpec::new(JobId::new("j").expect("a valid name"), "work").expect("a short payload");
        Admin::new(self.open().await).submit(&job).await.expect("the job is submitted");
    }

    /// Two nodes: `a`, which does everything, and `b`, which stands by.
    pub(crate) async fn set(pace: Pace) -> Self {
        Self::set_with(pace, None).await
    }

    /// The same, with a witness for both.
    pub(crate) async fn set_with(pace: Pace, witness: Option<String>) -> Self {
        let mut stage = Self::empty(pace).await;
        stage.witness = witness;
        stage.fill().await
    }

    /// The same, with a watchdog for the host of each.
    pub(crate) async fn set_watched(pace: Pace, limit: Duration) -> Self {
        let mut stage = Self::empty(pace).await;
        stage.watchdog = Some(limit);
        stage.fill().await
    }

    async fn fill(self) -> Self {
        let mut stage = self;
        stage.enter("a", &[]).await;
        stage.holds("a").await;
        stage.enter("b", &[]).await;
        stage.stands_by("b").await;
        stage
    }

    pub(crate) fn url(&self) -> String {
        self.with_option(self.store.url())
    }

    pub(crate) fn with_option(&self, url: String) -> String {
        match &self.option {
            None => url,
            Some(option) => {
                let with = |url: &str| format!("{url}{}{option}", if url.contains('?') { '&' } else { '?' });
                url.split(' ').map(with).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// A handle of this process's own.
    pub(crate) async fn open(&self) -> Backend {
        crate::stores::open(&self.url()).await
    }

    /// Starts a node's process, with these variables in its environment.
    pub(crate) async fn enter(&mut self, node: &str, environment: &[(String, String)]) {
        self.enter_at(node, self.url(), environment).await;
    }

    /// The same, with the store at another address.
    pub(crate) async fn enter_at(&mut self, node: &str, url: String, environment: &[(String, String)]) {
        let part = Part {
            node: node.to_owned(),
            url,
            socket: self.resource.socket(),
            pace: self.pace,
            witness: self.witness.clone(),
            watchdog: self.watchdog,
            fencer: self.fencer.clone(),
        };
        let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
        command.args(["a_node_process", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(PART, serde_json::to_string(&part).expect("plain data")).envs(environment.iter().cloned());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the test's own binary runs");
        let id = child.id();
        self.nodes.insert(node.to_owned(), Process(child));
        let there = |record: &Record| record.actors.get(node).filter(|actor| actor.process == id).map(|_| ());
        self.until(&format!("{node} is there"), PATIENCE, there).await;
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, node: &str) {
        drop(self.nodes.remove(node).expect("it was started"));
    }

    /// SIGSTOP. It stands still when this returns.
    pub(crate) fn pause(&self, node: &str) {
        process::pause(self.nodes[node].0.id());
    }

    /// SIGCONT.
    pub(crate) fn resume(&self, node: &str) {
        process::resume(self.nodes[node].0.id());
    }

    /// By when everything has to be in order again once a fault has ended: a ttl, one poll, two round trips, the store's own
    /// slack, and patience.
    pub(crate) async fn bound(&self) -> Duration {
        let slack = self.open().await.leases.slack();
        self.healing(slack)
    }

    /// The same, with the store's slack known.
    pub(crate) fn healing(&self, slack: Duration) -> Duration {
        self.pace.ttl + self.pace.beat + self.pace.call * 2 + slack + PATIENCE
    }

    /// Waits until something is so.
    ///
    /// # Panics
    /// With all the resource has seen, if it is not in time.
    pub(crate) async fn until<T>(&self, what: &str, within: Duration, is_so: impl Fn(&Record) -> Option<T>) -> T {
        match self.resource.wait(within, is_so).await {
            Some(found) => found,
            None => panic!("not within {within:?}: {what}. {:#?}", self.resource.record()),
        }
    }

    /// Waits until `node` does all the work, each under a token above `above`; its tenures.
    pub(crate) async fn holds_above(&self, node: &str, within: Duration, above: [u64; 2]) -> [Tenure; 2] {
        let what = format!("{node} works under tokens above {above:?}");
        self.until(&what, within, |record| {
            let [active, job] = WORKS.map(|work| record.held_by(work, node).cloned());
            let (active, job) = (active?, job?);
            (active.token > above[0] && job.token > above[1]).then_some([active, job])
        })
        .await
    }

    /// Waits until `node` does all the work.
    pub(crate) async fn holds(&self, node: &str) -> [Tenure; 2] {
        self.holds_above(node, self.pace.ttl + PATIENCE, [0, 0]).await
    }

    pub(crate) async fn stands_by(&self, node: &str) {
        let standby = |record: &Record| (record.role(node) == Some("standby")).then_some(());
        self.until(&format!("{node} stands by"), self.pace.ttl + PATIENCE, standby).await;
    }

    /// Waits until somebody does each piece of work, under a token above `above`.
    pub(crate) async fn anybody_holds_above(&self, within: Duration, above: [u64; 2]) {
        let what = format!("all works go on under tokens above {above:?}");
        self.until(&what, within, |record| {
            let mut all = WORKS.iter().zip(above);
            all.all(|(work, above)| record.latest(work).is_some_and(|tenure| tenure.token > above && !tenure.over))
                .then_some(())
        })
        .await;
    }

    /// Waits until none of the tenures lasts any more.
    pub(crate) async fn are_over(&self, tenures: &[Tenure; 2]) {
        self.until("their rights are over", self.pace.ttl + PATIENCE, |record| {
            let mut all = WORKS.iter().zip(tenures).map(|(work, tenure)| {
                let there = record.works[*work].iter().find(|there| there.token == tenure.token);
                there.is_some_and(|there| there.over)
            });
            all.all(|over| over).then_some(())
        })
        .await;
    }

    /// Waits until the same tenures were renewed by a call that was sent from now on.
    pub(crate) async fn are_renewed(&self, tenures: &[Tenure; 2]) {
        let clock = SystemClock::new();
        let timing = self.pace.timing();
        let renewed = clock.now() + timing.right(timing.ttl());
        self.until("the same rights are renewed", self.healing(Duration::ZERO), |record| {
            let mut all = WORKS.iter().zip(tenures).map(|(work, tenure)| {
                let there = record.held_by(work, &tenure.node)?;
                assert_eq!(there.token, tenure.token, "{work}: its right was lost");
                Some(there.ends_at >= renewed.as_nanos())
            });
            all.all(|renewed| renewed == Some(true)).then_some(())
        })
        .await;
    }

    /// What it is that every cell asserts in the end.
    pub(crate) fn judge(&self) {
        let record = self.resource.record();
        record.judge().unwrap_or_else(|why| panic!("{why}\n{record:#?}"));
        for work in WORKS {
            assert!(record.works.contains_key(work), "nobody ever did {work}");
        }
    }

    /// The same, in a cell in which nobody's right may have ended.
    pub(crate) fn judge_that_all_was_kept(&self) {
        self.judge();
        for (work, tenures) in &self.resource.record().works {
            assert_eq!(tenures.len(), 1, "{work} had more than one holder: {tenures:#?}");
        }
    }

    /// Lets a fault last for a few calls: long enough for some to meet it, and not for a lease to lapse.
    pub(crate) async fn a_few_calls(&self) {
        let clock = SystemClock::new();
        clock.sleep_until(clock.now() + self.pace.beat + self.pace.call * 2).await;
    }

    pub(crate) fn tell(&self, node: &str, told: Told) {
        self.resource.tell(node, told);
    }
}
