//! Redirects: what is done so that clients reach the new active node, when they do not look themselves.
//!
//! A redirect is carried out **once per change of the active node**: on the node that has become active, after its `promote`, under the term it leads
//! by. Before that, the term is written to the store as a claim, under its fence: a node that is deposed and does not know it
//! is told there, and redirects nobody. Until the redirect has succeeded it is tried again, ever less often, as long as the node is active; the moment that it has to
//! stop, a try under way is dropped. So a redirect has to be **idempotent**: a try that broke off may have taken effect, and the next
//! does the same again. How it went is an event ([`RedirectDone`](crate::machine::EventKind::RedirectDone), [`RedirectFailed`](crate::machine::EventKind::RedirectFailed): the first failure of
//! a streak) and a document, [`Redirected`].
//!
//! A redirect by function:
//!
//! ```
//! use failover_core::client::{Address, redirect::RedirectError};
//! use failover_core::memory::MemoryStore;
//! use failover_core::{Endpoint, Node, NodeId, Right};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder(MemoryStore::new().backend(), NodeId::new("a")?)
//!     .endpoint(Endpoint::new("10.0.0.7:443")?)
//!     .redirect("floating-ip", |to: Address, right: Right| async move {
//!         // The provider's API would be called here; where it takes a condition, give it the term.
//!         Ok::<_, RedirectError>(format!("{} under {}", to.endpoint().expect("it has one"), right.token()))
//!     })
//!     .start()?;
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod command;
mod courier;
#[cfg(feature = "dns")]
pub mod dns;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::command::Command;
pub(crate) use self::courier::Courier;
use super::{Address, Endpoint};
use crate::error::{Error, Invalid, Result};
use crate::ids::{NodeId, StateKey, Term};
use crate::record;
use crate::right::Right;

/// Leads clients to the active node.
#[async_trait]
pub trait Redirect: Send + Sync {
    /// Leads them to `to`, and says what it did, for people. Idempotent; dropped where it stands when the node has to stop being active, and after
    /// [`deadline`](Self::deadline).
    ///
    /// # Errors
    /// [`RedirectError`] says whether it is worth another try.
    async fn redirect(&self, to: &Address, right: &Right) -> Result<String, RedirectError>;

    /// How long one try may take. Default: 30 s.
    fn deadline(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Whether it could lead clients to these, asked before the node starts. Default: yes.
    ///
    /// # Errors
    /// [`Invalid`] if not.
    fn check(&self, _endpoints: &[Endpoint]) -> Result<(), Invalid> {
        Ok(())
    }
}

#[async_trait]
impl<F, R> Redirect for F
where
    F: Fn(Address, Right) -> R + Send + Sync,
    R: Future<Output = Result<String, RedirectError>> + Send,
{
    async fn redirect(&self, to: &Address, right: &Right) -> Result<String, RedirectError> {
        self(to.clone(), right.clone()).await
    }
}

/// Why a redirect did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// It failed. It is tried again as long as the node is active.
    #[error("{0}")]
    Failed(String),
    /// Where it leads clients, a later term has already led them. It is not tried again under this one.
    #[error("clients have been redirected under the later term {0}")]
    Superseded(Term),
}

/// How far a redirect is, as the store has it under [`redirect_key`]: the latest term's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Redirected {
    /// The term it is about.
    pub term: Term,
    /// The node that carries it out.
    pub node: NodeId,
    /// How far it is.
    pub phase: RedirectPhase,
    /// What the redirect said, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

/// How far a redirect is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RedirectPhase {
    /// The node that is named carries it out, or died over it.
    Claimed,
    /// It failed, and is tried again as long as the node is active.
    Failed,
    /// It is done.
    Done,
}

impl Redirected {
    /// Reads what the store has.
    ///
    /// # Errors
    /// As [`record::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode("redirect", "a redirect", bytes)
    }
}

/// Where a redirect of this name notes how far it is.
///
/// # Errors
/// [`Invalid`] if it is not a name.
pub fn redirect_key(name: &str) -> Result<StateKey, Invalid> {
    NodeId::new(name).map_err(|broken| Invalid::new("redirect", name, broken.rule))?;
    StateKey::new(format!("client/redirect/{name}"))
}
