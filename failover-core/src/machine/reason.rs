//! Why things happen: each reason's text is the log line, the event's text and the documentation.

use crate::sentences::sentences;

sentences! {
    /// Why something happened.
    pub enum Reason {
        // Becoming and being a member.
        NodeLeaseGranted => "the store granted the node its own lease",
        NameInUse => "another process holds this node's lease and keeps renewing it",
        NodeLeaseEnding => "the node's own lease could not be renewed in time, so everything under it stops before it ends",
        NodeLeaseTaken => "the store says that the node's lease is lost, so everything under it stops",
        WorkStopped => "everything has stopped, so the node asks for its lease anew",
        LeaveAsked => "the node was asked to leave",
        LeftInOrder => "everything has stopped and every lease was given back",
        LeftBeforeJoining => "the node was asked to leave before it had joined",
        StoreReplaced => "the store was wiped, restored or replaced, so nothing it says counts until an operator has looked",
        StoppedForGood => "everything has stopped, and the store is not the one it was",
        NewerFormat => "the store holds records of a newer format, so this older node stands back",

        // Roles.
        Appointed => "the active node appointed it standby",
        Dismissed => "the active node appointed another standby, or none",
        LeaseGranted => "the store granted the active lease",
        Promoted => "its fence is installed, the jobs are read and the host is promoted",
        StepDown => "it hands its role over as planned",
        ActiveLeaseEnding => "the active lease could not be renewed in time, so it stops acting before it ends",
        ActiveLeaseTaken => "the store says that the active lease is lost",
        FencedOff => "a store has seen a higher term, so another node is active",
        HostDemoted => "the host has stopped acting as the active node",
        MaintenanceOn => "it was set to maintenance",
        MaintenanceOff => "its maintenance is over",
        FirstInLine => "it is the first in line that is alive",

        // Jobs.
        HostStarted => "the host says that it runs",
        HostCompleted => "the host says that it is done",
        HostFailed => "the host says that it broke",
        Decided => "the active node decided it",
        Draining => "the job moves to another node as planned",
        Retiring => "the job was removed",
        MovedAway => "the job is another node's now",
        FromEarlierTerm => "the job was given to the node before it last lost its lease, so it is handed back unstarted",
        HostStopped => "the host stopped it by itself",
        NoProgress => "it told no progress for longer than it promised",
        WillNotStop => "it was told to stop and still runs",
        CutInVain => "it was cut off and still runs, so the node lets its own lease lapse",

        // Others.
        HeartbeatOverdue => "its last heartbeat is too old by the store's clock",
        HeartbeatBack => "its heartbeats are back",
        LeaseTaken => "its lease had lapsed and was taken, so its jobs may move",
        Superseded => "a later incarnation holds its lease, so the right of the earlier one has ended",

        // An operator's wishes.
        OperatorAsked => "an operator asked for it",
        TargetUnknown => "no node of that name is a member of the cluster",
        TargetIsActive => "that node is active already",
        TargetMissing => "that node's heartbeats have stopped",
        TargetUnfit => "that node is leaving or in maintenance",
        NoTarget => "no other node is fit to take over",
        TargetDidNotTake => "the node that was named did not take over in time, so another did",

        JobUnknown => "there is no job of that name",
        JobOver => "that job is done or is being removed",
        NeverMoves => "that job's policy is to never fail over: it runs on its node or not at all",
        StrategyUnknown => "no strategy of that name is known to this node",

        // The store.
        CallsFail => "no call to the store succeeded for a whole beat",
        CallsSucceed => "a call to the store succeeded",
    }
}
