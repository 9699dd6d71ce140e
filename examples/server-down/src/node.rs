//! One server: what a service of your own would hold.

use std::time::Duration;

use failover::machine::{EventKind, JobEnd};
use failover::sql::{SqlStore, SqliteOptions};
use failover::{Backend, ClusterName, JobHandler, JobRun, Node, NodeId, ResponseAction, ResponseRun, StampedEvent};
use sqlx::SqlitePool;
use stage::{Error, Scene};

use crate::ledger;

pub(crate) fn cluster() -> Result<ClusterName, Error> {
    Ok(ClusterName::new("servers")?)
}

/// One file for everything: the servers' pings and leases, who manages what, and tables of the service's own.
pub(crate) async fn store(scene: &Scene) -> Result<SqlStore, Error> {
    Ok(SqliteOptions::new(scene.file()).open(&cluster()?).await?)
}

/// Runs a server until it is told to leave.
pub(crate) async fn run(name: &str, scene: &Scene) -> Result<(), Error> {
    let store = store(scene).await?;
    let manager = Manager { store: store.clone(), sql: ledger::open(&scene.file()).await? };
    let node = Node::builder(Backend::new(store), NodeId::new(name)?)
        .timing(stage::timing()?)
        .response("page", Page(manager.clone()))
        .jobs(manager)
        .start()?;

    let (mut events, teller) = (node.events(), scene.clone());
    let telling = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            tell(&teller, &event);
        }
    });
    stage::until_told_to_leave(&node).await?;
    Ok(telling.await?)
}

fn tell(scene: &Scene, StampedEvent { by, event, .. }: &StampedEvent) {
    match (event.kind, event.role) {
        (EventKind::RoleChanged, Some(role)) => scene.say(&format!("{by}: is {role} ({})", event.reason)),
        (EventKind::ActionBegun | EventKind::ActionDone | EventKind::ActionFailed, _) => {
            let what = event.detail.as_deref().unwrap_or_default();
            scene.say(&format!("{by}: {} for {}: {what} ({})", event.kind, event.node, event.reason));
        }
        (EventKind::NodeMissing | EventKind::NodeFenced | EventKind::NodeReturned, _) => {
            scene.say(&format!("{by}: {} {} ({})", event.kind, event.node, event.reason));
        }
        _ => {}
    }
}

/// Manages sites, jobs and agents. Each is a job of the cluster; what is done for it is entered under its token.
#[derive(Clone)]
struct Manager {
    store: SqlStore,
    sql: SqlitePool,
}

#[async_trait::async_trait]
impl JobHandler for Manager {
    async fn run(&self, run: JobRun) -> JobEnd {
        let (stop, server) = (run.stop(), run.right().lease().holder.node.clone());
        for times in 1_u32.. {
            match ledger::enter(&self.sql, &self.store, &run, &server).await {
                Ok(()) => run.progress(format!("{times} times")),
                Err(error) => return JobEnd::Failed(error.to_string()),
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
        JobEnd::Stopped
    }
}

/// The response to a server that is down: pages whoever is on call, here by a row in a table. The active server claims it in the store before it
/// runs it, so there is one for each event, whoever is killed meanwhile.
struct Page(Manager);

#[async_trait::async_trait]
impl ResponseAction for Page {
    async fn run(&self, run: ResponseRun) -> Result<String, String> {
        let Manager { store, sql } = &self.0;
        ledger::page(sql, store, &run).await.map_err(|error| error.to_string())?;
        Ok(format!("paged: {} is down", run.incident().claim.node))
    }
}
