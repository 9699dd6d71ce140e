//! `cordon`, `uncordon` and `drain`.

use failover::NodeId;
use serde::Serialize;

use super::admin;
use super::emptying::{Emptying, names};
use crate::cli::{DrainArgs, Global};
use crate::failure::Failure;
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
    let (node, admin) = (&args.node, admin(global).await?);
    let emptying = Emptying::begin(args);
    admin.drain(node, &emptying.wish()).await?;
    let left = names(&admin.drained(node, emptying.patience()).await?);
    if left.is_empty() {
        let took = emptying.lasted();
        let text =
            format!("`{node}` is empty, after {took} ms; it is given no jobs until `failoverctl uncordon {node}`");
        tell(global, node, "drained", text);
        return Ok(0);
    }
    let back = format!("it stays without further jobs until `failoverctl uncordon {node}`");
    let failure = emptying.left(&left, "", &back);
    if global.json {
        Form::Json.print(&DrainLine { node: node.to_string(), result: "left", left, text: String::new() });
    }
    Err(failure)
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
