//! Nodes on the reference backend, on a clock that is moved by hand: every moment here is exact.

mod ends;
mod faults;
mod gate;
mod known;
mod placement;
mod rates;
mod roles;
#[path = "../support/mod.rs"]
mod support;
mod world;
