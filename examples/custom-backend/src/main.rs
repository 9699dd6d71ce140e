//! One node on a NATS server. Start it two or three times, under different names, and kill the one that is active.
//!
//! ```text
//! nats-server -js -sd /tmp/nats &
//! cargo run -p custom-backend -- nats://127.0.0.1:4222 n1
//! ```

use std::process::ExitCode;
use std::time::Duration;

use failover_core::machine::{Finish, JobEnd};
use failover_core::{ClusterName, JobHandler, JobId, JobRun, JobSpec, Node, NodeId, Right, RoleHooks, Timing};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, name] = args.as_slice() else {
        eprintln!("usage: custom-backend nats://HOST:PORT NODE");
        return ExitCode::from(2);
    };
    match run(url, name).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("custom-backend: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a node until Ctrl-C.
async fn run(url: &str, name: &str) -> Result<(), Error> {
    let backend = custom_backend::open(url, &ClusterName::new("demo")?).await?;
    // Every node asks for the job; it is there once.
    backend.jobs.submit(&JobSpec::new(JobId::new("import")?, "one row a second")?).await?;
    let node = Node::builder(backend, NodeId::new(name)?)
        .timing(Timing::new(Duration::from_millis(500), Duration::from_secs(3))?)
        .jobs(Import)
        .hooks(Front)
        .start()?;
    let mut events = node.events();
    let telling = tokio::spawn(async move {
        while let Some(stamped) = events.next().await {
            println!("{}: {}", stamped.event.kind, stamped.event.reason);
        }
    });
    let finish = tokio::select! {
        finish = node.finished() => finish,
        _ = tokio::signal::ctrl_c() => node.shutdown().await,
    };
    telling.await?;
    if finish == Finish::Left { Ok(()) } else { Err(format!("the node ended: {finish:?}").into()) }
}

/// What the cluster does: one row a second, on one node at a time.
struct Import;

#[async_trait::async_trait]
impl JobHandler for Import {
    async fn run(&self, run: JobRun) -> JobEnd {
        let (token, stop) = (run.token(), run.stop());
        for row in 1_u32.. {
            // A real job sends the token with each write, and what it writes to refuses lower ones than it has seen.
            println!("import: row {row} under {token}");
            tokio::select! {
                () = stop.cancelled() => return JobEnd::Stopped,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        JobEnd::Completed
    }
}

/// What the active node does besides.
struct Front;

#[async_trait::async_trait]
impl RoleHooks for Front {
    async fn promote(&self, right: Right) {
        println!("this node is active now, under {}", right.token());
    }

    async fn demote(&self) {
        println!("this node is not active any more");
    }
}
