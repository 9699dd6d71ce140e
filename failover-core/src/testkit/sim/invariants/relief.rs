use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use crate::control::{self, SwitchCause, SwitchPhase, Switchover};
use crate::health::Health;
use crate::heartbeat::Sighting;
use crate::ids::{Member, NodeId};
use crate::machine::{Call, Effect, HostInput, Input, Reply};
use crate::record;
use crate::state::Written;
use crate::testkit::sim::scene::{Fact, Scene};
use crate::time::Time;

/// What weighs on each node.
type Weights = BTreeMap<NodeId, u32>;

/// Relief: whom a node asks for is in better health than itself, as the store showed it, and nobody asks again before the hold-off is over.
#[derive(Default)]
pub(super) struct Relief {
    health: BTreeMap<usize, Health>,
    /// What the store answered each member lately of what weighs on the nodes, and when an answer last arrived.
    shown: BTreeMap<Member, Vec<(Time, Weights)>>,
    heard: BTreeMap<usize, Time>,
    last: Option<Time>,
}

/// An answer is no older than this when it arrives.
const UNDER_WAY: Duration = Duration::from_secs(4);

impl Relief {
    fn show(&mut self, scene: &Scene, to: &Member, sightings: &[Sighting]) {
        let weights = sightings.iter().map(|s| (s.heartbeat.member.node.clone(), s.heartbeat.news.health.weight()));
        let shown = self.shown.entry(to.clone()).or_default();
        shown.push((scene.now, weights.collect()));
        let forgotten = shown.len().saturating_sub(64);
        shown.drain(..forgotten);
    }

    /// What the node may know of the other when it asks.
    fn asks(&self, scene: &Scene, node: usize, wish: &Switchover) -> Result<(), String> {
        let (Some(process), Some(to)) = (scene.process(node), &wish.to) else { return Ok(()) };
        let mine = self.health.get(&node).map_or(0, Health::weight);
        let since = self.heard.get(&node).copied().unwrap_or(Time::ZERO) - UNDER_WAY;
        let shown = self.shown.get(&process.member).map_or(&[][..], Vec::as_slice);
        let recent = shown.iter().filter(|(at, _)| *at >= since).filter_map(|(_, weights)| weights.get(to));
        match recent.min() {
            Some(theirs) if *theirs < mine => Ok(()),
            theirs => Err(format!(
                "{}, on which {mine} weighs, asks for relief by {to}, on which {theirs:?} does",
                process.member
            )),
        }
    }

    fn asked(&mut self, scene: &Scene, by: &Member) -> Result<(), String> {
        let earlier = self.last.replace(scene.now).filter(|last| scene.wished_at.is_none_or(|at| at < *last));
        let least = scene.hold_off / 16 * 15;
        match earlier.map(|last| scene.now.since(last)).filter(|since| *since < least) {
            Some(since) => Err(format!("{by} asks for relief {since:?} after the last one")),
            None => Ok(()),
        }
    }
}

/// The wish to be relieved that this call writes, if it does.
fn wish(call: &Call) -> Option<Switchover> {
    let Call::Put { key, value, .. } = call else { return None };
    let wish = (*key == control::switchover_key()).then(|| record::decode::<Switchover>("get", key.as_str(), value));
    wish?.ok().filter(|wish| wish.cause == SwitchCause::Health && wish.phase == SwitchPhase::Requested)
}

impl Invariant for Relief {
    fn name(&self) -> &'static str {
        "relief"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Wiped => self.last = None,
            Fact::Born { node } => drop(self.health.insert(*node, Health::default())),
            Fact::Told { node, input: Input::Host(HostInput::FailureReported { name, failure }) } => {
                drop(self.health.entry(*node).or_default().report(name, failure));
            }
            Fact::Told { node, input: Input::Host(HostInput::FailureCleared { name }) } => {
                self.health.entry(*node).or_default().clear(name);
            }
            Fact::Told { node, input: Input::Outcome { outcome: Ok(Reply::Sightings(_)), .. } } => {
                self.heard.insert(*node, scene.now);
            }
            Fact::Applied { by, answer: Ok(Reply::Sightings(sightings)), .. } => self.show(scene, by, sightings),
            Fact::Applied { by, call, answer: Ok(Reply::Written(Written::Written(_))), .. } if wish(call).is_some() => {
                return self.asked(scene, by);
            }
            Fact::Wants { node, effect: Effect::Call { call, .. } } => {
                return wish(call).map_or(Ok(()), |wish| self.asks(scene, *node, &wish));
            }
            _ => {}
        }
        Ok(())
    }
}
