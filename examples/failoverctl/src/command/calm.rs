//! `pause`, `resume` and `maintenance`.

use failover::NodeId;
use failover::admin::Parked;
use serde::Serialize;

use super::emptying::{Emptying, names};
use super::{admin, new_admin};
use crate::cli::{DrainArgs, Global, MaintenanceCommand, PauseArgs};
use crate::failure::{Failure, Status};
use crate::output::{Form, Show, moment};

pub(crate) async fn pause(global: &Global, args: &PauseArgs) -> Result<u8, Failure> {
    let by = args.by.clone().or_else(|| std::env::var("USER").ok().filter(|user| !user.is_empty()));
    let settings = new_admin(global).await?.pause_cluster(by).await?;
    let pause = settings.paused.unwrap_or_default();
    let (by, since) = (pause.by, pause.since.map(moment));
    Form::new(global.json).print(&PauseLine { paused: true, by, since });
    Ok(0)
}

pub(crate) async fn resume(global: &Global) -> Result<u8, Failure> {
    admin(global).await?.resume_cluster().await?;
    Form::new(global.json).print(&PauseLine { paused: false, by: None, since: None });
    Ok(0)
}

pub(crate) async fn maintenance(global: &Global, command: &MaintenanceCommand) -> Result<u8, Failure> {
    match command {
        MaintenanceCommand::On(args) => begin(global, args).await,
        MaintenanceCommand::Off { node } => {
            admin(global).await?.end_maintenance(node).await?;
            tell(global, node, "off", format!("`{node}` takes part again"));
            Ok(0)
        }
    }
}

async fn begin(global: &Global, args: &DrainArgs) -> Result<u8, Failure> {
    let (DrainArgs { node, within, .. }, admin) = (args, admin(global).await?);
    let emptying = Emptying::begin(args);
    admin.begin_maintenance(node, &emptying.wish()).await?;
    let back = format!("`failoverctl maintenance off {node}` takes that back");
    match admin.parked(node, emptying.patience()).await? {
        Parked::InMaintenance => {
            let took = emptying.lasted();
            tell(global, node, "on", format!("`{node}` takes part in nothing, after {took} ms; {back}"));
            Ok(0)
        }
        Parked::Busy(left) => {
            let follows = "; it is given no others and goes into maintenance once they are gone";
            Err(emptying.left(&names(&left), follows, &back))
        }
        _ => {
            let text = format!("`{node}` is empty and has not said within {within} that it takes part in nothing");
            Err(Failure::new(Status::TimedOut, text).next(format!("see whether that node is alive; {back}")))
        }
    }
}

fn tell(global: &Global, node: &NodeId, maintenance: &'static str, text: String) {
    Form::new(global.json).print(&MaintenanceLine { node: node.to_string(), maintenance, text });
}

/// Whether the cluster is paused, as the README documents it.
#[derive(Debug, Serialize)]
struct PauseLine {
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

impl Show for PauseLine {
    fn human(&self) -> String {
        if !self.paused {
            return "the cluster goes on by itself".to_owned();
        }
        let by = self.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let since = self.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
        format!("paused{by}{since}: nobody takes over and nothing is moved by itself until `failoverctl resume`")
    }
}

/// What became of a node, as the README documents it.
#[derive(Debug, Serialize)]
struct MaintenanceLine {
    node: String,
    maintenance: &'static str,
    #[serde(skip)]
    text: String,
}

impl Show for MaintenanceLine {
    fn human(&self) -> String {
        self.text.clone()
    }
}
