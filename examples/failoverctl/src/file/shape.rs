//! What may stand in a file. Each value is checked as it is read, so that its place is known if it is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use failover::admin::Wanted;
use failover::job::{FailoverPolicy, JobDraft, PolicyDraft};
use failover::{ClassName, GroupName, Invalid, JobId, JobSpec, NodeId};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::{Broken, classes};
use crate::cli::{FailbackRule, Span};
use crate::payload::Payload;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    #[serde(default)]
    classes: Entries<ClassName, ClassShape>,
    #[serde(default)]
    jobs: Entries<JobId, JobShape>,
}

/// Declares a table that holds a policy, among other things. (`flatten` would take unknown fields without a word.)
macro_rules! with_policy {
    ($(#[$doc:meta])* struct $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $(pub(super) $field: $type,)*
            priority: Option<i32>,
            pins: Option<Vec<NodeId>>,
            requires: Option<BTreeMap<String, String>>,
            prefers: Option<BTreeMap<String, String>>,
            apart: Option<GroupName>,
            failover: Option<FailoverPolicy>,
            failback: Option<Text<FailbackRule>>,
            retries: Option<u32>,
            backoff: Option<Text<Span>>,
            progress: Option<Text<Span>>,
        }

        impl $name {
            pub(super) fn draft(&self) -> PolicyDraft {
                let mut draft = PolicyDraft::default();
                draft.priority = self.priority;
                draft.pins.clone_from(&self.pins);
                draft.requires.clone_from(&self.requires);
                draft.prefers.clone_from(&self.prefers);
                draft.apart.clone_from(&self.apart);
                draft.failover = self.failover;
                draft.failback = self.failback.as_ref().map(|text| text.0.0);
                draft.retries = self.retries;
                draft.backoff = self.backoff.as_ref().map(|text| text.0.0);
                draft.progress = self.progress.as_ref().map(|text| text.0.0);
                draft
            }
        }
    };
}

with_policy! {
    /// A class.
    struct ClassShape {
        like: Option<ClassName>,
    }
}

with_policy! {
    /// A job.
    struct JobShape {
        command: Command,
        weight: Option<Weight>,
        class: Option<ClassName>,
    }
}

impl Shape {
    pub(super) fn wanted(self) -> Result<Wanted, Broken> {
        let mut wanted = Wanted { classes: classes::complete(&self.classes.0)?, jobs: Vec::new() };
        for (id, job) in self.jobs.0 {
            let mut policy = job.draft();
            policy.class.clone_from(&job.class);
            let at = |invalid: Invalid| {
                let field = invalid.field.clone();
                (vec!["jobs".to_owned(), id.to_string(), field], invalid)
            };
            // What contradicts itself is found here, where its line is known; what contradicts a class or the cluster, later.
            policy.over(&failover::JobPolicy::default()).check().map_err(at)?;
            let spec = Payload::job(id.clone(), job.weight.map_or(1, |weight| weight.0), job.command.0);
            let spec: JobSpec = spec.map_err(|invalid| (vec!["jobs".to_owned(), id.to_string()], invalid))?;
            wanted.jobs.push(JobDraft::new(spec, policy));
        }
        Ok(wanted)
    }
}

/// A table in the file's order, each name once.
#[derive(Debug)]
pub(super) struct Entries<K, V>(pub(super) Vec<(K, V)>);

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, K, V> Deserialize<'de> for Entries<K, V>
where
    K: Deserialize<'de> + fmt::Display,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each<K, V>(PhantomData<(K, V)>);

        impl<'de, K, V> Visitor<'de> for Each<K, V>
        where
            K: Deserialize<'de> + fmt::Display,
            V: Deserialize<'de>,
        {
            type Value = Vec<(K, V)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(K, V)> = Vec::new();
                let mut seen = std::collections::BTreeSet::new();
                while let Some(key) = map.next_key::<K>()? {
                    if !seen.insert(key.to_string()) {
                        return Err(A::Error::custom(format_args!("`{key}` is there twice: a name is its own")));
                    }
                    entries.push((key, map.next_value::<Table<V>>()?.0));
                }
                Ok(entries)
            }
        }

        from.deserialize_map(Each(PhantomData)).map(Self)
    }
}

/// A table with names. Without this, JSON could have a list of values in its place.
#[derive(Debug)]
pub(super) struct Table<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Named<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Named<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        from.deserialize_map(Named(PhantomData)).map(Self)
    }
}

/// Something that is written as it is on the command line.
#[derive(Debug)]
pub(super) struct Text<T>(T);

impl<'de, T: std::str::FromStr<Err = Invalid>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map(Self).map_err(D::Error::custom)
    }
}

#[derive(Debug)]
pub(super) struct Weight(u32);

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let weight = u32::deserialize(from)?;
        Payload::check_weight(weight).map(|()| Self(weight)).map_err(D::Error::custom)
    }
}

#[derive(Debug)]
pub(super) struct Command(Vec<String>);

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let command = Vec::deserialize(from)?;
        Payload::check_command(&command).map(|()| Self(command)).map_err(D::Error::custom)
    }
}
