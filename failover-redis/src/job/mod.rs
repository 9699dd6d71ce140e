//! [`JobAssigner`] on Redis: a record for each job, a sorted set of them by revision.
//!
//! What a move or a report does to a record is decided in the scripts, which restate [`failover_core::rules`].

mod text;

use std::time::Duration;

use async_trait::async_trait;
use failover_core::job::{
    Assigned, Changes, JobChange, JobReport, JobStatus, Move, Removed, Reported, Revised, Step, Submitted,
};
use failover_core::{Epoch, JobAssigner, JobId, JobSpec, Lease, Member, Result, Revision, Term, record, rules};

use crate::call::{arg, args};
use crate::keys::JOBS;
use crate::reply::Reply;
use crate::store::RedisStore;

/// How many entries one page of the feed has at most, whatever was asked for.
const PAGE: usize = 1000;

#[async_trait]
impl JobAssigner for RedisStore {
    async fn submit(&self, spec: &JobSpec) -> Result<Submitted> {
        let args = args![spec.id(), record::encode("submit", spec)?];
        let mut reply = self.write("submit", &self.shared.scripts.submit, args).await?;
        match reply.text()?.as_str() {
            "created" => Ok(Submitted::Created),
            "there" => {
                let (retiring, there) = (reply.flag()?, reply.bytes()?);
                let there: JobSpec = record::decode("submit", &format!("job {}", spec.id()), &there)?;
                let mut job = rules::queued(&there, Epoch::ZERO, Revision::ZERO);
                job.retiring = retiring;
                Ok(rules::submit(&job, spec))
            }
            _ => Err(reply.strange()),
        }
    }

    async fn revise(&self, spec: &JobSpec) -> Result<Revised> {
        let wanted = record::encode("revise", spec)?;
        let mut found = Vec::new();
        loop {
            let args = vec![arg(spec.id()), arg(&wanted), found];
            let mut reply = self.write("revise", &self.shared.scripts.revise, args).await?;
            match reply.text()?.as_str() {
                "changed" => return Ok(Revised::Changed),
                "absent" => return Ok(Revised::Absent),
                "there" => found = reply.bytes()?,
                _ => return Err(reply.strange()),
            }
            let there: JobSpec = record::decode("revise", &format!("job {}", spec.id()), &found)?;
            if there == *spec {
                return Ok(Revised::Unchanged);
            }
        }
    }

    async fn remove(&self, job: &JobId) -> Result<Removed> {
        let mut reply = self.write("remove", &self.shared.scripts.remove, args![job]).await?;
        match reply.text()?.as_str() {
            "gone" => Ok(Removed::Gone),
            "retiring" => Ok(Removed::Retiring),
            "absent" => Ok(Removed::Absent),
            _ => Err(reply.strange()),
        }
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<Changes> {
        rules::check_limit("changes", limit)?;
        let args = args![since, limit.min(PAGE)];
        let mut reply = self.shared.call("changes", &self.shared.scripts.changes, args, Duration::ZERO).await?;
        let (reset, head, more, mut page) = (reply.flag()?, reply.number()?, reply.flag()?, reply.list()?);
        self.shared.seen().saw_revision(head);
        let mut changes = Vec::new();
        while !page.is_empty() {
            changes.push(text::change(&mut page)?);
        }
        let last = changes.last().map(JobChange::revision);
        let upto = last.filter(|_| more).unwrap_or(Revision(head));
        Ok(Changes { reset, changes, upto, more })
    }

    async fn assign(&self, fence: &Lease, moves: &[Move]) -> Result<Assigned> {
        rules::check_moves("assign", moves)?;
        let mut args = args![fence.name, fence.term];
        for wanted in moves {
            let (step, from, to) = match &wanted.step {
                Step::Place { to } => ("place", None, Some(to)),
                Step::Seize { from, to } => ("seize", Some(from), to.as_ref()),
                Step::Drain => ("drain", None, None),
                // The enum is open for other crates: what is not known here cannot be decided here.
                _ => {
                    let rule = "this backend is older than failover-core: use versions that belong together";
                    let invalid = failover_core::Invalid::new("moves", &wanted.job, rule);
                    return Err(failover_core::Error::invalid("assign", invalid));
                }
            };
            let course = text::course(&wanted.course)?;
            args.extend(args![wanted.job, wanted.expect, step, owner(from), owner(to), course]);
        }
        let mut reply = self.write("assign", &self.shared.scripts.assign, args).await?;
        match reply.text()?.as_str() {
            "applied" => {
                let revision = reply.number()?;
                self.shared.seen().saw_revision(revision);
                Ok(Assigned::Applied(Revision(revision)))
            }
            "fenced" => Ok(Assigned::Fenced { current: Term(reply.number()?) }),
            "stale" => {
                let mut list = reply.list()?;
                let mut stale = Vec::new();
                while !list.is_empty() {
                    stale.push(list.id()?);
                }
                Ok(Assigned::Stale(stale))
            }
            _ => Err(reply.strange()),
        }
    }

    async fn report(&self, reports: &[JobReport]) -> Result<Vec<Reported>> {
        rules::check_reports("report", reports)?;
        let mut args = Vec::with_capacity(reports.len() * 5);
        for said in reports {
            let (status, text) = match &said.status {
                JobStatus::Running => ("running", ""),
                JobStatus::Progress(text) => ("progress", text.as_str()),
                JobStatus::Stopped => ("stopped", ""),
                JobStatus::Completed => ("completed", ""),
                JobStatus::Failed(text) => ("failed", text.as_str()),
                _ => {
                    let rule = "this backend is older than failover-core: use versions that belong together";
                    let invalid = failover_core::Invalid::new("reports", &said.job, rule);
                    return Err(failover_core::Error::invalid("report", invalid));
                }
            };
            args.extend([arg(&said.job), arg(&said.member), arg(&said.epoch), arg(status), arg(&rules::cut(text))]);
        }
        let mut reply = self.write("report", &self.shared.scripts.report, args).await?;
        let (revision, mut list) = (reply.number()?, reply.list()?);
        self.shared.seen().saw_revision(revision);
        let mut answers = Vec::with_capacity(reports.len());
        while !list.is_empty() {
            answers.push(if list.flag()? { Reported::Accepted } else { Reported::Stale });
        }
        Ok(answers)
    }

    async fn changed(&self) -> Result<()> {
        self.changed_in(JOBS).await
    }
}

impl RedisStore {
    async fn write(
        &self,
        operation: &'static str,
        script: &crate::scripts::Operation,
        args: Vec<Vec<u8>>,
    ) -> Result<Reply> {
        self.shared.call(operation, script, args, Duration::MAX).await
    }
}

fn owner(member: Option<&Member>) -> String {
    member.map_or_else(|| "-".to_owned(), ToString::to_string)
}
