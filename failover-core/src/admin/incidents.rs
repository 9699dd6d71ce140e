//! Incidents, their response actions, and the cluster's history.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Admin, OrderError};
use crate::control::{Errand, Order};
use crate::error::Result;
use crate::ids::{ActionName, Member, StateKey};
use crate::incident::{Ack, ActionRecord, Claim, Course, Entry, Incident, Part, Phases, history, incidents, part};
use crate::record;
use crate::state::Document;

/// How many documents are read at once.
const PAGE: usize = 100;

impl Admin {
    /// The incidents, newest first: how each failure was found, how its response actions stand, who has seen it.
    ///
    /// An action that was begun and never told to be over is [`Claimed`](crate::incident::ActionState::Claimed): it runs, or it was lost half-way.
    ///
    /// # Errors
    /// The store's; [`TooNew`](crate::ErrorKind::TooNew) for incidents of a later build.
    pub async fn incidents(&self) -> Result<Vec<Incident>> {
        let mut found: BTreeMap<Member, Found> = BTreeMap::new();
        for document in self.list(&incidents()).await? {
            let Some((member, part)) = part(&document.key) else { continue };
            let found = found.entry(member).or_default();
            match part {
                Part::Claim => found.claim = Some(decode(&document)?),
                Part::Course => found.phases = decode::<Course>(&document)?.phases,
                Part::Ack => found.ack = Some(decode(&document)?),
                Part::Action(name) => drop(found.actions.insert(name, decode(&document)?)),
            }
        }
        let mut incidents: Vec<Incident> = found.into_values().filter_map(Found::incident).collect();
        incidents.sort_by_key(|incident| std::cmp::Reverse(incident.claim.age()));
        Ok(incidents)
    }

    /// Notes that the [operator](Self::with_operator) has seen an incident, and waits until the active node has written that down. An incident
    /// that is acknowledged may be forgotten once a hundred newer ones are there. Not cancel safe: what was asked for goes on.
    ///
    /// # Errors
    /// [`OrderError`] tells what to do next for each.
    pub async fn ack(&self, incident: &Member, note: &str, within: Duration) -> Result<Order, OrderError> {
        let Member { node, incarnation } = incident.clone();
        let deadline = self.clock.now() + within;
        self.order(Errand::Ack { node, incarnation, note: note.to_owned() }, deadline, within).await
    }

    /// Has the active node begin a response action of an incident once more: one that failed, or that was begun and never told to be
    /// over. Whether what was begun before has done its work is for the operator to know. Waits until it is begun, not until it is over.
    /// Not cancel safe: what was asked for goes on.
    ///
    /// # Errors
    /// [`OrderError`] tells what to do next for each.
    pub async fn retry_action(
        &self,
        incident: &Member,
        action: &ActionName,
        within: Duration,
    ) -> Result<Order, OrderError> {
        let Member { node, incarnation } = incident.clone();
        let deadline = self.clock.now() + within;
        self.order(Errand::Retry { node, incarnation, action: action.clone() }, deadline, within).await
    }

    /// The last `limit` entries of the cluster's history, newest first. At most [`MAX_ENTRIES`](crate::incident::MAX_ENTRIES) are kept.
    ///
    /// # Errors
    /// The store's; [`TooNew`](crate::ErrorKind::TooNew) for entries of a later build.
    pub async fn history(&self, limit: usize) -> Result<Vec<Entry>> {
        let documents = self.list(&history()).await?;
        documents.iter().rev().take(limit).map(decode).collect()
    }

    /// How many incidents nobody has acknowledged.
    pub(super) async fn open_incidents(&self) -> Result<usize> {
        let parts = self.list(&incidents()).await?;
        let count =
            |wanted: Part| parts.iter().filter(|d| part(&d.key).is_some_and(|(_, part)| part == wanted)).count();
        Ok(count(Part::Claim).saturating_sub(count(Part::Ack)))
    }

    /// Everything below a key.
    async fn list(&self, below: &StateKey) -> Result<Vec<Document>> {
        let mut all: Vec<Document> = Vec::new();
        loop {
            let after = all.last().map(|document| document.key.clone());
            let page = self.ask("list", self.backend.state.list(below, after.as_ref(), PAGE)).await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }
}

/// What was found of an incident.
#[derive(Default)]
struct Found {
    claim: Option<Claim>,
    phases: Phases,
    actions: BTreeMap<ActionName, ActionRecord>,
    ack: Option<Ack>,
}

impl Found {
    fn incident(self) -> Option<Incident> {
        let Self { claim, phases, mut actions, ack } = self;
        let claim = claim?;
        for due in &claim.due {
            actions.entry(due.clone()).or_insert_with(ActionRecord::due);
        }
        Some(Incident { phases: claim.phases.or(phases), actions, ack, claim })
    }
}

fn decode<T: serde::de::DeserializeOwned>(document: &Document) -> Result<T> {
    record::decode("list", document.key.as_str(), &document.value)
}
