//! `roster`.

use std::collections::BTreeSet;

use failover::NodeId;
use failover::admin::Rank;
use failover::control::Settings;
use serde::Serialize;

use super::{admin, new_admin};
use crate::cli::{Global, RosterCommand};
use crate::failure::Failure;
use crate::output::{Form, Show};

pub(crate) async fn run(global: &Global, command: &RosterCommand) -> Result<u8, Failure> {
    let form = Form::new(global.json);
    let print = |settings: &Settings, others: BTreeSet<String>| {
        let roster: Vec<_> = settings.roster.iter().map(NodeId::to_string).collect();
        let others = others.into_iter().filter(|node| !roster.contains(node)).collect();
        form.print(&RosterLine { roster, others });
    };
    let settings = match command {
        RosterCommand::Show => {
            let admin = admin(global).await?;
            let outlook = admin.outlook(std::time::Duration::from_secs(5)).await?;
            let others = outlook.status().nodes.iter().map(|node| node.node.to_string()).collect();
            print(outlook.settings(), others);
            return Ok(0);
        }
        RosterCommand::Set { nodes } => {
            let nodes = nodes.iter().flat_map(|some| some.0.clone()).collect();
            new_admin(global).await?.set_roster(nodes).await?
        }
        RosterCommand::Promote { node, first } => {
            admin(global).await?.rank(node, if *first { Rank::First } else { Rank::Up }).await?
        }
        RosterCommand::Demote { node, last } => {
            admin(global).await?.rank(node, if *last { Rank::Last } else { Rank::Down }).await?
        }
    };
    print(&settings, BTreeSet::new());
    Ok(0)
}

/// The roster, as the README documents it.
#[derive(Debug, Serialize)]
struct RosterLine {
    roster: Vec<String>,
    /// The nodes behind it, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<String>,
}

impl Show for RosterLine {
    fn human(&self) -> String {
        let mut text = match &self.roster[..] {
            [] => "no roster: nodes come in order of their names".to_owned(),
            roster => roster.join(", "),
        };
        if !self.others.is_empty() {
            text += "\nnot on it, by name: ";
            text += &self.others.join(", ");
        }
        text
    }
}
