//! What things are called in NATS. Names of this project may hold dots, which separate the parts of a subject there, and no
//! `=`: so a dot becomes `=`, and two names never share a subject.

use failover_core::{ClusterName, LeaseName};
use uuid::Uuid;

use crate::table::Area;

/// The names of one cluster's things.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    cluster: String,
}

impl Keys {
    pub(crate) fn new(cluster: &ClusterName) -> Self {
        Self { cluster: part(cluster.as_str()) }
    }

    /// The stream that keeps everything of the cluster.
    pub(crate) fn stream(&self) -> String {
        format!("failover-{}", self.cluster)
    }

    /// All subjects of the stream.
    pub(crate) fn all(&self) -> String {
        format!("failover.{}.>", self.cluster)
    }

    /// The one message with a whole table.
    pub(crate) fn table(&self, area: Area) -> String {
        format!("failover.{}.table.{}", self.cluster, area.as_str())
    }

    /// Where messages go whose only purpose is to be stamped with the server's time.
    pub(crate) fn clock(&self) -> String {
        format!("failover.{}.clock", self.cluster)
    }

    /// A payload or a value, too large for its table.
    pub(crate) fn blob(&self, area: Area, id: Uuid) -> String {
        format!("{}{id}", self.blobs(area))
    }

    /// What the subjects of an area's blobs begin with.
    pub(crate) fn blobs(&self, area: Area) -> String {
        format!("failover.{}.blob.{}.", self.cluster, area.as_str())
    }

    /// Where hints go. Not part of the stream: nobody keeps them.
    pub(crate) fn hint(&self, topic: &Topic) -> String {
        let topic = match topic {
            Topic::Area(area) => area.as_str().to_owned(),
            Topic::Lease(name) => format!("leases.{}", part(name.as_str())),
        };
        format!("failover-hints.{}.{topic}", self.cluster)
    }

    /// All hints.
    pub(crate) fn hints(&self) -> String {
        format!("failover-hints.{}.>", self.cluster)
    }
}

/// What a hint is about.
#[derive(Debug)]
pub(crate) enum Topic {
    Area(Area),
    Lease(LeaseName),
}

fn part(name: &str) -> String {
    name.replace('.', "=")
}
