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
    /// The host cannot be promoted.
    PromotionRefused,
    /// The role is to be handed over as planned.
    StepDown,
    /// It leads a cluster that only nodes on the roster may lead, and is not on it.
    NotNamed,
    /// The active lease cannot be renewed in time.
    ActiveEnding,
    /// The store says that the active lease is lost.
    ActiveLost,
    /// A store refused this node's term as too low.
    FencedOff,
    /// The host does not feed its watchdog.
    HostHung,
    /// Its version is not the one that is wanted.
    VersionDiffers,
    /// The host acts as active no more.
    Demoted,
    /// The node's own lease cannot be renewed in time.
    NodeEnding,
    /// The store says that the node's own lease is lost.
    NodeLost,
    /// Neither the store nor a witness answers.
    CutOff,
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
    pub const ALL: [Self; 25] = [
        Self::Joined,
        Self::NameTaken,
        Self::Appointed,
        Self::Dismissed,
        Self::Elected,
        Self::Promoted,
        Self::PromotionRefused,
        Self::StepDown,
        Self::NotNamed,
        Self::ActiveEnding,
        Self::ActiveLost,
        Self::FencedOff,
        Self::HostHung,
        Self::VersionDiffers,
        Self::Demoted,
        Self::NodeEnding,
        Self::NodeLost,
        Self::CutOff,
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
            T::VersionDiffers
            | T::Appointed
            | T::Dismissed
            | T::Elected
            | T::Promoted
            | T::StepDown
            | T::ActiveEnding
            | T::ActiveLost
            | T::NotNamed => {
                return None;
            }
            T::FencedOff | T::Demoted | T::NodeEnding | T::NodeLost | T::JobStuck | T::Quiet => return None,
            T::MaintenanceOn | T::MaintenanceOff | T::Gone | T::HostHung | T::CutOff => return None,
            T::PromotionRefused => return None,
        },
        S::Inactive => match trigger {
            T::Appointed => (S::Standby, Why::Appointed),
            T::Elected => (S::Promoting, Why::LeaseGranted),
            T::MaintenanceOn => (S::Maintenance, Why::MaintenanceOn),
            T::NodeEnding => (S::Isolated, Why::NodeLeaseEnding),
            T::NodeLost => (S::Isolated, Why::NodeLeaseTaken),
            T::CutOff => (S::Isolated, Why::CutOff),
            T::JobStuck => (S::Isolated, Why::CutInVain),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::VersionDiffers
            | T::Joined
            | T::NameTaken
            | T::Dismissed
            | T::Promoted
            | T::StepDown
            | T::ActiveEnding
            | T::NotNamed => {
                return None;
            }
            T::ActiveLost | T::FencedOff | T::Demoted | T::Quiet | T::MaintenanceOff | T::Gone | T::HostHung => {
                return None;
            }
            T::PromotionRefused => return None,
        },
        S::Standby => match trigger {
            T::Dismissed => (S::Inactive, Why::Dismissed),
            T::VersionDiffers => (S::Inactive, Why::VersionDiffers),
            T::Elected => (S::Promoting, Why::LeaseGranted),
            T::MaintenanceOn => (S::Maintenance, Why::MaintenanceOn),
            T::NodeEnding => (S::Isolated, Why::NodeLeaseEnding),
            T::NodeLost => (S::Isolated, Why::NodeLeaseTaken),
            T::CutOff => (S::Isolated, Why::CutOff),
            T::JobStuck => (S::Isolated, Why::CutInVain),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::Joined | T::NameTaken | T::Appointed | T::Promoted | T::StepDown | T::ActiveEnding | T::NotNamed => {
                return None;
            }
            T::ActiveLost | T::FencedOff | T::Demoted | T::Quiet | T::MaintenanceOff | T::Gone | T::HostHung => {
                return None;
            }
            T::PromotionRefused => return None,
        },
        S::Promoting => match trigger {
            T::Promoted => (S::Active, Why::Promoted),
            T::PromotionRefused => (S::Demoting, Why::PromotionRefused),
            T::StepDown => (S::Demoting, Why::StepDown),
            T::ActiveEnding => (S::Demoting, Why::ActiveLeaseEnding),
            T::ActiveLost => (S::Demoting, Why::ActiveLeaseTaken),
            T::FencedOff => (S::Demoting, Why::FencedOff),
            T::HostHung => (S::Demoting, Why::HostHung),
            T::MaintenanceOn => (S::Demoting, Why::MaintenanceOn),
            T::NodeEnding => (S::Isolated, Why::NodeLeaseEnding),
            T::NodeLost => (S::Isolated, Why::NodeLeaseTaken),
            T::CutOff => (S::Isolated, Why::CutOff),
            T::JobStuck => (S::Isolated, Why::CutInVain),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::VersionDiffers | T::Joined | T::NameTaken | T::Appointed | T::Dismissed | T::Elected | T::NotNamed => {
                return None;
            }
            T::Demoted | T::Quiet | T::MaintenanceOff | T::Gone => return None,
        },
        S::Active => match trigger {
            T::StepDown => (S::Demoting, Why::StepDown),
            T::NotNamed => (S::Demoting, Why::NotNamed),
            T::ActiveEnding => (S::Demoting, Why::ActiveLeaseEnding),
            T::ActiveLost => (S::Demoting, Why::ActiveLeaseTaken),
            T::FencedOff => (S::Demoting, Why::FencedOff),
            T::HostHung => (S::Demoting, Why::HostHung),
            T::VersionDiffers => (S::Demoting, Why::VersionDiffers),
            T::MaintenanceOn => (S::Demoting, Why::MaintenanceOn),
            T::NodeEnding => (S::Isolated, Why::NodeLeaseEnding),
            T::NodeLost => (S::Isolated, Why::NodeLeaseTaken),
            T::CutOff => (S::Isolated, Why::CutOff),
            T::JobStuck => (S::Isolated, Why::CutInVain),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::Joined | T::NameTaken | T::Appointed | T::Dismissed | T::Elected | T::Promoted => return None,
            T::Demoted | T::Quiet | T::MaintenanceOff | T::Gone => return None,
            T::PromotionRefused => return None,
        },
        S::Demoting => match trigger {
            T::Demoted => (S::Inactive, Why::HostDemoted),
            T::NodeEnding => (S::Isolated, Why::NodeLeaseEnding),
            T::NodeLost => (S::Isolated, Why::NodeLeaseTaken),
            T::CutOff => (S::Isolated, Why::CutOff),
            T::JobStuck => (S::Isolated, Why::CutInVain),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::VersionDiffers
            | T::Joined
            | T::NameTaken
            | T::Appointed
            | T::Dismissed
            | T::Elected
            | T::Promoted
            | T::NotNamed => {
                return None;
            }
            T::StepDown | T::ActiveEnding | T::ActiveLost | T::FencedOff | T::Quiet => return None,
            T::MaintenanceOn | T::MaintenanceOff | T::Gone | T::HostHung => return None,
            T::PromotionRefused => return None,
        },
        S::Maintenance => match trigger {
            T::MaintenanceOff => (S::Inactive, Why::MaintenanceOff),
            T::NodeEnding => (S::Isolated, Why::NodeLeaseEnding),
            T::NodeLost => (S::Isolated, Why::NodeLeaseTaken),
            T::CutOff => (S::Isolated, Why::CutOff),
            T::JobStuck => (S::Isolated, Why::CutInVain),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::VersionDiffers
            | T::Joined
            | T::NameTaken
            | T::Appointed
            | T::Dismissed
            | T::Elected
            | T::Promoted
            | T::NotNamed => {
                return None;
            }
            T::StepDown | T::ActiveEnding | T::ActiveLost | T::FencedOff | T::Demoted => return None,
            T::Quiet | T::MaintenanceOn | T::Gone | T::HostHung => return None,
            T::PromotionRefused => return None,
        },
        S::Isolated => match trigger {
            T::Quiet => (S::Joining, Why::WorkStopped),
            T::LeaveAsked => (S::Leaving, Why::LeaveAsked),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::VersionDiffers
            | T::Joined
            | T::NameTaken
            | T::Appointed
            | T::Dismissed
            | T::Elected
            | T::Promoted
            | T::NotNamed => {
                return None;
            }
            T::StepDown | T::ActiveEnding | T::ActiveLost | T::FencedOff | T::Demoted => return None,
            T::NodeEnding
            | T::NodeLost
            | T::JobStuck
            | T::MaintenanceOn
            | T::MaintenanceOff
            | T::Gone
            | T::HostHung
            | T::CutOff => return None,
            T::PromotionRefused => return None,
        },
        S::Leaving => match trigger {
            T::Gone => (S::Left, Why::LeftInOrder),
            T::StoreChanged => (S::Condemned, Why::StoreReplaced),
            T::VersionDiffers
            | T::Joined
            | T::NameTaken
            | T::Appointed
            | T::Dismissed
            | T::Elected
            | T::Promoted
            | T::NotNamed => {
                return None;
            }
            T::StepDown | T::ActiveEnding | T::ActiveLost | T::FencedOff | T::Demoted => return None,
            T::NodeEnding | T::NodeLost | T::JobStuck | T::Quiet => return None,
            T::MaintenanceOn | T::MaintenanceOff | T::LeaveAsked | T::HostHung | T::CutOff => return None,
            T::PromotionRefused => return None,
        },
        S::Condemned => match trigger {
            T::Quiet => (S::Refused, Why::StoppedForGood),
            T::VersionDiffers
            | T::Joined
            | T::NameTaken
            | T::Appointed
            | T::Dismissed
            | T::Elected
            | T::Promoted
            | T::NotNamed => {
                return None;
            }
            T::StepDown | T::ActiveEnding | T::ActiveLost | T::FencedOff | T::Demoted => return None,
            T::NodeEnding | T::NodeLost | T::JobStuck | T::MaintenanceOn | T::MaintenanceOff => return None,
            T::LeaveAsked | T::Gone | T::StoreChanged | T::HostHung | T::CutOff => return None,
            T::PromotionRefused => return None,
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
mod tests;
