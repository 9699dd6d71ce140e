//! What there is to say about jobs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use failover::job::{FailoverPolicy, PolicyDraft};
use failover::{ClassName, GroupName, JobId, NodeId};

use super::{FailbackRule, Label, Span, labels};

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Add a job; the same again changes nothing
    Add {
        /// The job's name
        id: JobId,
        /// How much of a node's capacity it takes
        #[arg(long, default_value_t = 1, value_name = "N")]
        weight: u32,
        #[command(flatten)]
        policy: Box<PolicyArgs>,
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Make the jobs and classes of a file: what is new is added, what differs is changed
    Apply {
        /// The file, `*.toml` or `*.json`
        file: PathBuf,
        /// Show the difference and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// List the jobs
    List,
    /// Tell where a job is and why, node by node, and who ran it before
    Explain {
        /// The job's name
        id: JobId,
        /// The age from which a heartbeat means that its node is missing; the nodes' ttl
        #[arg(long, default_value = "5s", value_name = "DURATION")]
        missing: Span,
    },
    /// Have a job run on a node, by handover; that is where it belongs from then on
    Move {
        /// The job's name
        id: JobId,
        /// Where
        #[arg(long, value_name = "NODE")]
        to: NodeId,
        /// How long to wait for it
        #[arg(long, default_value = "60s", value_name = "DURATION")]
        within: Span,
    },
    /// Wait until a job's run has ended; the exit status tells how
    Wait {
        /// The job's name
        id: JobId,
        /// Wait until the job itself is over: completed, or failed or lost with no retry left
        #[arg(long)]
        done: bool,
        /// How long to wait; without it, for ever
        #[arg(long, value_name = "DURATION")]
        within: Option<Span>,
    },
    /// Remove a job; its node stops it first
    Remove {
        /// The job's name
        id: JobId,
    },
}

/// Where a job may run and what becomes of it when its node is lost.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// The class that the rest comes from
    #[arg(long, value_name = "NAME")]
    class: Option<ClassName>,
    /// Higher ones are placed first
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    priority: Option<i32>,
    /// The only nodes it may run on, in this order
    #[arg(long, value_name = "NODE,…", value_delimiter = ',')]
    pin: Option<Vec<NodeId>>,
    /// A label its node must have; may be given several times
    #[arg(long, value_name = "K=V")]
    require: Vec<Label>,
    /// A label of nodes that come first; may be given several times
    #[arg(long, value_name = "K=V")]
    prefer: Vec<Label>,
    /// No two jobs of this group run on the same node
    #[arg(long, value_name = "GROUP")]
    apart: Option<GroupName>,
    /// What becomes of it when its node is lost
    #[arg(long)]
    failover: Option<FailoverRule>,
    /// Whether it returns: never, manual or automatic=DURATION
    #[arg(long, value_name = "RULE")]
    failback: Option<FailbackRule>,
    /// How often in a row it is started again after it failed or was lost; without it, always
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// The wait before it is started again
    #[arg(long, value_name = "DURATION")]
    backoff: Option<Span>,
    /// It promises a line on its standard output at least so often; else it is stopped and moved
    #[arg(long, value_name = "DURATION")]
    progress: Option<Span>,
}

impl PolicyArgs {
    pub(crate) fn draft(&self) -> PolicyDraft {
        let some = |given: &[Label]| (!given.is_empty()).then(|| labels(given));
        let mut draft = PolicyDraft::default();
        draft.class.clone_from(&self.class);
        draft.priority = self.priority;
        draft.pins.clone_from(&self.pin);
        (draft.requires, draft.prefers) = (some(&self.require), some(&self.prefer));
        draft.apart.clone_from(&self.apart);
        draft.failover = self.failover.map(FailoverPolicy::from);
        draft.failback = self.failback.map(|rule| rule.0);
        draft.retries = self.retries;
        (draft.backoff, draft.progress) = (self.backoff.map(|span| span.0), self.progress.map(|span| span.0));
        draft
    }
}

/// What becomes of a job when its node is lost.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FailoverRule {
    /// It goes on elsewhere
    Automatic,
    /// It waits for its node, or for an operator to move it
    Manual,
    /// It waits for its node
    Never,
}

impl From<FailoverRule> for FailoverPolicy {
    fn from(rule: FailoverRule) -> Self {
        match rule {
            FailoverRule::Automatic => Self::Automatic,
            FailoverRule::Manual => Self::Manual,
            FailoverRule::Never => Self::Never,
        }
    }
}
