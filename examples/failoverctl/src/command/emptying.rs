//! What `drain` and `maintenance on` have in common: a node is emptied within a time, and what is left is told.

use std::time::Duration;

use failover::JobRecord;
use failover::admin::Admin;
use failover::control::Drain;
use failover::time::{Clock, SystemClock, Time};

use crate::cli::DrainArgs;
use crate::failure::Failure;

/// How many jobs are named.
const SHOWN: usize = 10;

/// A node that is being emptied, from now on.
pub(super) struct Emptying<'a> {
    args: &'a DrainArgs,
    clock: SystemClock,
    begun: Time,
}

impl<'a> Emptying<'a> {
    pub(super) fn begin(args: &'a DrainArgs) -> Self {
        let clock = SystemClock::new();
        Self { args, begun: clock.now(), clock }
    }

    /// As nodes are told of it.
    pub(super) fn wish(&self) -> Drain {
        let drain = Drain::new(self.args.within.0, self.args.then.into());
        if self.args.at_once { drain.at_once() } else { drain }
    }

    /// How long to wait for it.
    pub(super) fn patience(&self) -> Duration {
        Admin::drain_patience(self.args.within.0, self.args.then.into())
    }

    /// For how many milliseconds it has lasted.
    pub(super) fn lasted(&self) -> u128 {
        self.clock.now().since(self.begun).as_millis()
    }

    /// That these jobs are still there; what follows from that, and how to take it back.
    pub(super) fn left(&self, jobs: &[String], follows: &str, back: &str) -> Failure {
        let DrainArgs { node, within, .. } = self.args;
        let shown = jobs.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if jobs.len() > SHOWN { format!(" and {} more", jobs.len() - SHOWN) } else { String::new() };
        let failure = Failure::refused(format!("`{node}` still has {shown}{more} after {within}{follows}"));
        match jobs.first() {
            Some(first) => failure.next(format!("`failoverctl job explain {first}` tells why; {back}")),
            None => failure.next(back),
        }
    }
}

pub(super) fn names(jobs: &[JobRecord]) -> Vec<String> {
    jobs.iter().map(|job| job.spec.id().to_string()).collect()
}
