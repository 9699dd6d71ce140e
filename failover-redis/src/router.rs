//! Where the data is now: the server itself, the one that Sentinels name, the owner of the cluster's slot.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use failover_core::{Error, ErrorKind, Result};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::connection::{Connection, Connector};
use crate::options::{Address, RedisOptions, Servers};

/// How long the other Sentinels are waited for after the first has answered: one that was cut off may name a former primary.
const OTHERS: Duration = Duration::from_millis(100);

/// Finds the server that holds the data.
pub(crate) struct Router {
    pub(crate) connector: Connector,
    servers: Servers,
    known: Mutex<Known>,
}

/// What a cluster's nodes have told.
struct Known {
    /// In the order in which they are tried next.
    nodes: Vec<Address>,
    /// Who owned the slot when that was last told. Taken when it is tried, so that a dead one is not tried for ever.
    owner: Option<Address>,
}

impl Router {
    pub(crate) fn new(options: &RedisOptions) -> Result<Self> {
        let known = Known { nodes: options.addresses.clone(), owner: None };
        Ok(Self { connector: Connector::new(options)?, servers: options.servers.clone(), known: Mutex::new(known) })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to the server that holds the data as far as anybody knows; a cluster's node may still say otherwise.
    pub(crate) async fn connect(&self, operation: &'static str) -> Result<Connection> {
        match &self.servers {
            Servers::Single => {
                let address = self.known().nodes[0].clone();
                self.connector.connect(operation, &address).await
            }
            Servers::Sentinel { .. } => self.connect_to_named(operation).await,
            Servers::Cluster => {
                let address = self.next_node();
                self.connector.connect(operation, &address).await
            }
        }
    }

    /// How many servers there are to try, one after the other.
    pub(crate) fn choices(&self) -> usize {
        match self.servers {
            Servers::Single | Servers::Sentinel { .. } => 1,
            Servers::Cluster => self.known().nodes.len() + 1,
        }
    }

    /// Remembers who owns the slot, as a node of the cluster told.
    pub(crate) fn moved_to(&self, address: Address) {
        let mut known = self.known();
        if !known.nodes.contains(&address) {
            known.nodes.push(address.clone());
        }
        known.owner = Some(address);
    }

    fn next_node(&self) -> Address {
        let mut known = self.known();
        if let Some(owner) = known.owner.take() {
            return owner;
        }
        known.nodes.rotate_left(1);
        known.nodes[known.nodes.len() - 1].clone()
    }

    /// The Sentinels' addresses and what they call the data, if there are any.
    pub(crate) fn sentinels(&self) -> Option<(Vec<Address>, &Servers)> {
        matches!(self.servers, Servers::Sentinel { .. }).then(|| (self.known().nodes.clone(), &self.servers))
    }

    /// Tries the primaries that the Sentinels name, the latest first, until one says itself that it is one.
    async fn connect_to_named(&self, operation: &'static str) -> Result<Connection> {
        let named = self.ask_sentinels(operation).await?;
        let mut failed = None;
        for address in named {
            match self.connector.connect(operation, &address).await {
                Ok(connection) => return Ok(connection),
                // The telling one: of the primary that was named last.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let nobody = || Error::new(ErrorKind::Unavailable, operation, "no Sentinel knows a primary of this service");
        Err(failed.unwrap_or_else(nobody))
    }

    /// All at once: a Sentinel that is gone or hangs costs nothing.
    async fn ask_sentinels(&self, operation: &'static str) -> Result<Vec<Address>> {
        let Servers::Sentinel { service, login } = &self.servers else { return Ok(Vec::new()) };
        let addresses = self.known().nodes.clone();
        let mut asking: FuturesUnordered<_> = addresses
            .iter()
            .map(async |sentinel| {
                let told = self.connector.ask(sentinel, login, &["SENTINEL", "MASTER", service]).await;
                told.map_err(|error| name_sentinel(operation, service, &error))
            })
            .collect();
        // By the epoch of the failover that made it primary: the highest is the latest.
        let mut named: BTreeMap<u64, Address> = BTreeMap::new();
        let mut failed: Option<Error> = None;
        let mut hear = |told: Result<std::collections::HashMap<String, String>>| match told {
            Ok(told) => {
                let host = told.get("ip").cloned();
                let port = told.get("port").and_then(|port| port.parse().ok());
                let epoch = told.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
                if let (Some(host), Some(port)) = (host, port) {
                    named.insert(epoch, Address { host, port });
                }
            }
            // A refusal tells more than a silence.
            Err(error) if failed.as_ref().is_none_or(Error::is_retryable) => failed = Some(error),
            Err(_) => {}
        };
        loop {
            let Some(told) = asking.next().await else { break };
            let first = told.is_ok();
            hear(told);
            if first {
                let others = async {
                    while let Some(told) = asking.next().await {
                        hear(told);
                    }
                };
                let _late = tokio::time::timeout(OTHERS, others).await;
                break;
            }
        }
        let named: Vec<Address> = named.into_values().rev().collect();
        match failed {
            Some(error) if named.is_empty() => Err(error),
            _ => Ok(named),
        }
    }
}

fn name_sentinel(operation: &'static str, service: &str, error: &Error) -> Error {
    let message = if error.to_string().contains("refused") {
        format!("a Sentinel knows no service `{service}`, or refuses to tell ({error})")
    } else {
        format!("a Sentinel did not tell where `{service}` is ({error})")
    };
    let kind = if error.kind() == ErrorKind::Denied { ErrorKind::Denied } else { ErrorKind::Unavailable };
    Error::new(kind, operation, message).with_source(error.clone())
}
