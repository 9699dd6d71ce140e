//! A document is put in one statement.
//!
//! Locks, as the long way takes them: the cluster's row first, whose counter numbers the documents, then the fence, then the document. All are judged as they
//! are once they are locked; what was not there yet when the statement began is not seen, and then nothing is touched. A fence that is
//! known but lower is raised.

use failover_core::{Lease, StateKey, Version};

use crate::dialect::{Value, args};
use crate::hot::Seen;
use crate::keys::STATE;

/// What is put over a version, or where nothing is; under a fence, or none.
macro_rules! put {
    (over $version:literal) => { put!(over $version, "", "", "", "") };
    (over $version:literal, fence) => {
        put!(over $version, put!(fence), ", fence", " AND fence.term <= $14", put!(raised))
    };
    (over $version:literal, $fence:expr, $from:literal, $and:literal, $raised:expr) => {
        concat!(
            put!(locked),
            $fence,
            ", there AS MATERIALIZED (SELECT d.version, d.format, locked.* FROM locked, {documents} AS d \
                WHERE d.cluster = $1 AND d.path = $6 FOR UPDATE OF d), \
            new AS (UPDATE {clusters} AS c SET state_version = there.state_version + 1 FROM there, {meta} AS m",
            $from,
            " WHERE c.cluster = $1 AND {known} AND there.revision >= $8 AND there.state_version >= $9 \
                AND there.format <= $5 AND there.version = ",
            $version,
            $and,
            " RETURNING c.state_version AS version), \
            written AS (UPDATE {documents} AS d SET format = $5, version = new.version, content = $7 \
                FROM new WHERE d.cluster = $1 AND d.path = $6)",
            $raised,
            put!(told)
        )
    };
    (fresh) => { put!(fresh, "", "", "", "") };
    (fresh, fence) => { put!(fresh, put!(fence), ", fence", " AND fence.term <= $14", put!(raised)) };
    (fresh, $fence:expr, $from:literal, $and:literal, $raised:expr) => {
        concat!(
            put!(locked),
            $fence,
            ", written AS (INSERT INTO {documents} (cluster, path, format, version, content) \
                SELECT $1, $6, $5, locked.state_version + 1, $7 FROM locked, {meta} AS m",
            $from,
            " WHERE {known} AND locked.revision >= $8 AND locked.state_version >= $9",
            $and,
            " ON CONFLICT DO NOTHING RETURNING version), \
            new AS (UPDATE {clusters} AS c SET state_version = written.version FROM written \
                WHERE c.cluster = $1 RETURNING c.state_version AS version)",
            $raised,
            put!(told)
        )
    };
    (locked) => {
        "WITH locked AS MATERIALIZED (SELECT revision, state_version FROM {clusters} WHERE cluster = $1 FOR UPDATE)"
    };
    (fence) => {
        ", fence AS MATERIALIZED (SELECT f.term FROM locked, {fences} AS f \
            WHERE f.cluster = $1 AND f.area = $12 AND f.lease = $13 FOR UPDATE OF f)"
    };
    (raised) => {
        ", raised AS (UPDATE {fences} AS f SET term = $14 FROM new \
            WHERE f.cluster = $1 AND f.area = $12 AND f.lease = $13 AND f.term < $14)"
    };
    (told) => { " SELECT version, pg_notify($10, $11)::text FROM new" };
}

/// The statement's template, and its values but for the first five, which all have.
pub(super) fn statement(
    (key, value): (&StateKey, &[u8]),
    over: Option<Version>,
    fence: Option<&Lease>,
    seen: Seen,
    hint: Vec<Value>,
) -> (&'static str, Vec<Value>) {
    let mut args = args![key.as_str(), value, seen.revision, seen.state_version];
    args.extend(hint);
    if let Some(fence) = fence {
        args.extend(args![STATE, &fence.name, fence.term.0]);
    }
    args.extend(over.map(|version| version.0.into()));
    let template = match (over, fence) {
        (Some(_), Some(_)) => put!(over "$15", fence),
        (Some(_), None) => put!(over "$12"),
        (None, Some(_)) => put!(fresh, fence),
        (None, None) => put!(fresh),
    };
    (template, args)
}
