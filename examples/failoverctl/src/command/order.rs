//! `job move` and `failback`: what the active node is asked to carry out.

use std::time::Duration;

use failover::admin::OrderError;
use failover::{JobId, NodeId};
use serde::Serialize;

use super::{admin, job};
use crate::cli::{FailbackArgs, Global};
use crate::failure::{Failure, Status};
use crate::output::{Form, Show, plain};

pub(crate) async fn move_job(global: &Global, id: &JobId, to: &NodeId, within: Duration) -> Result<(), Failure> {
    let order = admin(global).await?.move_job(id, to, within).await;
    let order = order.map_err(|error| match error {
        OrderError::NoJob { .. } => job::absent(global, id),
        error => failure(error).next(format!("`failoverctl job explain {id}` tells what each node is to it")),
    })?;
    let text = format!("job `{id}` runs on `{to}`");
    let job = Some(id.to_string());
    Form::new(global.json).print(&Done { job, node: to.to_string(), result: "moved", reason: order.reason, text });
    Ok(())
}

pub(crate) async fn failback(global: &Global, args: &FailbackArgs) -> Result<u8, Failure> {
    let node = &args.node;
    let order = admin(global).await?.failback(node, args.within.0).await;
    let order = order.map_err(|error| failure(error).next("`failoverctl status` shows the nodes and the jobs"))?;
    let text = format!("what was moved from `{node}` is back");
    let done = Done { job: None, node: node.to_string(), result: "returned", reason: order.reason, text };
    Form::new(global.json).print(&done);
    Ok(0)
}

pub(super) fn failure(error: OrderError) -> Failure {
    match error {
        OrderError::Store(error) => error.into(),
        OrderError::NoNode(invalid) => Failure::refused(invalid.to_string()),
        error @ OrderError::TimedOut { .. } => Failure::new(Status::Failed, error.to_string()),
        error => Failure::refused(error.to_string()),
    }
}

/// An order that was carried out, as the README documents it.
#[derive(Debug, Serialize)]
struct Done {
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    node: String,
    result: &'static str,
    reason: Option<String>,
    #[serde(skip)]
    text: String,
}

impl Show for Done {
    fn human(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        plain(&format!("{}{reason}", self.text))
    }
}
