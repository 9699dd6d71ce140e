use std::time::Duration;

use crate::ids::Member;
use crate::machine::{Call, Config, Effect, Fault, Input, Reply};
use crate::memory::World;
use crate::time::Time;

/// A wrapper around the machines and the store that may change what passes, so that a test can seed a bug at the boundary
/// and see that the simulation finds it. Every method does nothing by default.
pub trait Tamper {
    /// Changes how a machine is set up.
    fn config(&mut self, _config: &mut Config) {}

    /// Changes what `member`'s machine is told. `waited` is how long it waited for it by its own clock, if it is an outcome.
    fn input(&mut self, _member: &Member, _waited: Option<Duration>, _input: &mut Input) {}

    /// Changes what `member`'s machine wants done.
    fn effect(&mut self, _member: &Member, _effect: &mut Effect) {}

    /// Whether guards take a host that stands still for dead.
    fn takes_a_pause_for_death(&self) -> bool {
        false
    }

    /// Answers a call in the store's stead.
    fn store(&mut self, _world: &mut World, _now: Time, _by: &Member, _call: &Call) -> Option<Result<Reply, Fault>> {
        None
    }
}

/// Changes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Honest;

impl Tamper for Honest {}
