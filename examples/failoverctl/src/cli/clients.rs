//! What there is to say about the clients of a cluster.

use std::net::SocketAddr;

use clap::Args;
use failover::client::redirect;
use failover::{Endpoint, Invalid, NodeBuilder};

use super::Span;

/// How a node's clients find it.
#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// Where clients can reach the node while it is active: host:port or a URL; may be given several times, the preferred one first
    #[arg(long = "endpoint", value_name = "ENDPOINT")]
    endpoints: Vec<Endpoint>,
    /// Serve /live, /standby, /active and /status over HTTP at this address, for probes, load balancers and `resolve --from`
    #[arg(long, value_name = "IP:PORT")]
    health: Option<SocketAddr>,
    /// Run this whenever the node has become active, to lead clients to it: a program and its arguments with spaces between them
    #[arg(long, value_name = "COMMAND")]
    redirect_command: Option<String>,
    /// How long one run of the redirect command may take
    #[arg(long, default_value = "30s", value_name = "DURATION", requires = "redirect_command")]
    redirect_within: Span,
}

impl ClientArgs {
    /// Tells the node's description.
    pub(crate) fn apply(&self, mut builder: NodeBuilder) -> Result<NodeBuilder, Invalid> {
        for endpoint in &self.endpoints {
            builder = builder.endpoint(endpoint.clone());
        }
        if let Some(address) = self.health {
            builder = builder.health(address);
        }
        if let Some(command) = &self.redirect_command {
            let command = redirect::Command::new(command.split_whitespace())?.within(self.redirect_within.0);
            builder = builder.redirect("command", command);
        }
        Ok(builder)
    }
}

#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// Go on, and show every change
    #[arg(long)]
    pub(crate) follow: bool,
    /// The nodes' health endpoints, such as `http://a:8008;http://b:8008`: whom to ask without a store, or while it does not answer
    #[arg(long, value_name = "A;B")]
    pub(crate) from: Option<String>,
    /// How long to wait for the first address
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    pub(crate) within: Span,
}
