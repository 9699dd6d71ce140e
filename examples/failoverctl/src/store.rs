//! Opens the store that the command line names.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use failover::{Backend, Error, ErrorKind, Invalid, LeaseName};

use crate::cli::Global;
use crate::failure::{Failure, Status};

/// How long a node that can begin without its store looks for it first.
const LOOK: Duration = Duration::from_secs(3);

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
    let url = url(global)?;
    if absent == Absent::Create {
        return Ok(failover::open(url, &global.cluster).await?);
    }
    failover::open(&not_made(url), &global.cluster).await.map_err(|error| {
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

/// The stores of a node that keeps its configuration in `kept`: it begins while they are away, and goes on trying. What does not mend
/// itself, such as a wrong password, ends it as it ends any other.
pub(crate) async fn open_or_go_on(global: &Global, kept: &Path) -> Result<Backend, Failure> {
    let url = url(global)?;
    // Whoever has kept something has seen the store: a file that is not there is yet to be mounted, and another one must not be made in its place.
    let url = if kept.exists() { not_made(url) } else { url.to_owned() };
    let backend = failover::open_later(&url, &global.cluster)?;
    let error = match tokio::time::timeout(LOOK, backend.leases.current(&LeaseName::active())).await {
        Ok(Ok(_)) => return Ok(backend),
        Ok(Err(error)) => {
            let attempt = error.source().and_then(|source| source.downcast_ref::<Error>());
            attempt.cloned().unwrap_or(error)
        }
        Err(_) => Error::new(ErrorKind::Unavailable, "open", format!("the store has not answered within {LOOK:?}")),
    };
    if !error.is_retryable() {
        return Err(error.into());
    }
    let begins = if kept.exists() { "with what it kept in" } else { "although it has kept nothing yet in" };
    let failure = Failure::from(error);
    eprintln!(
        "{failure}\n  going on: the node begins {begins} {}, and takes part once the store is there",
        kept.display()
    );
    Ok(backend)
}

fn url(global: &Global) -> Result<&str, Failure> {
    global.store.as_deref().filter(|url| !url.is_empty()).ok_or_else(|| {
        Failure::new(Status::Usage, "no store: which one is meant?")
            .next("pass --store URL or set FAILOVER_STORE, for example sqlite:///var/lib/app/failover.db")
    })
}

/// The address of a store that is to be there: a file is not made.
fn not_made(url: &str) -> String {
    if !url.starts_with("sqlite:") || url.contains("create=") {
        return url.to_owned();
    }
    format!("{url}{}create=false", if url.contains('?') { '&' } else { '?' })
}
