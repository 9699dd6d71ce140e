//! Response actions on each node's host, and operators who acknowledge incidents and have actions retried.

use std::time::Duration;

use super::{Engine, HostStep};
use crate::control::Errand;
use crate::ids::{ActionName, Member};
use crate::incident::{Part, incidents, part};
use crate::machine::HostInput;
use crate::testkit::sim::coverage::Count;

impl Engine {
    /// Begins an action as its plan says.
    pub(super) fn respond(&mut self, node: usize, action: &ActionName, attempt: u32, incident: Member) {
        let Some(plan) = self.setup.responses.iter().find(|plan| plan.name == *action) else { return };
        self.observer.count(if attempt > 1 { Count::Retries } else { Count::Responses });
        let outcome = if plan.fails { Err("it failed".to_owned()) } else { Ok(String::new()) };
        let (takes, action) = (plan.takes, action.clone());
        self.host(takes, node, HostStep::Responds { incident, action, attempt, outcome });
    }

    /// The right to be active is ending: what still runs is dropped where it stands.
    pub(super) fn cut_responses(&mut self, node: usize) {
        let Some(scene) = self.scene.nodes[node].process.as_ref() else { return };
        for (incident, action, attempt) in scene.responding.clone() {
            self.observer.count(Count::ResponsesCut);
            let after = self.rng.between(Duration::ZERO, Duration::from_millis(3));
            let outcome = Err("it was cut off".to_owned());
            self.host(after, node, HostStep::Responds { incident, action, attempt, outcome });
        }
    }

    /// An action is over, or was cut off: whatever came first.
    pub(super) fn responded(
        &mut self,
        node: usize,
        incident: Member,
        action: ActionName,
        attempt: u32,
        outcome: Result<String, String>,
    ) {
        let scene = self.scene.nodes[node].process.as_mut();
        if scene.is_some_and(|scene| scene.responding.remove(&(incident.clone(), action.clone(), attempt))) {
            self.tell(node, HostInput::Responded { incident, action, attempt, outcome });
        }
    }

    /// The incident of this number, counted around; nothing while there is none.
    fn incident(&self, number: usize) -> Option<Member> {
        let documents = self.scene.world.list(&incidents(), None, 1_000).unwrap_or_default();
        let claims = documents.iter().filter_map(|document| part(&document.key));
        let mut members: Vec<_> = claims.filter(|(_, part)| *part == Part::Claim).map(|(member, _)| member).collect();
        (!members.is_empty()).then(|| members.swap_remove(number % members.len()))
    }

    pub(super) fn acknowledge(&mut self, number: usize) {
        if let Some(Member { node, incarnation }) = self.incident(number) {
            self.order(Errand::Ack { node, incarnation, note: "seen".to_owned() });
        }
    }

    pub(super) fn retry(&mut self, number: usize) {
        let action = self.setup.responses.first().map(|plan| plan.name.clone());
        if let Some((Member { node, incarnation }, action)) = self.incident(number).zip(action) {
            self.order(Errand::Retry { node, incarnation, action });
        }
    }
}
