//! The [`Switchover`]: who is to become active, and every step of how it went.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, Term};
use crate::incident::Phases;
use crate::job::optional_millis;

/// One switchover: an operator's wish, and how it went.
///
/// Whoever takes a step writes it here before it does what the step allows. So nobody forgets a switchover that was begun: whoever
/// is active next finds it open and closes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Switchover {
    /// Tells one wish from the next.
    pub id: String,
    /// The node that is to become active; without one, the standby.
    pub to: Option<NodeId>,
    /// How the role passes.
    #[serde(default)]
    pub way: SwitchWay,
    /// Why it was asked for.
    #[serde(default)]
    pub cause: SwitchCause,
    /// Who asked for it, as they call themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How long its target may take to prepare; without it, the active node's patience. Counted by the active node from when it begins.
    #[serde(default, with = "optional_millis", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// How far it is.
    pub phase: SwitchPhase,
    /// The node that was active.
    pub from: Option<NodeId>,
    /// The term of the node that wrote this phase.
    pub term: Option<Term>,
    /// Why it was refused, or how it ended.
    pub reason: Option<String>,
    /// The one whose place it took, if that was over: whoever is active may not have told of it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Switchover>>,
    /// Every step it has taken, in order; the last one is its phase.
    #[serde(default)]
    pub steps: Vec<SwitchStep>,
}

/// How the active role passes to another node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SwitchWay {
    /// The active node hands it over.
    #[default]
    Planned,
    /// There is no active node that could: the target takes the lease as soon as nobody holds it.
    Activation,
}

/// Why a [`Switchover`] was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SwitchCause {
    /// An operator wished for it.
    #[default]
    Operator,
    /// The active node did, because the standby is in better health.
    Health,
}

/// One step of a [`Switchover`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SwitchStep {
    /// Which.
    pub phase: SwitchPhase,
    /// The node that took it; none for an operator.
    pub node: Option<NodeId>,
    /// Why.
    pub reason: String,
    /// How long it took, to the millisecond, by the clock of the node that took it (law 10): from its own step before, or from when it first read of the wish;
    /// for the node that became active, from when it was granted the lease. Absent for an operator's step.
    #[serde(default, with = "optional_millis", skip_serializing_if = "Option::is_none")]
    pub took: Option<Duration>,
}

/// How far a [`Switchover`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SwitchPhase {
    /// Asked for; the active node has not seen it yet.
    Requested,
    /// The target could take over, by everything that is known of it.
    Checked,
    /// The target runs its `prepare` hook.
    Preparing,
    /// The active node is stepping down: it ends what it does as the active one.
    Started,
    /// The active node has ended that, as its host acknowledged, and gives its lease to the target.
    Released,
    /// The node it names in `to` is active.
    Done,
    /// It was not begun, for the `reason` given.
    Refused,
    /// It was begun and did not come to its end, for the `reason` given.
    Failed,
}

impl SwitchPhase {
    /// Whether nothing more will come of it.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Requested | Self::Checked | Self::Preparing | Self::Started | Self::Released => false,
            Self::Done | Self::Refused | Self::Failed => true,
        }
    }

    /// Whether the active node has begun to step down, or has done so.
    pub const fn is_under_way(self) -> bool {
        match self {
            Self::Started | Self::Released => true,
            Self::Requested | Self::Checked | Self::Preparing | Self::Done | Self::Refused | Self::Failed => false,
        }
    }

    /// The phase's name, as it is written to JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Checked => "checked",
            Self::Preparing => "preparing",
            Self::Started => "started",
            Self::Released => "released",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Switchover {
    /// A wish that nobody has seen yet.
    pub fn new(id: impl Into<String>, to: Option<NodeId>, way: SwitchWay) -> Self {
        let mut wish = Self {
            id: id.into(),
            to,
            way,
            cause: SwitchCause::Operator,
            by: None,
            within: None,
            phase: SwitchPhase::Requested,
            from: None,
            term: None,
            reason: None,
            before: None,
            steps: Vec::new(),
        };
        wish.step(SwitchPhase::Requested, None, "an operator asked for it", None);
        wish
    }

    /// It takes the place of this one.
    pub(crate) fn after(mut self, before: &Self) -> Self {
        self.before = before.phase.is_over().then(|| Box::new(Self { before: None, ..before.clone() }));
        self
    }

    /// A wish of the active node's own to be relieved, without any step yet.
    pub(crate) fn relief(id: String, to: NodeId) -> Self {
        let asked = Self::new(id, Some(to), SwitchWay::Planned);
        Self { cause: SwitchCause::Health, steps: Vec::new(), ..asked }
    }

    /// Takes a step.
    pub(crate) fn step(&mut self, phase: SwitchPhase, node: Option<&NodeId>, reason: &str, took: Option<Duration>) {
        self.phase = phase;
        self.reason = phase.is_over().then(|| reason.to_owned());
        // As exact as it is written: a node knows its own document again when it reads it.
        let took = took.map(|took| Duration::new(took.as_secs(), took.subsec_millis() * 1_000_000));
        self.steps.push(SwitchStep { phase, node: node.cloned(), reason: reason.to_owned(), took });
    }

    /// How long its parts took, as far as somebody measured them. *Decide*: the target was checked and has prepared. *Stop*: the active node has
    /// ended what it did as such. *Start*: whoever is active afterwards is promoted. What passes between the two nodes' clocks is in none of them.
    pub fn phases(&self) -> Phases {
        let mut phases = Phases::default();
        let mut steps_down = false;
        for step in &self.steps {
            let part = match step.phase {
                SwitchPhase::Requested => continue,
                SwitchPhase::Checked | SwitchPhase::Preparing | SwitchPhase::Started => &mut phases.decide,
                SwitchPhase::Released => &mut phases.stop,
                SwitchPhase::Done => &mut phases.start,
                SwitchPhase::Refused | SwitchPhase::Failed if steps_down => &mut phases.start,
                SwitchPhase::Refused | SwitchPhase::Failed => &mut phases.decide,
            };
            *part = [*part, step.took].into_iter().flatten().reduce(|sum, took| sum + took);
            steps_down |= step.phase.is_under_way();
        }
        phases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switchover_of_an_earlier_build_can_be_read() {
        let old = r#"{"id":"x","to":"b","phase":"started","from":"a","term":3,"reason":null}"#;
        let read: Switchover = serde_json::from_str(old).unwrap();
        assert_eq!((read.way, read.within, read.phase), (SwitchWay::Planned, None, SwitchPhase::Started));
        assert_eq!(read.cause, SwitchCause::Operator);
        assert!(read.steps.is_empty());
    }

    #[test]
    fn every_step_is_kept_and_the_last_one_is_the_phase() {
        let (a, mut wish) = (NodeId::new("a").unwrap(), Switchover::new("x", None, SwitchWay::Planned));
        wish.step(SwitchPhase::Checked, Some(&a), "fine", Some(Duration::from_nanos(1_999_999)));
        wish.step(SwitchPhase::Failed, Some(&a), "not so fine", None);
        let phases: Vec<_> = wish.steps.iter().map(|step| step.phase).collect();
        assert_eq!(phases, [SwitchPhase::Requested, SwitchPhase::Checked, SwitchPhase::Failed]);
        assert_eq!((wish.phase, wish.reason.as_deref()), (SwitchPhase::Failed, Some("not so fine")));
        wish.within = Some(Duration::from_secs(3));
        let json = serde_json::to_string(&wish).unwrap();
        assert_eq!(serde_json::from_str::<Switchover>(&json).unwrap(), wish, "{json}");
    }

    /// The phases of a switchover with these steps, in milliseconds.
    fn phases(steps: &[(SwitchPhase, u64)]) -> [Option<u128>; 4] {
        let mut wish = Switchover::new("x", None, SwitchWay::Planned);
        for (phase, took) in steps {
            wish.step(*phase, None, "", Some(Duration::from_millis(*took)));
        }
        let Phases { detect, decide, stop, start } = wish.phases();
        [detect, decide, stop, start].map(|took| took.map(|took| took.as_millis()))
    }

    #[test]
    fn its_parts_are_the_sums_of_its_steps_and_what_nobody_measured_is_absent() {
        use SwitchPhase::{Checked, Done, Failed, Preparing, Refused, Released, Started};
        let whole = [(Checked, 1), (Preparing, 0), (Started, 20), (Released, 300), (Done, 4_000)];
        assert_eq!(phases(&whole), [None, Some(21), Some(300), Some(4_000)]);
        assert_eq!(phases(&whole[..2]), [None, Some(1), None, None]);
        assert_eq!(phases(&[(Checked, 1), (Failed, 7)]), [None, Some(8), None, None], "it did not prepare");
        assert_eq!(phases(&[(Checked, 1), (Started, 0), (Failed, 7)]), [None, Some(1), None, Some(7)], "it came back");
        assert_eq!(phases(&[(Refused, 2)]), [None, Some(2), None, None]);
        assert_eq!(phases(&[]), [None; 4]);
    }
}
