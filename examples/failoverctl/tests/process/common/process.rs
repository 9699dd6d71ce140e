//! One process of the program, and its events.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{LIMIT, eventually, now};

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

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it with SIGSTOP. It stands still when this returns, and what it has started goes on.
    pub(crate) fn pause(&self) {
        failover_testing::process::pause(self.child.id());
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        failover_testing::process::resume(self.child.id());
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
