//! [`HeartbeatStore`] on SQL: the latest heartbeat of each node, one row each.

use std::time::Duration;

use async_trait::async_trait;
use failover_core::heartbeat::News;
use failover_core::{Heartbeat, HeartbeatStore, Incarnation, Member, NodeId, Result, Sighting, Term, record};

use crate::dialect::{Lane, Row, args};
use crate::hot::Hot;
use crate::keys::BEATS;
use crate::store::SqlStore;

const SIGHTINGS: &str =
    "SELECT format, node, incarnation, term, seq, news, seen FROM {heartbeats} WHERE cluster = ? ORDER BY node";

#[async_trait]
impl HeartbeatStore for SqlStore {
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<()> {
        let news = record::encode("beat", &heartbeat.news)?;
        let news = news.as_str();
        if self.shortcut("beat", Hot::Beat { heartbeat, news }).await?.is_some() {
            return Ok(());
        }
        self.write("beat", Lane::Pulse, move |tx| {
            Box::pin(async move {
                let node = &heartbeat.member.node;
                tx.run(
                    "INSERT INTO {heartbeats} (cluster, node, format, incarnation, term, seq, news, seen) \
                     VALUES (?, ?, ?, '', 0, 0, '', 0) {or_ignore}",
                    args![tx.cluster(), node, record::FORMAT],
                )
                .await?;
                let row = tx
                    .row(
                        "SELECT format, incarnation, term, seq, news FROM {heartbeats} WHERE cluster = ? AND node = ? {lock}",
                        args![tx.cluster(), node],
                    )
                    .await?;
                let mut differs = true;
                if let Some(row) = row {
                    row.check_format(0, || format!("heartbeat of {node}"))?;
                    let (incarnation, last) = (row.text(1)?, (row.number(2)?, row.number(3)?));
                    // An empty incarnation is the row that was made just now.
                    if !incarnation.is_empty() && (heartbeat.term.0, heartbeat.seq) <= last {
                        return Ok(());
                    }
                    differs = row.text(4)? != news || incarnation != heartbeat.member.incarnation.to_string();
                }
                let now = tx.now().await?;
                tx.run(
                    "UPDATE {heartbeats} SET format = ?, incarnation = ?, term = ?, seq = ?, news = ?, seen = ? \
                     WHERE cluster = ? AND node = ?",
                    args![
                        record::FORMAT, heartbeat.member.incarnation.to_string(), heartbeat.term.0, heartbeat.seq, news, now,
                        tx.cluster(), node,
                    ],
                )
                .await?;
                // A plain beat is no news: it must not make every watcher read.
                if differs {
                    tx.hint(BEATS);
                }
                Ok(())
            })
        })
        .await
    }

    async fn sightings(&self) -> Result<Vec<Sighting>> {
        if let Some((now, rows)) =
            self.glance("sightings", Lane::Pulse, SIGHTINGS, args![self.cluster().as_str()]).await?
        {
            let mut sightings = rows.iter().map(|row| sighting(row, now)).collect::<Result<Vec<_>>>()?;
            sightings.sort_by(|a, b| a.heartbeat.member.node.cmp(&b.heartbeat.member.node));
            if rows.iter().any(|row| is_ahead(row, now)) {
                self.begin_ages_anew().await?;
            }
            return Ok(sightings);
        }
        let (sightings, ahead) = self
            .read("sightings", Lane::Pulse, |tx| {
                Box::pin(async move {
                    // Before the rows are read, so that no age is overstated by the time that takes.
                    let now = tx.now().await?;
                    let rows = tx.rows(SIGHTINGS, args![tx.cluster()]).await?;
                    let sightings: Result<Vec<Sighting>> = rows.iter().map(|row| sighting(row, now)).collect();
                    Ok((sightings?, rows.iter().any(|row| is_ahead(row, now))))
                })
            })
            .await?;
        if ahead {
            self.begin_ages_anew().await?;
        }
        Ok(sightings)
    }

    async fn forget(&self, member: &Member) -> Result<()> {
        self.write("forget", Lane::Pulse, move |tx| {
            Box::pin(async move {
                let row = tx
                    .row(
                        "SELECT format, incarnation FROM {heartbeats} WHERE cluster = ? AND node = ? {lock}",
                        args![tx.cluster(), &member.node],
                    )
                    .await?;
                let Some(row) = row else { return Ok(()) };
                row.check_format(0, || format!("heartbeat of {}", member.node))?;
                if row.text(1)? == member.incarnation.to_string() {
                    tx.run(
                        "DELETE FROM {heartbeats} WHERE cluster = ? AND node = ?",
                        args![tx.cluster(), &member.node],
                    )
                    .await?;
                    tx.hint(BEATS);
                }
                Ok(())
            })
        })
        .await
    }

    async fn changed(&self) -> Result<()> {
        self.changed_in(BEATS).await
    }
}

/// By how much, in nanoseconds, a heartbeat may have been received after the moment it is looked at from: it came meanwhile.
const AHEAD: i64 = 1_000_000_000;

impl SqlStore {
    /// The store's clock was set back: what was received before is received now, or the dead would be alive until it is there again.
    async fn begin_ages_anew(&self) -> Result<()> {
        self.write("sightings", Lane::Pulse, |tx| {
            Box::pin(async move {
                let now = tx.now().await?;
                tx.run(
                    "UPDATE {heartbeats} SET seen = ? WHERE cluster = ? AND seen > ?",
                    args![now, tx.cluster(), now],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }
}

/// Whether a beat came at a moment that is still to come.
fn is_ahead(row: &Row, now: i64) -> bool {
    row.int(6).is_ok_and(|seen| seen > now.saturating_add(AHEAD))
}

fn sighting(row: &Row, now: i64) -> Result<Sighting> {
    let node: NodeId = row.id(1)?;
    row.check_format(0, || format!("heartbeat of {node}"))?;
    let incarnation: Incarnation = row.id(2)?;
    let news: News = record::decode(row.operation, &format!("heartbeat of {node}"), row.text(5)?.as_bytes())?;
    let age = Duration::from_nanos(u64::try_from(now.saturating_sub(row.int(6)?)).unwrap_or(0));
    let (term, seq) = (Term(row.number(3)?), row.number(4)?);
    Ok(Sighting { heartbeat: Heartbeat { member: Member::new(node, incarnation), term, seq, news }, age })
}
