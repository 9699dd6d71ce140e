//! Who is alive, who may act, who runs what: the traits, the failover state machine and the node.

pub mod admin;
pub mod control;
pub mod detect;
pub mod election;
pub mod error;
pub mod events;
pub mod heartbeat;
pub mod ids;
pub mod job;
pub mod lease;
pub mod machine;
pub mod memory;
pub mod node;
pub mod record;
pub mod right;
pub mod rules;
pub mod state;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;
pub mod timing;

mod backend;
mod driver;

pub use admin::Admin;
pub use backend::Backend;
pub use election::{Election, Leadership};
pub use error::{Error, ErrorKind, Invalid, Result};
pub use events::{Events, StampedEvent};
pub use heartbeat::{Heartbeat, HeartbeatStore, Role, Sighting};
pub use ids::{
    ClusterName, Epoch, FencingToken, Incarnation, JobId, LeaseName, Member, NodeId, Revision, StateKey, Term, Version,
};
pub use job::{JobAssigner, JobRecord, JobSpec};
pub use lease::{Durability, Lease, LeaseManager};
pub use node::{JobHandler, JobRun, Node, NodeBuilder, RoleHooks};
pub use right::Right;
pub use state::StateStore;
pub use timing::Timing;
