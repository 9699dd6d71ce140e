//! **Never two owners that can both write, never none for longer than stated.**
//!
//! Give this crate a store your service already runs, and one of your processes is the active one, another stands by, jobs run on
//! exactly one node each, and when a process dies, hangs, is paused or is cut off, the next takes over.
//!
//! ```text
//!    your service                         your service
//!   ┌──────────────┐                     ┌──────────────┐
//!   │ Node "a"     │   HeartbeatStore    │ Node "b"     │
//!   │  active      │◀── who seems ──────▶│  standby     │
//!   │              │      alive?         │  prepared    │
//!   │  job j1      │   LeaseManager      │  job j2      │
//!   │  job j3      │◀── who may act? ───▶│              │
//!   │              │   JobAssigner       │              │
//!   │  Right, token│◀── who runs what? ─▶│              │
//!   └──────┬───────┘                     └──────────────┘
//!          │ every write carries the token
//!          ▼
//!   the resource, which refuses a token lower than the highest it has seen
//! ```
//!
//! ```
//! use failover_core::machine::JobEnd;
//! use failover_core::{Admin, JobId, JobRun, JobSpec, Node, NodeId, Role, memory::MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new(); // or SQLite, from `failover-sql`
//! let node = Node::builder(store.backend(), NodeId::new("n1")?)
//!     .jobs(|run: JobRun| async move {
//!         println!("{} runs under {}", run.spec().payload(), run.token());
//!         run.stop().cancelled().await; // your work, until it is told to stop
//!         JobEnd::Stopped
//!     })
//!     .start()?;
//!
//! Admin::new(store.backend()).submit(&JobSpec::new(JobId::new("import")?, "the import")?).await?;
//! node.roles().wait_for(|role| *role == Role::Active).await?;
//! let right = node.active().expect("it is the only node");
//! assert!(right.is_valid()); // a comparison with the clock, at the moment of use
//!
//! node.shutdown().await; // stops the job, hands over, gives its leases back
//! assert!(!right.is_valid());
//! # Ok(())
//! # }
//! ```
//!
//! | you want | look at |
//! |---|---|
//! | one leader under a name, nothing else | [`Election`] |
//! | roles, jobs, takeover | [`Node`], [`JobHandler`], [`RoleHooks`] |
//! | to know whether you may act right now | [`Right`] |
//! | to keep late writes away from a resource of your own | [`fencing`] |
//! | to switch a silent machine off instead of waiting for its leases | [`fencer`] |
//! | to let new work in on the active node only | [`Gate`] |
//! | clients that find the active node | [`client`] |
//! | to have the active node's state on every other | [`Replica`] |
//! | to operate a cluster | [`Admin`] |
//! | to know which job goes where, or to rehearse it | [`plan`] |
//! | to bring a store of your own | [`HeartbeatStore`], [`LeaseManager`], [`JobAssigner`], [`StateStore`], and `testkit` to show that it keeps its promises |
//! | to know why something happened | [`Events`], [`machine::Reason`], [`machine::table`] |
//!
//! **The limits.** A process can be paused between its check and its write for any time, so exclusion at the resource needs the
//! resource: let it remember the highest [`FencingToken`] and refuse lower ones. Rights are counted on the host's own clock, so a
//! clock that runs slower than the store's by more than [`Timing::drift_ppm`] breaks the promise; nothing else about clocks is assumed.

pub mod admin;
pub mod capacity;
pub mod client;
pub mod control;
pub mod detect;
pub mod election;
pub mod error;
pub mod events;
pub mod fencer;
pub mod fencing;
pub mod gate;
pub mod health;
pub mod heartbeat;
pub mod heir;
pub mod home;
pub mod ids;
pub mod incident;
pub mod job;
pub mod lease;
mod local;
pub mod machine;
pub mod memory;
pub mod node;
pub mod plan;
pub mod record;
pub mod replica;
pub mod right;
pub mod rules;
pub mod state;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;
pub mod timing;
pub mod witness;

mod backend;
mod command;
mod driver;
#[cfg(feature = "http")]
mod http;
mod sentences;

pub use admin::Admin;
pub use backend::Backend;
pub use capacity::Capacity;
pub use client::Endpoint;
pub use election::{Election, Leadership};
pub use error::{Error, ErrorKind, Invalid, Result};
pub use events::{Events, StampedEvent};
pub use fencer::{CommandFencer, NodeFencer};
pub use gate::Gate;
pub use health::Health;
pub use heartbeat::{Heartbeat, HeartbeatStore, Role, Sighting};
pub use heir::{Estate, Heir};
pub use home::Home;
pub use ids::{
    ActionName, ClassName, ClusterName, Epoch, FailureName, FencingToken, GroupName, Incarnation, JobId, LeaseName,
    Member, NodeId, Revision, StateKey, Term, Version,
};
pub use incident::Incident;
pub use job::{JobAssigner, JobPolicy, JobRecord, JobSpec};
pub use lease::{Durability, Lease, LeaseManager};
#[cfg(feature = "http")]
pub use node::HttpAction;
pub use node::{CommandAction, JobHandler, JobRun, Node, NodeBuilder, ResponseAction, ResponseRun, RoleHooks};
pub use replica::{Replica, Replicated};
pub use right::Right;
pub use state::StateStore;
pub use timing::Timing;
pub use witness::Witness;

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
