//! `incidents` and `history`.

use clap::{Args, Subcommand};
use failover::{ActionName, NodeId};

use super::Span;

#[derive(Debug, Args)]
pub(crate) struct IncidentsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<IncidentsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentsCommand {
    /// Note that you have seen it
    Ack {
        #[command(flatten)]
        which: WhichArgs,
        /// What you have to say
        #[arg(long, default_value = "", value_name = "TEXT")]
        note: String,
    },
    /// Run a response action once more that failed, or that was begun and never told to be over
    Retry {
        #[command(flatten)]
        which: WhichArgs,
        /// The action
        #[arg(long, default_value = "on-incident", value_name = "NAME")]
        action: ActionName,
    },
}

/// Which incident.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// The node that was lost
    pub(crate) node: NodeId,
    /// Which incarnation of it, by the beginning of its name; the last one lost, if not given
    #[arg(long, value_name = "PREFIX")]
    pub(crate) incarnation: Option<String>,
    /// Who you are
    #[arg(long, env = "USER", value_name = "NAME", default_value = "an operator")]
    pub(crate) by: String,
    /// How long to wait for the active node
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    pub(crate) within: Span,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// So many entries
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: usize,
}
