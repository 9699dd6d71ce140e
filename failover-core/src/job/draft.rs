//! A job as somebody wants it, before the defaults of its class are filled in: [`JobDraft`].

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Failback, FailoverPolicy, JobPolicy, JobSpec};
use crate::error::Invalid;
use crate::ids::{ClassName, GroupName, JobId, NodeId};

/// The parts of a [`JobPolicy`] that somebody has named. Those that are not named come from the job's class, or are the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyDraft {
    /// Where the parts come from that are not named here.
    pub class: Option<ClassName>,
    /// As in [`JobPolicy::priority`], and so on for the others.
    pub priority: Option<i32>,
    /// The only nodes it may run on.
    pub pins: Option<Vec<NodeId>>,
    /// The labels a node must have.
    pub requires: Option<BTreeMap<String, String>>,
    /// The labels of nodes that come first.
    pub prefers: Option<BTreeMap<String, String>>,
    /// No two jobs of a group run on the same node.
    pub apart: Option<GroupName>,
    /// What becomes of it when its node is lost.
    pub failover: Option<FailoverPolicy>,
    /// Whether it returns.
    pub failback: Option<Failback>,
    /// How often in a row it is started again.
    pub retries: Option<u32>,
    /// The wait before it is started again.
    pub backoff: Option<Duration>,
    /// How often it promises to tell its progress.
    pub progress: Option<Duration>,
}

impl PolicyDraft {
    /// The policy that has what is named here, and the rest from `base`.
    pub fn over(&self, base: &JobPolicy) -> JobPolicy {
        let mine = self.clone();
        JobPolicy {
            class: mine.class,
            priority: mine.priority.unwrap_or(base.priority),
            pins: mine.pins.unwrap_or_else(|| base.pins.clone()),
            requires: mine.requires.unwrap_or_else(|| base.requires.clone()),
            prefers: mine.prefers.unwrap_or_else(|| base.prefers.clone()),
            apart: mine.apart.or_else(|| base.apart.clone()),
            failover: mine.failover.unwrap_or(base.failover),
            failback: mine.failback.or(base.failback),
            retries: mine.retries.or(base.retries),
            backoff: mine.backoff.or(base.backoff),
            progress: mine.progress.or(base.progress),
        }
    }
}

impl From<&JobPolicy> for PolicyDraft {
    /// What differs from the default counts as named.
    fn from(policy: &JobPolicy) -> Self {
        fn named<T: Default + PartialEq + Clone>(value: &T) -> Option<T> {
            (*value != T::default()).then(|| value.clone())
        }
        Self {
            class: policy.class.clone(),
            priority: named(&policy.priority),
            pins: named(&policy.pins),
            requires: named(&policy.requires),
            prefers: named(&policy.prefers),
            apart: policy.apart.clone(),
            failover: named(&policy.failover),
            failback: policy.failback,
            retries: policy.retries,
            backoff: policy.backoff,
            progress: policy.progress,
        }
    }
}

/// A job as somebody wants it. A [`JobSpec`] is one too: what of its policy differs from the default counts as named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDraft {
    spec: JobSpec,
    policy: PolicyDraft,
}

impl JobDraft {
    /// A job whose policy is still to be completed; the one in `spec` does not count.
    pub fn new(spec: JobSpec, policy: PolicyDraft) -> Self {
        Self { spec, policy }
    }

    /// The job's name.
    pub fn id(&self) -> &JobId {
        self.spec.id()
    }

    /// How much of a node's capacity it takes.
    pub fn weight(&self) -> u32 {
        self.spec.weight()
    }

    /// What of its policy was named.
    pub fn policy(&self) -> &PolicyDraft {
        &self.policy
    }

    /// The whole job, with the defaults of its class.
    ///
    /// # Errors
    /// [`Invalid`] for a class that is not among `classes`, and as [`JobPolicy::check`] for what comes of both together.
    pub fn resolve(&self, classes: &BTreeMap<ClassName, JobPolicy>) -> Result<JobSpec, Invalid> {
        self.resolve_over(&JobPolicy::default(), classes)
    }

    /// The same, where jobs without a class have these defaults.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_over(
        &self,
        defaults: &JobPolicy,
        classes: &BTreeMap<ClassName, JobPolicy>,
    ) -> Result<JobSpec, Invalid> {
        let base = match &self.policy.class {
            None => defaults,
            Some(class) => classes.get(class).ok_or_else(|| {
                let rule = "there is no such class: define it first, or name one that there is";
                Invalid::new("class", class, rule)
            })?,
        };
        self.spec.clone().with_policy(self.policy.over(base))
    }
}

impl From<JobSpec> for JobDraft {
    fn from(spec: JobSpec) -> Self {
        let policy = spec.policy().into();
        Self { spec, policy }
    }
}

impl From<&JobSpec> for JobDraft {
    fn from(spec: &JobSpec) -> Self {
        spec.clone().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(policy: PolicyDraft) -> JobDraft {
        JobDraft::new(JobSpec::new(JobId::new("j").unwrap(), "").unwrap(), policy)
    }

    fn agents() -> (ClassName, BTreeMap<ClassName, JobPolicy>) {
        let name = ClassName::new("agent").unwrap();
        let policy = JobPolicy {
            priority: 3,
            failover: FailoverPolicy::Manual,
            pins: vec![NodeId::new("a").unwrap()],
            retries: Some(2),
            ..JobPolicy::default()
        };
        (name.clone(), [(name, policy)].into())
    }

    #[test]
    fn what_is_named_wins_over_the_class_also_where_it_is_the_default() {
        let (class, classes) = agents();
        let named = PolicyDraft {
            class: Some(class.clone()),
            failover: Some(FailoverPolicy::Automatic),
            pins: Some(Vec::new()),
            retries: Some(5),
            ..PolicyDraft::default()
        };
        let spec = draft(named).resolve(&classes).unwrap();
        let expected = JobPolicy { class: Some(class), priority: 3, retries: Some(5), ..JobPolicy::default() };
        assert_eq!(*spec.policy(), expected);
    }

    #[test]
    fn a_spec_of_a_class_gets_the_rest_from_it_and_doing_so_twice_changes_nothing() {
        let (class, classes) = agents();
        let policy = JobPolicy { class: Some(class.clone()), priority: 9, ..JobPolicy::default() };
        let spec = JobSpec::new(JobId::new("j").unwrap(), "").unwrap().with_policy(policy).unwrap();
        let once = JobDraft::from(&spec).resolve(&classes).unwrap();
        assert_eq!(*once.policy(), JobPolicy { class: Some(class.clone()), priority: 9, ..classes[&class].clone() });
        assert_eq!(JobDraft::from(&once).resolve(&classes).unwrap(), once);
    }

    #[test]
    fn a_class_that_is_not_there_and_a_contradiction_with_it_are_refused() {
        let (class, mut classes) = agents();
        let of_class = PolicyDraft { class: Some(class.clone()), ..PolicyDraft::default() };
        let error = draft(of_class.clone()).resolve(&BTreeMap::new()).unwrap_err();
        assert_eq!((error.field.as_str(), error.value.as_str()), ("class", "agent"));
        let stable_for = Duration::from_secs(1);
        classes.get_mut(&class).unwrap().failback = Some(Failback::Automatic { stable_for });
        let never = PolicyDraft { failover: Some(FailoverPolicy::Never), ..of_class };
        assert_eq!(draft(never).resolve(&classes).unwrap_err().field, "failback");
    }
}
