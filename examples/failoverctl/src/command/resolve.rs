//! `resolve`: where the active node can be reached.

use failover::Endpoint;
use failover::client::{Address, ResolveError, Resolver};
use serde::Serialize;

use crate::cli::{Global, ResolveArgs};
use crate::failure::{Failure, Status};
use crate::output::{Form, Show, plain};
use crate::store::{self, Absent};

pub(crate) async fn run(global: &Global, args: &ResolveArgs) -> Result<u8, Failure> {
    let nodes = args.from.as_deref().map(Endpoint::list).transpose()?;
    let mut builder = Resolver::builder();
    match (store::open(global, Absent::Refuse).await, &nodes) {
        (Ok(backend), _) => builder = builder.store(backend.state),
        // The nodes can be asked instead.
        (Err(_), Some(_)) => {}
        (Err(failure), None) => return Err(failure),
    }
    let mut resolver = builder.nodes(nodes.into_iter().flatten()).start()?;
    resolver.resolve(args.within.0).await.map_err(unresolved)?;
    let form = Form::new(global.json);
    while let Some(address) = resolver.changed().await {
        form.print(&AddressLine::from(address));
        if !args.follow {
            break;
        }
    }
    Ok(0)
}

fn unresolved(error: ResolveError) -> Failure {
    match error {
        ResolveError::NoActive => {
            Failure::refused(error.to_string()).next("start a node, or give the nodes endpoints: `node --endpoint`")
        }
        ResolveError::Store(error) => error.into(),
        other => Failure::new(Status::Failed, other.to_string())
            .next("check that a node is active, and that the list names the nodes' health endpoints: `node --health`"),
    }
}

/// The active node's address, as the README documents it.
#[derive(Debug, Serialize)]
struct AddressLine {
    node: String,
    term: u64,
    endpoint: Option<String>,
    endpoints: Vec<String>,
}

impl From<Address> for AddressLine {
    fn from(address: Address) -> Self {
        Self {
            node: address.node.to_string(),
            term: address.term.0,
            endpoint: address.endpoint().map(ToString::to_string),
            endpoints: address.endpoints.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Show for AddressLine {
    /// The endpoint alone, so that a script can use it as it is.
    fn human(&self) -> String {
        plain(self.endpoint.as_deref().unwrap_or_default())
    }
}
