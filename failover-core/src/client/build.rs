//! What a node is told about its clients when it is described.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::pen::Pen;
use super::redirect::{Courier, Redirect, redirect_key};
use super::{Endpoint, Herald};
use crate::backend::Backend;
use crate::driver::Shared;
use crate::error::Invalid;
use crate::node::NodeBuilder;
use crate::time::Clock;
use crate::timing::Timing;

/// How a node's clients follow it.
#[derive(Default)]
pub(crate) struct Following {
    #[cfg(feature = "http")]
    pub(crate) health: Option<std::net::SocketAddr>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) redirects: Vec<(String, Arc<dyn Redirect>)>,
}

/// What a node has that its companions need.
pub(crate) struct Surroundings {
    pub(crate) shared: Arc<Shared>,
    pub(crate) backend: Backend,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timing: Timing,
    #[cfg(feature = "http")]
    pub(crate) outbox: crate::driver::Outbox,
    /// Fires when the node is finished in good order.
    pub(crate) closing: CancellationToken,
}

impl Surroundings {
    fn pen(&self) -> Pen {
        let (shared, state, clock) = (self.shared.clone(), self.backend.state.clone(), self.clock.clone());
        Pen { shared, state, clock, timing: self.timing }
    }
}

impl NodeBuilder {
    /// Tells clients that the node can be reached there while it is active; see [`client`](crate::client). May be given several times, up to
    /// [`MAX_ENDPOINTS`](super::MAX_ENDPOINTS), the preferred one first. Give every node of the cluster its own, or none: a node without leaves what the one before it
    /// has published.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.following.endpoints.push(endpoint);
        self
    }

    /// Leads clients to this node whenever it has become active; see [`redirect`](super::redirect). May be given several times, each
    /// under a name of its own. Give every node of the cluster the same.
    pub fn redirect(mut self, name: impl Into<String>, redirect: impl Redirect + 'static) -> Self {
        self.following.redirects.push((name.into(), Arc::new(redirect)));
        self
    }

    /// Serves the node's [health](crate::client::health) over HTTP at this address of the machine, from its start to its end. Port 0 is any free one, which
    /// [`Node::health_address`](crate::Node::health_address) tells. Default: nothing is served.
    #[cfg(feature = "http")]
    pub fn health(mut self, address: std::net::SocketAddr) -> Self {
        self.following.health = Some(address);
        self
    }
}

impl Following {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        Endpoint::check_list(&self.endpoints)?;
        for (at, (name, redirect)) in self.redirects.iter().enumerate() {
            redirect_key(name)?;
            if self.redirects[..at].iter().any(|(other, _)| other == name) {
                return Err(Invalid::new("redirect", name, "each must have a name of its own"));
            }
            redirect.check(&self.endpoints)?;
        }
        Ok(())
    }

    /// The tasks that go along with the node: none for what is not wanted.
    ///
    /// # Errors
    /// [`Invalid`] if the health endpoints' address cannot be had.
    pub(crate) fn companions(self, around: &Surroundings) -> Result<Vec<BoxFuture<'static, ()>>, Invalid> {
        let mut companions: Vec<BoxFuture<'static, ()>> = Vec::new();
        #[cfg(feature = "http")]
        if let Some(address) = self.health {
            let listener = super::health::bind(address)?;
            let bound = listener.local_addr().unwrap_or(address);
            around.shared.serves_health(bound);
            let (shared, clock, closing) = (around.shared.clone(), around.clock.clone(), around.closing.clone());
            let (outbox, endpoints) = (around.outbox.clone(), self.endpoints.clone());
            let health = super::health::Health { listener, shared, outbox, clock, endpoints, closing };
            companions.push(Box::pin(health.run()));
        }
        for (name, redirect) in self.redirects {
            let (key, endpoints) = (redirect_key(&name)?, self.endpoints.clone());
            let courier = Courier { name, key, redirect, pen: around.pen(), endpoints };
            let closing = around.closing.clone();
            companions.push(Box::pin(async move {
                closing.run_until_cancelled(courier.run()).await;
            }));
        }
        if !self.endpoints.is_empty() {
            let herald = Herald { pen: around.pen(), endpoints: self.endpoints };
            let closing = around.closing.clone();
            companions.push(Box::pin(async move {
                closing.run_until_cancelled(herald.run()).await;
            }));
        }
        Ok(companions)
    }
}
