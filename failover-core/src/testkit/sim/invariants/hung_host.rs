use super::Invariant;
use crate::heartbeat::Role;
use crate::testkit::sim::scene::{Fact, ProcessScene, Scene};

/// A hung host loses its role: it is not active any more once its watchdog's limit is over, and acts as the active node no longer than the
/// lease that it then had.
pub(super) struct HungHost;

impl Invariant for HungHost {
    fn name(&self) -> &'static str {
        "hung-host"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            // Before it can do anything about it: it should have done so before.
            Fact::Told { node, .. } | Fact::Handled { node } => match scene.process(*node) {
                Some(process) if scene.was_awake(process) => found_out(scene, process),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

fn found_out(scene: &Scene, process: &ProcessScene) -> Result<(), String> {
    let Some(hang) = process.hangs else { return Ok(()) };
    let member = &process.member;
    if scene.now > hang.loses_role_by && process.role == Role::Active {
        return Err(format!("{member} is active although its host hangs since {:?}", hang.since));
    }
    if scene.now > hang.loses_right_by && (!process.host.is_quiet() || process.active_right(scene.now).is_some()) {
        return Err(format!("{member} may act as active although its host hangs since {:?}", hang.since));
    }
    Ok(())
}
