//! The hot operations, each in one statement that does it all or touches nothing.
//!
//! A row is locked before the clock is read, and judged after: `locked` waits for whoever has the row, `at` reads the clock
//! only when it has it, and what is judged is the row as it was locked. (A condition that is only in the locking query
//! would be judged before the wait.) The rows of `{meta}` and `{clusters}` come along in the same statement.
//!
//! Locks: a grant and a release take the row `FOR UPDATE`, so that they wait for a host that has checked its fence; a renewal
//! takes less, and does not.

use failover_core::{Member, record};

use super::fence::MOMENT;
use super::put;
use super::session::{WORDS, saved, which};
use crate::dialect::{Value, args};
use crate::hot::Hot;
use crate::keys::{BEATS, JOBS, lease_area, state_area};
use crate::schema;
use crate::store::StoreIdentity;

const BEAT: &str = "\
    WITH old AS (SELECT news, incarnation FROM {heartbeats} WHERE cluster = $1 AND node = $6), \
    new AS (INSERT INTO {heartbeats} AS h (cluster, node, format, incarnation, term, seq, news, seen) \
        SELECT $1, $6, $5, $7, $8, $9, $10, {now} FROM {meta} AS m WHERE {known} \
        ON CONFLICT (cluster, node) DO UPDATE SET format = $5, incarnation = $7, term = $8, seq = $9, news = $10, seen = {now} \
            WHERE h.format <= $5 AND ($8, $9) > (h.term, h.seq) \
        RETURNING 1 AS done) \
    SELECT 1::bigint, set_config('synchronous_commit', 'off', true), \
        CASE WHEN NOT EXISTS (SELECT 1 FROM old WHERE news = $10 AND incarnation = $7) \
            THEN pg_notify($11, $12)::text END FROM new";

const ACQUIRE: &str = "\
    WITH locked AS MATERIALIZED (SELECT term, format, holder, incarnation, successor, ends FROM {leases} \
        WHERE cluster = $1 AND name = $6 AND (ends <= {now} OR (holder IS NULL AND coalesce(successor, $7) = $7) OR (holder = $7 AND incarnation = $8)) FOR UPDATE), \
    at AS MATERIALIZED (SELECT locked.*, {now} AS now FROM locked), \
    new AS (UPDATE {leases} AS l SET format = $5, holder = $7, incarnation = $8, successor = NULL, ends = at.now + $9, \
            lasts = $9, term = CASE WHEN at.ends > at.now AND at.holder IS NOT NULL THEN at.term \
                ELSE greatest(at.term, c.term_floor) + 1 END \
        FROM at, {meta} AS m, {clusters} AS c \
        WHERE l.cluster = $1 AND l.name = $6 AND {known} AND c.cluster = $1 AND at.format <= $5 AND at.term >= $10 \
            AND c.revision >= $11 AND c.state_version >= $12 AND (at.ends <= at.now \
                OR (at.holder = $7 AND at.incarnation = $8) OR (at.holder IS NULL AND coalesce(at.successor, $7) = $7)) \
        RETURNING l.term, l.term > at.term AS rose) \
    SELECT term, CASE WHEN rose THEN pg_notify($13, $14)::text END FROM new";

const RENEW: &str = "\
    WITH locked AS MATERIALIZED (SELECT term, format, holder, incarnation, ends FROM {leases} \
        WHERE cluster = $1 AND name = $6 AND term = $9 AND holder = $7 AND incarnation = $8 FOR NO KEY UPDATE), \
    at AS MATERIALIZED (SELECT locked.*, {now} AS now FROM locked) \
    UPDATE {leases} AS l SET ends = at.now + $10, lasts = $10 FROM at, {meta} AS m \
    WHERE l.cluster = $1 AND l.name = $6 AND {known} AND at.format <= $5 AND at.ends > at.now RETURNING l.term";

const RELEASE: &str = "\
    WITH locked AS MATERIALIZED (SELECT term, format, holder, incarnation, ends, lasts FROM {leases} \
        WHERE cluster = $1 AND name = $6 AND term = $9 AND holder = $7 AND incarnation = $8 FOR UPDATE), \
    at AS MATERIALIZED (SELECT locked.*, {now} AS now FROM locked), \
    new AS (UPDATE {leases} AS l SET holder = NULL, incarnation = NULL, successor = $10, ends = at.now + $11, lasts = $11 \
        FROM at, {meta} AS m \
        WHERE l.cluster = $1 AND l.name = $6 AND {known} AND at.format <= $5 AND at.ends > at.now AND at.lasts = $12 \
        RETURNING l.term) \
    SELECT term, pg_notify($13, $14)::text FROM new";

/// The fence is locked after the cluster, as whoever installs one does, and read as it is then: to install one changes nothing of the
/// cluster's row. That the revision is still what it was when the jobs were read says that they are, too.
const ASSIGN: &str = concat!(
    "WITH locked AS MATERIALIZED (SELECT revision FROM {clusters} WHERE cluster = $1 FOR UPDATE), \
    fence AS MATERIALIZED (SELECT f.term, locked.revision FROM locked, {fences} AS f \
        WHERE f.cluster = $1 AND f.area = $5 AND f.lease = $6 FOR UPDATE OF f), \
    new AS (UPDATE {clusters} AS c SET revision = $9 FROM fence, {meta} AS m \
        WHERE c.cluster = $1 AND {known} AND fence.term = $7 AND fence.revision = $8 RETURNING 1::bigint AS done), \
    written AS (UPDATE {jobs} AS j SET ",
    saved!(),
    " FROM new, {rows} WHERE j.cluster = $1 AND ",
    which!("$10"),
    ") SELECT done, pg_notify($11, $12)::text FROM new"
);

/// Nothing is assigned: what counts is that nobody with a lower term can from now on. Locks are taken as above.
const INSTALL: &str = "\
    WITH locked AS MATERIALIZED (SELECT revision, state_version FROM {clusters} WHERE cluster = $1 FOR UPDATE), \
    fence AS MATERIALIZED (SELECT f.term, locked.revision FROM locked, {fences} AS f \
        WHERE f.cluster = $1 AND f.area = $5 AND f.lease = $6 AND locked.revision >= $8 AND locked.state_version >= $9 FOR UPDATE OF f) \
    UPDATE {fences} AS f SET term = $7 FROM fence, {meta} AS m \
    WHERE f.cluster = $1 AND f.area = $5 AND f.lease = $6 AND {known} AND fence.term <= $7 RETURNING fence.revision";

/// The statement's template and its values.
pub(super) fn statement(
    of: &Hot<'_>,
    cluster: &str,
    identity: &StoreIdentity,
    channel: &str,
) -> (&'static str, Vec<Value>) {
    let mut args = args![cluster, identity.store.as_str(), identity.clock.as_str(), schema::VERSION, record::FORMAT];
    let who = |member: &Member| args![&member.node, member.incarnation.to_string()];
    let hint = |area: &str| args![channel, payload(cluster, area)];
    let template = match of {
        Hot::Beat { heartbeat, news } => {
            args.extend(who(&heartbeat.member));
            args.extend(args![heartbeat.term.0, heartbeat.seq, *news]);
            args.extend(hint(BEATS));
            BEAT
        }
        Hot::Acquire { name, member, lasts, seen } => {
            args.extend(args![*name]);
            args.extend(who(member));
            args.extend(args![*lasts, seen.term, seen.revision, seen.state_version]);
            args.extend(hint(&lease_area(name)));
            ACQUIRE
        }
        Hot::Renew { lease, lasts } => {
            args.extend(args![&lease.name]);
            args.extend(who(&lease.holder));
            args.extend(args![lease.term.0, *lasts]);
            RENEW
        }
        Hot::Release { lease, successor, lasts, reserved } => {
            args.extend(args![&lease.name]);
            args.extend(who(&lease.holder));
            args.extend(args![lease.term.0, *successor, *reserved, *lasts]);
            args.extend(hint(&lease_area(&lease.name)));
            RELEASE
        }
        Hot::Assign { fence, rows, before, after } => {
            // Their formats were checked when they were read.
            args.pop();
            args.extend(args![JOBS, &fence.name, fence.term.0, *before, *after, *rows]);
            args.extend(hint(JOBS));
            ASSIGN
        }
        Hot::Install { fence, seen } => {
            args.pop();
            args.extend(args![JOBS, &fence.name, fence.term.0, seen.revision, seen.state_version]);
            INSTALL
        }
        Hot::Put { key, value, over, fence, seen } => {
            let (template, more) = put::statement((*key, *value), *over, *fence, *seen, hint(&state_area(key)));
            args.extend(more);
            template
        }
    };
    (template, args)
}

/// Puts in what all of them have in common. `elsewhere` is a condition that the store is where it was opened, for a session
/// that did not find that out when it began.
pub(super) fn complete(template: &str, here: &str) -> String {
    let known = format!("m.id = 1 AND m.version <= $4 AND m.store = $2 AND m.clock = $3 AND {here}");
    let rows = WORDS.job_rows.replace('?', "$10");
    template.replace("{known}", &known).replace("{now}", MOMENT).replace("{rows}", &rows)
}

/// What a notification says: which area of which cluster.
pub(super) fn payload(cluster: &str, area: &str) -> String {
    format!("{cluster} {area}")
}
