//! `job add`, `job list`, `job remove`.

use failover::admin::Admin;
use failover::job::{JobRecord, Removed, Submitted};
use serde::Serialize;

use crate::cli::{Global, JobCommand};
use crate::failure::{Failure, Status};
use crate::output::{Form, Show, line, table};
use crate::payload::Payload;
use crate::store::{self, Absent};

pub(crate) async fn run(global: &Global, command: &JobCommand) -> Result<u8, Failure> {
    match command {
        JobCommand::Add { id, weight, command } => {
            let spec = Payload::spec(id.clone(), *weight, command.clone())?;
            let admin = Admin::new(store::open(global, Absent::Create).await?);
            let done = |result, text: String| Form::new(global.json).print(&Done { job: id.to_string(), result, text });
            match admin.submit(&spec).await? {
                Submitted::Created => done("created", format!("job `{id}` was added")),
                Submitted::Unchanged => done("unchanged", format!("job `{id}` is there already, just as given")),
                Submitted::Conflict => {
                    let text = format!("another job is named `{id}`, or the one of this name is still being removed");
                    let next = format!(
                        "choose another name, or `failoverctl job remove {id}` and wait until `job list` is without it"
                    );
                    return Err(Failure::refused(text).next(next));
                }
                other => return Err(Failure::new(Status::Failed, format!("the store answered {other:?}"))),
            }
        }
        JobCommand::List => {
            let admin = Admin::new(store::open(global, Absent::Refuse).await?);
            let jobs: Vec<_> = admin.jobs().await?.iter().map(JobLine::from).collect();
            match Form::new(global.json) {
                Form::Json => jobs.iter().for_each(|job| Form::Json.print(job)),
                Form::Human if jobs.is_empty() => line("no jobs; add one with `failoverctl job add ID -- CMD…`"),
                Form::Human => line(&human(&jobs)),
            }
        }
        JobCommand::Remove { id } => {
            let admin = Admin::new(store::open(global, Absent::Refuse).await?);
            let done = |result, text: String| Form::new(global.json).print(&Done { job: id.to_string(), result, text });
            match admin.remove(id).await? {
                Removed::Gone => done("gone", format!("job `{id}` is gone")),
                Removed::Retiring => done("retiring", format!("job `{id}` goes as soon as its node has stopped it")),
                Removed::Absent => {
                    let text = format!("there is no job `{id}` in cluster `{}`", global.cluster);
                    return Err(Failure::refused(text).next("`failoverctl job list` shows the jobs there are"));
                }
                other => return Err(Failure::new(Status::Failed, format!("the store answered {other:?}"))),
            }
        }
    }
    Ok(0)
}

#[derive(Serialize)]
struct Done {
    job: String,
    result: &'static str,
    #[serde(skip)]
    text: String,
}

impl Show for Done {
    fn human(&self) -> String {
        self.text.clone()
    }
}

/// A job, as the README documents it. `status` shows the same objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct JobLine {
    job: String,
    node: Option<String>,
    epoch: u64,
    phase: &'static str,
    weight: u32,
    failures: u32,
    retiring: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
}

impl JobLine {
    /// A command is for those who ask for it: it may be long, or hold what a status page should not.
    pub(crate) fn without_command(self) -> Self {
        Self { command: None, ..self }
    }
}

impl From<&JobRecord> for JobLine {
    fn from(record: &JobRecord) -> Self {
        Self {
            job: record.spec.id().to_string(),
            node: record.owner.as_ref().map(|owner| owner.node.to_string()),
            epoch: record.epoch.0,
            phase: record.phase.as_str(),
            weight: record.spec.weight(),
            failures: record.failures,
            retiring: record.retiring,
            detail: record.detail.clone(),
            command: Payload::of(&record.spec).ok().map(|payload| payload.command),
        }
    }
}

impl Show for JobLine {
    fn human(&self) -> String {
        human(std::slice::from_ref(self))
    }
}

/// The jobs as a table.
pub(crate) fn human(jobs: &[JobLine]) -> String {
    let row = |job: &JobLine| {
        let phase = if job.retiring { format!("{}, retiring", job.phase) } else { job.phase.to_owned() };
        let note = match (job.failures, job.detail.as_str()) {
            (0, detail) => detail.to_owned(),
            (failures, detail) => format!("failed {failures}×: {detail}"),
        };
        let command = job.command.as_deref().map(shell).unwrap_or_default();
        let owner = job.node.clone().unwrap_or_else(|| "-".into());
        vec![job.job.clone(), owner, job.epoch.to_string(), phase, job.weight.to_string(), command, note]
    };
    let mut head = vec!["JOB", "NODE", "EPOCH", "PHASE", "WEIGHT", "COMMAND", "NOTE"];
    let mut rows: Vec<_> = jobs.iter().map(row).collect();
    for column in [6, 5] {
        if rows.iter().all(|row| row[column].is_empty()) {
            head.remove(column);
            for row in &mut rows {
                row.remove(column);
            }
        }
    }
    table(&head, &rows)
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
