use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use super::Replicated;
use super::entry::{Kind, Record};
use crate::driver::panic_text;

/// Lets the host take a record in. A panic is a refusal.
pub(super) async fn take(host: &dyn Replicated, record: &Record) -> Result<(), String> {
    let bytes = &record.bytes;
    match record.kind {
        Kind::Change => guarded("apply", host.apply(bytes)).await?,
        Kind::State => guarded("restore", host.restore(bytes)).await?,
    }
}

pub(super) async fn restore(host: &dyn Replicated, snapshot: &[u8]) -> Result<(), String> {
    guarded("restore", host.restore(snapshot)).await?
}

pub(super) async fn snapshot(host: &dyn Replicated) -> Result<Vec<u8>, String> {
    guarded("snapshot", host.snapshot()).await
}

async fn guarded<T>(what: &str, call: impl Future<Output = T> + Send) -> Result<T, String> {
    let outcome = AssertUnwindSafe(call).catch_unwind().await;
    outcome.map_err(|panic| format!("the host's `{what}` panicked: {}", panic_text(&*panic)))
}
