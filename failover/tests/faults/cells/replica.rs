//! Nodes that are killed or paused while they publish: nothing that was acknowledged is lost, and nothing comes late.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use failover_testing::process;

use crate::scribe::{AT_EASE, SCRIPT, Said, Script};
use crate::stage::{LAPSING, PATIENCE};
use crate::stores::Store;

/// How often the active node is killed on each store.
const KILLS: u64 = 100;

/// A scribe's process, as the cell sees it. Killed when it is dropped.
struct Scribe {
    child: Child,
    said: Receiver<Said>,
    /// Of all it said, for whoever waits in vain.
    heard: Vec<Said>,
}

impl Scribe {
    /// Starts one; it waits for `go`.
    fn start(script: &Script) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
        command.args(["a_scribe_process", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(SCRIPT, serde_json::to_string(script).expect("plain data"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the test's own binary runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let (out, said) = channel();
        std::thread::spawn(move || {
            // The last line of one that was killed may be half a line.
            let parse = |line: String| serde_json::from_str(line.strip_prefix('@')?).ok();
            for line in lines.filter_map(parse) {
                if out.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, said, heard: Vec::new() }
    }

    fn tell(&mut self, what: &str) {
        writeln!(self.child.stdin.as_mut().expect("a pipe"), "{what}").expect("it listens");
    }

    /// What it says next; nothing when it is dead.
    ///
    /// # Panics
    /// If it says nothing for two minutes: the store's own slack is far below that.
    fn next(&mut self) -> Option<Said> {
        match self.said.recv_timeout(PATIENCE * 2) {
            Ok(said) => {
                self.heard.push(said.clone());
                Some(said)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                let last = self.heard.len().saturating_sub(20);
                panic!("it is silent; the last of what it said: {:?}", &self.heard[last..])
            }
        }
    }

    /// Listens until it says this.
    fn until<T>(&mut self, is_it: impl Fn(&Said) -> Option<T>) -> T {
        loop {
            let said = self.next().expect("it lives");
            if let Some(found) = is_it(&said) {
                return found;
            }
        }
    }

    /// Listens until it has had so many records acknowledged.
    fn published(&mut self, count: u64) -> Vec<String> {
        let is_published = |said: &Said| if let Said::Published(name) = said { Some(name.clone()) } else { None };
        (0..count).map(|_| self.until(is_published)).collect()
    }

    /// Kills it where it stands; what it had acknowledged and nobody had heard yet.
    fn kill(&mut self) -> Vec<String> {
        self.child.kill().expect("it is a child that was not waited for");
        let mut published = Vec::new();
        while let Some(said) = self.next() {
            if let Said::Published(name) = said {
                published.push(name);
            }
        }
        published
    }

    fn knows(&mut self) -> (u64, Vec<String>) {
        self.until(|said| match said {
            Said::Knows { run, records, .. } => Some((*run, records.clone())),
            _ => None,
        })
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// That whoever takes over knows all that was acknowledged, in the order in which each client had its answers.
fn judge(what: &str, acknowledged: &[String], known: &[String]) {
    for client in 0..4 {
        let of = |all: &[String]| -> Vec<String> {
            let is_of = |name: &&String| name.split('-').nth(1) == Some(&client.to_string());
            all.iter().filter(is_of).cloned().collect()
        };
        let (acknowledged, known) = (of(acknowledged), of(known));
        assert!(known.starts_with(&acknowledged), "{what}: {acknowledged:?} was acknowledged, {known:?} is known");
        assert!(known.len() <= acknowledged.len() + 1, "{what}: a client that waits has one under way: {known:?}");
    }
}

pub(crate) async fn an_active_killed_at_random_points_loses_no_acknowledged_record<S: Store>() {
    tokio::task::block_in_place(|| {
        let store = S::start();
        let script = |run| Script { node: "a".into(), url: store.url(), pace: AT_EASE, run, alone: true };
        let mut next = Scribe::start(&script(1));
        let (mut acknowledged, mut all, mut idle) = (Vec::new(), 0, 0);
        for run in 1..=KILLS {
            let mut scribe = next;
            scribe.tell("go");
            // The next one is on its way while this one works.
            next = Scribe::start(&script(run + 1));
            let (of, known) = scribe.knows();
            assert_eq!(of, run - 1);
            judge(&format!("run {of}"), &acknowledged, &known);
            // After so many records, or none, and then somewhere within a few calls to the store; numbers by the golden ratio spread evenly. Counted in time alone,
            // a busy machine would kill it before it did anything.
            acknowledged = scribe.published(run % 4);
            std::thread::sleep(Duration::from_micros(run * 12_361 % 20_000));
            acknowledged.extend(scribe.kill());
            all += acknowledged.len();
            idle += usize::from(acknowledged.is_empty());
        }
        next.tell("go");
        judge("the last run", &acknowledged, &next.knows().1);
        assert!(all as u64 > KILLS, "only {all} records in all: it was killed before it did anything");
        println!("{all} records acknowledged, {idle} runs killed before the first");
    });
}

pub(crate) async fn an_active_paused_over_a_takeover_has_its_late_record_refused<S: Store>() {
    tokio::task::block_in_place(|| {
        let store = S::start();
        let script = |node: &str, run| Script { node: node.into(), url: store.url(), pace: LAPSING, run, alone: false };
        let mut a = Scribe::start(&script("a", 1));
        a.tell("go");
        a.knows();
        let mut b = Scribe::start(&script("b", 2));
        b.tell("go");
        b.until(|said| matches!(said, Said::Standby).then_some(()));
        // Between two calls: see `Held`.
        a.tell("hold");
        let mut acknowledged = Vec::new();
        while let Some(said) = a.next() {
            match said {
                Said::Published(name) => acknowledged.push(name),
                Said::Held => break,
                Said::There | Said::Standby | Said::Knows { .. } | Said::Late(_) => {}
            }
        }
        process::pause(a.child.id());
        let (of, known) = b.knows();
        assert_eq!(of, 1);
        judge("while it is paused", &acknowledged, &known);
        a.tell("let go");
        process::resume(a.child.id());
        let late = a.until(|said| match said {
            Said::Late(answer) => Some(answer.clone()),
            _ => None,
        });
        assert!(late.starts_with("Ok(Fenced"), "its late record: {late}");
        drop(a);

        // And all of it once more with a node that is killed, on the store's own leases.
        b.until(|said| matches!(said, Said::Published(_)).then_some(()));
        let mut c = Scribe::start(&script("a", 3));
        c.tell("go");
        c.until(|said| matches!(said, Said::Standby).then_some(()));
        let acknowledged = b.kill();
        let (of, known) = c.knows();
        assert_eq!(of, 2);
        let is_known = |name: &String| known.contains(name);
        assert!(!acknowledged.is_empty() && acknowledged.iter().all(is_known), "{acknowledged:?}");
    });
}
