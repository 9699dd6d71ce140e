//! A host as a process of its own. It does what it is told on its standard input, and says what comes of it on its standard output.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use failover::guard::{self, Attached, Guard};
use failover::heir::Bequest;
use failover::lease::Acquired;
use failover::machine::JobEnd;
use failover::{
    Backend, ClusterName, Estate, Heir as _, Incarnation, JobRun, Lease, LeaseName, Member, Node, NodeId, Timing,
};
use rustix::process::{Pid, getppid};
use tokio::sync::mpsc;

/// The environment variable that makes this binary a host.
pub(crate) const PART: &str = "FAILOVER_GUARD_TEST";

/// The environment variable that has a guard begin only when its host is dead.
pub(crate) const LATE: &str = "FAILOVER_GUARD_TEST_LATE";

/// What of a line is meant for the test. What else there is the test harness says.
pub(crate) const SAYS: &str = "@ ";

pub(crate) fn cluster() -> ClusterName {
    ClusterName::new("guarded").expect("a valid name")
}

/// One line in one write, so that no two mix.
fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{SAYS}{what}\n").as_bytes()).expect("the test listens");
    out.flush().expect("the test listens");
}

/// Plays the part; the process ends with it.
pub(crate) fn play() -> ! {
    let arguments = ["a_host_process", "--exact", "--nocapture", "--test-threads=1"];
    if let (Ok(host), Some(_)) = (std::env::var("FAILOVER_GUARD"), std::env::var_os(LATE)) {
        let host = Pid::from_raw(host.parse().expect("a process id"));
        // A process's parent changes without telling it.
        while getppid() == host {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let open = async |address: String, cluster: ClusterName| failover::open_here(&address, &cluster).await;
    let guard = guard::start_among(&arguments, open).expect("a guard can be started");
    say(&format!("guard {}", guard.id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (tell, mut told) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let _ended = tell.send(line.expect("text"));
            }
            // Nobody is left to see what it does.
            std::process::exit(3);
        });
        let mut host = Host { guard, store: None, leases: BTreeMap::new(), member: None };
        while let Some(line) = told.recv().await {
            host.obey(&line).await;
        }
    });
    unreachable!("it is told things until it ends")
}

struct Host {
    guard: Guard,
    store: Option<(Backend, Attached)>,
    leases: BTreeMap<String, Lease>,
    member: Option<Member>,
}

impl Host {
    async fn obey(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["attach", address] => {
                let attached = self.guard.attach(address, &cluster());
                self.store = Some((failover::open(address, &cluster()).await.expect("the store"), attached));
                say("attached");
            }
            // As a node.
            ["join", name, ttl] => self.join(name, millis(ttl)),
            // As whoever uses leases by hand, and tells the guard when he likes.
            ["acquire", name, ttl] => self.acquire(name, millis(ttl)).await,
            ["tell", name, successor @ ..] => {
                let mut estate = Estate::empty(self.member());
                let successor = successor.first().map(|next| NodeId::new(next).expect("a valid name"));
                estate.bequests.push(Bequest::new(self.leases[*name].clone(), successor));
                self.store().1.inherit(&estate);
                say("told");
            }
            ["release", name] => {
                let lease = self.leases[*name].clone();
                self.store().0.leases.release(&lease, None).await.expect("it is released");
                say("released");
            }
            ["child"] => {
                let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
                say(&format!("child {}", child.expect("sleep can be run").id()));
            }
            ["exit"] => std::process::exit(0),
            // What a process does that forks without `exec`, in a language that may.
            ["fork"] => {
                let fork = "fifo=$(mktemp -u); mkfifo $fifo; exec 7<>$fifo; rm $fifo; (read -t 1000 <&7) & echo; echo \"@ forked $!\"";
                panic!("bash cannot be run: {}", Command::new("bash").args(["-c", fork]).stdin(Stdio::null()).exec());
            }
            ["exec"] => {
                say("exec");
                panic!("sleep cannot be run: {}", Command::new("sleep").arg("1000").stdin(Stdio::null()).exec());
            }
            ["exec", "closed"] => {
                say("exec");
                let close = "for fd in /proc/self/fd/*; do fd=${fd##*/}; ((fd > 2)) && eval \"exec $fd>&-\"; done; exec sleep 1000";
                let error = Command::new("bash").args(["-c", close]).stdin(Stdio::null()).stdout(Stdio::null()).exec();
                panic!("bash cannot be run: {error}");
            }
            _ => panic!("`{line}` is nothing to be told"),
        }
    }

    fn store(&self) -> &(Backend, Attached) {
        self.store.as_ref().expect("it is attached")
    }

    fn member(&mut self) -> Member {
        let member = || Member::new(NodeId::new("puppet").expect("a valid name"), Incarnation::fresh());
        self.member.get_or_insert_with(member).clone()
    }

    async fn acquire(&mut self, name: &str, ttl: Duration) {
        let (lease, member) = (LeaseName::new(name).expect("a valid name"), self.member());
        match self.store().0.leases.acquire(&lease, &member, ttl).await.expect("the store answers") {
            Acquired::Granted(lease) => {
                say(&format!("term {}", lease.term));
                self.leases.insert(name.to_owned(), lease);
            }
            Acquired::Refused(view) => panic!("it is not free: {view:?}"),
        }
    }

    fn join(&self, name: &str, ttl: Duration) {
        let (backend, attached) = self.store().clone();
        let timing = Timing::new(ttl / 30, ttl).expect("a pace that keeps the rules");
        let roster = ["a", "b", "c"].map(|node| NodeId::new(node).expect("a valid name"));
        let node = Node::builder(backend, NodeId::new(name).expect("a valid name")).timing(timing).roster(roster);
        let work = |run: JobRun| async move {
            run.stop().cancelled().await;
            JobEnd::Stopped
        };
        let node = node.guarded(attached).jobs(work).start().expect("a node can be started");
        tokio::spawn(async move {
            let mut events = node.events();
            while let Some(stamped) = events.next().await {
                let event = stamped.event;
                let role = event.role.map(|role| role.to_string()).unwrap_or_default();
                say(&format!("event {} {} {role}", event.kind, event.node));
            }
        });
    }
}

fn millis(text: &str) -> Duration {
    Duration::from_millis(text.parse().expect("a number"))
}
