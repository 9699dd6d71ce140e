//! What there is to say about nodes and the cluster as a whole.

use clap::{Args, Subcommand, ValueEnum};
use failover::{ClassName, NodeId};

use super::{FailbackRule, Label, Span};

#[derive(Debug, Args)]
pub(crate) struct NodeArg {
    /// The node
    pub(crate) node: NodeId,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RosterCommand {
    /// Show it
    Show,
    /// Set it as a whole
    Set {
        /// The nodes in order, such as `a b c` or a,b,c; an empty text for no roster
        #[arg(value_name = "NODE", required = true)]
        nodes: Vec<Nodes>,
    },
    /// Move a node up by one
    Promote {
        /// The node
        node: NodeId,
        /// To the very first place
        #[arg(long)]
        first: bool,
    },
    /// Move a node down by one
    Demote {
        /// The node
        node: NodeId,
        /// To the very last place
        #[arg(long)]
        last: bool,
    },
}

/// Nodes in order: `a,b,c`.
#[derive(Debug, Clone)]
pub(crate) struct Nodes(pub(crate) Vec<NodeId>);

impl std::str::FromStr for Nodes {
    type Err = failover::Invalid;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        // Nothing, or names between commas.
        let names = s.split(',').filter(|_| !s.is_empty());
        names.map(NodeId::new).collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Debug, Args)]
pub(crate) struct CapacityArgs {
    /// The node
    pub(crate) node: NodeId,
    /// How many jobs it can run, 1 to 100000
    #[arg(value_name = "N", required_unless_present = "clear")]
    pub(crate) jobs: Option<u32>,
    /// The summed weight of the jobs it can run; as many as jobs, if not given
    #[arg(long, value_name = "N", requires = "jobs")]
    pub(crate) weight: Option<u32>,
    /// What the node says itself holds again
    #[arg(long, conflicts_with_all = ["jobs", "weight"])]
    pub(crate) clear: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// The node
    pub(crate) node: NodeId,
    /// Stop its jobs at once; otherwise each stops only when room is reserved for it elsewhere
    #[arg(long)]
    pub(crate) at_once: bool,
    /// How long it may take
    #[arg(long, default_value = "5m", value_name = "DURATION")]
    pub(crate) within: Span,
    /// What becomes of the jobs that are still there then
    #[arg(long, value_name = "WHAT", default_value = "abort")]
    pub(crate) then: Overdue,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MaintenanceCommand {
    /// Empty the node, hand its role over, and have it take part in nothing
    On(DrainArgs),
    /// Let it take part again
    Off {
        /// The node
        node: NodeId,
    },
}

/// What becomes of the jobs that a drain has not moved in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Overdue {
    /// They stay, and the node is given no others
    Abort,
    /// They stop and wait until there is room elsewhere
    Force,
}

impl From<Overdue> for failover::control::Overdue {
    fn from(then: Overdue) -> Self {
        match then {
            Overdue::Abort => Self::Abort,
            Overdue::Force => Self::Force,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct FailbackArgs {
    /// The node
    pub(crate) node: NodeId,
    /// How long to wait for it
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    pub(crate) within: Span,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) what: WhatArgs,
    /// How many jobs the added node can run
    #[arg(long, default_value_t = 50, value_name = "N", requires = "if_added")]
    pub(crate) capacity: u32,
    /// The summed weight of the jobs it can run; as many as jobs, if not given
    #[arg(long, value_name = "N", requires = "if_added")]
    pub(crate) weight: Option<u32>,
    /// Something the added node tells of itself; may be given several times
    #[arg(long = "label", value_name = "K=V", requires = "if_added")]
    pub(crate) labels: Vec<Label>,
    /// The age from which a heartbeat means that its node is missing; the nodes' ttl
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    pub(crate) missing: Span,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WhatArgs {
    /// This node is lost
    #[arg(long, value_name = "NODE")]
    pub(crate) if_lost: Option<NodeId>,
    /// This node joins, or comes back
    #[arg(long, value_name = "NODE")]
    pub(crate) if_added: Option<NodeId>,
    /// The roster is this one
    #[arg(long, value_name = "NODE,…")]
    pub(crate) roster: Option<Nodes>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SettingsCommand {
    /// Show them
    Show,
    /// Set who runs the jobs and who may lead
    Topology {
        /// Which
        #[arg(value_name = "TOPOLOGY")]
        topology: Shape,
    },
    /// Set how nodes are chosen for jobs: ordered, spread, or the name of one that the nodes' hosts bring along
    Strategy {
        /// Its name
        name: String,
    },
    /// Set whether jobs return to the node they were moved from, where they do not say so themselves
    Failback {
        /// never, manual or automatic=DURATION
        rule: FailbackRule,
    },
    /// Set when a node counts as flapping, so that jobs return to it later
    Damping {
        /// So many falls are not flapping yet
        falls: u32,
        /// Within this time
        #[arg(long, default_value = "10m", value_name = "DURATION")]
        within: Span,
    },
    /// Take a class away; jobs that have their policy from it keep that
    RemoveClass {
        /// Its name
        name: ClassName,
    },
}

/// Who runs the jobs and who may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// All nodes, in the roster's order; any of them may lead
    Ordered,
    /// The active node runs all of them; only nodes on the roster may be active or standby
    ActiveStandby,
}

impl From<Shape> for failover::control::Topology {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Ordered => Self::Ordered,
            Shape::ActiveStandby => Self::ActiveStandby,
        }
    }
}
