use std::fmt;

/// Declares what is counted, with its name.
macro_rules! counts {
    ($($name:ident => $text:literal,)*) => {
        /// What a simulation counts, so that a run which never meets a fault cannot pass for a good one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Count {
            $($name,)*
        }

        const NAMES: &[&str] = &[$($text,)*];
    };
}

counts! {
    Crashes => "crashes",
    Estates => "estates settled by guards",
    FencingsAsked => "machines to be switched off",
    SwitchedOff => "machines switched off while they ran",
    CalledOff => "orders called off",
    BrokenEarly => "leases broken early",
    Restarts => "restarts",
    ShortPauses => "short pauses",
    LongPauses => "pauses longer than the lease",
    BadWeather => "stretches of slow or lossy network",
    Outages => "store outages",
    StoreRestarts => "store restarts",
    Wipes => "wipes",
    LostRequests => "lost requests",
    LostReplies => "lost replies",
    LateReplies => "late replies",
    LateApplications => "late applications",
    Hangs => "hanging calls",
    SpuriousHints => "spurious hints",
    Nudges => "early wake-ups",
    Starts => "job starts",
    Cuts => "jobs cut off",
    JobsStopped => "jobs stopped",
    JobsCompleted => "jobs completed",
    JobsFailed => "jobs failed",
    Drains => "planned moves",
    Seizures => "unplanned moves",
    Fences => "fenced nodes",
    Elections => "elections",
    Takeovers => "takeovers",
    SelfFences => "self-fences",
    LeasesLost => "lost leases",
    Wishes => "switchovers wished",
    SwitchoversFailed => "switchovers that fell back",
    Standstills => "pauses and resumptions of the cluster",
    Switchovers => "switchovers done",
    SwitchoversRefused => "switchovers refused",
    Maintenances => "maintenances",
    RosterChanges => "roster changes",
    Paces => "changes of the pace",
    PacesKept => "nodes that follow another pace",
    Upgrades => "nodes upgraded",
    HeldBack => "nodes held back by their version",
    Emptied => "nodes cordoned or drained",
    Orders => "orders given",
    OrdersDone => "orders done",
    Hung => "hung jobs found out",
    Returns => "jobs returned to their node",
    Leaves => "leaves",
    NamesTaken => "names taken",
    FailedClosed => "nodes that failed closed",
    Appointments => "standby appointments",
    Failures => "failures reported",
    Reliefs => "reliefs asked for",
    FencesAhead => "fences above what the lease store grants",
    StoodOff => "leases given back because of such a fence",
    PromotionsRefused => "promotions refused",
    HostsHung => "hosts that hung",
    ActivesHung => "active hosts that hung",
    WitnessesAsked => "questions to witnesses",
    StoresAway => "store outages told apart",
    CutOffs => "nodes cut off that stood down",
    Responses => "response actions begun",
    Retries => "response actions retried",
    ResponsesCut => "response actions cut off",
    Healed => "schedules healed",
}

/// How often the interesting things happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage([u64; NAMES.len()]);

impl Default for Coverage {
    fn default() -> Self {
        Self([0; NAMES.len()])
    }
}

impl Coverage {
    pub(super) fn count(&mut self, what: Count) {
        self.0[what as usize] += 1;
    }

    /// Adds another's counts to these.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// Each thing's name and how often it happened.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMES.iter().copied().zip(self.0)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts().try_for_each(|(name, count)| writeln!(f, "{count:>12}  {name}"))
    }
}
