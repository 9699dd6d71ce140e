//! A real `HAProxy` before two nodes: what its clients notice of a switchover, and of a kill.
//!
//! It has two front doors, and both ask `/active` which node to send to.
//!
//! - **Patient**: a request that is refused, or finds nobody, is tried again at the other node (`retry-on`, `redispatch`). The servers stand there a second time as
//!   `backup`, unchecked, so that there is somebody to try while neither is known to be active; whoever is not turns the request away after a moment, and the number of tries
//!   outlasts a takeover. Nobody fails, neither over a switchover nor over a kill.
//! - **Plain**: health checks and nothing else. Over a switchover requests fail while one gate is shut and the check has not seen the other open. After a kill
//!   they fail for as long as nobody is active, a ttl at most, and for one check.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use failover::Admin;
use failover::time::{Clock, SystemClock, Time};
use failover_testing::haproxy::Haproxy;
use failover_testing::port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::follow::{open, within};
use crate::service::{PART, Part, TURNED_AWAY};

const BEAT: Duration = Duration::from_millis(200);
const TTL: Duration = Duration::from_secs(1);
/// Between two checks of `HAProxy`.
const CHECK: Duration = Duration::from_millis(100);
/// What a promotion takes (a few calls to the store, the hooks), on a machine that has other things to do.
const PROMOTION: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(30);
/// So often is a request tried: every second time, at worst, it is turned away at once by a closed port.
const TRIES: u32 = 60;
/// So many requests at each door, before and after what happens, show how it goes on there.
const MANY: usize = 40;

struct Service {
    part: Part,
    process: Child,
}

impl Service {
    fn start(node: &str, url: &str) -> Self {
        let (service, health) = (port::free(), port::free());
        let part = Part { node: node.to_owned(), url: url.to_owned(), beat: BEAT, ttl: TTL, service, health };
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["a_service_process", "--exact", "--nocapture", "--test-threads=1"])
            .env(PART, serde_json::to_string(&part).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { part, process }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

fn configuration(patient: u16, plain: u16, services: [&Service; 2]) -> String {
    let [a, b] = services.map(|service| (service.part.service, service.part.health));
    let servers = format!(
        "option httpchk GET /active
            default-server inter {check}ms fall 1 rise 1
            server a 127.0.0.1:{} check port {}
            server b 127.0.0.1:{} check port {}",
        a.0,
        a.1,
        b.0,
        b.1,
        check = CHECK.as_millis()
    );
    format!(
        "global
            maxconn 500
        defaults
            mode http
            timeout connect 100ms
            timeout client 10s
            timeout server 10s
            timeout check 500ms
        frontend patient
            bind 127.0.0.1:{patient}
            default_backend patient
        frontend plain
            bind 127.0.0.1:{plain}
            default_backend plain
        backend patient
            retries {TRIES}
            retry-on conn-failure empty-response 503
            option redispatch 1
            {servers}
            option allbackups
            server a-unchecked 127.0.0.1:{} backup
            server b-unchecked 127.0.0.1:{} backup
        backend plain
            retries 0
            {servers}\n",
        a.0, b.0
    )
}

/// One request and how it went: by which node it was done.
#[derive(Debug, Clone)]
struct Request {
    asked: Time,
    ended: Time,
    by: Result<String, String>,
}

async fn request(clock: &SystemClock, port: u16) -> Request {
    let asked = clock.now();
    let by = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|e| e.to_string())?;
        let question = b"GET / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n";
        stream.write_all(question).await.map_err(|e| e.to_string())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map_err(|e| e.to_string())?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        if head.starts_with("HTTP/1.1 200") {
            Ok(body.to_owned())
        } else {
            Err(head.lines().next().unwrap_or("").to_owned())
        }
    };
    let by = by.await;
    Request { asked, ended: clock.now(), by }
}

/// Clients that ask one after another, until they are told to stop.
struct Load {
    clock: SystemClock,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<Vec<Request>>>,
}

impl Load {
    fn on(port: u16) -> Self {
        let (clock, stop, done) = (SystemClock::new(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = || {
            let (stop, done) = (stop.clone(), done.clone());
            tokio::spawn(async move {
                let mut requests = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    requests.push(request(&clock, port).await);
                    done.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                requests
            })
        };
        let clients = (0..4).map(|_| client()).collect();
        Self { clock, stop, done, clients }
    }

    /// Waits until so many more requests have ended.
    async fn goes_on(&self, more: usize) {
        let end = self.done.load(Ordering::Relaxed) + more;
        within(PATIENCE, "requests", async {
            while self.done.load(Ordering::Relaxed) < end {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    async fn end(self) -> Vec<Request> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await.unwrap());
        }
        all.sort_by_key(|request| request.asked);
        all
    }
}

/// How long after `since` the last request was asked that failed.
fn failing_for(requests: &[Request], since: Time) -> Duration {
    let last = requests.iter().filter(|request| request.by.is_err()).map(|request| request.asked).max();
    last.map_or(Duration::ZERO, |last| last.since(since))
}

fn failed(requests: &[Request]) -> Vec<&Request> {
    requests.iter().filter(|request| request.by.is_err()).collect()
}

/// Waits until a request at this door is done by that node.
async fn reached(port: u16, node: &str) {
    let clock = SystemClock::new();
    within(PATIENCE, node, async {
        while request(&clock, port).await.by.as_deref() != Ok(node) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_fails_at_the_patient_door_and_at_the_plain_one_nobody_fails_for_longer_than_derived() {
    let room = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", room.path().join("store.db").display());
    let admin = Admin::new(open(&url).await);
    let (a, mut b) = (Service::start("a", &url), Service::start("b", &url));
    let [patient, plain] = [port::free(), port::free()];
    let _haproxy = Haproxy::start(&configuration(patient, plain, [&a, &b]), &[patient, plain]);
    // Whoever came first, b is the standby when it begins.
    within(PATIENCE, "two nodes", async {
        while admin.status(TTL).await.unwrap().standby.is_none() {
            // What came between the look and the wait is looked for again.
            let _hint = tokio::time::timeout(Duration::from_millis(100), admin.changed()).await;
        }
    })
    .await;
    let status = admin.status(TTL).await.unwrap();
    if status.active.is_some_and(|(node, _)| node.as_str() == "b") {
        admin.switchover(None, PATIENCE).await.unwrap();
    }
    reached(plain, "a").await;
    reached(patient, "a").await;

    let [at_patient, at_plain] = [Load::on(patient), Load::on(plain)];
    tokio::join!(at_patient.goes_on(MANY), at_plain.goes_on(MANY));
    let begun = at_plain.clock.now();
    admin.switchover(None, PATIENCE).await.unwrap();
    let over = at_plain.clock.now();
    tokio::join!(reached(plain, "b"), reached(patient, "b"));
    tokio::join!(at_patient.goes_on(MANY), at_plain.goes_on(MANY));
    let [at_patient, at_plain] = [at_patient.end().await, at_plain.end().await];
    assert_eq!(failed(&at_patient).len(), 0, "{:?}", failed(&at_patient));
    for node in ["a", "b"] {
        assert!(at_patient.iter().filter(|request| request.by.as_deref() == Ok(node)).count() > 10, "{node}");
    }
    let bound = over.since(begun) + CHECK * 2 + TURNED_AWAY;
    let failing = failing_for(&at_plain, begun);
    println!(
        "switchover: {} of {} failed at the plain door, for {failing:?} of {bound:?}",
        failed(&at_plain).len(),
        at_plain.len()
    );
    assert!(failing <= bound, "requests failed for {failing:?}, and the bound is {bound:?}");

    let [at_patient, at_plain] = [Load::on(patient), Load::on(plain)];
    within(PATIENCE, "a standby", async {
        while admin.status(TTL).await.unwrap().standby.is_none() {
            // What came between the look and the wait is looked for again.
            let _hint = tokio::time::timeout(Duration::from_millis(100), admin.changed()).await;
        }
    })
    .await;
    tokio::join!(at_patient.goes_on(MANY), at_plain.goes_on(MANY));
    let killed = at_plain.clock.now();
    b.kill();
    tokio::join!(reached(plain, "a"), reached(patient, "a"));
    tokio::join!(at_patient.goes_on(MANY), at_plain.goes_on(MANY));
    let [at_patient, at_plain] = [at_patient.end().await, at_plain.end().await];
    assert_eq!(failed(&at_patient).len(), 0, "{:?}", failed(&at_patient));
    let waited = at_patient.iter().map(|request| request.ended.since(request.asked)).max().unwrap();
    assert!(waited > TTL / 2, "nobody waited for the takeover: {waited:?}");
    assert!(at_plain.iter().all(|request| request.asked >= killed || request.ended >= killed || request.by.is_ok()));
    let bound = TTL + PROMOTION + CHECK;
    let failing = failing_for(&at_plain, killed);
    println!(
        "kill: {} of {} failed at the plain door, for {failing:?} of {bound:?}",
        failed(&at_plain).len(),
        at_plain.len()
    );
    assert!(
        !failed(&at_plain).is_empty() && failing <= bound,
        "requests failed for {failing:?}, and the bound is {bound:?}"
    );
}
