use std::collections::BTreeMap;

use super::Invariant;
use crate::control::{self, Settings, SwitchCause, SwitchPhase, SwitchWay, Switchover};
use crate::ids::LeaseName;
use crate::job::Step;
use crate::machine::{Call, Effect, Input, Reply};
use crate::record;
use crate::state::Document;
use crate::testkit::sim::scene::{Fact, Scene};

/// In a paused cluster nothing moves by itself: a node that has read of the pause asks for no other node's lease, takes no job from anybody, and
/// asks for the active lease only if an operator's wish names it or it takes back what it gave up for one. Nor does it ask to be relieved.
#[derive(Default)]
pub(super) struct Standstill {
    known: BTreeMap<usize, Known>,
}

/// What a process has read.
#[derive(Default)]
struct Known {
    paused: bool,
    /// As it last read it, and as it wrote it the last two times: which of them is there now it may not know, for the last may have been refused.
    wishes: [Option<Switchover>; 3],
    takes_back: bool,
}

impl Invariant for Standstill {
    fn name(&self) -> &'static str {
        "standstill"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Born { node } => drop(self.known.insert(*node, Known::default())),
            Fact::Told { node, input: Input::Outcome { outcome: Ok(Reply::Documents(documents)), .. } } => {
                for document in documents {
                    self.known.entry(*node).or_default().read(document);
                }
            }
            Fact::Wants { node, effect: Effect::Call { call, .. } } => {
                let known = self.known.entry(*node).or_default();
                let Some(process) = scene.process(*node) else { return Ok(()) };
                let member = &process.member;
                match call {
                    Call::Release { lease, successor } if lease.name == process.active && lease.holder == *member => {
                        known.takes_back = successor.as_ref() == Some(&member.node);
                    }
                    // What it writes about a wish itself, it need not read first.
                    Call::Put { key, value, .. } if *key == control::switchover_key() => {
                        let wish = wish(value);
                        let begins =
                            |w: &Switchover| (w.cause, w.phase) == (SwitchCause::Health, SwitchPhase::Requested);
                        if known.paused && wish.as_ref().is_some_and(begins) {
                            return Err(format!("{member} asks for relief in a paused cluster"));
                        }
                        known.wishes[2] = known.wishes[1].take();
                        known.wishes[1] = wish;
                    }
                    _ if !known.paused => {}
                    Call::Acquire { name, .. } if *name == process.active => {
                        let holds = process.active_right(scene.now).is_some();
                        if !(holds || known.takes_back || known.names(&member.node)) {
                            return Err(format!("{member} seeks the active lease of a paused cluster"));
                        }
                    }
                    Call::Acquire { name, .. } if *name != LeaseName::node(&member.node) => {
                        return Err(format!("{member} seeks {name} in a paused cluster"));
                    }
                    Call::Assign { moves, .. } if moves.iter().any(|mv| matches!(mv.step, Step::Seize { .. })) => {
                        return Err(format!("{member} takes jobs from others in a paused cluster"));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Known {
    fn read(&mut self, document: &Document) {
        if document.key == control::settings_key() {
            if let Ok(settings) = record::decode::<Settings>("get", "control/cluster", &document.value) {
                self.paused = settings.paused.is_some();
            }
        } else if document.key == control::switchover_key() {
            self.wishes[0] = wish(&document.value);
        }
    }

    fn names(&self, node: &crate::ids::NodeId) -> bool {
        self.wishes.iter().flatten().any(|wish| match wish.way {
            SwitchWay::Planned => {
                wish.phase.is_under_way() && (wish.to.as_ref() == Some(node) || wish.from.as_ref() == Some(node))
            }
            SwitchWay::Activation => {
                !wish.phase.is_over() && wish.phase != SwitchPhase::Requested && wish.to.as_ref() == Some(node)
            }
        })
    }
}

fn wish(value: &[u8]) -> Option<Switchover> {
    record::decode("get", "control/switchover", value).ok()
}
