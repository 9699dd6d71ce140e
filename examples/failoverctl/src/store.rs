//! Opens the store that the command line names.

use failover_core::Backend;

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
    let url = match absent {
        Absent::Refuse if url.starts_with("sqlite:") && !url.contains("create=") => {
            format!("{url}{}create=false", if url.contains('?') { '&' } else { '?' })
        }
        Absent::Refuse | Absent::Create => url.to_owned(),
    };
    Ok(failover_sql::open(&url, &global.cluster).await?)
}
