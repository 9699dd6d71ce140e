//! The copy on this node: reads on from where it is and applies what it reads, in order.

use std::sync::Arc;

use super::entry::{Begun, Entry, Record};
use super::host;
use super::journal::{Journal, Page};
use super::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::time::Time;

/// What keeps a copy from getting further.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store, or what it holds.
    Store(Error),
    /// The host.
    Refused(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Refused(text) => f.write_str(text),
        }
    }
}

/// The state of the host, and what of the journal is in it.
pub(super) struct Local {
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Journal,
    /// The last entry that is wholly applied.
    pub(super) entry: u64,
    /// The last record that is applied: one of that entry, or of the next if the host refused in the middle of it.
    pub(super) position: u64,
    /// What began in that entry and goes on.
    begun: Begun,
    /// What was applied since the last snapshot.
    pub(super) since: Since,
    /// When it was last asked how far the journal goes.
    probed: Option<Time>,
}

/// What a snapshot would hold that the last one does not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Since {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Local {
    pub(super) fn new(shared: Arc<Shared>, journal: Journal) -> Self {
        let (entry, position, begun, since, probed) = (0, 0, None, Since::default(), None);
        Self { shared, journal, entry, position, begun, since, probed }
    }

    /// What comes next. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Page, Trouble> {
        let page = self.journal.read(self.entry).await?;
        if let Page::Entries { entries, more: true, sent } = &page
            && let Some((last, entry)) = entries.last()
            && self.probed.is_none_or(|probed| sent.since(probed) >= self.shared.pace.period)
        {
            self.probed = Some(*sent);
            let end = self.journal.end(*last, entry.end()).await?;
            self.shared.change(|view| view.end = view.end.max(end));
        }
        Ok(page)
    }

    /// Takes a page in: whether there may be more. Not to be dropped half-way: what the host was asked once, it is not asked again.
    pub(super) async fn take(&mut self, page: Page) -> Result<bool, Trouble> {
        match page {
            Page::Snapshot(head, bytes) => {
                host::restore(&*self.shared.host, &bytes).await.map_err(Trouble::Refused)?;
                (self.entry, self.position, self.begun) = (head.entry, head.position, None);
                self.since = Since::default();
                self.show(None);
                Ok(true)
            }
            Page::Entries { entries, more, sent } => {
                if let Some((_, last)) = entries.last() {
                    let end = last.end();
                    self.shared.change(|view| view.end = view.end.max(end));
                }
                for (number, entry) in entries {
                    self.take_entry(number, entry).await?;
                }
                self.show((!more).then_some(sent));
                Ok(more)
            }
        }
    }

    async fn take_entry(&mut self, number: u64, entry: Entry) -> Result<(), Trouble> {
        let (first, end) = (entry.first, entry.end());
        if !(first..=end).contains(&self.position) {
            let message = format!(
                "entry {number} begins behind record {first}, and this node is at {}: it was left as it is",
                self.position
            );
            return Err(Trouble::Store(Error::new(ErrorKind::Corrupt, "replica", message)));
        }
        // Kept until all of it is applied: the host may refuse in the middle.
        let (records, begun) = entry.records(self.begun.clone());
        let done = usize::try_from(self.position - first).unwrap_or(usize::MAX);
        for record in records.iter().skip(done) {
            self.apply(record).await?;
        }
        (self.entry, self.begun) = (number, begun);
        Ok(())
    }

    async fn apply(&mut self, record: &Record) -> Result<(), Trouble> {
        host::take(&*self.shared.host, record).await.map_err(Trouble::Refused)?;
        self.position += 1;
        self.since.records += 1;
        self.since.bytes += u64::try_from(record.bytes.len()).unwrap_or(0);
        let position = self.position;
        self.shared.change(|view| {
            view.position = position;
            view.steps += 1;
        });
        Ok(())
    }

    /// As the one that leads: applies what it has just written there. The records that it could, and why not the next one.
    pub(super) async fn apply_own(&mut self, number: u64, records: &[Record]) -> (usize, Option<String>) {
        for (done, record) in records.iter().enumerate() {
            if let Err(trouble) = self.apply(record).await {
                return (done, Some(trouble.to_string()));
            }
        }
        (self.entry, self.begun) = (number, None);
        (records.len(), None)
    }

    /// Shows where it is, and when it was sure to be at the end.
    pub(super) fn show(&self, complete: Option<Time>) {
        let position = self.position;
        self.shared.change(|view| {
            view.steps += 1;
            view.position = position;
            view.end = view.end.max(position);
            view.trouble = None;
            view.complete_at = complete.or(view.complete_at);
        });
    }

    pub(super) fn troubled(&self, trouble: &Trouble) {
        self.shared.change(|view| view.trouble = Some(trouble.to_string()));
    }
}
