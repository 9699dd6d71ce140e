//! The actors: node processes that are started, watched and killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use failover::time::{Clock as _, SystemClock, Time};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::node::{Error, Told};

/// How long any single step of the play may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The processes, and what is known of them from what they told.
pub(crate) struct Stage<'a> {
    directory: &'a Path,
    began: Time,
    actors: BTreeMap<String, Child>,
    sender: mpsc::UnboundedSender<Told>,
    receiver: mpsc::UnboundedReceiver<Told>,
    pub(crate) roles: BTreeMap<String, String>,
    /// Which node runs which job, under which token.
    pub(crate) jobs: BTreeMap<String, (String, u64)>,
    pub(crate) history: Vec<Told>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(directory: &'a Path) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            directory,
            began: SystemClock::new().now(),
            actors: BTreeMap::new(),
            sender,
            receiver,
            roles: BTreeMap::new(),
            jobs: BTreeMap::new(),
            history: Vec::new(),
        }
    }

    /// Says something, with the time since the beginning.
    pub(crate) fn say(&self, at: Time, text: &str) {
        println!("{:8.3}s  {text}", at.since(self.began).as_secs_f64());
    }

    pub(crate) fn heading(&self, text: &str) {
        println!();
        self.say(SystemClock::new().now(), &format!("== {text}"));
    }

    pub(crate) fn start(&mut self, name: &str) -> Result<(), Error> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["node", name])
            .arg(self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or("a node without output")?;
        let process = child.id().map_or_else(String::new, |id| format!(" (process {id})"));
        self.say(SystemClock::new().now(), &format!("{name}: started{process}"));
        self.actors.insert(name.to_owned(), child);
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                // A line cut short by SIGKILL tells nothing.
                if let Ok(told) = serde_json::from_str(&line)
                    && sender.send(told).is_err()
                {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Kills a node as hard as the system can, and returns when it was dead.
    pub(crate) async fn kill(&mut self, name: &str) -> Result<Time, Error> {
        let mut child = self.actors.remove(name).ok_or("no such node")?;
        child.kill().await?;
        let at = SystemClock::new().now();
        self.say(at, &format!("{name}: killed with SIGKILL"));
        self.roles.remove(name);
        self.jobs.retain(|_, (node, _)| node != name);
        Ok(at)
    }

    /// Asks every node to leave by SIGTERM and waits until they have.
    pub(crate) async fn curtain(&mut self) -> Result<bool, Error> {
        let mut all_well = true;
        for (name, mut child) in std::mem::take(&mut self.actors) {
            if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
                kill_process(pid, Signal::TERM)?;
            }
            let status = tokio::time::timeout(PATIENCE, child.wait()).await??;
            all_well &= status.success();
            self.say(SystemClock::new().now(), &format!("{name}: left, {status}"));
        }
        Ok(all_well)
    }

    /// Watches until `done` says so.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<Time, Error> {
        let watch = async {
            while !done(self) {
                let told = self.receiver.recv().await.ok_or("every node has ended")?;
                self.take_in(told);
            }
            Ok::<_, Error>(())
        };
        tokio::time::timeout(PATIENCE, watch)
            .await
            .map_err(|_| format!("gave up after {PATIENCE:?} waiting until {what}"))??;
        Ok(SystemClock::new().now())
    }

    fn take_in(&mut self, told: Told) {
        let at = Time::from_nanos(told.at);
        let (node, by) = (told.node.clone(), told.by.clone());
        let token = told.token.map_or_else(String::new, |token| format!(" #{token}"));
        match (told.event.as_str(), &told.role, &told.job) {
            ("role_changed" | "node_joined", Some(role), _) => {
                let joined = if told.event == "node_joined" { "joined as " } else { "" };
                self.say(at, &format!("{node}: {joined}{role}{token} ({})", told.reason));
                self.roles.insert(node, role.clone());
            }
            ("job_started", _, Some(job)) => {
                self.say(at, &format!("{node}: runs {job}{token}"));
                self.jobs.insert(job.clone(), (node, told.token.unwrap_or(0)));
            }
            ("job_stopped" | "job_failed" | "job_completed", _, Some(job)) => {
                self.say(at, &format!("{node}: stopped {job}{token} ({})", told.reason));
                self.jobs.retain(|name, (runs_on, _)| name != job || *runs_on != node);
            }
            (event, _, _) if by != node => self.say(at, &format!("{by}: {event} {node} ({})", told.reason)),
            (event, _, _) => self.say(at, &format!("{node}: {event}{token} ({})", told.reason)),
        }
        self.history.push(told);
    }

    pub(crate) fn with_role(&self, role: &str) -> Option<String> {
        self.roles.iter().find(|(_, r)| *r == role).map(|(node, _)| node.clone())
    }

    /// When the first event of this kind was told since `since` by a node that `is` right.
    pub(crate) fn first(&self, since: Time, is: impl Fn(&Told) -> bool) -> Option<Time> {
        self.history
            .iter()
            .map(|told| (Time::from_nanos(told.at), told))
            .find(|(at, t)| *at >= since && is(t))
            .map(|f| f.0)
    }
}
