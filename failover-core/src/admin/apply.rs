//! Many jobs and classes at once, as a file describes them: what is new is made, what differs is changed, the rest is left alone.

use std::collections::{BTreeMap, BTreeSet};

use super::Admin;
use super::apart;
use super::known::Known;
use crate::error::{Error, ErrorKind, Invalid, Result};
use crate::ids::{ClassName, JobId};
use crate::job::{JobDraft, JobPolicy, JobRecord, JobSpec, Revised, Submitted};

const OPERATION: &str = "apply";

/// The jobs and classes that there are to be. What is not named here is left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The classes.
    pub classes: BTreeMap<ClassName, JobPolicy>,
    /// The jobs. They may be of classes that are defined here or already.
    pub jobs: Vec<JobDraft>,
}

/// Whether to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Do it.
    Write,
    /// Check everything and tell what would be done.
    DryRun,
}

/// What one class or job differs in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// A class.
    Class(ClassName, Change),
    /// A job.
    Job(JobId, Change),
}

/// How what there is differs from what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// There is none of this name.
    New,
    /// It is like that already.
    Same,
    /// In these fields.
    Fields(Vec<FieldChange>),
}

/// A field that differs. Of a payload only the length is told: it may hold a secret (law 19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Which.
    pub field: &'static str,
    /// What it is, as text.
    pub from: String,
    /// What it is to be.
    pub to: String,
}

impl Admin {
    /// Makes the cluster's jobs and classes as wanted, and tells for each in which it differed. Doing it twice changes nothing more.
    ///
    /// Everything is checked before anything is written. A store that fails half-way leaves some of it done: do it again.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid), and then nothing is written: for what [`submit`](Self::submit) refuses, for two jobs of one name, and for jobs that
    /// keep apart on fewer nodes than they are pinned to. [`Unavailable`](ErrorKind::Unavailable) for a job that is still being removed. Else the store's.
    pub async fn apply(&self, wanted: &Wanted, mode: Mode) -> Result<Vec<Difference>> {
        let (mut known, there) = tokio::try_join!(self.known(), self.jobs())?;
        let there: BTreeMap<_, _> = there.into_iter().map(|record| (record.spec.id().clone(), record)).collect();
        let classes = differing_classes(&mut known, wanted);
        let jobs = resolved(&known, wanted, &there).map_err(|invalid| Error::invalid(OPERATION, invalid))?;
        if let Some(leaving) = jobs.iter().find(|spec| there.get(spec.id()).is_some_and(|record| record.retiring)) {
            return Err(retiring(leaving.id()));
        }
        if mode == Mode::Write {
            if classes.iter().any(|(_, change)| *change != Change::Same) {
                self.reconfigure(|settings| {
                    settings.classes.extend(wanted.classes.clone());
                    Ok(())
                })
                .await?;
            }
            for spec in &jobs {
                self.make(spec, there.get(spec.id())).await?;
            }
        }
        let classes = classes.into_iter().map(|(class, change)| Difference::Class(class, change));
        let jobs = jobs.iter().map(|spec| Difference::Job(spec.id().clone(), change(there.get(spec.id()), spec)));
        Ok(classes.chain(jobs).collect())
    }

    /// Makes one job as wanted. What others did to it meanwhile is overwritten, as if they had come before.
    async fn make(&self, spec: &JobSpec, there: Option<&JobRecord>) -> Result<()> {
        if there.is_some_and(|record| record.spec == *spec) {
            return Ok(());
        }
        if there.is_none() && self.ask(OPERATION, self.backend.jobs.submit(spec)).await? != Submitted::Conflict {
            return Ok(());
        }
        match self.ask(OPERATION, self.backend.jobs.revise(spec)).await? {
            Revised::Changed | Revised::Unchanged => Ok(()),
            Revised::Absent => Err(retiring(spec.id())),
        }
    }
}

fn retiring(job: &JobId) -> Error {
    let message = format!("job `{job}` is being removed: wait until it is gone, then apply again");
    Error::new(ErrorKind::Unavailable, OPERATION, message)
}

/// How the classes differ; `known` has the wanted ones from then on.
fn differing_classes(known: &mut Known, wanted: &Wanted) -> Vec<(ClassName, Change)> {
    let differing = |(name, policy): (&ClassName, &JobPolicy)| {
        let change = match known.settings.classes.get(name) {
            None => Change::New,
            Some(there) => fields(policy_texts(there), policy_texts(policy)),
        };
        known.settings.classes.insert(name.clone(), policy.clone());
        (name.clone(), change)
    };
    wanted.classes.iter().map(differing).collect()
}

/// The jobs with their classes' defaults, if all of them can be.
fn resolved(known: &Known, wanted: &Wanted, there: &BTreeMap<JobId, JobRecord>) -> Result<Vec<JobSpec>, Invalid> {
    known.settings.check()?;
    let named = |thing: &dyn std::fmt::Display, invalid: Invalid| {
        Invalid::new(format!("{thing}: {}", invalid.field), invalid.value, invalid.rule)
    };
    for (name, policy) in &wanted.classes {
        known.check_pins(policy).map_err(|invalid| named(&format_args!("class `{name}`"), invalid))?;
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = wanted.jobs.iter().find(|job| !seen.insert(job.id())) {
        return Err(Invalid::new("job", twice.id(), "it is there twice: a job's name is its own"));
    }
    let resolve = |draft: &JobDraft| {
        known.resolve(draft).map_err(|invalid| named(&format_args!("job `{}`", draft.id()), invalid))
    };
    let jobs: Vec<_> = wanted.jobs.iter().map(resolve).collect::<Result<_, _>>()?;
    let others = there.values().filter(|record| !seen.contains(record.spec.id()) && !record.retiring);
    apart::check(jobs.iter().chain(others.map(|record| &record.spec)))?;
    Ok(jobs)
}

fn change(there: Option<&JobRecord>, spec: &JobSpec) -> Change {
    let Some(there) = there else { return Change::New };
    let change = fields(texts(&there.spec), texts(spec));
    if change == Change::Same && there.spec.payload() != spec.payload() {
        let length = format!("{} bytes", spec.payload().len());
        return Change::Fields(vec![FieldChange { field: "payload", from: length.clone(), to: length }]);
    }
    change
}

fn fields(from: Vec<(&'static str, String)>, to: Vec<(&'static str, String)>) -> Change {
    let pairs = from.into_iter().zip(to).filter(|((_, from), (_, to))| from != to);
    let changes: Vec<_> = pairs.map(|((field, from), (_, to))| FieldChange { field, from, to }).collect();
    if changes.is_empty() { Change::Same } else { Change::Fields(changes) }
}

fn texts(spec: &JobSpec) -> Vec<(&'static str, String)> {
    let mut texts = policy_texts(spec.policy());
    texts.push(("weight", spec.weight().to_string()));
    texts.push(("payload", format!("{} bytes", spec.payload().len())));
    texts
}

/// Every field of a policy as text, always in this order.
fn policy_texts(policy: &JobPolicy) -> Vec<(&'static str, String)> {
    fn or_none<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(|| "none".to_owned(), |value| value.to_string())
    }
    let labels = |labels: &BTreeMap<String, String>| {
        let texts: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
    };
    let JobPolicy { class, priority, pins, requires, prefers, apart, failover, failback, retries, backoff, progress } =
        policy;
    let pins: Vec<_> = pins.iter().map(crate::NodeId::as_str).collect();
    let span = |span: &Option<std::time::Duration>| or_none(span.map(|span| format!("{span:?}")));
    vec![
        ("class", or_none(class.as_ref())),
        ("priority", priority.to_string()),
        ("pins", if pins.is_empty() { "none".to_owned() } else { pins.join(", ") }),
        ("requires", labels(requires)),
        ("prefers", labels(prefers)),
        ("apart", or_none(apart.as_ref())),
        ("failover", failover.to_string()),
        ("failback", failback.map_or_else(|| "as the cluster's".to_owned(), |failback| failback.to_string())),
        ("retries", retries.map_or_else(|| "always".to_owned(), |n| n.to_string())),
        ("backoff", span(backoff)),
        ("progress", span(progress)),
    ]
}
