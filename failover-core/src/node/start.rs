//! From a description to a running node.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Node, NodeBuilder};
use crate::admin::Admin;
use crate::capacity::Capacity;
use crate::client::Surroundings;
use crate::control::check_version;
use crate::detect::Detector;
use crate::driver::{Host, NoJobs, Outside, Parts, Pulse, Shared, named_actions};
use crate::error::Invalid;
use crate::ids::{Incarnation, Member};
use crate::machine::{Config, Machine};
use crate::replica::Replicas;

impl NodeBuilder {
    /// Starts it, as a fresh incarnation. It joins in the background: the store need not be there yet.
    ///
    /// On a backend that has a [home](crate::home), as one of `failover::open` has, it beats, renews and decides there, however long the host blocks its executor; else in this
    /// runtime, which then must not be blocked. The host's own code runs in this runtime in any case: hooks, jobs, response actions, replicas. When it is shut down, the node
    /// ends as if its handle had been dropped. **A host that blocks keeps its lease**: its [watchdog](Self::watchdog) limits for how long.
    ///
    /// # Errors
    /// [`Invalid`] if this is not called within a tokio runtime, if the store cannot keep leases as short as the timing's,
    /// if a threshold of suspicion is not a number above zero, if the version is none, if the roster names a node twice, if there are too
    /// many endpoints or one twice, if the watchdog's limit is shorter than a beat, if there is a fencer and others are not missed before their leases lapse, if the health endpoints' address is taken, or if a replica
    /// was given to a node before.
    ///
    /// # Panics
    /// With the default clock on Linux, the runtime needs its I/O driver (`enable_io` or `enable_all`): the node panics without.
    pub fn start(self) -> Result<Node, Invalid> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Invalid::new("runtime", "none", "start a node within a tokio runtime"))?;
        self.check()?;
        let capacity = self.room()?;
        let (order, actions) = named_actions(self.responses)?;
        let member = Member::new(self.node, Incarnation::fresh());
        let mut config = Config::new(member.clone(), self.timing);
        config.least_ttl = self.backend.leases.least_ttl();
        config.slack = self.backend.leases.slack();
        config.capacity = capacity;
        config.detector = self.detector;
        config.roster = self.roster;
        config.strategies.extend(self.strategies);
        config.labels = self.labels;
        config.responses = order;
        config.endpoints.clone_from(&self.following.endpoints);
        config.version = self.version;
        (config.kept, config.keeps) = (self.local.as_deref().and_then(crate::local::read), self.local.is_some());
        self.vigil.configure(&mut config);
        config.replicates = !self.replicas.is_empty();
        let machine = Machine::new(config);
        let shared = Arc::new(Shared::new(member, machine.role(), machine.stage()));
        let (outbox, inbox) = mpsc::unbounded_channel();
        let (abandoned, closing) = (CancellationToken::new(), CancellationToken::new());
        let around = Surroundings {
            shared: shared.clone(),
            backend: self.backend.clone(),
            clock: self.clock.clone(),
            timing: self.timing,
            #[cfg(feature = "http")]
            outbox: outbox.clone(),
            closing: closing.clone(),
        };
        let companions = self.following.companions(&around)?;
        // Last: a node that does not start has taken none.
        let (replicas, keepers) = Replicas::attach(&self.replicas, &self.backend, &self.clock, self.timing)?;
        let pulse = self.vigil.limit.map(|_| Arc::new(Pulse::new(self.clock.clone(), outbox.clone())));
        let operator = Admin::new(self.backend.clone()).with_clock(self.clock.clone());
        let home = self.backend.leases.home();
        let host = Host::new(runtime.clone(), home.as_ref());
        let parts = Parts {
            backend: self.backend,
            host: host.clone(),
            clock: self.clock,
            timing: self.timing,
            jobs: self.jobs.unwrap_or_else(|| Arc::new(NoJobs)),
            hooks: self.hooks,
            replicas,
            keepers,
            responses: actions,
            shared: shared.clone(),
            companions,
            outside: Outside::new(self.vigil.witnesses, self.vigil.fencer, host.clone()),
            heir: self.vigil.heir,
            pulse: pulse.clone(),
            local: self.local,
            abandoned: abandoned.clone(),
            closing,
        };
        let driver = crate::driver::run(machine, parts, outbox.clone(), inbox);
        match home {
            Some(home) => home.spawn(driver),
            None => drop(runtime.spawn(driver)),
        }
        Ok(Node { shared, outbox, pulse, operator, _while_held: Arc::new(abandoned.drop_guard()) })
    }

    /// How much it can run: nothing at all without a handler.
    fn room(&self) -> Result<Capacity, Invalid> {
        let capacity = self.capacity.map_or(Ok(Capacity::default()), Capacity::of)?;
        let capacity = self.weight.map_or(Ok(capacity), |weight| capacity.with_weight(weight))?;
        Ok(if self.jobs.is_some() { capacity } else { Capacity::NONE })
    }

    fn check(&self) -> Result<(), Invalid> {
        let (ttl, least) = (self.timing.ttl(), self.backend.leases.least_ttl());
        if ttl < least {
            return Err(Invalid::new(
                "ttl",
                format!("{ttl:?}"),
                format!("this store keeps leases of at least {least:?}"),
            ));
        }
        if let Detector::PhiAccrual { threshold } = self.detector
            && !(threshold.is_finite() && threshold > 0.0)
        {
            return Err(Invalid::new(
                "detector threshold",
                threshold,
                "it must be a number above zero; 8 is customary",
            ));
        }
        self.following.check()?;
        self.vigil.check(self.timing)?;
        if let Some(version) = &self.version {
            check_version("version", version)?;
        }
        let mut seen = BTreeSet::new();
        match self.roster.iter().find(|node| !seen.insert(*node)) {
            Some(twice) => Err(Invalid::new("roster", twice, "it must name each node once")),
            None => Ok(()),
        }
    }
}
