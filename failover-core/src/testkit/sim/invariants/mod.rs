//! One file for each law that binds the machine.

mod active_exclusion;
mod bounded_load;
mod call_ids;
mod closed;
mod cut_off;
mod early_break;
mod early_wakes;
mod event_order;
mod fence_first;
mod hung_host;
mod liveness;
mod one_incident;
mod one_response;
mod one_standby;
mod placement;
mod planned_moves;
mod refusal;
mod relief;
mod resource;
mod run_exclusion;
mod self_fence;
mod standstill;
mod stop_first;
mod terms;
mod unplanned_moves;
mod version_gate;

use super::scene::{Fact, Scene};

pub(super) use liveness::bound;

/// Something that must always hold.
pub(super) trait Invariant {
    /// What a violation is called.
    fn name(&self) -> &'static str;

    /// Takes in what happened; an error says how the invariant broke.
    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String>;
}

/// All of them, fresh.
pub(super) fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(active_exclusion::ActiveExclusion),
        Box::new(run_exclusion::RunExclusion),
        Box::<resource::Resource>::default(),
        Box::<terms::Terms>::default(),
        Box::<standstill::Standstill>::default(),
        Box::new(closed::Closed),
        Box::new(self_fence::SelfFence),
        Box::new(stop_first::StopFirst),
        Box::<unplanned_moves::UnplannedMoves>::default(),
        Box::<fence_first::FenceFirst>::default(),
        Box::<planned_moves::PlannedMoves>::default(),
        Box::<placement::Placement>::default(),
        Box::<one_incident::OneIncident>::default(),
        Box::new(hung_host::HungHost),
        Box::<cut_off::CutOff>::default(),
        Box::<early_break::EarlyBreak>::default(),
        Box::<one_response::OneResponse>::default(),
        Box::<one_standby::OneStandby>::default(),
        Box::<relief::Relief>::default(),
        Box::<refusal::Refusal>::default(),
        Box::<call_ids::CallIds>::default(),
        Box::<bounded_load::BoundedLoad>::default(),
        Box::new(early_wakes::EarlyWakes),
        Box::<event_order::EventOrder>::default(),
        Box::new(version_gate::VersionGate),
        Box::<liveness::Liveness>::default(),
    ]
}
