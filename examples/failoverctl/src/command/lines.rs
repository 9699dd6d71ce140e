//! Jobs as they are shown, in the words of the README.

use failover::admin::Outlook;
use failover::job::{JobRecord, Run};
use failover::plan::{State, Verdict};
use serde::Serialize;

use crate::output::{Form, moment, table};
use crate::payload::Payload;

/// A job. `status` shows the same objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct JobLine {
    job: String,
    node: Option<String>,
    epoch: u64,
    phase: &'static str,
    /// What the planner makes of it, and why.
    state: &'static str,
    reason: String,
    weight: u32,
    priority: i32,
    pins: Vec<String>,
    failures: u32,
    retiring: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
}

/// The jobs as the cluster stands.
pub(crate) fn jobs(outlook: &Outlook) -> Vec<JobLine> {
    outlook.status().jobs.iter().map(|record| JobLine::new(record, outlook)).collect()
}

impl JobLine {
    fn new(record: &JobRecord, outlook: &Outlook) -> Self {
        let explained = outlook.explain(record.spec.id());
        let policy = record.spec.policy();
        Self {
            job: record.spec.id().to_string(),
            node: record.owner.as_ref().map(|owner| owner.node.to_string()),
            epoch: record.epoch.0,
            phase: record.phase.as_str(),
            state: explained.as_ref().map_or("unknown", |explained| state(&explained.state)),
            reason: explained.map(|explained| explained.state.to_string()).unwrap_or_default(),
            weight: record.spec.weight(),
            priority: policy.priority,
            pins: policy.pins.iter().map(ToString::to_string).collect(),
            failures: record.failures,
            retiring: record.retiring,
            detail: record.detail.clone(),
            command: Payload::of(&record.spec).ok().map(|payload| payload.command),
        }
    }

    /// A command is for those who ask for it: it may be long, or hold what a status page should not.
    pub(crate) fn without_command(self) -> Self {
        Self { command: None, ..self }
    }

    pub(crate) fn print(&self) {
        crate::output::line(&Form::json(self));
    }

    fn note(&self) -> String {
        let detail = match (self.failures, self.detail.as_str()) {
            (0, detail) => detail.to_owned(),
            (failures, detail) => format!("failed {failures}×: {detail}"),
        };
        let settled = matches!(self.state, "running" | "completed" | "starting" | "retiring");
        let reason = if settled { "" } else { self.reason.as_str() };
        [detail.as_str(), reason].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

/// The jobs as a table.
pub(crate) fn human(jobs: &[JobLine]) -> String {
    let row = |job: &JobLine| {
        let phase = if job.retiring { format!("{}, retiring", job.phase) } else { job.phase.to_owned() };
        let priority = if job.priority == 0 { String::new() } else { job.priority.to_string() };
        let command = job.command.as_deref().map(shell).unwrap_or_default();
        let owner = job.node.clone().unwrap_or_else(|| "-".into());
        let pins = job.pins.join(",");
        let (epoch, weight) = (job.epoch.to_string(), job.weight.to_string());
        vec![job.job.clone(), owner, epoch, phase, weight, priority, pins, command, job.note()]
    };
    let mut head = vec!["JOB", "NODE", "EPOCH", "PHASE", "WEIGHT", "PRIORITY", "PINS", "COMMAND", "NOTE"];
    let mut rows: Vec<_> = jobs.iter().map(row).collect();
    for column in (5..head.len()).rev() {
        if rows.iter().all(|row| row[column].is_empty()) {
            head.remove(column);
            for row in &mut rows {
                row.remove(column);
            }
        }
    }
    table(&head, &rows)
}

/// One placement of a job.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunLine {
    epoch: u64,
    node: String,
    incarnation: String,
    placed: String,
    ended: Option<String>,
    outcome: Option<&'static str>,
    detail: String,
}

impl From<&Run> for RunLine {
    fn from(run: &Run) -> Self {
        Self {
            epoch: run.epoch.0,
            node: run.member.node.to_string(),
            incarnation: run.member.incarnation.to_string(),
            placed: moment(run.placed),
            ended: run.end.as_ref().map(|end| moment(end.at)),
            outcome: run.end.as_ref().map(|end| end.outcome.as_str()),
            detail: run.end.as_ref().map(|end| end.detail.clone()).unwrap_or_default(),
        }
    }
}

impl RunLine {
    /// Where it was and what it said last.
    pub(crate) fn short(&self) -> String {
        let detail = if self.detail.is_empty() { String::new() } else { format!(": {}", self.detail) };
        format!(" on {} under epoch {}{detail}", self.node, self.epoch)
    }
}

/// The runs as a table.
pub(crate) fn runs(runs: &[RunLine]) -> String {
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let row = |run: &RunLine| {
        let (ended, outcome) = (or_dash(run.ended.as_deref()), or_dash(run.outcome));
        vec![run.epoch.to_string(), run.node.clone(), run.placed.clone(), ended, outcome, run.detail.clone()]
    };
    table(&["EPOCH", "NODE", "PLACED", "ENDED", "OUTCOME", "DETAIL"], &runs.iter().map(row).collect::<Vec<_>>())
}

/// The state's name.
pub(crate) fn state(state: &State) -> &'static str {
    match state {
        State::Running { .. } => "running",
        State::Starting { .. } => "starting",
        State::Moving { .. } => "moving",
        State::Retiring { .. } => "retiring",
        State::Orphaned { .. } => "orphaned",
        State::Ready { .. } => "ready",
        State::Queued => "queued",
        State::Bound { .. } => "bound",
        State::Held { .. } => "held",
        State::BackingOff { .. } => "backing_off",
        State::GaveUp { .. } => "gave_up",
        State::Completed => "completed",
        _ => "unknown",
    }
}

/// What a node is to a job.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct VerdictLine {
    pub(crate) node: String,
    verdict: &'static str,
    pub(crate) reason: String,
}

impl VerdictLine {
    pub(crate) fn new(node: &failover::NodeId, verdict: &Verdict) -> Self {
        let name = match verdict {
            Verdict::Here => "here",
            Verdict::WouldTake => "would_take",
            Verdict::Shut(_) => "shut",
            Verdict::NotPinned => "not_pinned",
            Verdict::LacksLabel { .. } => "lacks_label",
            Verdict::Apart { .. } => "apart",
            Verdict::Full { .. } => "full",
            Verdict::TooHeavy { .. } => "too_heavy",
            Verdict::HeldElsewhere { .. } => "held_elsewhere",
            _ => "unknown",
        };
        Self { node: node.to_string(), verdict: name, reason: verdict.to_string() }
    }
}

/// The words as one would type them, shortened.
fn shell(words: &[String]) -> String {
    let safe = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./=:,@%+".contains(c));
    let quoted = words.iter().map(|w| if safe(w) { w.clone() } else { format!("'{}'", w.replace('\'', r"'\''")) });
    let text = quoted.collect::<Vec<_>>().join(" ");
    if text.chars().count() <= 60 { text } else { text.chars().take(59).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let words = |words: &[&str]| shell(&words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&["sh", "-c", "echo it's", ""]), r"sh -c 'echo it'\''s' ''");
        assert_eq!(words(&[&"x".repeat(100)]).chars().count(), 60);
    }
}
