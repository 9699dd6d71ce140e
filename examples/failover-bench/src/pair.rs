//! An active node and its standby as processes, and what is done to them.

use std::process::Stdio;
use std::time::Duration;

use failover::Admin;
use failover::time::{Clock as _, SystemClock, Time};
use failover_testing::process;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::Outcome;
use crate::node::{PART, Part, Said};
use crate::stores::Store;

/// How long anything may take before the run is given up.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn now() -> Time {
    SystemClock::new().now()
}

/// A node's process. When it is dropped it is killed, and its guard with it, which would else give back what it held.
pub(crate) struct Actor {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) name: String,
}

impl Actor {
    pub(crate) fn start(part: &Part) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(PART, serde_json::to_string(part)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        Ok(Self { child, lines, name: part.node.clone() })
    }

    /// What it says next.
    pub(crate) async fn next(&mut self) -> Outcome<Said> {
        let line = self.lines.next_line().await?.ok_or_else(|| format!("{} has ended", self.name))?;
        Ok(serde_json::from_str(&line)?)
    }

    /// When it said this, from now on.
    pub(crate) async fn until(&mut self, what: &str) -> Outcome<Time> {
        let said = async {
            loop {
                let said = self.next().await?;
                if said.what == what {
                    return Outcome::Ok(Time::from_nanos(said.at));
                }
            }
        };
        match tokio::time::timeout(PATIENCE, said).await {
            Ok(said) => said,
            Err(_) => Err(format!("{} did not say `{what}` within {PATIENCE:?}", self.name).into()),
        }
    }

    pub(crate) fn pid(&self) -> Outcome<u32> {
        Ok(self.child.id().ok_or("it has ended")?)
    }

    pub(crate) fn signal(&self, what: Signal) -> Outcome<()> {
        let pid = i32::try_from(self.pid()?).ok().and_then(Pid::from_raw).ok_or("no process id")?;
        Ok(kill_process(pid, what)?)
    }

    /// Waits for the end of one that was killed.
    pub(crate) async fn gone(mut self) -> Outcome<()> {
        Ok(self.child.wait().await.map(drop)?)
    }

    /// Waits for its end in good order.
    pub(crate) async fn end(mut self) -> Outcome<()> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await??;
        if status.success() { Ok(()) } else { Err(format!("{} ended: {status}", self.name).into()) }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if let Some(pid) = self.child.id() {
            process::kill_all(&process::pause_family(pid));
        }
    }
}

/// Two of them, and their store. Whoever leaves or is lost is replaced by one of a new name, so that nobody has to wait for a name's lease.
pub(crate) struct Pair {
    pub(crate) active: Actor,
    pub(crate) standby: Actor,
    part: Part,
    started: usize,
    pub(crate) admin: Admin,
    // Last, so that it ends after those who use it.
    pub(crate) store: Store,
}

impl Pair {
    pub(crate) async fn start(store: Store, cluster: &str, beat: Duration, ttl: Duration) -> Outcome<Self> {
        let (url, cluster) = (store.url(), cluster.to_owned());
        let admin = Admin::new(store.open(&cluster).await?);
        let mut part = Part { url, cluster, node: "n1".into(), beat, ttl, jobs: 0, blocks: None, chatty: false };
        let mut active = Actor::start(&part)?;
        active.until("active").await?;
        part.node = "n2".into();
        let mut standby = Actor::start(&part)?;
        standby.until("standby").await?;
        Ok(Self { active, standby, part, started: 2, admin, store })
    }

    /// The standby has become active: a new one stands by it. Gives who was active.
    pub(crate) async fn pass_on(&mut self) -> Outcome<Actor> {
        self.started += 1;
        self.part.node = format!("n{}", self.started);
        let next = Actor::start(&self.part)?;
        let now_active = std::mem::replace(&mut self.standby, next);
        let former = std::mem::replace(&mut self.active, now_active);
        self.standby.until("standby").await?;
        Ok(former)
    }

    /// The two have changed their parts.
    pub(crate) async fn swap(&mut self) -> Outcome<()> {
        std::mem::swap(&mut self.active, &mut self.standby);
        self.standby.until("standby").await.map(drop)
    }
}
