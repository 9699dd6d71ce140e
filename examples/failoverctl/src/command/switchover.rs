//! `switchover [--to NODE]`.

use failover::admin::{Admin, SwitchoverError};
use failover::time::{Clock, SystemClock};
use serde::Serialize;

use crate::cli::{Global, SwitchoverArgs};
use crate::failure::{Failure, Status};
use crate::output::{Form, Show};
use crate::store::{self, Absent};

pub(crate) async fn run(global: &Global, args: &SwitchoverArgs) -> Result<u8, Failure> {
    let admin = Admin::new(store::open(global, Absent::Refuse).await?);
    let clock = SystemClock::new();
    let start = clock.now();
    let switched = admin.switchover(args.to.clone(), args.within.0).await.map_err(|error| failure(error, args))?;
    let took = clock.now().since(start);
    Form::new(global.json).print(&SwitchLine {
        from: switched.from.map(String::from),
        to: switched.to.map(String::from),
        term: switched.term.map(|term| term.0),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        reason: switched.reason,
    });
    Ok(0)
}

fn failure(error: SwitchoverError, args: &SwitchoverArgs) -> Failure {
    let wish = args.to.as_ref().map_or_else(|| "switchover".to_owned(), |node| format!("switchover to `{node}`"));
    match error {
        SwitchoverError::Refused { reason } => Failure::refused(format!("{wish}: refused: {reason}"))
            .next("`failoverctl status` shows the nodes and their roles; name one that is alive and not active"),
        SwitchoverError::NoActive => {
            Failure::refused(format!("{wish}: no node is active, so there is nothing to hand over"))
                .next("start a node, or wait until `failoverctl status` shows an active one")
        }
        SwitchoverError::Store(error) => error.into(),
        other => Failure::new(Status::Failed, format!("{wish}: {other}"))
            .next("look at `failoverctl status`, then try again if need be"),
    }
}

/// What a switchover did, as the README documents it.
#[derive(Debug, Serialize)]
struct SwitchLine {
    from: Option<String>,
    to: Option<String>,
    term: Option<u64>,
    took_ms: u64,
    reason: Option<String>,
}

impl Show for SwitchLine {
    fn human(&self) -> String {
        let name = |node: &Option<String>| node.clone().unwrap_or_else(|| "?".into());
        let term = self.term.map(|term| format!(" under term {term}")).unwrap_or_default();
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{} took over from {}{term}, in {} ms{reason}", name(&self.to), name(&self.from), self.took_ms)
    }
}
