//! `plan`: what would follow from a change.

use failover::Capacity;
use failover::admin::{Rehearsal, What};
use failover::plan::Decision;
use serde::Serialize;

use super::admin;
use super::lines::{VerdictLine, state};
use crate::cli::{Global, PlanArgs, WhatArgs, labels};
use crate::failure::{Failure, Status};
use crate::output::{Form, Show, table};

pub(crate) async fn run(global: &Global, args: &PlanArgs) -> Result<u8, Failure> {
    let what = match &args.what {
        WhatArgs { if_lost: Some(node), .. } => What::IfLost(node.clone()),
        WhatArgs { if_added: Some(node), .. } => {
            let capacity = Capacity::of(args.capacity)?;
            let capacity = args.weight.map_or(Ok(capacity), |weight| capacity.with_weight(weight))?;
            What::IfAdded { node: node.clone(), capacity, labels: labels(&args.labels) }
        }
        WhatArgs { roster: Some(roster), .. } => What::Roster(roster.0.clone()),
        WhatArgs { if_lost: None, if_added: None, roster: None } => {
            return Err(
                Failure::new(Status::Usage, "nothing to plan for").next("name --if-lost, --if-added or --roster")
            );
        }
    };
    let rehearsal = admin(global).await?.plan(&what, args.missing.0).await?;
    Form::new(global.json).print(&PlanLine::from(&rehearsal));
    Ok(0)
}

/// What would follow, as the README documents it.
#[derive(Debug, Serialize)]
struct PlanLine {
    pending: Vec<MoveLine>,
    moves: Vec<MoveLine>,
    waiting: Vec<WaitingLine>,
}

#[derive(Debug, Serialize)]
struct MoveLine {
    job: String,
    from: Option<String>,
    to: Option<String>,
    reason: String,
}

#[derive(Debug, Serialize)]
struct WaitingLine {
    job: String,
    state: &'static str,
    reason: String,
    nodes: Vec<VerdictLine>,
}

impl From<&Decision> for MoveLine {
    fn from(decision: &Decision) -> Self {
        Self {
            job: decision.mv.job.to_string(),
            from: decision.from.as_ref().map(ToString::to_string),
            to: decision.to.as_ref().map(ToString::to_string),
            reason: decision.why.to_string(),
        }
    }
}

impl From<&Rehearsal> for PlanLine {
    fn from(rehearsal: &Rehearsal) -> Self {
        let waiting = |(job, explained): &(failover::JobId, failover::plan::Explanation)| WaitingLine {
            job: job.to_string(),
            state: state(&explained.state),
            reason: explained.state.to_string(),
            nodes: explained.verdicts.iter().map(|(node, verdict)| VerdictLine::new(node, verdict)).collect(),
        };
        Self {
            pending: rehearsal.pending.iter().map(MoveLine::from).collect(),
            moves: rehearsal.decisions.iter().map(MoveLine::from).collect(),
            waiting: rehearsal.waiting.iter().map(waiting).collect(),
        }
    }
}

impl Show for PlanLine {
    fn human(&self) -> String {
        let name = |node: &Option<String>| node.clone().unwrap_or_else(|| "-".into());
        let rows = |moves: &[MoveLine]| -> Vec<_> {
            moves.iter().map(|m| vec![m.job.clone(), name(&m.from), name(&m.to), m.reason.clone()]).collect()
        };
        let mut parts = Vec::new();
        if !self.pending.is_empty() {
            parts.push(format!(
                "about to happen anyway:\n{}",
                table(&["JOB", "FROM", "TO", "WHY"], &rows(&self.pending))
            ));
        }
        parts.push(if self.moves.is_empty() {
            "no job would move".to_owned()
        } else {
            table(&["JOB", "FROM", "TO", "WHY"], &rows(&self.moves))
        });
        if !self.waiting.is_empty() {
            let why = |job: &WaitingLine| {
                let nodes = job.nodes.iter().map(|node| format!("{}: {}", node.node, node.reason)).collect::<Vec<_>>();
                vec![job.job.clone(), job.reason.clone(), nodes.join("; ")]
            };
            let rows: Vec<_> = self.waiting.iter().map(why).collect();
            parts.push(format!("would wait:\n{}", table(&["JOB", "WHY", "NODES"], &rows)));
        }
        parts.join("\n\n")
    }
}
