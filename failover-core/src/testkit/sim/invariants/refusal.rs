use std::collections::BTreeMap;

use super::Invariant;
use crate::heartbeat::Role;
use crate::machine::{Call, Effect, HostInput, Input};
use crate::testkit::sim::scene::{Fact, HostScene, ProcessScene, Scene};
use crate::time::Time;

/// A node whose host could not be promoted is not active, gives the lease back as soon as its host has stopped, and leaves it to the others for half
/// a ttl: it neither asks for it nor promotes its host again before. That another has the role by then, if there is one that can, is
/// [`liveness`](super::liveness)'s: it has to hold beside a host that can never be promoted.
#[derive(Default)]
pub(super) struct Refusal {
    nodes: BTreeMap<usize, Refused>,
}

#[derive(Default)]
struct Refused {
    /// When its machine was told that the host has stopped, and whether it had the right then.
    stopped_at: Option<Time>,
    had_right: bool,
    gave_back: bool,
}

impl Invariant for Refusal {
    fn name(&self) -> &'static str {
        "refusal"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        let (Fact::Born { node } | Fact::Told { node, .. } | Fact::Wants { node, .. } | Fact::Handled { node }) = fact
        else {
            return Ok(());
        };
        let Some(process) = scene.process(*node) else { return Ok(()) };
        if let Fact::Born { .. } = fact {
            self.nodes.remove(node);
        }
        if process.host == HostScene::Refused && self.nodes.get(node).is_none_or(|refused| refused.stopped_at.is_some())
        {
            self.nodes.insert(*node, Refused::default());
        }
        let Some(refused) = self.nodes.get_mut(node) else { return Ok(()) };
        match fact {
            Fact::Told { input: Input::Host(HostInput::Demoted), .. } if refused.stopped_at.is_none() => {
                refused.stopped_at = Some(scene.now);
                refused.had_right = process.active_right(scene.now).is_some();
            }
            Fact::Wants { effect: Effect::Call { call: Call::Release { lease, .. }, .. }, .. } => {
                refused.gave_back |= lease.name == process.active;
            }
            // Asking again for what it holds keeps it.
            Fact::Wants { effect: Effect::Call { call: Call::Acquire { name, .. }, .. }, .. }
                if *name == process.active && process.active_right(scene.now).is_none() =>
            {
                return refused.leaves_it(scene, process, "asks for the active lease");
            }
            Fact::Wants { effect: Effect::Promote { .. }, .. } => {
                return refused.leaves_it(scene, process, "promotes its host");
            }
            Fact::Handled { .. } => return refused.handled(scene, process),
            _ => {}
        }
        Ok(())
    }
}

impl Refused {
    fn handled(&mut self, scene: &Scene, process: &ProcessScene) -> Result<(), String> {
        if process.host == HostScene::Refused && process.role == Role::Active {
            return Err(format!("{} is active although its host could not be promoted", process.member));
        }
        let keeps = std::mem::take(&mut self.had_right) && !self.gave_back;
        if keeps && process.era == scene.era && process.responding.is_empty() {
            return Err(format!("{} keeps the lease although its host could not be promoted", process.member));
        }
        Ok(())
    }

    fn leaves_it(&self, scene: &Scene, process: &ProcessScene, does: &str) -> Result<(), String> {
        // By its own clock, which may be 5 % fast.
        let least = scene.quickest.ttl() / 2 / 16 * 15;
        let since = self.stopped_at.map(|at| scene.now.since(at));
        match since {
            Some(since) if since >= least => Ok(()),
            Some(since) => Err(format!("{} {does} {since:?} after its host could not be promoted", process.member)),
            None => Err(format!("{} {does} while its host stops that could not be promoted", process.member)),
        }
    }
}
