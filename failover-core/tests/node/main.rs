//! Nodes on the reference backend, on a clock that is moved by hand: every moment here is exact.

mod activate;
mod clients;
mod config;
mod ends;
mod faults;
mod fencer;
mod gate;
mod handover;
#[cfg(feature = "http")]
mod health;
mod history;
mod kept;
mod known;
mod placement;
mod rates;
mod redirect;
mod replica;
mod resolver;
mod responses;
mod roles;
#[path = "../support/mod.rs"]
mod support;
mod wellbeing;
mod world;
