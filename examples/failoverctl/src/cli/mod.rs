//! The command line.

mod cluster;
mod job;
mod values;

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use failover::{ClusterName, Invalid, NodeId, Timing};

pub(crate) use cluster::{
    CapacityArgs, DrainArgs, FailbackArgs, NodeArg, PlanArgs, RosterCommand, SettingsCommand, WhatArgs,
};
pub(crate) use job::JobCommand;
pub(crate) use values::{FailbackRule, Label, Span, labels};

/// Runs nodes whose jobs are external commands, and asks and tells a cluster things.
#[derive(Debug, Parser)]
#[command(name = "failoverctl", version, arg_required_else_help = true, after_help = EXIT_STATUS)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0 done, 1 it failed, 2 wrong usage, 3 refused by the cluster's state. \
    `run` exits with its command's own, \
    `job wait` by the outcome.\nDurations are written like 250ms, 5s or 1m30s.";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The store, for example `sqlite:///var/lib/app/failover.db`
    // Hidden values, because an address may hold a password.
    #[arg(long, global = true, env = "FAILOVER_STORE", hide_env_values = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// The cluster; several may share one store
    #[arg(long, global = true, env = "FAILOVER_CLUSTER", value_name = "NAME", default_value = "default")]
    pub(crate) cluster: ClusterName,
    /// Print JSON, one object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node whose jobs are external commands, until SIGTERM or SIGINT
    Node(NodeArgs),
    /// Run a command on exactly one of the machines that call this; the others wait hot
    Run(RunArgs),
    /// Add, move, watch and remove jobs
    #[command(subcommand)]
    Job(JobCommand),
    /// Show or set the order of takeover and placement
    #[command(subcommand)]
    Roster(RosterCommand),
    /// Set how much a node can run, whatever it says itself
    Capacity(CapacityArgs),
    /// Give a node no further jobs; what runs there goes on
    Cordon(NodeArg),
    /// Give a node jobs again: ends its cordon and its drain
    Uncordon(NodeArg),
    /// Empty a node and wait until it is
    Drain(DrainArgs),
    /// Return to a node everything that was moved from it
    Failback(FailbackArgs),
    /// Tell what would follow from a change, without making it
    Plan(PlanArgs),
    /// Show or set what holds for the whole cluster
    #[command(subcommand)]
    Settings(SettingsCommand),
    /// Show who is active, the nodes and the jobs
    Status(StatusArgs),
    /// Hand the active role over as planned, with no moment of two owners
    Switchover(SwitchoverArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The node's name: stable across restarts, unique in the cluster
    pub(crate) name: NodeId,
    /// How many jobs it can run
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) capacity: u32,
    /// The summed weight of the jobs it can run; as many as jobs, if not given
    #[arg(long, value_name = "N")]
    pub(crate) weight: Option<u32>,
    /// Something to tell about the node; may be given several times
    #[arg(long = "label", value_name = "K=V")]
    pub(crate) labels: Vec<Label>,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// This machine's name
    pub(crate) name: NodeId,
    /// What the machines compete for
    #[arg(long, value_name = "LEASE")]
    pub(crate) lease: String,
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// How fast. The same on all machines of a cluster.
#[derive(Debug, Args)]
pub(crate) struct Pace {
    /// How long a lease lasts unless it is renewed
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    ttl: Span,
    /// Between two heartbeats
    #[arg(long, default_value = "1s", value_name = "DURATION")]
    beat: Span,
    /// Between SIGTERM and SIGKILL when a command is stopped as planned
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    grace: Span,
}

impl Pace {
    pub(crate) fn timing(&self) -> Result<Timing, Invalid> {
        Timing::new(self.beat.0, self.ttl.0)
    }

    pub(crate) fn grace(&self) -> Duration {
        self.grace.0
    }
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Go on, and show every change
    #[arg(long)]
    pub(crate) watch: bool,
    /// The age from which a heartbeat means that its node is missing; the nodes' ttl
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    pub(crate) missing: Span,
}

#[derive(Debug, Args)]
pub(crate) struct SwitchoverArgs {
    /// The node that is to become active; without it, the standby
    #[arg(long, value_name = "NODE")]
    pub(crate) to: Option<NodeId>,
    /// How long to wait for it
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    pub(crate) within: Span,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
