//! `switchover [--to NODE]` and `activate NODE`.

use failover::admin::{Admin, Former, SwitchoverError};
use failover::control::{SwitchStep, Switchover};
use failover::time::{Clock, SystemClock};
use serde::Serialize;

use super::admin;
use crate::cli::{ActivateArgs, Global, SwitchoverArgs};
use crate::failure::{Failure, Status};
use crate::output::{Form, Show};

pub(crate) async fn run(global: &Global, args: &SwitchoverArgs) -> Result<u8, Failure> {
    let wish = args.to.as_ref().map_or_else(|| "switchover".to_owned(), |node| format!("switchover to `{node}`"));
    let admin = admin(global).await?;
    let begun = SystemClock::new().now();
    let switched = admin.switchover_in_steps(args.to.clone(), args.within.0, |step| tell(global, step)).await;
    tell_end(global, begun, switched.map_err(|error| failure(error, &wish))?);
    Ok(0)
}

pub(crate) async fn activate(global: &Global, args: &ActivateArgs) -> Result<u8, Failure> {
    let former = if args.machine_is_off { Former::Off } else { Former::Unknown };
    let admin: Admin = admin(global).await?;
    let begun = SystemClock::new().now();
    let switched = admin.activate(&args.node, former, args.within.0, |step| tell(global, step)).await;
    tell_end(global, begun, switched.map_err(|error| failure(error, &format!("activate `{}`", args.node)))?);
    Ok(0)
}

fn tell(global: &Global, step: &SwitchStep) {
    Form::new(global.json).print(&StepLine {
        step: step.phase.as_str(),
        node: step.node.as_ref().map(ToString::to_string),
        reason: step.reason.clone(),
        took_ms: step.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
    });
}

fn tell_end(global: &Global, begun: failover::time::Time, switched: Switchover) {
    let took = SystemClock::new().now().since(begun);
    Form::new(global.json).print(&SwitchLine {
        from: switched.from.map(String::from),
        to: switched.to.map(String::from),
        term: switched.term.map(|term| term.0),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        reason: switched.reason,
    });
}

fn failure(error: SwitchoverError, wish: &str) -> Failure {
    match error {
        SwitchoverError::Refused { reason } => Failure::refused(format!("{wish}: refused: {reason}"))
            .next("`failoverctl status` shows the nodes and their roles; name one that is alive and not active"),
        SwitchoverError::Failed { reason } => Failure::refused(format!("{wish}: it failed and fell back: {reason}"))
            .next("`failoverctl status` shows who is active; mend what the reason names, then try again"),
        SwitchoverError::NoActive => {
            Failure::refused(format!("{wish}: no node is active, so there is nothing to hand over"))
                .next("start a node, or wait until `failoverctl status` shows an active one; `failoverctl activate NODE` names one")
        }
        SwitchoverError::Held { holder, remaining } => Failure::refused(format!(
            "{wish}: refused: `{holder}` holds the active lease for another {} ms unless it renews it, so it may be acting",
            remaining.as_millis()
        ))
        .next(format!(
            "if it answers, `failoverctl switchover --to NODE`; if its machine is off, add --machine-is-off: then NODE takes over when that lease has \
             lapsed. If the machine is not off, it goes on acting, renews the lease, and the activation is withdrawn; see `{holder}`'s console first"
        )),
        SwitchoverError::Renewed { holder } => {
            Failure::refused(format!("{wish}: withdrawn: `{holder}` has renewed the active lease, so its machine is not off"))
                .next("hand its role over with `failoverctl switchover --to NODE`, or switch that machine off first")
        }
        SwitchoverError::Store(error) => error.into(),
        other => Failure::new(Status::Failed, format!("{wish}: {other}"))
            .next("look at `failoverctl status`, then try again if need be"),
    }
}

/// A step of a switchover, as the README documents it.
#[derive(Debug, Serialize)]
struct StepLine {
    step: &'static str,
    node: Option<String>,
    reason: String,
    took_ms: Option<u64>,
}

impl Show for StepLine {
    fn human(&self) -> String {
        let by = self.node.as_ref().map(|node| format!(" by {node}")).unwrap_or_default();
        let took = self.took_ms.map(|took| format!(", {took} ms")).unwrap_or_default();
        format!("{}{by}: {}{took}", self.step, self.reason)
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
        let from = self.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
        format!("{} took over{from}{term}, in {} ms", name(&self.to), self.took_ms)
    }
}
