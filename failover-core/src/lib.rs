//! Who is alive, who may act, who runs what: the traits, the failover state machine and the node.

pub mod control;
pub mod detect;
pub mod error;
pub mod heartbeat;
pub mod ids;
pub mod job;
pub mod lease;
pub mod machine;
pub mod memory;
pub mod record;
pub mod rules;
pub mod state;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;
pub mod timing;

mod backend;

pub use backend::Backend;
pub use error::{Error, ErrorKind, Invalid, Result};
pub use heartbeat::{Heartbeat, HeartbeatStore, Role, Sighting};
pub use ids::{
    ClusterName, Epoch, FencingToken, Incarnation, JobId, LeaseName, Member, NodeId, Revision, StateKey, Term, Version,
};
pub use job::{JobAssigner, JobRecord, JobSpec};
pub use lease::{Durability, Lease, LeaseManager};
pub use state::StateStore;
pub use timing::Timing;
