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
        PromotionRefused => "the host cannot act as the active node, so another may try",
        TooFarBehind => "its replicas are further behind than the cluster's settings let a node be that takes over",
        StepDown => "it hands its role over as planned",
        ActiveLeaseEnding => "the active lease could not be renewed in time, so it stops acting before it ends",
        ActiveLeaseTaken => "the store says that the active lease is lost",
        FencedOff => "a store has seen a higher term, so another node is active",
        FenceAbove => "another store has seen a higher term than the lease store grants, so nobody can act until an operator raises the term floor above that",
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
        ProcessDied => "its guard says that its process has died",
        HeartbeatBack => "its heartbeats are back",
        LeaseTaken => "its lease had ended and was taken, so its jobs may move",
        LeaseGivenBack => "its guard gave its lease back, which was taken then, so its jobs may move",
        MachineOff => "its machine was switched off, so its lease was given back and taken, and its jobs may move",
        LapsedUnfenced => "nobody could confirm that its machine was off, so its lease had to lapse; it was taken, so its jobs may move",
        Superseded => "a later incarnation holds its lease, so the right of the earlier one has ended",

        // Switching off the machines of others.
        HolderSilent => "it renews neither heartbeat nor lease, so its machine is to be switched off before its leases lapse",
        SwitchedOff => "the host's fencer confirmed that its machine is off, so its leases are given back by their tokens",
        NotSwitchedOff => "the host's fencer did not confirm that its machine is off, so its leases have to lapse",
        FencedTooLate => "the host's fencer did not confirm that its machine is off before its leases were due to lapse",
        FencedIsBack => "it is silent no more, so its machine is left on",
        ClusterIsPaused => "the cluster was paused, so its machine is left on",
        FencerUnsure => "this node may soon be missed itself, so it leaves the machine on",
        HolderOff => "the store granted the active lease, which was given back because its holder's machine was switched off",

        // An operator's wishes.
        OperatorAsked => "an operator asked for it",
        TargetFit => "that node is alive and could take over",
        TargetPrepares => "that node prepares itself first",
        TargetPrepared => "that node is prepared, so the active one stops what it does as such",
        TargetNotPrepared => "that node did not prepare itself in time",
        TargetNotNamed => "only nodes on the roster may lead this cluster, and that node is not on it",
        BegunByAnother => "the node that had begun it is active no more, and another than the one that was named is",
        WishWithdrawn => "it was withdrawn or replaced before the lease was given back",
        ActiveAnswers => "a node is active and answers, so it is asked for a switchover",
        NotNamed => "the roster does not name the active node any more, so it hands its role to one that it names",
        TargetUnknown => "no node of that name is a member of the cluster",
        TargetIsActive => "that node is active already",
        TargetMissing => "that node's heartbeats have stopped",
        TargetUnfit => "that node is leaving or in maintenance",
        TargetBehind => "that node's replicas are too far behind",
        NoTarget => "no other node is fit to take over",
        TargetDidNotTake => "the node that was named did not take over in time, so another did",

        JobUnknown => "there is no job of that name",
        JobOver => "that job is done or is being removed",
        NeverMoves => "that job's policy is to never fail over: it runs on its node or not at all",
        StrategyUnknown => "no strategy of that name is known to this node",

        // Clients.
        ClientsTold => "it is active now, so clients are told where it is",
        ClientsLed => "it is active now, so clients are led to it",
        RedirectBroke => "the redirect failed, and is tried again while the node is active",
        LedByLater => "a later active node has led clients to itself already",

        VersionDiffers => "its version is not the one that is wanted, so it stays inactive",
        VersionFits => "its version is the one that is wanted",
        TargetVersion => "that node's version is not the one that is wanted",
        SettingsBroken => "the cluster's settings in the store break a rule or cannot be read, so the last good ones stay in force",
        KeptLocally => "the configuration was kept on its own disk; it holds until the store tells another, and gives no right",
        KeptUnusable => "what was kept on its own disk cannot be used and is left alone",
        KeptInVain => "the configuration could not be kept on its own disk; the node goes on without",
        SettingsSay => "the cluster's settings say so",
        PaceRefused => "the pace of the cluster's settings cannot be kept, so the node stays as fast as it was",

        // A node's own health.
        HostReported => "the host reported it",
        HostWarned => "the host warns of it, and it weighs nothing",
        HostCleared => "the host says that it is over",
        GuardGone => "the guard of its host is gone, so that after a crash its leases have to lapse",
        HostHung => "the host has not fed its watchdog in time",
        HostFed => "the host feeds its watchdog again",
        InBetterHealth => "the standby is in better health",
        NoBetter => "that node is in no better health any more",
        TargetIll => "that node's failures weigh more than the active node's",
        TargetHung => "that node's host does not feed its watchdog",

        // Incidents.
        IncidentUnknown => "there is no incident of that incarnation",
        ActionUnknown => "no action of that name is due for that incident",
        ActionDue => "nobody has begun that action yet: the active node does so by itself",
        Claimed => "it was claimed in the store, so it is begun, this once",
        ActionRuns => "that action is running",
        ActionDone => "that action is done",
        ActionElsewhere => "the active node knows no action of that name",
        NotConfirmed => "it seems to be lost, and while the store is silent nobody can make sure",
        ActiveNotConfirmed => "the active node seems to be gone, and while the store is silent nobody can make sure",

        // The store, and the network to it.
        CallsFail => "no call to the store succeeded for a whole beat",
        CallsSucceed => "a call to the store succeeded",
        StoreAway => "no call to the store succeeded for a whole beat although a witness answers, so it is the store that is away and not the network",
        CutOff => "neither the store nor a witness answers, so the node is cut off and stops everything before its leases end",
    }
}
