use std::collections::BTreeMap;

use super::Invariant;
use crate::heartbeat::Role;
use crate::machine::Input;
use crate::testkit::sim::scene::{Fact, Scene};
use crate::time::Time;

/// A node that neither the store nor a witness answers stands down before its lease would force it to.
#[derive(Default)]
pub(super) struct CutOff {
    /// When each node's last call succeeded.
    answered: BTreeMap<usize, Time>,
}

impl Invariant for CutOff {
    fn name(&self) -> &'static str {
        "cut-off"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        let (Fact::Told { node, .. } | Fact::Handled { node }) = fact else { return Ok(()) };
        let Some(process) = scene.process(*node).filter(|process| scene.was_awake(process)) else { return Ok(()) };
        if let Some(cut) = process.cut_off.filter(|cut| scene.now < cut.until) {
            let answered = self.answered.get(node).copied().unwrap_or(Time::ZERO);
            let since = cut.since.max(answered).max(process.awake_since);
            if scene.now > since + cut.notices_within && process.role == Role::Active {
                return Err(format!("{} is active although it is cut off since {since:?}", process.member));
            }
        }
        if let Fact::Told { input: Input::Outcome { outcome: Ok(_), .. }, .. } = fact {
            self.answered.insert(*node, scene.now);
        }
        Ok(())
    }
}
