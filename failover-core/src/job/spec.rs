//! What to run: [`JobSpec`], and under which [`JobPolicy`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MAX_PAYLOAD;
use crate::error::Invalid;
use crate::ids::{ClassName, GroupName, JobId, NodeId};

/// The heaviest a job may be.
pub const MAX_WEIGHT: u32 = 1_000_000;

/// The most nodes a job may be pinned to, and the most labels it may require or prefer.
pub const MAX_RULES: usize = 64;

/// What to run, as it was submitted. Deserialised, it keeps the rules of its constructors too, or is an error that names what breaks them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct JobSpec {
    id: JobId,
    weight: u32,
    payload: String,
    // Most jobs have the default one, which takes no room.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Box<JobPolicy>>,
}

/// As it comes from a store or a file: whoever wrote it there need not have kept the rules.
#[derive(Deserialize)]
struct Unchecked {
    id: JobId,
    weight: u32,
    payload: String,
    policy: Option<Box<JobPolicy>>,
}

impl TryFrom<Unchecked> for JobSpec {
    type Error = Invalid;
    fn try_from(Unchecked { id, weight, payload, policy }: Unchecked) -> Result<Self, Invalid> {
        let spec = Self::new(id, payload)?.with_weight(weight)?;
        match policy {
            Some(policy) => spec.with_policy(*policy),
            None => Ok(spec),
        }
    }
}

impl JobSpec {
    /// A job of weight 1 and the default policy, with the payload its handler will get.
    ///
    /// # Errors
    /// [`Invalid`] if the payload is longer than [`MAX_PAYLOAD`].
    pub fn new(id: JobId, payload: impl Into<String>) -> Result<Self, Invalid> {
        Self { id, weight: 1, payload: String::new(), policy: None }.with_payload(payload)
    }

    /// Sets what its handler will get.
    ///
    /// # Errors
    /// [`Invalid`] if the payload is longer than [`MAX_PAYLOAD`].
    pub fn with_payload(mut self, payload: impl Into<String>) -> Result<Self, Invalid> {
        self.payload = payload.into();
        if self.payload.len() > MAX_PAYLOAD {
            let rule = format!("a payload must be at most {MAX_PAYLOAD} bytes");
            return Err(Invalid::new("payload", format!("{} bytes", self.payload.len()), rule));
        }
        Ok(self)
    }

    /// Sets how much of a node's capacity it takes.
    ///
    /// # Errors
    /// [`Invalid`] if the weight is zero or above [`MAX_WEIGHT`].
    pub fn with_weight(mut self, weight: u32) -> Result<Self, Invalid> {
        if !(1..=MAX_WEIGHT).contains(&weight) {
            return Err(Invalid::new("weight", weight, format!("it must be 1 to {MAX_WEIGHT}")));
        }
        self.weight = weight;
        Ok(self)
    }

    /// Sets where it may run and what becomes of it when its node is lost.
    ///
    /// # Errors
    /// [`Invalid`] as [`JobPolicy::check`].
    pub fn with_policy(mut self, policy: JobPolicy) -> Result<Self, Invalid> {
        policy.check()?;
        self.policy = (policy != *JobPolicy::standard()).then(|| Box::new(policy));
        Ok(self)
    }

    /// The job's name.
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// How much of a node's capacity it takes.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// What its handler gets: text of the host's own, JSON for example.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// Where it may run and what becomes of it when its node is lost.
    pub fn policy(&self) -> &JobPolicy {
        self.policy.as_deref().unwrap_or(JobPolicy::standard())
    }
}

impl fmt::Debug for JobSpec {
    /// Without the payload: it may hold a secret (law 19).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobSpec({}, weight {}, {} bytes", self.id, self.weight, self.payload.len())?;
        match &self.policy {
            None => f.write_str(")"),
            Some(policy) => write!(f, ", {policy:?})"),
        }
    }
}

/// Where a job may run, in which order, and what becomes of it when its node is lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct JobPolicy {
    /// The class its defaults came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<ClassName>,
    /// Higher ones are placed first; those alike, in the order of their submission.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: i32,
    /// The only nodes it may run on, in this order; empty: all, in the roster's order. A job with one pin has nowhere to fail
    /// over to: it waits for its node.
    #[serde(skip_serializing_if = "is_default")]
    pub pins: Vec<NodeId>,
    /// The labels a node must have, with these values.
    #[serde(skip_serializing_if = "is_default")]
    pub requires: BTreeMap<String, String>,
    /// Nodes that have all these labels come before those that have not.
    #[serde(skip_serializing_if = "is_default")]
    pub prefers: BTreeMap<String, String>,
    /// No two jobs of a group run on the same node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apart: Option<GroupName>,
    /// What becomes of it when its node is lost.
    #[serde(skip_serializing_if = "is_default")]
    pub failover: FailoverPolicy,
    /// Whether it returns to the node it was moved from; by default as the cluster's settings say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failback: Option<Failback>,
    /// How often in a row it is started again after it failed or its node was lost; without a number always, as befits what runs
    /// continuously.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// The wait before it is started again after a failure, doubled by each further one up to 32 times; by default a heartbeat.
    #[serde(with = "millis", skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Duration>,
    /// It promises to tell its progress at least so often. One that does not is stopped and moved.
    #[serde(with = "millis", skip_serializing_if = "Option::is_none")]
    pub progress: Option<Duration>,
}

impl JobPolicy {
    /// The default policy, for whoever has none of their own.
    fn standard() -> &'static Self {
        static STANDARD: JobPolicy = JobPolicy {
            class: None,
            priority: 0,
            pins: Vec::new(),
            requires: BTreeMap::new(),
            prefers: BTreeMap::new(),
            apart: None,
            failover: FailoverPolicy::Automatic,
            failback: None,
            retries: None,
            backoff: None,
            progress: None,
        };
        &STANDARD
    }

    /// Whether it keeps the rules that can be told without knowing the cluster.
    ///
    /// # Errors
    /// [`Invalid`] for a node pinned twice, a label whose name is no name or whose value is longer than 256 characters or holds
    /// control characters, more than [`MAX_RULES`] of either, a wait that is shorter than a millisecond or longer than ten years,
    /// and for a failback of a job that never fails over.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.pins.iter().find(|node| !seen.insert(*node)) {
            return Err(Invalid::new("pins", twice, "a node may be named once: the order is the order of preference"));
        }
        if self.pins.len() > MAX_RULES {
            return Err(Invalid::new("pins", self.pins.len(), format!("name at most {MAX_RULES} nodes")));
        }
        check_labels("requires", &self.requires)?;
        check_labels("prefers", &self.prefers)?;
        if let Some((label, value)) = self.prefers.iter().find(|(label, _)| self.requires.contains_key(*label)) {
            let rule = "it is required already, so it cannot be preferred too";
            return Err(Invalid::new("prefers", format!("{label}={value}"), rule));
        }
        check_span("backoff", self.backoff)?;
        check_span("progress", self.progress)?;
        if let Some(Failback::Automatic { stable_for }) = self.failback {
            check_span("failback", Some(stable_for))?;
            if self.failover == FailoverPolicy::Never {
                let rule = "a job that never fails over has nothing to come back from: leave one of the two out";
                return Err(Invalid::new("failback", "automatic", rule));
            }
        }
        Ok(())
    }
}

fn check_labels(field: &str, labels: &BTreeMap<String, String>) -> Result<(), Invalid> {
    if labels.len() > MAX_RULES {
        return Err(Invalid::new(field, labels.len(), format!("name at most {MAX_RULES} labels")));
    }
    labels.iter().try_for_each(|(name, value)| check_label(field, name, value))
}

/// Whether this can be a label: its name keeps the rule of every other name.
///
/// # Errors
/// [`Invalid`], naming `field`.
pub fn check_label(field: &str, name: &str, value: &str) -> Result<(), Invalid> {
    let named = NodeId::new(name).is_ok();
    if named && value.chars().count() <= 256 && !value.chars().any(char::is_control) {
        return Ok(());
    }
    let rule =
        "a label is NAME=VALUE, with a name of A-Z, a-z, 0-9, `.`, `_` and `-` and at most 256 characters of value";
    Err(Invalid::new(field, format!("{name}={value}").escape_debug(), rule))
}

fn check_span(field: &str, span: Option<Duration>) -> Result<(), Invalid> {
    const LONGEST: Duration = Duration::from_hours(10 * 366 * 24);
    match span {
        Some(span) if span < Duration::from_millis(1) || span > LONGEST => {
            Err(Invalid::new(field, format!("{span:?}"), "it must be a millisecond to ten years"))
        }
        Some(_) | None => Ok(()),
    }
}

/// What becomes of a job when its node is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailoverPolicy {
    /// It goes on elsewhere.
    #[default]
    Automatic,
    /// It stays with its lost node, visible, until that is back or an operator moves the job.
    Manual,
    /// It waits for its node; an operator cannot move it either.
    Never,
}

impl fmt::Display for FailoverPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Automatic => "automatic",
            Self::Manual => "manual",
            Self::Never => "never",
        })
    }
}

/// Whether a job returns to the node it was moved from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failback {
    /// It stays where it is, whatever an operator asks of all jobs of a node.
    Never,
    /// When an operator says so.
    #[default]
    Manual,
    /// By itself, when its node has been there without a break for so long.
    Automatic {
        /// How long.
        #[serde(with = "whole_millis")]
        stable_for: Duration,
    },
}

impl fmt::Display for Failback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Manual => f.write_str("manual"),
            Self::Automatic { stable_for } => write!(f, "automatic={stable_for:?}"),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Durations as whole milliseconds: what a person who looks into the store can read.
pub(crate) mod whole_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// The same, of a duration that may be absent.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::ref_option, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::whole_millis::serialize(span, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn spec() -> JobSpec {
        JobSpec::new(JobId::new("j").unwrap(), "run").unwrap()
    }

    #[test]
    fn a_default_policy_takes_no_room_in_the_record() {
        let plain = spec().with_policy(JobPolicy::default()).unwrap();
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"id":"j","weight":1,"payload":"run"}"#);
        assert_eq!(plain, spec());
        assert_eq!(*plain.policy(), JobPolicy::default());
    }

    #[test]
    fn a_policy_survives_serialisation() {
        let policy = JobPolicy {
            class: Some(ClassName::new("agent").unwrap()),
            priority: -3,
            pins: vec![node("b"), node("a")],
            requires: [("zone".to_owned(), "eu".to_owned())].into(),
            prefers: [("disk".to_owned(), "fast".to_owned())].into(),
            apart: Some(GroupName::new("db").unwrap()),
            failover: FailoverPolicy::Manual,
            failback: Some(Failback::Automatic { stable_for: Duration::from_mins(1) }),
            retries: Some(3),
            backoff: Some(Duration::from_millis(250)),
            progress: Some(Duration::from_secs(45)),
        };
        let spec = spec().with_policy(policy.clone()).unwrap();
        let json = serde_json::to_string(&spec).unwrap();
        let back: JobSpec = serde_json::from_str(&json).unwrap();
        assert_eq!((&back, back.policy()), (&spec, &policy), "{json}");
    }

    #[test]
    fn what_comes_from_a_store_keeps_the_rules_too() {
        let bad = |json: &str| serde_json::from_str::<JobSpec>(json).unwrap_err().to_string();
        assert!(bad(r#"{"id":"j","weight":0,"payload":""}"#).starts_with("weight is `0`: it must be 1 to"));
        let twice = bad(r#"{"id":"j","weight":1,"payload":"","policy":{"pins":["a","a"]}}"#);
        assert!(twice.starts_with("pins is `a`: a node may be named once"), "{twice}");
        let payload = bad(&format!(r#"{{"id":"j","weight":1,"payload":"{}"}}"#, "x".repeat(MAX_PAYLOAD + 1)));
        assert!(payload.starts_with("payload is"), "{payload}");
    }

    #[test]
    fn a_contradiction_is_named_with_its_rule() {
        let bad = |policy: JobPolicy| spec().with_policy(policy).unwrap_err().to_string();
        let pins = vec![node("a"), node("b"), node("a")];
        assert!(bad(JobPolicy { pins, ..JobPolicy::default() }).starts_with("pins is `a`: a node may be named once"));
        let zone: BTreeMap<_, _> = [("zone".to_owned(), "eu".to_owned())].into();
        let both = JobPolicy { requires: zone.clone(), prefers: zone, ..JobPolicy::default() };
        assert!(bad(both).starts_with("prefers is `zone=eu`: it is required already"));
        let failback = Some(Failback::Automatic { stable_for: Duration::from_secs(1) });
        let never = JobPolicy { failover: FailoverPolicy::Never, failback, ..JobPolicy::default() };
        assert!(bad(never).contains("never fails over"));
        assert!(
            bad(JobPolicy { progress: Some(Duration::ZERO), ..JobPolicy::default() }).starts_with("progress is `0ns`")
        );
        let requires = [("a b".to_owned(), "x".to_owned())].into();
        assert!(bad(JobPolicy { requires, ..JobPolicy::default() }).starts_with("requires is `a b=x`"));
    }
}
