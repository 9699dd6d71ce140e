//! A node's jobs: each an external command under a guard.

use std::time::Duration;

use async_trait::async_trait;
use failover::ClusterName;
use failover::machine::JobEnd;
use failover::node::{JobHandler, JobRun};

use crate::guard::{self, Cause, CommandLine, Ended, Exit, Output};
use crate::payload::Payload;

/// Runs a job's command.
#[derive(Debug)]
pub(crate) struct Commands {
    pub(crate) cluster: ClusterName,
    pub(crate) grace: Duration,
}

#[async_trait]
impl JobHandler for Commands {
    async fn run(&self, run: JobRun) -> JobEnd {
        let payload = match Payload::of(run.spec()) {
            Ok(payload) => payload,
            Err(error) => return JobEnd::Failed(error.to_string()),
        };
        let command = CommandLine {
            words: payload.command.into_iter().map(Into::into).collect(),
            environment: vec![
                ("FAILOVER_CLUSTER", self.cluster.to_string()),
                ("FAILOVER_JOB", run.spec().id().to_string()),
                ("FAILOVER_NODE", run.right().lease().holder.node.to_string()),
                ("FAILOVER_TOKEN", run.token().number.to_string()),
            ],
            output: if run.spec().policy().progress.is_some() { Output::Progress(run.clone()) } else { Output::Stderr },
            grace: self.grace,
        };
        match guard::run(command, run.right().clone(), run.stop()).await {
            Ended::Ran(Exit::Code(0), Cause::Own) => JobEnd::Completed,
            Ended::Ran(exit, Cause::Own) => JobEnd::Failed(exit.to_string()),
            Ended::Ran(_, Cause::Asked | Cause::RightEnded) => JobEnd::Stopped,
            Ended::Broken(text) => JobEnd::Failed(text),
        }
    }
}
