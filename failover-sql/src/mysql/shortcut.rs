//! The hot operations in one statement each, which is a transaction of its own.
//!
//! Assignments are evaluated from left to right, and a later one sees what an earlier one has set: whatever reads a column stands
//! before what sets it. The row is found by its primary key, so it is locked before any condition on it is judged, and
//! `SYSDATE` is read then. Nothing else is locked: two nodes' writes never wait for each other.

use failover_core::record::FORMAT;
use failover_core::{Lease, NodeId};

use super::connection::Done;
use super::now;
use super::session::Database;
use crate::dialect::{Fault, Lane, Value, args};
use crate::hot::{Hot, Seen};
use crate::lanes::perhaps_applied;
use crate::schema::VERSION;

/// Where this still is the store that was opened, on a server that takes writes.
macro_rules! same_store {
    () => {
        "{meta} AS m WHERE m.id = 1 AND m.version <= ? AND m.store = ? AND m.clock = ? \
         AND CONCAT('server ', @@server_id) = m.clock AND @@global.read_only = 0"
    };
}

/// A beat is newer by its term, then by its number.
macro_rules! newer {
    () => {
        "{heartbeats}.format <= VALUES(format) AND (VALUES(term) > {heartbeats}.term \
         OR (VALUES(term) = {heartbeats}.term AND VALUES(seq) > {heartbeats}.seq))"
    };
}

/// `seq` and `term` are set last, from both: what stands before sees the old ones.
const BEAT: &str = concat!(
    "INSERT INTO {heartbeats} (cluster, node, format, incarnation, term, seq, news, seen, told) SELECT ?, ?, ?, ?, ?, ?, ?, ",
    now!(),
    ", ",
    now!(),
    " FROM ",
    same_store!(),
    " ON DUPLICATE KEY UPDATE told = IF(",
    newer!(),
    " AND (BINARY {heartbeats}.news <> BINARY VALUES(news) OR {heartbeats}.incarnation <> VALUES(incarnation)), ",
    now!(),
    ", {heartbeats}.told), seen = IF(",
    newer!(),
    ", ",
    now!(),
    ", {heartbeats}.seen), news = IF(",
    newer!(),
    ", VALUES(news), {heartbeats}.news), incarnation = IF(",
    newer!(),
    ", VALUES(incarnation), {heartbeats}.incarnation), seq = IF(",
    newer!(),
    ", VALUES(seq), {heartbeats}.seq), \
     term = IF({heartbeats}.format <= VALUES(format), GREATEST({heartbeats}.term, VALUES(term)), {heartbeats}.term)"
);

/// Held by nobody else, not reserved for another node, and not from the future: that is for the long way to mend.
const ACQUIRE: &str = concat!(
    "UPDATE {leases} SET told = ",
    now!(),
    ", term = LAST_INSERT_ID(IF(holder <=> ? AND incarnation <=> ? AND ends > ",
    now!(),
    ", term, GREATEST(term, (SELECT c.term_floor FROM {clusters} AS c WHERE c.cluster = ?)) + 1)), format = ?, ends = ",
    now!(),
    " + ?, lasts = ?, holder = ?, incarnation = ?, successor = NULL \
     WHERE cluster = ? AND name = ? AND format <= ? AND term >= ? AND ends - lasts <= ",
    now!(),
    " AND (ends <= ",
    now!(),
    " OR (holder <=> ? AND incarnation <=> ?) OR (holder IS NULL AND successor <=> ?)) \
     AND EXISTS (SELECT 1 FROM {clusters} AS c WHERE c.cluster = ? AND c.revision >= ? AND c.state_version >= ?) \
     AND EXISTS (SELECT 1 FROM ",
    same_store!(),
    ")"
);

const RENEW: &str = concat!(
    "UPDATE {leases} SET ends = ",
    now!(),
    " + ?, lasts = ? WHERE cluster = ? AND name = ? AND format <= ? AND term = ? AND holder = ? AND incarnation = ? AND ends > ",
    now!(),
    " AND EXISTS (SELECT 1 FROM ",
    same_store!(),
    ")"
);

const RELEASE: &str = concat!(
    "UPDATE {leases} SET told = ",
    now!(),
    ", ends = ",
    now!(),
    " + ?, lasts = ?, holder = NULL, incarnation = NULL, successor = ? \
     WHERE cluster = ? AND name = ? AND format <= ? AND term = ? AND holder = ? AND incarnation = ? AND lasts = ? AND ends > ",
    now!(),
    " AND EXISTS (SELECT 1 FROM ",
    same_store!(),
    ")"
);

/// A row that was there and was changed, as the driver has the server count an insert with its update.
const UPDATED: u64 = 2;

impl Database {
    pub(super) async fn shortcut(&self, operation: &'static str, of: &Hot<'_>) -> Result<Option<u64>, Fault> {
        match *of {
            Hot::Beat { heartbeat, news } => {
                let (member, incarnation) = (&heartbeat.member, heartbeat.member.incarnation.to_string());
                let mut args =
                    args![self.cluster(), &member.node, FORMAT, incarnation, heartbeat.term.0, heartbeat.seq, news];
                args.extend(self.same_store());
                let done = self.alone(operation, Lane::Pulse, BEAT, args).await?;
                // An insert counts one, as does an update that left a newer record as it was: the long way tells them apart.
                Ok((done.rows == UPDATED).then_some(0))
            }
            Hot::Acquire { name, member, lasts, seen } => {
                let Seen { term, revision, state_version } = seen;
                let (node, incarnation) = (&member.node, member.incarnation.to_string());
                let incarnation = incarnation.as_str();
                let mut args = args![node, incarnation, self.cluster(), FORMAT, lasts, lasts, node, incarnation];
                args.extend(args![self.cluster(), name, FORMAT, term, node, incarnation, node]);
                args.extend(args![self.cluster(), revision, state_version]);
                args.extend(self.same_store());
                let done = self.alone(operation, Lane::Durable, ACQUIRE, args).await?;
                Ok((done.rows == 1).then_some(done.id))
            }
            Hot::Renew { lease, lasts } => {
                let mut args = args![lasts, lasts];
                args.extend(self.current(lease));
                args.extend(self.same_store());
                let done = self.alone(operation, Lane::Pulse, RENEW, args).await?;
                Ok((done.rows == 1).then_some(0))
            }
            Hot::Release { lease, successor, lasts, reserved } => {
                let mut args = args![reserved, reserved, successor.map(NodeId::as_str)];
                args.extend(self.current(lease));
                args.extend(args![lasts]);
                args.extend(self.same_store());
                match self.alone(operation, Lane::Durable, RELEASE, args).await? {
                    Done { rows: 1, .. } => Ok(Some(0)),
                    Done { repeated: true, .. } => Err(perhaps_applied(operation)),
                    _ => Ok(None),
                }
            }
            // No one statement writes two tables.
            Hot::Assign { .. } | Hot::Install { .. } | Hot::Put { .. } => Ok(None),
        }
    }

    fn cluster(&self) -> &str {
        self.cluster.as_str()
    }

    fn same_store(&self) -> Vec<Value> {
        args![VERSION, self.identity.store.as_str(), self.identity.clock.as_str()]
    }

    fn current(&self, lease: &Lease) -> Vec<Value> {
        let holder = &lease.holder;
        args![self.cluster(), &lease.name, FORMAT, lease.term.0, &holder.node, holder.incarnation.to_string()]
    }
}
