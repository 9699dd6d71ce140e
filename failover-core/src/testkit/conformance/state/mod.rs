//! Clauses of [`StateStore`](crate::StateStore).

mod document;
mod fence;
mod list;
mod store;

pub use document::*;
pub use fence::*;
pub use list::*;
pub use store::*;

use super::kit::ok;
use crate::Backend;
use crate::ids::{StateKey, Version};
use crate::state::{Document, Expect, Written};

fn key(text: &str) -> StateKey {
    StateKey::new(text).unwrap_or_else(|e| panic!("{e}"))
}

async fn get(backend: &Backend, at: &str) -> Option<Document> {
    ok(backend.state.get(&key(at)).await)
}

/// Writes without a fence.
async fn put(backend: &Backend, at: &str, value: &str, expect: Expect) -> Written {
    ok(backend.state.put(&key(at), value.as_bytes(), expect, None).await)
}

/// Writes what has to be written, whatever is there.
async fn write(backend: &Backend, at: &str, value: &str) -> Version {
    match put(backend, at, value, Expect::Any).await {
        Written::Written(version) => version,
        other => panic!("{at} has to be written, and gave {other:?}"),
    }
}

fn document(at: &str, version: Version, value: &str) -> Document {
    Document { key: key(at), version, value: value.as_bytes().to_vec() }
}
