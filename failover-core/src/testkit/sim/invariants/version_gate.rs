use super::Invariant;
use crate::heartbeat::Role;
use crate::testkit::sim::scene::{Fact, Scene};

/// The version gate: once the faults have ended and everybody has heard of the settings, no node is standby whose version they do not
/// admit, and none is active while another could be that they do.
pub(super) struct VersionGate;

impl Invariant for VersionGate {
    fn name(&self) -> &'static str {
        "version-gate"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Bound = fact else { return Ok(()) };
        let up = || scene.nodes.iter().filter_map(|node| node.process.as_ref());
        let better = up().any(|process| !process.parked && !process.hopeless && scene.admits(process));
        for process in up().filter(|process| !scene.admits(process)) {
            let (member, version) = (&process.member, process.version.unwrap_or("none"));
            match process.role {
                Role::Standby => return Err(format!("{member} is standby, and its version {version} is not admitted")),
                Role::Active if better => {
                    return Err(format!("{member} is active as version {version}, and one that is admitted could be"));
                }
                Role::Active | Role::Inactive | Role::Maintenance => {}
            }
        }
        Ok(())
    }
}
