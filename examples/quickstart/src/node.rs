//! One node: what a service of your own would hold.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use failover::machine::{Finish, JobEnd};
use failover::time::{Clock as _, SystemClock};
use failover::{ClusterName, JobHandler, JobRun, Node, NodeId, Right, RoleHooks, Timing};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::journal::Journal;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Heartbeat 500 ms, lease 2 s: quick enough to watch, slow enough for a machine that has other things to do.
pub(crate) fn timing() -> Result<Timing, Error> {
    Ok(Timing::new(Duration::from_millis(500), Duration::from_secs(2))?)
}

pub(crate) fn url(directory: &Path) -> String {
    format!("sqlite://{}", directory.join("quickstart.db").display())
}

pub(crate) fn cluster() -> Result<ClusterName, Error> {
    Ok(ClusterName::new("quickstart")?)
}

/// What a node tells the play: one line of JSON on its standard output for each event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) at: u64,
    pub(crate) by: String,
    pub(crate) event: String,
    pub(crate) node: String,
    pub(crate) role: Option<String>,
    pub(crate) job: Option<String>,
    pub(crate) token: Option<u64>,
    pub(crate) reason: String,
}

/// Runs a node until it is told to leave by SIGTERM.
pub(crate) async fn run(name: &str, directory: &Path) -> Result<(), Error> {
    let backend = failover::open(&url(directory), &cluster()?).await?;
    let journal = Arc::new(Journal::create(directory, name)?);
    let node = Node::builder(backend, NodeId::new(name)?)
        .timing(timing()?)
        .jobs(Worker(journal.clone()))
        .hooks(Leader(journal))
        .start()?;

    let mut events = node.events();
    let telling = tokio::spawn(async move {
        while let Some(stamped) = events.next().await {
            let event = stamped.event;
            let told = Told {
                at: SystemClock::new().now().as_nanos(),
                by: stamped.by.to_string(),
                event: event.kind.to_string(),
                node: event.node.to_string(),
                role: event.role.map(|role| role.to_string()),
                job: event.job.map(|job| job.to_string()),
                token: event.epoch.map(|epoch| epoch.0).or(event.term.map(|term| term.0)),
                reason: event.reason.to_string(),
            };
            match serde_json::to_string(&told) {
                Ok(line) => println!("{line}"),
                Err(error) => eprintln!("{error}"),
            }
        }
    });

    let mut terminate = signal(SignalKind::terminate())?;
    let finish = tokio::select! {
        finish = node.finished() => finish,
        _ = terminate.recv() => node.shutdown().await,
    };
    telling.await?;
    if finish == Finish::Left { Ok(()) } else { Err(format!("node {name} ended: {finish:?}").into()) }
}

/// Runs jobs: each works until it is told to stop, and records every moment of it.
struct Worker(Arc<Journal>);

#[async_trait::async_trait]
impl JobHandler for Worker {
    async fn run(&self, run: JobRun) -> JobEnd {
        let (token, stop) = (run.token(), run.stop());
        let mut ticks = interval(Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return JobEnd::Stopped,
                _ = ticks.tick() => {}
            }
            // The check and the write are two moments. A real resource also refuses tokens lower than the highest it has seen.
            if run.right().is_valid()
                && let Err(error) = self.0.mark(&token)
            {
                return JobEnd::Failed(error.to_string());
            }
        }
    }
}

/// Acts as the active node: records every moment of it too, for as long as the right lasts.
struct Leader(Arc<Journal>);

#[async_trait::async_trait]
impl RoleHooks for Leader {
    async fn promote(&self, right: Right) {
        let journal = self.0.clone();
        tokio::spawn(async move {
            let (token, stop) = (right.token(), right.stopping());
            let mut ticks = interval(Duration::from_millis(10));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !stop.is_cancelled() && right.is_valid() {
                if let Err(error) = journal.mark(&token) {
                    eprintln!("{error}");
                }
                ticks.tick().await;
            }
        });
    }
}
