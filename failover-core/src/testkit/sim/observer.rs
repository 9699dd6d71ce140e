//! Sees everything that happens and judges it: the invariants, the counters and the trace.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::coverage::{Count, Coverage};
use super::engine::DAWN;
use super::invariants::{self, Invariant};
use super::scene::{Fact, Scene};
use super::trace;
use crate::ids::{LeaseName, Member};
use crate::job::Step;
use crate::lease::Acquired;
use crate::machine::{Call, Effect, EventKind, Reply};
use crate::time::Time;

/// An invariant that does not hold.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub(super) law: &'static str,
    pub(super) at: Time,
    pub(super) what: String,
}

/// Sees everything.
pub(super) struct Observer {
    laws: Vec<Box<dyn Invariant>>,
    pub(super) broken: Option<Broken>,
    pub(super) coverage: Coverage,
    /// How things went, line by line; nothing if nobody wants to know.
    pub(super) trace: Option<Vec<String>>,
    /// Every effect that a scenario shows, if it is one.
    pub(super) heard: Option<Vec<(Time, usize, Effect)>>,
    digest: DefaultHasher,
    last_active: Option<Member>,
}

impl Observer {
    pub(super) fn new(laws: Vec<Box<dyn Invariant>>, traced: bool) -> Self {
        Self {
            laws,
            broken: None,
            coverage: Coverage::default(),
            trace: traced.then(Vec::new),
            heard: None,
            digest: DefaultHasher::new(),
            last_active: None,
        }
    }

    /// With every invariant.
    pub(super) fn strict(traced: bool) -> Self {
        Self::new(invariants::all(), traced)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// A number that is the same for two runs in which the same things happened.
    pub(super) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    pub(super) fn hear(&mut self, scene: &Scene, fact: &Fact<'_>) {
        (scene.now.as_nanos(), std::mem::discriminant(fact)).hash(&mut self.digest);
        if self.trace.is_some()
            && let Some(line) = trace::line(scene, fact)
        {
            self.note(scene, || line);
        }
        if let (Some(heard), Fact::Wants { node, effect }) = (&mut self.heard, fact) {
            heard.push((scene.now, *node, (*effect).clone()));
        }
        self.tally(fact);
        if self.broken.is_some() {
            return;
        }
        for law in &mut self.laws {
            if let Err(what) = law.observe(scene, fact) {
                let name = law.name();
                self.break_law(name, scene, what);
                return;
            }
        }
    }

    pub(super) fn break_law(&mut self, law: &'static str, scene: &Scene, what: String) {
        if self.broken.is_none() {
            self.broken = Some(Broken { law, at: scene.now, what });
        }
    }

    pub(super) fn note(&mut self, scene: &Scene, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let line = line();
            line.hash(&mut self.digest);
            trace.push(format!("{:>10.6} {line}", scene.now.since(DAWN).as_secs_f64()));
        }
    }

    pub(super) fn count(&mut self, what: Count) {
        self.coverage.count(what);
    }

    fn tally(&mut self, fact: &Fact<'_>) {
        match fact {
            Fact::Applied { by, call, answer: Ok(answer), .. } => match (call, answer) {
                (Call::Acquire { name, .. }, Reply::Acquired(Acquired::Granted(_))) => {
                    if *name == LeaseName::active() {
                        self.elected(by);
                    } else if *name != LeaseName::node(&by.node) {
                        self.count(Count::Fences);
                    }
                }
                (Call::Assign { moves, .. }, Reply::Assigned(crate::job::Assigned::Applied(_))) => {
                    for wanted in moves {
                        match &wanted.step {
                            Step::Seize { .. } => self.count(Count::Seizures),
                            Step::Drain => self.count(Count::Drains),
                            Step::Place { .. } => {}
                        }
                        let home = wanted.course.home.as_ref();
                        if wanted.step == Step::Drain && home.is_some() && home == wanted.course.target.as_ref() {
                            self.count(Count::Returns);
                        }
                    }
                }
                (Call::Release { lease, .. }, Reply::Done) if lease.holder != **by => self.count(Count::BrokenEarly),
                _ => {}
            },
            Fact::Wants { effect: Effect::Tell(event), .. } => self.told(event),
            Fact::Healed => self.count(Count::Healed),
            _ => {}
        }
    }

    fn elected(&mut self, by: &Member) {
        if self.last_active.as_ref() != Some(by) {
            self.count(if self.last_active.is_some() { Count::Takeovers } else { Count::Elections });
            self.last_active = Some(by.clone());
        }
    }

    fn told(&mut self, event: &crate::machine::Event) {
        use crate::machine::Reason;
        match event.kind {
            EventKind::JobStopped => self.count(Count::JobsStopped),
            EventKind::JobCompleted => self.count(Count::JobsCompleted),
            EventKind::JobFailed => {
                self.count(Count::JobsFailed);
                if event.reason == Reason::NoProgress {
                    self.count(Count::Hung);
                }
            }
            EventKind::PaceChanged => self.count(Count::PacesKept),
            EventKind::VersionRefused => self.count(Count::HeldBack),
            EventKind::OrderDone => self.count(Count::OrdersDone),
            EventKind::SwitchoverDone => self.count(Count::Switchovers),
            EventKind::SwitchoverFailed => self.count(Count::SwitchoversFailed),
            EventKind::SwitchoverRefused => self.count(Count::SwitchoversRefused),
            EventKind::StandbyAppointed => self.count(Count::Appointments),
            EventKind::TakeoverWithheld if event.reason == Reason::FenceAbove => self.count(Count::StoodOff),
            EventKind::ReliefRequested => self.count(Count::Reliefs),
            EventKind::StoreSilent if event.reason == Reason::StoreAway => self.count(Count::StoresAway),
            EventKind::StoreSilent if event.reason == Reason::CutOff => self.count(Count::CutOffs),
            EventKind::LeaseLost => {
                self.count(Count::LeasesLost);
                if matches!(event.reason, Reason::NodeLeaseEnding | Reason::ActiveLeaseEnding) {
                    self.count(Count::SelfFences);
                }
            }
            _ => {}
        }
    }
}
