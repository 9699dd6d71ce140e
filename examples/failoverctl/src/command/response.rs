//! What a node runs for each lost node: a command under a guard, so that it outlives neither its right nor its time.

use std::time::Duration;

use async_trait::async_trait;
use failover::node::{ResponseAction, ResponseRun};
use tokio_util::sync::CancellationToken;

use crate::guard::{self, Cause, CommandLine, Ended, Exit, Output};

/// `--on-incident`.
#[derive(Debug)]
pub(crate) struct OnIncident {
    pub(crate) command: String,
    /// Between SIGTERM and SIGKILL when its time is over.
    pub(crate) grace: Duration,
    pub(crate) within: Duration,
}

#[async_trait]
impl ResponseAction for OnIncident {
    async fn run(&self, run: ResponseRun) -> Result<String, String> {
        let command = CommandLine {
            words: ["sh", "-c", &self.command].into_iter().map(Into::into).collect(),
            environment: run.environment(),
            output: Output::Stderr,
            grace: self.grace,
        };
        let stop = CancellationToken::new();
        let guarded = guard::run(command, run.right().clone(), stop.clone());
        tokio::pin!(guarded);
        let ended = tokio::select! {
            ended = &mut guarded => ended,
            () = tokio::time::sleep(self.within) => {
                stop.cancel();
                guarded.await
            }
        };
        match ended {
            Ended::Ran(Exit::Code(0), Cause::Own) => Ok(String::new()),
            Ended::Ran(exit, Cause::Own) => Err(exit.to_string()),
            Ended::Ran(_, Cause::Asked) => Err(format!("it was stopped, because it still ran after {:?}", self.within)),
            Ended::Ran(_, Cause::RightEnded) => {
                Err("it was stopped, because the node's right to be active ended".into())
            }
            Ended::Broken(text) => Err(text),
        }
    }
}
