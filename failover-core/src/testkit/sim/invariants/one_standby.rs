use std::collections::{BTreeMap, BTreeSet};

use super::Invariant;
use crate::heartbeat::{Role, Sighting};
use crate::ids::{Member, Term};
use crate::machine::{Call, CallId, Effect, Input, Reply};
use crate::testkit::sim::scene::{Fact, Scene};
use crate::time::Time;

/// At most one standby: a node calls itself that only if whoever led by the highest term it was ever shown appointed it, by the last look at the
/// heartbeats that was answered. A heartbeat names one, and a term is one node's; so of two nodes that are standby at the same moment, one has
/// not yet looked since the other was appointed, and at its next look it is none.
#[derive(Default)]
pub(super) struct OneStandby {
    /// What the store answered each member, since when, of whoever led by the highest term.
    shown: BTreeMap<Member, Vec<(Time, Lead)>>,
    nodes: BTreeMap<usize, Node>,
}

/// Under which term, and whom it appointed.
type Lead = Option<(Term, Option<Member>)>;

#[derive(Default)]
struct Node {
    /// When each look was asked for.
    asked: BTreeMap<CallId, Time>,
    /// Who it may take for the leader: more than one if it is unclear which of two answers it has heard.
    leads: BTreeSet<Lead>,
}

impl Node {
    fn heard(&mut self, answers: &[(Time, Lead)], asked: Time) {
        let answers = answers.iter().filter(|(at, _)| *at >= asked).map(|(_, lead)| lead);
        let before = std::mem::take(&mut self.leads);
        for lead in answers {
            self.leads.extend(before.iter().map(|before| {
                let term = |lead: &Lead| lead.as_ref().map(|(term, _)| *term);
                if term(lead) >= term(before) { lead.clone() } else { before.clone() }
            }));
        }
        if self.leads.is_empty() {
            self.leads = before;
        }
    }
}

impl OneStandby {
    fn show(&mut self, scene: &Scene, to: &Member, sightings: &[Sighting]) -> Result<(), String> {
        let leads = || sightings.iter().filter_map(|s| Some((s.heartbeat.news.lead.as_ref()?, &s.heartbeat.member)));
        let highest = leads().max_by_key(|(lead, _)| lead.term);
        if let Some((lead, by)) = highest
            && let Some((_, other)) = leads().find(|(other, of)| other.term == lead.term && *of != by)
        {
            return Err(format!("{by} and {other} both lead under {}", lead.term));
        }
        let lead = highest.map(|(lead, _)| (lead.term, lead.standby.clone()));
        self.shown.entry(to.clone()).or_default().push((scene.now, lead));
        Ok(())
    }
}

impl Invariant for OneStandby {
    fn name(&self) -> &'static str {
        "one-standby"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Born { node } => {
                let mut new = Node::default();
                new.leads.insert(None);
                self.nodes.insert(*node, new);
            }
            Fact::Wants { node, effect: Effect::Call { id, call: Call::Sightings } } => {
                self.nodes.entry(*node).or_default().asked.insert(*id, scene.now);
            }
            Fact::Applied { by, answer: Ok(Reply::Sightings(sightings)), .. } => {
                return self.show(scene, by, sightings);
            }
            Fact::Told { node, input: Input::Outcome { id, outcome } } => {
                let (known, process) = (self.nodes.entry(*node).or_default(), scene.process(*node));
                let Some((asked, process)) = known.asked.remove(id).zip(process) else { return Ok(()) };
                if outcome.is_ok()
                    && let Some(shown) = self.shown.get_mut(&process.member)
                {
                    known.heard(shown, asked);
                    shown.clear();
                }
            }
            Fact::Handled { node } => {
                let Some(process) = scene.process(*node).filter(|process| process.role == Role::Standby) else {
                    return Ok(());
                };
                let appoints = |lead: &Lead| matches!(lead, Some((_, Some(standby))) if *standby == process.member);
                if !self.nodes.get(node).is_some_and(|known| known.leads.iter().any(appoints)) {
                    return Err(format!("{} is standby, and nobody has appointed it", process.member));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
