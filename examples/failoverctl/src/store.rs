//! Opens the store that the command line names.

use std::error::Error as _;

use failover::{Backend, Invalid};

use crate::cli::Global;
use crate::failure::{Failure, Status};

/// What to do about a store that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Make it.
    Create,
    /// Say so: it is mistyped more likely than new.
    Refuse,
}

/// The stores of the cluster.
pub(crate) async fn open(global: &Global, absent: Absent) -> Result<Backend, Failure> {
    let Some(url) = global.store.as_deref().filter(|url| !url.is_empty()) else {
        return Err(Failure::new(Status::Usage, "no store: which one is meant?")
            .next("pass --store URL or set FAILOVER_STORE, for example sqlite:///var/lib/app/failover.db"));
    };
    if absent == Absent::Create || !url.starts_with("sqlite:") || url.contains("create=") {
        return Ok(failover::open(url, &global.cluster).await?);
    }
    let url = format!("{url}{}create=false", if url.contains('?') { '&' } else { '?' });
    failover::open(&url, &global.cluster).await.map_err(|error| {
        let of_the_path = error.source().and_then(|e| e.downcast_ref::<Invalid>()).is_some_and(|e| e.field == "path");
        let failure = Failure::from(error);
        if of_the_path {
            failure
                .next("check the path; `failoverctl node` and `failoverctl job add` make a store that is not there yet")
        } else {
            failure
        }
    })
}
