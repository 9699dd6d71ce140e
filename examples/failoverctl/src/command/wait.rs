//! `job wait ID`.

use failover::JobId;
use failover::admin::{WaitFor, Waited};
use failover::job::Outcome;
use serde::Serialize;

use super::lines::RunLine;
use super::{admin, job};
use crate::cli::{Global, Span};
use crate::failure::{Failure, Status};
use crate::output::{Form, Show, plain};

/// The exit statuses, documented in the README.
const STOPPED: u8 = 10;
const FAILED: u8 = 11;
const LOST: u8 = 12;
const REMOVED: u8 = 13;

pub(crate) async fn run(global: &Global, id: &JobId, done: bool, within: Option<Span>) -> Result<u8, Failure> {
    let admin = admin(global).await?;
    let waiting = admin.wait(id, if done { WaitFor::Done } else { WaitFor::RunEnds });
    let waited = match within {
        None => waiting.await?,
        Some(within) => {
            let Ok(waited) = tokio::time::timeout(within.0, waiting).await else {
                let text = format!("job `{id}` was not over within {within}");
                return Err(Failure::new(Status::TimedOut, text)
                    .next(format!("`failoverctl job explain {id}` tells where it is and why")));
            };
            waited?
        }
    };
    let (status, outcome, run) = match &waited {
        Waited::Absent => return Err(job::absent(global, id)),
        Waited::Ended(run) => {
            let (status, outcome) = match run.end.as_ref().map(|end| end.outcome) {
                Some(Outcome::Completed) => (0, "completed"),
                Some(Outcome::Stopped) => (STOPPED, "stopped"),
                Some(Outcome::Lost) => (LOST, "lost"),
                _ => (FAILED, "failed"),
            };
            (status, outcome, Some(RunLine::from(run)))
        }
        _ => (REMOVED, "removed", None),
    };
    Form::new(global.json).print(&WaitLine { job: id.to_string(), outcome, run });
    Ok(status)
}

/// How a wait ended, as the README documents it.
#[derive(Debug, Serialize)]
struct WaitLine {
    job: String,
    outcome: &'static str,
    run: Option<RunLine>,
}

impl Show for WaitLine {
    fn human(&self) -> String {
        let run = self.run.as_ref().map(RunLine::short).unwrap_or_default();
        plain(&format!("job {}: {}{run}", self.job, self.outcome))
    }
}
