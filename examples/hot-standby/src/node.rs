//! One server: what a service of your own would hold.

use std::path::PathBuf;
use std::time::Duration;

use failover::machine::EventKind;
use failover::sql::{SqlStore, SqliteOptions};
use failover::{Backend, ClusterName, Node, NodeId, StampedEvent};
use stage::{Error, Scene};
use tokio::sync::Mutex;

use crate::application::{self, Application, Operation};

/// One file for everything that is shared: heartbeats, leases, the cluster's configuration, and a table of the application's own.
pub(crate) async fn store(scene: &Scene) -> Result<SqlStore, Error> {
    Ok(SqliteOptions::new(scene.file()).open(&ClusterName::new("plant")?).await?)
}

/// The plant's line, as one server can reach it.
pub(crate) fn line(scene: &Scene, server: &str) -> PathBuf {
    scene.directory.join(format!("{server}.line"))
}

/// The server's own copy of the cluster's configuration.
pub(crate) fn domain(scene: &Scene, server: &str) -> PathBuf {
    scene.directory.join(format!("{server}.domain"))
}

/// Runs a server until it is told to leave.
pub(crate) async fn run(name: &str, version: &str, scene: &Scene) -> Result<(), Error> {
    let store = store(scene).await?;
    let application = Application {
        server: name.to_owned(),
        store: store.clone(),
        sql: application::open(&scene.file()).await?,
        line: line(scene, name),
        scene: scene.clone(),
    };
    let node = Node::builder(Backend::new(store), NodeId::new(name)?)
        .timing(stage::timing()?)
        .version(version)
        .local_config(domain(scene, name))
        .hooks(Operation { application, running: Mutex::default() })
        .start()?;

    let (mut events, teller) = (node.events(), scene.clone());
    let telling = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            tell(&teller, &event);
        }
    });
    let watching = tokio::spawn(watch(node.clone(), line(scene, name)));
    stage::until_told_to_leave(&node).await?;
    watching.abort();
    Ok(telling.await?)
}

/// Looks after the line: a server that cannot reach the plant says so, and the role goes to one that can.
async fn watch(node: Node, line: PathBuf) {
    loop {
        let told = match std::fs::read_to_string(&line) {
            Ok(_) => node.clear_failure("line"),
            Err(_) => node.report_failure("line", "the plant does not answer", 30),
        };
        if let Err(invalid) = told {
            eprintln!("{invalid}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn tell(scene: &Scene, StampedEvent { by, event, .. }: &StampedEvent) {
    match (event.kind, event.role) {
        (EventKind::RoleChanged, Some(role)) => scene.say(&format!("{by}: is {role} ({})", event.reason)),
        (EventKind::SettingsRestored, _) => scene.say(&format!("{by}: {} ({})", event.kind, event.reason)),
        (
            EventKind::FailureReported
            | EventKind::FailureCleared
            | EventKind::VersionRefused
            | EventKind::VersionAccepted,
            _,
        ) => {
            let what = event.detail.as_deref().unwrap_or_default();
            scene.say(&format!("{by}: {} ({}): {what}", event.kind, event.reason));
        }
        (EventKind::NodeFenced, _) => scene.say(&format!("{by}: {} {} ({})", event.kind, event.node, event.reason)),
        _ => {}
    }
}
