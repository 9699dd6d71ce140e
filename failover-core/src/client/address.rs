use serde::{Deserialize, Serialize};

use super::Endpoint;
use crate::error::Result;
use crate::ids::{NodeId, StateKey, Term};
use crate::record;

/// Where the active node is, as it says itself: the document [`active_key`] names, and the answer to `/active`.
///
/// A term is never issued twice and only grows, so of two addresses the one with the higher term is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Address {
    /// The term under which it leads.
    pub term: Term,
    /// The node.
    pub node: NodeId,
    /// Where it can be reached, in the order in which it was told.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

/// The key that what clients read lies below.
pub fn client() -> StateKey {
    StateKey::new("client").unwrap_or_else(|_| unreachable!("a constant that a test parses"))
}

/// Where the active node's [`Address`] is published.
pub fn active_key() -> StateKey {
    StateKey::new("client/active").unwrap_or_else(|_| unreachable!("a constant that a test parses"))
}

impl Address {
    /// The address of a node that leads under this term.
    pub fn new(term: Term, node: NodeId, endpoints: Vec<Endpoint>) -> Self {
        Self { term, node, endpoints }
    }

    /// The first endpoint, if the node has any.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoints.first()
    }

    /// The address as it is published.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if it cannot be encoded, which is a bug.
    pub fn encode(&self) -> Result<Vec<u8>> {
        record::encode("publish", self).map(String::into_bytes)
    }

    /// Reads an address that was published.
    ///
    /// # Errors
    /// [`TooNew`](crate::ErrorKind::TooNew) and [`Corrupt`](crate::ErrorKind::Corrupt), as [`record::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        record::decode("resolve", "the active node's address", bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn an_address_survives_and_a_newer_one_is_refused() {
        assert!(active_key().is_below(&client()));
        let address = Address::new(Term(7), NodeId::new("a").unwrap(), Endpoint::list("a:1;b:2").unwrap());
        assert_eq!(Address::decode(&address.encode().unwrap()).unwrap(), address);
        let newer = Address::decode(br#"{"format":2,"term":8}"#).unwrap_err();
        assert_eq!(newer.kind(), ErrorKind::TooNew);
        let broken = Address::decode(br#"{"format":1,"term":8,"node":"a","endpoints":["nowhere"]}"#).unwrap_err();
        assert_eq!(broken.kind(), ErrorKind::Corrupt);
    }
}
