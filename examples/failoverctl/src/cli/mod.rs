//! The command line.

mod clients;
mod cluster;
mod config;
mod incidents;
mod job;
mod values;

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use failover::{ClusterName, Invalid, NodeId, Timing, Witness};

pub(crate) use clients::{ClientArgs, ResolveArgs};
pub(crate) use cluster::{
    CapacityArgs, DrainArgs, FailbackArgs, MaintenanceCommand, NodeArg, PlanArgs, RosterCommand, SettingsCommand,
    WhatArgs,
};
pub(crate) use config::ConfigCommand;
pub(crate) use incidents::{HistoryArgs, IncidentsArgs, IncidentsCommand, WhichArgs};
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
    Node(Box<NodeArgs>),
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
    /// Show, edit and take back the cluster's configuration as a whole
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show who is active, the nodes and the jobs
    Status(StatusArgs),
    /// Show the incidents: which nodes were lost, and what was done about it
    Incidents(IncidentsArgs),
    /// Show what happened to the cluster, newest first
    History(HistoryArgs),
    /// Hand the active role over as planned, with no moment of two owners
    Switchover(SwitchoverArgs),
    /// Make a node active when the active one cannot be asked
    ///
    /// Refused while another node holds the active lease, because it may be acting. If its machine is off, say so with --machine-is-off: NODE then
    /// takes over as soon as that lease has lapsed, before any other node, also while the cluster is paused. A lease that is held is never broken, so two
    /// nodes are never active by this. But see that the machine really is off: one that is not goes on acting, and as soon as it
    /// renews the lease, the activation is withdrawn.
    Activate(ActivateArgs),
    /// Have nothing happen by itself: no takeover, no moved job; everything is still watched and shown
    Pause(PauseArgs),
    /// End a pause
    Resume,
    /// Take a node out of all work, its jobs and its role handed over first, or let it take part again
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
    /// Tell where clients can reach the active node
    Resolve(ResolveArgs),
}

impl Command {
    /// Whether a guard of this process is to give back what it holds, should it die.
    pub(crate) fn is_guarded(&self) -> bool {
        match self {
            Self::Node(args) => !args.pace.no_guard,
            Self::Run(args) => !args.pace.no_guard,
            _ => false,
        }
    }
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
    /// The version to tell the others, for the configuration's version rule
    #[arg(long, value_name = "VERSION")]
    pub(crate) version_of: Option<String>,
    /// Keep a copy of the cluster's configuration in this file, and begin with it while the store is away; nobody becomes active from it
    #[arg(long, value_name = "FILE")]
    pub(crate) local_config: Option<std::path::PathBuf>,
    /// Whom to ask, while the store does not answer, whether this node is cut off: tcp://HOST:PORT, http://… or command:PROGRAM ARGUMENT …; may be
    /// given several times
    #[arg(long = "witness", value_name = "WITNESS")]
    pub(crate) witnesses: Vec<Witness>,
    /// What to run for each lost node while this one is active, by `sh -c`: once, claimed in the store before. It is told of the incident in
    /// `FAILOVER_LOST_NODE` and the like
    #[arg(long, value_name = "CMD")]
    pub(crate) on_incident: Option<String>,
    /// How long that may run
    #[arg(long, default_value = "60s", value_name = "DURATION", requires = "on_incident")]
    pub(crate) on_incident_within: Span,
    /// What to run, by `sh -c`, to switch the machine of a node off that is silent, so that its leases need not lapse first. It is told whose in
    /// `FAILOVER_LOST_NODE` and `FAILOVER_LOST_INCARNATION`. Status 0 only once that machine is off: else two may be active
    #[arg(long, value_name = "CMD")]
    pub(crate) fencer: Option<String>,
    /// How long that may run
    #[arg(long, default_value = "30s", value_name = "DURATION", requires = "fencer")]
    pub(crate) fencer_within: Span,
    /// For how long a node is silent before it counts as missing: the ttl if not given, or half of it with --fencer
    #[arg(long, value_name = "DURATION")]
    pub(crate) missing: Option<Span>,
    #[command(flatten)]
    pub(crate) clients: ClientArgs,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

impl NodeArgs {
    pub(crate) fn timing(&self) -> Result<Timing, Invalid> {
        let Pace { ttl, beat, .. } = &self.pace;
        let missing = match &self.missing {
            Some(missing) => missing.0,
            // Whoever is silent is asked about while its leases last.
            None if self.fencer.is_some() => ttl.0 / 2,
            None => ttl.0,
        };
        Timing::builder(beat.0, ttl.0).missing(missing).build()
    }
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
    /// Start no guard: after a crash of this process, others wait until its leases have lapsed
    #[arg(long)]
    no_guard: bool,
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

#[derive(Debug, Args)]
pub(crate) struct ActivateArgs {
    /// The node that is to become active
    pub(crate) node: NodeId,
    /// The machine of the node that holds the active lease is off and stays so
    #[arg(long)]
    pub(crate) machine_is_off: bool,
    /// How long to wait for it
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    pub(crate) within: Span,
}

#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// Who pauses it, for others to see; without it, the user's name
    #[arg(long, value_name = "WHO")]
    pub(crate) by: Option<String>,
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
