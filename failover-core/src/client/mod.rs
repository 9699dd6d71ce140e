//! Clients that follow: where the active node can be reached, told with the term under which it leads.
//!
//! | for | look at |
//! |---|---|
//! | an address that can be told | [`Endpoint`] |
//! | a client that follows the active node | [`Resolver`] |
//! | to redirect clients that do not look themselves: a command, a function, DNS UPDATE (feature `dns`) | [`redirect`] |
//! | health endpoints for load balancers and probes (feature `http`) | `health` |
//! | what the active node tells, and under which key | [`Address`], [`active_key`] |
//!
//! A node that was given endpoints ([`NodeBuilder::endpoint`](crate::NodeBuilder::endpoint)) publishes them each time it becomes active: after its `promote`, under the token of
//! its active lease, again and again until the store has taken them in or the node is active no more. So whoever is deposed cannot
//! overwrite what a later active node has said. Every node's endpoints are in its heartbeats, too: see
//! [`NodeStatus::endpoints`](crate::admin::NodeStatus::endpoints). A node without endpoints makes no call for this.

mod address;
mod build;
mod endpoint;
#[cfg(feature = "http")]
pub mod health;
mod herald;
mod pen;
pub mod redirect;
mod resolver;

pub use address::{Address, active_key, client};
pub(crate) use build::{Following, Surroundings};
pub use endpoint::{Endpoint, MAX_ENDPOINTS};
use herald::Herald;
pub use resolver::{ResolveError, Resolver, ResolverBuilder};
