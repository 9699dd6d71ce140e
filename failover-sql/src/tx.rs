//! [`Tx`]: a transaction on behalf of one cluster.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use failover_core::{Error, ErrorKind};

use crate::dialect::{Fault, Row, Session, Sql, Value, Words};

/// The future of a transaction's work.
pub(crate) type Work<'t, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 't>>;

/// A transaction on behalf of one cluster.
///
/// `'a` is the lifetime of what the work borrows: it bounds the `'t` of [`Work`], so that a closure may borrow its arguments.
pub(crate) struct Tx<'a> {
    session: Box<dyn Session>,
    sql: &'a Sql,
    cluster: &'a str,
    words: Words,
    operation: &'static str,
    areas: BTreeSet<String>,
    seen: Arc<HashMap<String, u64>>,
    shown: Vec<(String, u64)>,
}

impl<'a> Tx<'a> {
    /// `seen` is what the handle had been shown before the transaction began.
    pub(crate) fn new(
        session: Box<dyn Session>,
        sql: &'a Sql,
        cluster: &'a str,
        words: Words,
        operation: &'static str,
        seen: Arc<HashMap<String, u64>>,
    ) -> Self {
        Self { session, sql, cluster, words, operation, areas: BTreeSet::new(), seen, shown: Vec::new() }
    }

    /// Commits, and tells the counters that the store has shown.
    pub(crate) async fn commit(self) -> Result<Vec<(String, u64)>, Fault> {
        let areas: Vec<String> = self.areas.into_iter().collect();
        self.session.commit(self.cluster, &areas).await?;
        Ok(self.shown)
    }

    /// Gives up what was done.
    pub(crate) async fn rollback(self) {
        self.session.rollback().await;
    }
}

impl Tx<'_> {
    pub(crate) fn operation(&self) -> &'static str {
        self.operation
    }

    pub(crate) fn words(&self) -> Words {
        self.words
    }

    /// The cluster's name, to be bound: it leads every primary key, so several clusters share a database.
    pub(crate) fn cluster(&self) -> &str {
        self.cluster
    }

    pub(crate) async fn now(&mut self) -> Result<i64, Fault> {
        self.session.now().await
    }

    pub(crate) async fn rows(&mut self, template: &'static str, args: Vec<Value>) -> Result<Vec<Row>, Fault> {
        self.session.rows(self.sql.get(template), args).await
    }

    pub(crate) async fn row(&mut self, template: &'static str, args: Vec<Value>) -> Result<Option<Row>, Fault> {
        Ok(self.rows(template, args).await?.pop())
    }

    pub(crate) async fn run(&mut self, template: &'static str, args: Vec<Value>) -> Result<u64, Fault> {
        self.session.run(self.sql.get(template), args).await
    }

    /// The cluster's own row: its counters and floors, locked in a write transaction.
    pub(crate) async fn counters(&mut self) -> Result<Counters, Fault> {
        let cluster = self.cluster().to_owned();
        let row = self
            .row(
                "SELECT term_floor, revision, epoch_floor, feed_floor, state_version FROM {clusters} WHERE cluster = ? {lock}",
                vec![cluster.into()],
            )
            .await?;
        let Some(row) = row else {
            let message = "the cluster's row is gone from the database: somebody emptied its tables; open it anew, with a term floor";
            return Err(Error::new(ErrorKind::StoreChanged, self.operation, message).into());
        };
        let counters = Counters {
            term_floor: row.number(0)?,
            revision: row.number(1)?,
            epoch_floor: row.number(2)?,
            feed_floor: row.number(3)?,
            state_version: row.number(4)?,
        };
        self.never_falls(REVISION, counters.revision)?;
        self.never_falls(STATE_VERSION, counters.state_version)?;
        Ok(counters)
    }

    /// Announces a change in an area when this transaction commits.
    pub(crate) fn hint(&mut self, area: impl Into<String>) {
        self.areas.insert(area.into());
    }

    /// Checks that a counter the store shows has not fallen since this handle last saw it: a database that was restored
    /// from a copy in place keeps its identity, and only this tells (law 2).
    pub(crate) fn never_falls(&mut self, counter: &str, value: u64) -> Result<(), Fault> {
        match self.seen.get(counter) {
            Some(highest) if value < *highest => {
                let message = format!(
                    "{counter} went back from {highest} to {value}: the database was restored from an older copy; \
                     open it anew, with a term floor above every term that was in use"
                );
                Err(Error::new(ErrorKind::StoreChanged, self.operation, message).into())
            }
            _ => {
                self.shown.push((counter.to_owned(), value));
                Ok(())
            }
        }
    }

    /// Remembers a counter this transaction raised, once it has committed.
    pub(crate) fn raised(&mut self, counter: &str, value: u64) {
        self.shown.push((counter.to_owned(), value));
    }
}

/// The name under which a handle remembers the highest revision it was shown.
pub(crate) const REVISION: &str = "the revision of the jobs";
/// The name under which a handle remembers the highest document version it was shown.
pub(crate) const STATE_VERSION: &str = "the version of the documents";

/// A cluster's counters and floors. None ever falls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) term_floor: u64,
    pub(crate) revision: u64,
    pub(crate) epoch_floor: u64,
    pub(crate) feed_floor: u64,
    pub(crate) state_version: u64,
}
