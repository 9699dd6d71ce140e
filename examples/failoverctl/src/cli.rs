//! The command line.

use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use failover::{ClusterName, Invalid, JobId, NodeId, Timing};

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
    `run` exits with its command's own.\nDurations are written like 250ms, 5s or 1m30s.";

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
    /// Add, list and remove jobs
    #[command(subcommand)]
    Job(JobCommand),
    /// Show who is active, the nodes and the jobs
    Status(StatusArgs),
    /// Hand the active role over as planned, with no moment of two owners
    Switchover(SwitchoverArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The node's name: stable across restarts, unique in the cluster
    pub(crate) name: NodeId,
    /// The summed weight of the jobs it can run
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) capacity: u32,
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

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Add a job; the same again changes nothing
    Add {
        /// The job's name
        id: JobId,
        /// How much of a node's capacity it takes
        #[arg(long, default_value_t = 1, value_name = "N")]
        weight: u32,
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// List the jobs
    List,
    /// Remove a job; its node stops it first
    Remove {
        /// The job's name
        id: JobId,
    },
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

/// A length of time, such as `250ms`, `5s` or `1m30s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let span = s.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
        span.map(Self)
            .ok_or_else(|| Invalid::new("duration", s, "it must be a length of time such as 250ms, 5s or 1m30s"))
    }
}

/// `K=V`.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Label {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let rule =
            "it must be NAME=VALUE, with a name of A-Z, a-z, 0-9, `.`, `_` and `-` and at most 256 characters of value";
        let invalid = || Invalid::new("label", s.escape_debug(), rule);
        let (name, value) = s.split_once('=').ok_or_else(invalid)?;
        // A label's name keeps the rule of every other name.
        let named = NodeId::new(name).is_ok();
        if named && value.chars().count() <= 256 && !value.chars().any(char::is_control) {
            Ok(Self { name: name.into(), value: value.into() })
        } else {
            Err(invalid())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_lengths_of_time_with_a_unit() {
        let millis = |s: &str| s.parse::<Span>().map(|span| span.0.as_millis());
        assert_eq!(millis("5s"), Ok(5000));
        assert_eq!(millis("250ms"), Ok(250));
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("1.5s"), Ok(1500));
        for bad in ["", "5", "s", "-5s", "5 parsecs", "99999999999999999999s"] {
            assert!(millis(bad).is_err_and(|e| e.rule.contains("250ms")), "{bad}");
        }
    }

    #[test]
    fn a_label_is_a_name_and_a_value() {
        let label: Label = "zone=eu-1=b".parse().unwrap();
        assert_eq!((label.name.as_str(), label.value.as_str()), ("zone", "eu-1=b"));
        for bad in ["zone", "=x", "a b=c", "a=\u{1b}[31m", &format!("a={}", "x".repeat(257))] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
    }
}
