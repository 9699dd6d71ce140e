//! `cordon`, `uncordon` and `drain`.

use failover::admin::Admin;
use failover::control::Drain;
use failover::time::{Clock, SystemClock};
use failover::{JobRecord, NodeId};
use serde::Serialize;

use super::admin;
use crate::cli::{DrainArgs, Global};
use crate::failure::{Failure, Status};
use crate::output::{Form, Show};

pub(crate) async fn cordon(global: &Global, node: &NodeId) -> Result<u8, Failure> {
    admin(global).await?.cordon(node).await?;
    let text = format!("`{node}` is given no further jobs; `failoverctl uncordon {node}` ends that");
    tell(global, node, "cordoned", text);
    Ok(0)
}

pub(crate) async fn uncordon(global: &Global, node: &NodeId) -> Result<u8, Failure> {
    admin(global).await?.uncordon(node).await?;
    tell(global, node, "uncordoned", format!("`{node}` is given jobs again"));
    Ok(0)
}

pub(crate) async fn run(global: &Global, args: &DrainArgs) -> Result<u8, Failure> {
    let DrainArgs { node, within, .. } = args;
    let then = args.then.into();
    let drain = Drain::new(within.0, then);
    let drain = if args.at_once { drain.at_once() } else { drain };
    let admin = admin(global).await?;
    let clock = SystemClock::new();
    let start = clock.now();
    admin.drain(node, &drain).await?;
    let left = admin.drained(node, Admin::drain_patience(within.0, then)).await?;
    if left.is_empty() {
        let took = clock.now().since(start).as_millis();
        tell(
            global,
            node,
            "drained",
            format!("`{node}` is empty, after {took} ms; it is given no jobs until `failoverctl uncordon {node}`"),
        );
        return Ok(0);
    }
    let names: Vec<_> = left.iter().map(|record: &JobRecord| record.spec.id().to_string()).collect();
    let shown = names.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > 10 { format!(" and {} more", names.len() - 10) } else { String::new() };
    let first = &names[0];
    if global.json {
        Form::Json.print(&DrainLine {
            node: node.to_string(),
            result: "left",
            left: names.clone(),
            text: String::new(),
        });
    }
    let jobs = if names.len() == 1 { "a job".to_owned() } else { format!("{} jobs", names.len()) };
    let text = format!("`{node}` still has {jobs} after {within}: {shown}{more}");
    Err(Failure::new(Status::Refused, text).next(format!(
        "`failoverctl job explain {first}` tells why; it stays without further jobs until `failoverctl uncordon {node}`"
    )))
}

fn tell(global: &Global, node: &NodeId, result: &'static str, text: String) {
    Form::new(global.json).print(&DrainLine { node: node.to_string(), result, left: Vec::new(), text });
}

/// What became of a node, as the README documents it.
#[derive(Debug, Serialize)]
struct DrainLine {
    node: String,
    result: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<String>,
    #[serde(skip)]
    text: String,
}

impl Show for DrainLine {
    fn human(&self) -> String {
        self.text.clone()
    }
}
