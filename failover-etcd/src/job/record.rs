//! Jobs as values: a line that says who runs it under which epoch, and the rest as JSON and texts.
//!
//! The beginning of the line is such that a host's transaction can make it a condition ([`Fence`](crate::Fence)): it stays as it is while
//! the owner reports progress. Texts stand behind the JSON as they are, because in it they could take six times their room.

use failover_core::job::{Course, Phase, Run};
use failover_core::{Epoch, Incarnation, JobId, JobRecord, JobSpec, Member, NodeId, Result, Revision};
use serde::{Deserialize, Serialize};

use crate::connection::Call;
use crate::keys;
use crate::txn::Entry;

/// Specs up to this many bytes are kept in the job's record, and are read with it. A hundred records with the longest texts
/// and histories stay below the 1.5 MiB that etcd takes in one request.
const MAX_INLINE: usize = 1024;

/// How many changes share an etcd revision at most; the place among them makes a feed position of its own of each.
const PLACES: u64 = 128;

/// The first position at an etcd revision.
pub(super) fn start_of(revision: i64) -> Revision {
    Revision(u64::try_from(revision).unwrap_or(0) * PLACES)
}

/// The last position of an etcd revision.
pub(super) fn end_of(revision: i64) -> Revision {
    Revision(u64::try_from(revision).unwrap_or(0) * PLACES + (PLACES - 1))
}

/// The position of the last change of any job, by the key that is written with each.
pub(super) fn head(marker: Option<&Entry>) -> Revision {
    marker.map_or(Revision::ZERO, |entry| end_of(entry.modified))
}

/// The etcd revision of a position.
pub(super) fn etcd_revision(Revision(position): Revision) -> i64 {
    i64::try_from(position / PLACES).unwrap_or(i64::MAX)
}

/// A value under a job's key.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) position: Revision,
    pub(super) kept: Kept,
}

#[derive(Debug)]
pub(super) enum Kept {
    Job(Box<Job>),
    /// It was removed; a job of this name goes on at this epoch.
    Gone {
        epoch: Epoch,
    },
}

/// A job, perhaps without its spec.
#[derive(Debug)]
pub(super) struct Job {
    record: JobRecord,
    /// Whether its spec is in the record.
    pub(super) inline: bool,
}

/// What the JSON says.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Rest {
    /// Among the changes of its revision.
    place: u64,
    /// Nothing for a job that was removed.
    phase: Option<Phase>,
    retiring: bool,
    failures: u32,
    /// Zero in the record that was written when it was submitted: its revision was not known then.
    submitted: u64,
    course: Course,
    /// Without their texts.
    runs: Vec<Run>,
    /// If it is not under a key of its own; without its payload.
    spec: Option<JobSpec>,
    /// The lengths of the texts in bytes: the detail, that of each run that has ended, and the payload if the spec is here.
    texts: Vec<usize>,
}

impl Job {
    /// The record, with nothing but a name for its spec if that is kept elsewhere: no rule that moves a job looks at it.
    pub(super) fn record(self) -> JobRecord {
        self.record
    }

    /// The record with its spec, which was read from elsewhere if it is not in it.
    pub(super) fn whole(self, call: &Call, spec: Option<JobSpec>) -> Result<JobRecord> {
        let Self { record, inline } = self;
        match spec {
            _ if inline => Ok(record),
            Some(spec) => Ok(JobRecord { spec, ..record }),
            None => Err(keys::corrupt(call.operation, &what(record.spec.id()))),
        }
    }
}

impl Stored {
    pub(super) fn parse(call: &Call, id: &JobId, entry: &Entry) -> Result<Self> {
        let text = keys::text(call.operation, &what(id), &entry.value)?;
        parse(id, text, entry.modified).ok_or_else(|| keys::corrupt(call.operation, &what(id)))
    }
}

fn parse(id: &JobId, text: &str, modified: i64) -> Option<Stored> {
    let mut parts = text.splitn(4, ' ');
    let epoch = Epoch(parts.next()?.parse().ok()?);
    let (node, incarnation) = (parts.next()?, parts.next()?);
    let owner = match (node, incarnation) {
        (NOBODY, NOBODY) => None,
        (node, incarnation) => Some(Member::new(NodeId::new(node).ok()?, incarnation.parse::<Incarnation>().ok()?)),
    };
    let rest = parts.next()?;
    let (json, text) = rest.split_once('\n').unwrap_or((rest, ""));
    let Rest { place, phase, retiring, failures, submitted, course, mut runs, spec, texts } =
        serde_json::from_str(json).ok()?;
    let position = Revision(start_of(modified).0 + place.min(PLACES - 1));
    let Some(phase) = phase else { return Some(Stored { position, kept: Kept::Gone { epoch } }) };
    if phase.is_owned() != owner.is_some() {
        return None;
    }
    let mut texts = Texts { lengths: texts.into_iter(), text };
    let detail = texts.take()?;
    for end in runs.iter_mut().filter_map(|run| run.end.as_mut()) {
        end.detail = texts.take()?;
    }
    let inline = spec.is_some();
    let spec = match spec {
        Some(spec) if spec.id() != id => return None,
        Some(spec) => spec.with_payload(texts.take()?).ok()?,
        None => JobSpec::new(id.clone(), "").ok()?,
    };
    let (revision, submitted) = (Revision::ZERO, Revision(submitted));
    let record = JobRecord { spec, revision, submitted, epoch, phase, owner, retiring, failures, detail, course, runs };
    let job = Job { record: record.at_revision(position), inline };
    Some(Stored { position, kept: Kept::Job(Box::new(job)) })
}

/// The texts behind a record's JSON.
struct Texts<'t> {
    lengths: std::vec::IntoIter<usize>,
    text: &'t str,
}

impl Texts<'_> {
    /// The next of them.
    fn take(&mut self) -> Option<String> {
        let (text, rest) = self.text.split_at_checked(self.lengths.next()?)?;
        self.text = rest;
        Some(text.to_owned())
    }
}

/// What stands in place of an owner. No name can hold it.
const NOBODY: &str = "*";

/// How the value of a job begins that this member runs under this epoch.
pub(crate) fn run_prefix(epoch: Epoch, owner: &Member) -> Vec<u8> {
    keys::value(format_args!("{epoch} {} {} ", owner.node, owner.incarnation))
}

pub(super) fn value(call: &Call, job: &JobRecord, place: u64, inline: bool) -> Result<Vec<u8>> {
    let mut texts = vec![job.detail.clone()];
    let mut runs = job.runs.clone();
    texts.extend(runs.iter_mut().filter_map(|run| Some(std::mem::take(&mut run.end.as_mut()?.detail))));
    if inline {
        texts.push(job.spec.payload().to_owned());
    }
    let rest = Rest {
        place,
        phase: Some(job.phase),
        retiring: job.retiring,
        failures: job.failures,
        submitted: job.submitted.0,
        course: job.course.clone(),
        runs,
        spec: inline.then(|| bare(&job.spec)),
        texts: texts.iter().map(String::len).collect(),
    };
    let mut value = match &job.owner {
        Some(owner) => run_prefix(job.epoch, owner),
        None => keys::value(format_args!("{} {NOBODY} {NOBODY} ", job.epoch)),
    };
    value.extend(json(call, job.spec.id(), &rest)?.into_bytes());
    value.push(b'\n');
    value.extend(texts.concat().into_bytes());
    Ok(value)
}

fn json(call: &Call, id: &JobId, value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|_| keys::corrupt(call.operation, &what(id)))
}

/// A spec without its payload.
fn bare(spec: &JobSpec) -> JobSpec {
    spec.clone().with_payload("").unwrap_or_else(|e| unreachable!("an empty payload is never too long: {e}"))
}

/// What is remembered of a job that was removed.
pub(super) fn gone(epoch: Epoch, place: u64) -> Vec<u8> {
    keys::value(format_args!("{epoch} {NOBODY} {NOBODY} {{\"place\":{place},\"phase\":null}}"))
}

/// A spec for a key of its own, if it is too long for its job's record: a line of JSON, and the payload as it is.
pub(super) fn spec_apart(call: &Call, spec: &JobSpec) -> Result<Option<Vec<u8>>> {
    let json = json(call, spec.id(), &bare(spec))?;
    let apart = json.len() + spec.payload().len() > MAX_INLINE;
    Ok(apart.then(|| keys::value(format_args!("{json}\n{}", spec.payload()))))
}

/// A spec that is kept under a key of its own.
pub(super) fn parse_spec(call: &Call, id: &JobId, value: &[u8]) -> Result<JobSpec> {
    let text = keys::text(call.operation, &what(id), value)?;
    let spec = text.split_once('\n').and_then(|(json, payload)| {
        let spec: JobSpec = serde_json::from_str(json).ok()?;
        spec.with_payload(payload).ok().filter(|spec| spec.id() == id)
    });
    spec.ok_or_else(|| keys::corrupt(call.operation, &what(id)))
}

pub(super) fn what(id: &JobId) -> String {
    format!("job {id}")
}
