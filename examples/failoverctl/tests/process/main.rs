//! The real program in real processes: nodes on one SQLite file or on a server, killed, stopped, starved of their store, and asked nicely.
//!
//! One binary, so that the tests, which mostly wait, run side by side. Every wait is for an event and has a generous limit.

mod apply;
mod away;
mod clients;
mod common;
mod config;
mod crash;
mod drain;
mod explain;
mod fencer;
mod guard;
mod incidents;
mod input;
mod jobs;
mod leave;
mod moves;
mod operator;
mod pause;
mod places;
mod run;
mod status;
mod store;
mod stores;
mod switchover;
mod takeover;
mod wait;
