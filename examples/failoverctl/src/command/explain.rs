//! `job explain ID`.

use std::time::Duration;

use failover::JobId;
use serde::Serialize;

use super::lines::{RunLine, VerdictLine, runs, state};
use super::{admin, job};
use crate::cli::Global;
use crate::failure::Failure;
use crate::output::{Form, Show, plain, table};

pub(crate) async fn run(global: &Global, id: &JobId, missing: Duration) -> Result<(), Failure> {
    let outlook = admin(global).await?.outlook(missing).await?;
    let record = outlook.status().jobs.iter().find(|record| record.spec.id() == id);
    let (Some(record), Some(explained)) = (record, outlook.explain(id)) else { return Err(job::absent(global, id)) };
    Form::new(global.json).print(&ExplainLine {
        job: id.to_string(),
        state: state(&explained.state),
        reason: explained.state.to_string(),
        node: record.owner.as_ref().map(|owner| owner.node.to_string()),
        home: record.course.home.as_ref().map(ToString::to_string),
        target: record.course.target.as_ref().map(ToString::to_string),
        failover: record.spec.policy().failover.to_string(),
        retries: record.course.retries,
        nodes: explained.verdicts.iter().map(|(node, verdict)| VerdictLine::new(node, verdict)).collect(),
        runs: record.runs.iter().map(RunLine::from).collect(),
    });
    Ok(())
}

/// Why a job is where it is, as the README documents it.
#[derive(Debug, Serialize)]
struct ExplainLine {
    job: String,
    state: &'static str,
    reason: String,
    node: Option<String>,
    home: Option<String>,
    target: Option<String>,
    failover: String,
    retries: u32,
    nodes: Vec<VerdictLine>,
    runs: Vec<RunLine>,
}

impl Show for ExplainLine {
    fn human(&self) -> String {
        let mut text = plain(&format!("job {}: {}", self.job, self.reason));
        if let Some(home) = &self.home {
            text += "\nit was moved from ";
            text += home;
        }
        if self.retries > 0 {
            text += "\ntimes it was started again in a row: ";
            text += &self.retries.to_string();
        }
        let row = |node: &VerdictLine| vec![node.node.clone(), node.reason.clone()];
        let nodes: Vec<_> = self.nodes.iter().map(row).collect();
        text += "\n\n";
        text += &if nodes.is_empty() { "no nodes are known".to_owned() } else { table(&["NODE", "WHY"], &nodes) };
        text += "\n\n";
        text += &if self.runs.is_empty() { "it has not run yet".to_owned() } else { runs(&self.runs) };
        text
    }
}
