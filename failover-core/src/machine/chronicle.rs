//! The cluster's history: what the active node writes down, exactly once, and how old entries make room.
//!
//! An entry has its place before it is written: the term and the number at which the document it tells of was closed have been put into that document.
//! Of what there is only one document of, the entry bears the name. So whoever is active next finds in the documents what is to be told, finds in the history,
//! read after its own fence, what was told, and writes the rest; and one whose answer was lost is repeated and finds itself.

use std::collections::{BTreeMap, BTreeSet};

use super::cases::Pages;
use super::effect::Call;
use super::input::{Fault, Reply};
use super::steward::FencedOff;
use crate::control::{Edit, Versioned, history_key, version_key};
use crate::ids::{NodeId, StateKey};
use crate::incident::{Deed, Entry, EntryId, MAX_ENTRIES, Phases, entry_key, history};
use crate::lease::Lease;
use crate::record;
use crate::state::{Deleted, Document, Expect, Written};
use crate::time::Stamp;

/// How many entries are read with one call.
const PAGE: usize = 100;
/// How many versions of the configuration are read with one call.
const VERSIONS: usize = 16;
/// How many entries wait at most for a store that does not take them. What there is no room for is found in its document by the next active node.
const MOST_WAITING: usize = 500;

/// Something for the history.
#[derive(Debug, Clone)]
pub(super) struct Note {
    /// Its place, if one was reserved.
    pub(super) id: Option<EntryId>,
    /// The name of what it tells of, if it is known by that and has no place.
    pub(super) about: Option<String>,
    pub(super) at: Option<Stamp>,
    pub(super) deed: Deed,
    pub(super) node: NodeId,
    pub(super) what: String,
    pub(super) who: String,
    pub(super) why: String,
    pub(super) phases: Phases,
}

/// A call about the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// An entry that waits.
    Append(EntryId),
    /// The next page of what there is.
    Read,
    /// The configuration's versions that nothing was told of, from behind this one.
    Versions(u64),
    /// The oldest entry makes room.
    Trim(StateKey),
}

/// What is to be written, and what is there.
#[derive(Debug, Clone)]
pub(super) struct Chronicle {
    lease: Lease,
    /// The next number under this term that nobody has. The first is the takeover's.
    next: u64,
    waiting: BTreeMap<EntryId, Entry>,
    there: BTreeSet<StateKey>,
    /// The entries that are there of what is known by name.
    named: BTreeMap<(Deed, String), StateKey>,
    /// How much of what was there has been read.
    reading: Pages,
    /// The last version of the configuration that is told of.
    told: u64,
    /// The one in force, until it is told of.
    present: Option<Edit>,
    /// What is to be told of by now.
    edits: Vec<Edit>,
    version: u64,
}

impl Chronicle {
    pub(super) fn new(lease: Lease) -> Self {
        Self {
            lease,
            next: 1,
            waiting: BTreeMap::new(),
            there: BTreeSet::new(),
            named: BTreeMap::new(),
            reading: Pages::Next(None),
            told: 0,
            present: None,
            edits: Vec::new(),
            version: 0,
        }
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// A place that nobody else has, behind all that were given under this term.
    pub(super) fn reserve(&mut self) -> EntryId {
        let number = self.next;
        self.next += 1;
        EntryId { term: self.lease.term, number }
    }

    /// Has something written down, unless it is.
    pub(super) fn note(&mut self, note: Note) {
        let Note { id, about, at, deed, node, what, who, why, phases } = note;
        let named = about.clone().map(|about| (deed, about));
        let waits = |name: &(Deed, String)| {
            self.waiting.values().any(|entry| (entry.deed, entry.about.as_ref()) == (name.0, Some(&name.1)))
        };
        if self.waiting.len() >= MOST_WAITING
            || named.as_ref().is_some_and(|name| self.named.contains_key(name) || waits(name))
        {
            return;
        }
        let id = id.unwrap_or_else(|| self.reserve());
        let EntryId { term, number } = id;
        let entry = Entry { term, number, at, deed, node, about, what, who, why, phases };
        if !self.is_there(&entry) {
            self.version += 1;
            self.waiting.entry(id).or_insert(entry);
        }
    }

    /// Another version of the configuration is in force.
    pub(super) fn note_edit(&mut self, edit: &Edit) {
        if edit.version > self.told && self.present.as_ref().is_none_or(|present| present.version < edit.version) {
            self.version += 1;
            self.present = Some(edit.clone());
            if self.is_read() {
                self.tell_present();
            }
        }
    }

    /// The versions of the configuration that are to be told of now, in order.
    pub(super) fn edits(&mut self) -> Vec<Edit> {
        std::mem::take(&mut self.edits)
    }

    /// Whether all that was there has been read.
    pub(super) fn is_read(&self) -> bool {
        self.reading.next().is_none()
    }

    /// Whether all that is known to have happened is written down.
    pub(super) fn is_written(&self) -> bool {
        self.is_read() && self.waiting.is_empty() && self.present.is_none()
    }

    /// Another number whenever there may be something else to do.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The entry of this node's own takeover, which installs its fence.
    pub(super) fn open(&self) -> Option<Step> {
        let first = EntryId::takeover(self.lease.term);
        self.waiting.contains_key(&first).then_some(Step::Append(first))
    }

    /// What to read or write next.
    pub(super) fn next(&self) -> Option<Step> {
        if !self.is_read() {
            return Some(Step::Read);
        }
        if self.present.is_some() {
            return Some(Step::Versions(self.told));
        }
        self.waiting.keys().next().map(|id| Step::Append(*id))
    }

    /// What keeps the history short. What the documents there are would tell anew stays: the last entry about the configuration and the last two about switchovers.
    pub(super) fn tidy(&self) -> Option<Step> {
        if self.there.len() <= MAX_ENTRIES {
            return None;
        }
        let last = |deed: Deed| {
            let mut keys: Vec<_> = self.named.iter().filter(|((of, _), _)| *of == deed).map(|(_, key)| key).collect();
            keys.sort_unstable();
            keys.into_iter().rev()
        };
        let kept: Vec<_> = last(Deed::Settings).take(1).chain(last(Deed::Switchover).take(2)).collect();
        self.there.iter().find(|key| !kept.contains(key)).cloned().map(Step::Trim)
    }

    pub(super) fn call(&self, step: &Step) -> Option<Call> {
        let fence = self.lease.clone();
        Some(match step {
            Step::Append(id) => {
                let entry = self.waiting.get(id)?;
                let (key, value) = (entry_key(*id)?, record::encode("history", entry).ok()?);
                Call::Put { key, value: value.into_bytes(), expect: Expect::Absent, fence }
            }
            Step::Read => {
                let after = self.reading.next()?.clone();
                Call::List { prefix: history(), after, limit: PAGE }
            }
            Step::Versions(told) => {
                Call::List { prefix: history_key(), after: Some(version_key(*told)), limit: VERSIONS }
            }
            Step::Trim(key) => Call::Delete { key: key.clone(), expect: Expect::Any, fence },
        })
    }

    /// Takes in how a call came out. `Ok` tells whether it is over, rather than to be made again.
    pub(super) fn on(&mut self, step: &Step, outcome: &Result<Reply, Fault>) -> Result<bool, FencedOff> {
        self.version += 1;
        match (step, outcome) {
            (_, Ok(Reply::Written(Written::Fenced { .. }) | Reply::Deleted(Deleted::Fenced { .. }))) => {
                return Err(FencedOff);
            }
            (Step::Append(id), Ok(Reply::Written(Written::Written(_) | Written::Conflict(_)))) => {
                if let Some(entry) = self.waiting.remove(id) {
                    self.take_in(entry_key(*id), Some(entry));
                }
            }
            (Step::Read, Ok(Reply::Documents(documents))) => {
                for Document { key, value, .. } in documents {
                    self.take_in(Some(key.clone()), record::decode("history", key.as_str(), value).ok());
                }
                self.reading = Pages::after(documents, PAGE);
                if self.is_read() {
                    self.find_told();
                }
            }
            (Step::Versions(_), Ok(Reply::Documents(documents))) => self.take_in_versions(documents),
            (Step::Trim(key), Ok(Reply::Deleted(_))) => {
                self.there.remove(key);
                self.named.retain(|_, named| named != key);
            }
            (Step::Append(_) | Step::Read | Step::Versions(_) | Step::Trim(_), Ok(_) | Err(_)) => return Ok(false),
        }
        Ok(true)
    }

    fn take_in(&mut self, key: Option<StateKey>, entry: Option<Entry>) {
        let Some(key) = key else { return };
        if let Some((deed, about)) = entry.and_then(|entry| Some((entry.deed, entry.about?))) {
            self.named.insert((deed, about), key.clone());
        }
        self.there.insert(key);
    }

    /// All of it was read: what was told before is not told again.
    fn find_told(&mut self) {
        let versions = self.named.keys().filter(|(deed, _)| *deed == Deed::Settings);
        self.told = versions.filter_map(|(_, version)| version.parse().ok()).max().unwrap_or(0);
        self.present.take_if(|present| present.version <= self.told);
        self.tell_present();
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|_, entry| !self.is_there(entry));
        self.waiting = waiting;
    }

    /// Whether this was written down before, also if it has made room since.
    fn is_there(&self, entry: &Entry) -> bool {
        let named = entry.about.clone().is_some_and(|about| self.named.contains_key(&(entry.deed, about)));
        let id = EntryId { term: entry.term, number: entry.number };
        let Some(key) = entry_key(id).filter(|_| self.is_read()) else { return named };
        let is_full = self.there.len() >= MAX_ENTRIES;
        named || self.there.contains(&key) || (is_full && self.there.first().is_some_and(|first| key < *first))
    }

    /// Versions that were put in force one after another, quicker than this node read them, or while nobody was active. The last is told of when
    /// nothing more is known of those before it.
    fn take_in_versions(&mut self, documents: &[Document]) {
        let Some(last) = self.present.as_ref().map(|present| present.version) else { return };
        let told = self.told;
        for Document { key, value, .. } in documents {
            let versioned = record::decode::<Versioned>("history", key.as_str(), value);
            if let Ok(Versioned { edit, .. }) = versioned
                && (self.told + 1..last).contains(&edit.version)
            {
                self.told = edit.version;
                self.edits.push(edit);
            }
        }
        if documents.len() < VERSIONS || self.told == told {
            self.told = last - 1;
        }
        self.tell_present();
    }

    /// The present version comes next, if all before it are told of.
    fn tell_present(&mut self) {
        if let Some(present) = self.present.take_if(|present| present.version <= self.told + 1)
            && present.version > self.told
        {
            self.told = present.version;
            self.edits.push(present);
        }
    }
}
