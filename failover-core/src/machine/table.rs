//! The transition table: every stage of a node's life, everything that can end it, and why.
//!
//! This is the only place where a stage changes into another. [`next`] has an answer for every pair, and the compiler checks
//! that: there is no wildcard in it. `ARCHITECTURE.md` holds the table as [`render`] draws it; a test compares the two.

use std::fmt::Write as _;

use super::reason::Reason;

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Asks for its own lease.
    Joining,
    /// A member; runs jobs; is a candidate.
    Inactive,
    /// As inactive, appointed to take over first.
    Standby,
    /// Holds the active lease; installs its fence, reads, promotes the host. Decides nothing yet.
    Promoting,
    /// Holds the active lease and decides.
    Active,
    /// Stops acting as active; gives the lease back once the host has stopped, if it still has it.
    Demoting,
    /// A member that takes no part.
    Maintenance,
    /// Its own lease is ending or lost: waits until everything has stopped.
    Isolated,
    /// Stops everything, then gives its leases back.
    Leaving,
    /// Stops everything and will not come back, because the store is not the one it was.
    Condemned,
    /// Over: left in good order.
    Left,
    /// Over: may not be a member.
    Refused,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Joining,
        Self::Inactive,
        Self::Standby,
        Self::Promoting,
        Self::Active,
        Self::Demoting,
        Self::Maintenance,
        Self::Isolated,
        Self::Leaving,
        Self::Condemned,
        Self::Left,
        Self::Refused,
    ];

    /// Whether nothing ends it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Left | Self::Refused)
    }
}

/// What can end a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Trigger {
    /// The store granted the node's own lease.
    Joined,
    /// Another process keeps renewing the node's own lease.
    NameTaken,
    /// The active node appointed this one standby.
    Appointed,
    /// It appointed another, or none.
    Dismissed,
    /// The store granted the active lease.
    Elected,
    /// The fence is installed, the jobs are read, the host is promoted.
    Promoted,
    /// The role is to be handed over as planned.
    StepDown,
    /// The active lease cannot be renewed in time.
    ActiveEnding,
    /// The store says that the active lease is lost.
    ActiveLost,
    /// A store refused this node's term as too low.
    FencedOff,
    /// The host acts as active no more.
    Demoted,
    /// The node's own lease cannot be renewed in time.
    NodeEnding,
    /// The store says that the node's own lease is lost.
    NodeLost,
    /// A job still runs although it was told to stop and then cut off.
    JobStuck,
    /// Nothing runs any more, neither jobs nor hooks.
    Quiet,
    /// Set to maintenance.
    MaintenanceOn,
    /// Maintenance is over.
    MaintenanceOff,
    /// Asked to leave.
    LeaveAsked,
    /// Everything was given back.
    Gone,
    /// The store is not the one it was.
    StoreChanged,
}

impl Trigger {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Joined,
        Self::NameTaken,
        Self::Appointed,
        Self::Dismissed,
        Self::Elected,
        Self::Promoted,
        Self::StepDown,
        Self::ActiveEnding,
        Self::ActiveLost,
        Self::FencedOff,
        Self::Demoted,
        Self::NodeEnding,
        Self::NodeLost,
        Self::JobStuck,
        Self::Quiet,
        Self::MaintenanceOn,
        Self::MaintenanceOff,
        Self::LeaveAsked,
        Self::Gone,
        Self::StoreChanged,
    ];
}

/// What `trigger` does to `stage`: the next stage and why, or nothing.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub const fn next(stage: Stage, trigger: Trigger) -> Option<(Stage, Reason)> {
    use Reason as Why;
    use Stage as S;
    use Trigger as T;

    Some(match stage {
        S::Joining => match trigger {
            T::Joined => (S::Inactive, Why::NodeLeaseGranted),
            T::NameTaken => (S::Refused, Why::NameInUse),
            T::LeaveAsked => (S::Left, Why::LeftBeforeJoining),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::Appointed | T::Dismissed | T::Elected | T::Promoted | T::StepDown | T::ActiveEnding | T::ActiveLost => {
                return None;
            }
            T::FencedOff | T::Demoted | T::NodeEnding | T::NodeLost | T::JobStuck | T::Quiet => return None,
            T::MaintenanceOn | T::MaintenanceOff | T::Gone => return None,
        },
        S::Inactive => match trigger {
            T::Appointed => (S::Standby, Why::Appointed),
            T::Elected => (S::Promoting, Why::LeaseGranted),
            T::MaintenanceOn => (S::Maintenance, Why::MaintenanceOn),
            T::NodeEnding => (S::Isolated, Why::NodeLeaseEnding),
            T::NodeLost => (S::Isolated, Why::NodeLeaseTaken),
            T::JobStuck => (S::Isolated, Why::CutInVain),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::Joined | T::NameTaken | T::Dismissed | T::Promoted | T::StepDown | T::ActiveEnding => return None,
            T::ActiveLost | T::FencedOff | T::Demoted | T::Quiet | T::MaintenanceOff | T::Gone => return None,
        },
        S::Standby => match trigger {
            T::Dismissed => (S::Inactive, Why::Dismissed),
            T::Elected => (S::Promoting, Why::LeaseGranted),
            T::MaintenanceOn => (S::Maintenance, Why::MaintenanceOn),
            T::NodeEnding => (S::Isolated, Why::NodeLeaseEnding),
            T::NodeLost => (S::Isolated, Why::NodeLeaseTaken),
            T::JobStuck => (S::Isolated, Why::CutInVain),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::Joined | T::NameTaken | T::Appointed | T::Promoted | T::StepDown | T::ActiveEnding => return None,
            T::ActiveLost | T::FencedOff | T::Demoted | T::Quiet | T::MaintenanceOff | T::Gone => return None,
        },
        S::Promoting => match trigger {
            T::Promoted => (S::Active, Why::Promoted),
            T::StepDown => (S::Demoting, Why::StepDown),
            T::ActiveEnding => (S::Demoting, Why::ActiveLeaseEnding),
            T::ActiveLost => (S::Demoting, Why::ActiveLeaseTaken),
            T::FencedOff => (S::Demoting, Why::FencedOff),
            T::MaintenanceOn => (S::Demoting, Why::MaintenanceOn),
            T::NodeEnding => (S::Isolated, Why::NodeLeaseEnding),
            T::NodeLost => (S::Isolated, Why::NodeLeaseTaken),
            T::JobStuck => (S::Isolated, Why::CutInVain),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::Joined | T::NameTaken | T::Appointed | T::Dismissed | T::Elected => return None,
            T::Demoted | T::Quiet | T::MaintenanceOff | T::Gone => return None,
        },
        S::Active => match trigger {
            T::StepDown => (S::Demoting, Why::StepDown),
            T::ActiveEnding => (S::Demoting, Why::ActiveLeaseEnding),
            T::ActiveLost => (S::Demoting, Why::ActiveLeaseTaken),
            T::FencedOff => (S::Demoting, Why::FencedOff),
            T::MaintenanceOn => (S::Demoting, Why::MaintenanceOn),
            T::NodeEnding => (S::Isolated, Why::NodeLeaseEnding),
            T::NodeLost => (S::Isolated, Why::NodeLeaseTaken),
            T::JobStuck => (S::Isolated, Why::CutInVain),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::Joined | T::NameTaken | T::Appointed | T::Dismissed | T::Elected | T::Promoted => return None,
            T::Demoted | T::Quiet | T::MaintenanceOff | T::Gone => return None,
        },
        S::Demoting => match trigger {
            T::Demoted => (S::Inactive, Why::HostDemoted),
            T::NodeEnding => (S::Isolated, Why::NodeLeaseEnding),
            T::NodeLost => (S::Isolated, Why::NodeLeaseTaken),
            T::JobStuck => (S::Isolated, Why::CutInVain),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::Joined | T::NameTaken | T::Appointed | T::Dismissed | T::Elected | T::Promoted => return None,
            T::StepDown | T::ActiveEnding | T::ActiveLost | T::FencedOff | T::Quiet => return None,
            T::MaintenanceOn | T::MaintenanceOff | T::Gone => return None,
        },
        S::Maintenance => match trigger {
            T::MaintenanceOff => (S::Inactive, Why::MaintenanceOff),
            T::NodeEnding => (S::Isolated, Why::NodeLeaseEnding),
            T::NodeLost => (S::Isolated, Why::NodeLeaseTaken),
            T::JobStuck => (S::Isolated, Why::CutInVain),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::Joined | T::NameTaken | T::Appointed | T::Dismissed | T::Elected | T::Promoted => return None,
            T::StepDown | T::ActiveEnding | T::ActiveLost | T::FencedOff | T::Demoted => return None,
            T::Quiet | T::MaintenanceOn | T::Gone => return None,
        },
        S::Isolated => match trigger {
            T::Quiet => (S::Joining, Why::WorkStopped),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::Joined | T::NameTaken | T::Appointed | T::Dismissed | T::Elected | T::Promoted => return None,
            T::StepDown | T::ActiveEnding | T::ActiveLost | T::FencedOff | T::Demoted => return None,
            T::NodeEnding | T::NodeLost | T::JobStuck | T::MaintenanceOn | T::MaintenanceOff | T::Gone => return None,
        },
        S::Leaving => match trigger {
            T::Gone => (S::Left, Why::LeftInOrder),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::Joined | T::NameTaken | T::Appointed | T::Dismissed | T::Elected | T::Promoted => return None,
            T::StepDown | T::ActiveEnding | T::ActiveLost | T::FencedOff | T::Demoted => return None,
            T::NodeEnding | T::NodeLost | T::JobStuck | T::Quiet => return None,
            T::MaintenanceOn | T::MaintenanceOff | T::LeaveAsked => return None,
        },
        S::Condemned => match trigger {
            T::Quiet => (S::Refused, Why::StoppedForGood),
            T::Joined | T::NameTaken | T::Appointed | T::Dismissed | T::Elected | T::Promoted => return None,
            T::StepDown | T::ActiveEnding | T::ActiveLost | T::FencedOff | T::Demoted => return None,
            T::NodeEnding | T::NodeLost | T::JobStuck | T::MaintenanceOn | T::MaintenanceOff => return None,
            T::LeaveAsked | T::Gone | T::StoreChanged => return None,
        },
        S::Left | S::Refused => return None,
    })
}

/// The table as Markdown, a row for each transition.
pub fn render() -> String {
    let mut out = String::from("| from | when | to | reason |\n|---|---|---|---|\n");
    for stage in Stage::ALL {
        for trigger in Trigger::ALL {
            if let Some((to, reason)) = next(stage, trigger) {
                // Writing to a String cannot fail.
                let _infallible = writeln!(out, "| {stage:?} | {trigger:?} | {to:?} | {reason} |");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_that_is_not_final_has_an_exit_and_no_final_one_has() {
        for stage in Stage::ALL {
            let exits = Trigger::ALL.iter().any(|t| next(stage, *t).is_some());
            assert_eq!(exits, !stage.is_final(), "{stage:?}");
        }
    }

    #[test]
    fn every_stage_can_be_reached_from_joining_and_can_end() {
        for start in Stage::ALL {
            let mut reached = vec![start];
            let mut at = 0;
            while let Some(stage) = reached.get(at).copied() {
                at += 1;
                let next_stages = Trigger::ALL.iter().filter_map(|t| next(stage, *t));
                let fresh: Vec<_> = next_stages.map(|(to, _)| to).filter(|to| !reached.contains(to)).collect();
                reached.extend(fresh);
            }
            assert!(reached.iter().any(|s| s.is_final()), "{start:?} never ends");
            if start == Stage::Joining {
                assert!(Stage::ALL.iter().all(|s| reached.contains(s)), "some stage is unreachable");
            }
        }
    }

    #[test]
    fn the_drawn_table_is_the_real_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md");
        let (begin, end) = ("<!-- transitions -->\n", "<!-- /transitions -->");
        let text = std::fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once(begin).unwrap();
        let (drawn, after) = rest.split_once(end).unwrap();
        if std::env::var_os("FAILOVER_REWRITE").is_some() {
            std::fs::write(path, format!("{before}{begin}{}{end}{after}", render())).unwrap();
        } else {
            assert_eq!(drawn, render(), "redraw it with FAILOVER_REWRITE=1");
        }
    }

    #[test]
    fn no_transition_leads_to_where_it_came_from() {
        for stage in Stage::ALL {
            assert!(Trigger::ALL.iter().all(|t| next(stage, *t).is_none_or(|(to, _)| to != stage)), "{stage:?}");
        }
    }
}
