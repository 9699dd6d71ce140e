//! Jobs as values: a line that says who runs it under which epoch, and the rest as JSON.
//!
//! The line comes first so that a host's transaction can make it a condition ([`Fence`](crate::Fence)): it stays as it is while the owner
//! reports progress.

use failover_core::job::Phase;
use failover_core::{Epoch, Incarnation, JobId, JobRecord, JobSpec, Member, NodeId, Result, Revision};
use serde::{Deserialize, Serialize};

use crate::connection::Call;
use crate::keys;
use crate::txn::Entry;

/// Payloads up to this many bytes are kept in the job's record, and are read with it. A hundred records with the longest texts
/// stay below the 1.5 MiB that etcd takes in one request.
const MAX_INLINE: usize = 512;

/// How many changes share an etcd revision at most; the place among them makes a feed position of its own of each.
const PLACES: u64 = 128;

/// Whether a payload is kept in its job's record.
pub(super) fn fits(payload: &str) -> bool {
    payload.len() <= MAX_INLINE
}

/// The first position at an etcd revision.
pub(super) fn start_of(revision: i64) -> Revision {
    Revision(u64::try_from(revision).unwrap_or(0) * PLACES)
}

/// The last position of an etcd revision.
pub(super) fn end_of(Revision(revision): Revision) -> Revision {
    Revision(revision * PLACES + (PLACES - 1))
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

/// A job, perhaps without its payload.
#[derive(Debug)]
pub(super) struct Job {
    record: JobRecord,
    weight: u32,
    payload: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Rest {
    /// Among the changes of its revision.
    place: u64,
    phase: Option<Phase>,
    #[serde(default)]
    retiring: bool,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    weight: u32,
    /// If it is not under a key of its own.
    payload: Option<String>,
}

impl Job {
    pub(super) fn inline(&self) -> bool {
        self.payload.is_some()
    }

    /// The record, with an empty payload if that is kept elsewhere.
    pub(super) fn without_payload(self) -> JobRecord {
        let payload = self.payload.unwrap_or_default();
        let spec = JobSpec::new(self.record.spec.id().clone(), payload).and_then(|spec| spec.with_weight(self.weight));
        JobRecord { spec: spec.unwrap_or(self.record.spec), ..self.record }
    }

    /// The record with its payload, which was read from elsewhere if it is not in it.
    pub(super) fn whole(mut self, call: &Call, payload: Option<String>) -> Result<JobRecord> {
        if self.payload.is_none() {
            self.payload = payload;
        }
        if self.payload.is_none() {
            return Err(keys::corrupt(call.operation, &what(self.record.spec.id())));
        }
        Ok(self.without_payload())
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
    let Rest { place, phase, retiring, failures, detail, weight, payload } =
        serde_json::from_str(parts.next()?).ok()?;
    let position = Revision(start_of(modified).0 + place.min(PLACES - 1));
    let Some(phase) = phase else { return Some(Stored { position, kept: Kept::Gone { epoch } }) };
    if phase.is_owned() != owner.is_some() {
        return None;
    }
    // Its weight is checked here, its payload where it is known.
    let spec = JobSpec::new(id.clone(), "").ok()?.with_weight(weight).ok()?;
    let record = JobRecord { spec, revision: position, epoch, phase, owner, retiring, failures, detail };
    Some(Stored { position, kept: Kept::Job(Box::new(Job { record, weight, payload })) })
}

/// What stands in place of an owner. No name can hold it.
const NOBODY: &str = "*";

/// How the value of a job begins that this member runs under this epoch.
pub(crate) fn run_prefix(epoch: Epoch, owner: &Member) -> Vec<u8> {
    keys::value(format_args!("{epoch} {} {} ", owner.node, owner.incarnation))
}

pub(super) fn value(call: &Call, job: &JobRecord, place: u64, inline: bool) -> Result<Vec<u8>> {
    let rest = Rest {
        place,
        phase: Some(job.phase),
        retiring: job.retiring,
        failures: job.failures,
        detail: job.detail.clone(),
        weight: job.spec.weight(),
        payload: inline.then(|| job.spec.payload().to_owned()),
    };
    let rest = serde_json::to_vec(&rest).map_err(|_| keys::corrupt(call.operation, &what(job.spec.id())))?;
    let mut value = match &job.owner {
        Some(owner) => run_prefix(job.epoch, owner),
        None => keys::value(format_args!("{} {NOBODY} {NOBODY} ", job.epoch)),
    };
    value.extend(rest);
    Ok(value)
}

/// What is remembered of a job that was removed.
pub(super) fn gone(epoch: Epoch, place: u64) -> Vec<u8> {
    keys::value(format_args!("{epoch} {NOBODY} {NOBODY} {{\"place\":{place},\"phase\":null}}"))
}

/// A payload that is kept under a key of its own.
pub(super) fn payload(call: &Call, id: &JobId, value: &[u8]) -> Result<String> {
    keys::text(call.operation, &what(id), value).map(str::to_owned)
}

pub(super) fn what(id: &JobId) -> String {
    format!("job {id}")
}
