use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use crate::control::{self, Settings};
use crate::ids::{LeaseName, Member};
use crate::lease::Tenant;
use crate::machine::{Call, Effect, Input, Reply};
use crate::record;
use crate::testkit::sim::scene::{Fact, Scene};
use crate::time::Time;

/// No lease is broken while its holder's process lives: nobody else gives it back. And a machine is switched off only by a node that has just read from
/// the store that it holds a lease, which is neither cut off nor told that the cluster is paused, and has no other order open.
#[derive(Default)]
pub(super) struct EarlyBreak {
    /// Whose lease each member was shown last, and when.
    read: BTreeMap<(Member, LeaseName), (Time, Option<Member>)>,
    paused: BTreeMap<usize, bool>,
    open: BTreeMap<usize, (u64, Time)>,
}

impl EarlyBreak {
    fn asked(&mut self, scene: &Scene, node: usize, target: &Member, order: u64, until: Time) -> Result<(), String> {
        let Some(process) = scene.process(node) else { return Ok(()) };
        let me = &process.member;
        if target.node == me.node {
            return Err(format!("{me} has its own machine switched off"));
        }
        if self.paused.get(&node) == Some(&true) {
            return Err(format!("{me} has a machine switched off in a paused cluster"));
        }
        // The longest that an answer may have been under way.
        let fresh = scene.slowest.call() * 11 / 10 + Duration::from_millis(20);
        let is_cut_off = process.cut_off.is_some_and(|cut| scene.now > cut.since + fresh && scene.now < cut.until);
        if is_cut_off {
            return Err(format!("{me} has a machine switched off although it is cut off"));
        }
        let names = [LeaseName::active(), LeaseName::node(&target.node)];
        let has_read = names.into_iter().any(|name| {
            let read = self.read.get(&(me.clone(), name));
            read.is_some_and(|(at, holder)| scene.now <= *at + fresh && holder.as_ref() == Some(target))
        });
        if !has_read {
            return Err(format!("{me} has a machine switched off and has not just read that {target} holds a lease"));
        }
        let before = self.open.insert(node, (order, until));
        if before.is_some() { Err(format!("{me} has two orders open")) } else { Ok(()) }
    }
}

impl Invariant for EarlyBreak {
    fn name(&self) -> &'static str {
        "early-break"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Born { node } => {
                self.paused.remove(node);
                self.open.remove(node);
            }
            Fact::Told { node, input: Input::Outcome { outcome: Ok(Reply::Documents(documents)), .. } } => {
                for document in documents.iter().filter(|document| document.key == control::settings_key()) {
                    if let Ok(settings) = record::decode::<Settings>("get", "control/cluster", &document.value) {
                        self.paused.insert(*node, settings.paused.is_some());
                    }
                }
            }
            Fact::Applied { by, call: Call::Current(name), answer: Ok(Reply::View(view)), .. } => {
                let holder = match &view.tenant {
                    Tenant::Held { holder, .. } => Some(holder.clone()),
                    Tenant::Free | Tenant::Reserved { .. } => None,
                };
                self.read.insert(((*by).clone(), name.clone()), (scene.now, holder));
            }
            Fact::Applied { by, call: Call::Release { lease, .. }, .. } => {
                let mut up = scene.nodes.iter().filter_map(|node| node.process.as_ref());
                if lease.holder != **by && up.any(|process| process.member == lease.holder) {
                    return Err(format!("{by} gives {} back while {} lives", lease.name, lease.holder));
                }
            }
            Fact::Wants { node, effect: Effect::SwitchOff { target, order, until } } => {
                return self.asked(scene, *node, target, *order, *until);
            }
            Fact::Wants { node, effect: Effect::CallOff { order } } => {
                self.open
                    .remove(node)
                    .filter(|(open, _)| open == order)
                    .ok_or("an order is called off that is not open")?;
            }
            Fact::Wants { node, effect: Effect::Tell(event) } => {
                use crate::machine::EventKind;
                if matches!(event.kind, EventKind::FencingConfirmed | EventKind::FencingRefused) {
                    self.open.remove(node);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
