//! `job add`, `job list`, `job remove`; the others have files of their own.

use failover::job::{JobDraft, Removed, Submitted};
use failover::{JobId, job::PolicyDraft};
use serde::Serialize;

use super::{admin, apply, explain, lines, new_admin, order, wait};
use crate::cli::{Global, JobCommand};
use crate::failure::{Failure, Status};
use crate::output::{Form, Show, line};
use crate::payload::Payload;

/// How old a heartbeat may be for a list of jobs that need not be exact: the default ttl.
const MISSING: std::time::Duration = std::time::Duration::from_secs(5);

pub(crate) async fn run(global: &Global, command: &JobCommand) -> Result<u8, Failure> {
    match command {
        JobCommand::Add { id, weight, policy, command } => {
            add(global, id, *weight, policy.draft(), command.clone()).await?;
        }
        JobCommand::Apply { file, dry_run } => apply::run(global, file, *dry_run).await?,
        JobCommand::List => list(global).await?,
        JobCommand::Explain { id, missing } => explain::run(global, id, missing.0).await?,
        JobCommand::Move { id, to, within } => order::move_job(global, id, to, within.0).await?,
        JobCommand::Wait { id, done, within } => return wait::run(global, id, *done, *within).await,
        JobCommand::Remove { id } => remove(global, id).await?,
    }
    Ok(0)
}

async fn add(
    global: &Global,
    id: &JobId,
    weight: u32,
    policy: PolicyDraft,
    command: Vec<String>,
) -> Result<(), Failure> {
    let draft = JobDraft::new(Payload::job(id.clone(), weight, command)?, policy);
    // Before a store is made for it.
    if draft.policy().class.is_none() {
        draft.resolve(&std::collections::BTreeMap::new())?;
    }
    let admin = new_admin(global).await?;
    let done = |result, text: String| Form::new(global.json).print(&Done { job: id.to_string(), result, text });
    match admin.submit(draft).await? {
        Submitted::Created => done("created", format!("job `{id}` was added")),
        Submitted::Unchanged => done("unchanged", format!("job `{id}` is there already, just as given")),
        Submitted::Conflict => {
            let text = format!("another job is named `{id}`, or the one of this name is still being removed");
            let next = format!(
                "choose another name, change it with `failoverctl job apply`, or `failoverctl job remove {id}` and wait until \
                 `job list` is without it"
            );
            return Err(Failure::refused(text).next(next));
        }
        other => return Err(Failure::new(Status::Failed, format!("the store answered {other:?}"))),
    }
    Ok(())
}

async fn list(global: &Global) -> Result<(), Failure> {
    let jobs = lines::jobs(&admin(global).await?.outlook(MISSING).await?);
    match Form::new(global.json) {
        Form::Json => jobs.iter().for_each(lines::JobLine::print),
        Form::Human if jobs.is_empty() => line("no jobs; add one with `failoverctl job add ID -- CMD…`"),
        Form::Human => line(&lines::human(&jobs)),
    }
    Ok(())
}

async fn remove(global: &Global, id: &JobId) -> Result<(), Failure> {
    let done = |result, text: String| Form::new(global.json).print(&Done { job: id.to_string(), result, text });
    match admin(global).await?.remove(id).await? {
        Removed::Gone => done("gone", format!("job `{id}` is gone")),
        Removed::Retiring => done("retiring", format!("job `{id}` goes as soon as its node has stopped it")),
        Removed::Absent => return Err(absent(global, id)),
        other => return Err(Failure::new(Status::Failed, format!("the store answered {other:?}"))),
    }
    Ok(())
}

/// There is no such job.
pub(crate) fn absent(global: &Global, id: &JobId) -> Failure {
    let text = format!("there is no job `{id}` in cluster `{}`", global.cluster);
    Failure::refused(text).next("`failoverctl job list` shows the jobs there are")
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
