//! The simulation: the real machine of two to five nodes against one modelled store, in a seeded event queue of one thread.
//!
//! A [`Schedule`] is drawn from a seed and says everything that befalls the cluster. First the faults are on, and every
//! invariant has to hold at every moment; then they end, and the cluster has to be whole again within a stated bound. The same seed does the
//! same to the last nanosecond, so a [`Violation`] is its seed and the name of the invariant, which is also the name of the file
//! in `invariants/`.
//!
//! # What is modelled
//! - Each node's clock, with an origin of its own and a rate within ±5 % of the store's; timers that fire late.
//! - Each call: a request that takes its time or is lost, applied at the store at the store's time, and a reply that takes its time
//!   or is lost. A caller gives up at its deadline; the call may still be applied after that. The store is
//!   [`memory::World`](crate::memory::World), the reference backend itself.
//! - Processes that crash, and start again as new incarnations at once, later or never; that stand still and go on with
//!   everything that happened meanwhile coming in at once, in any order; that are told to leave.
//! - Stores that refuse, hang (and apply or do not), restart, or are replaced by an empty one; for all nodes or for one.
//! - Hosts that cannot be promoted, for a while or ever.
//! - Hosts whose hooks and jobs take their time; jobs that end or break by themselves, or ignore the wish to stop until they are cut off.
//! - Operators who submit and remove jobs, wish for switchovers to good and to bad targets, change roster and maintenance.
//! - Hints that are prompt, late, for nothing, or never come.
//!
//! # What is not
//! - A paused process stands still as a whole. That its jobs go on while only the machine stands still is not modelled: what
//!   protects there is the guard, a process of its own, and the check of the right against the clock at each use.
//! - A job that is cut off is gone at that moment. A host whose code cannot be cut off is protected by the resource's check of tokens.
//! - Several stores that fail separately (but a fence that one of them has and the lease store knows nothing of), records of a newer format, and clocks that leave the assumed ±5 %.
//! - Exclusion in time between nodes that know the store from before a wipe and those that know the one after it. The terms
//!   go on, because the operator sets a floor, so the resource's check of tokens protects.
//!
//! # How to use it
//! `cargo test -p failover-core --test simulation` runs 100 000 schedules. `FAILOVER_SCHEDULES=1000000` runs a million,
//! `FAILOVER_FROM=5000000` begins with another seed than zero, and `FAILOVER_SEED=n` replays one with its whole trace. [`Tamper`] seeds bugs, to see them found.

mod clock;
mod coverage;
mod engine;
mod invariants;
mod observer;
mod plan;
mod queue;
mod report;
mod rng;
mod scene;
mod schedule;
pub mod script;
mod store;
mod tamper;
mod trace;

pub(super) use rng::Rng;

pub use coverage::Coverage;
pub use report::{Options, Report, Violation, missing, run, run_schedule};
pub use schedule::Schedule;
pub use tamper::{Honest, Tamper};
