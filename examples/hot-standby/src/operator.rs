//! What an operator sees and waits for: which server has which role.

use std::collections::BTreeMap;

use failover::Admin;
use failover::Role::{self, Active, Inactive, Maintenance, Standby};
use failover::admin::{Outlook, Status};
use sqlx::SqlitePool;
use stage::{Error, Scene};

pub(crate) struct Operator {
    pub(crate) admin: Admin,
    pub(crate) sql: SqlitePool,
    pub(crate) scene: Scene,
}

/// Which role each server has that is there.
type Roles = BTreeMap<String, Role>;

impl Operator {
    /// Waits until the servers have these roles, and tells it. A server that is not named is not there.
    pub(crate) async fn until(&self, wanted: &[(&str, Role)]) -> Result<(), Error> {
        let wanted: Roles = wanted.iter().map(|(server, role)| ((*server).to_owned(), *role)).collect();
        let matching = async |outlook: &Outlook| Ok((roles(outlook.status()).as_ref() == Some(&wanted)).then_some(()));
        stage::watch(&self.admin, &format!("the roles are {wanted:?}"), matching).await?;
        let those = |role: Role| {
            let servers: Vec<_> =
                wanted.iter().filter(|(_, has)| **has == role).map(|(server, _)| server.as_str()).collect();
            if servers.is_empty() { "none".to_owned() } else { servers.join(" ") }
        };
        let all = [Active, Standby, Inactive, Maintenance].map(|role| format!("{role} {}", those(role)));
        self.scene.say(&format!("   {}", all.join(", ")));
        Ok(())
    }

    /// The reckoning, from what the servers entered: who was in operation under which term, one after the other.
    pub(crate) async fn reckon(&self) -> Result<String, Error> {
        let samples = sqlx::query_as::<_, (String, i64)>("SELECT server, term FROM samples ORDER BY id");
        stage::one_at_a_time(samples.fetch_all(&self.sql).await?)
    }
}

/// Which server has which role. Nothing while one is not yet what it is meant to be, or the standby has not loaded its application.
fn roles(status: &Status) -> Option<Roles> {
    let alive = || status.nodes.iter().filter(|node| node.alive);
    let settled = alive().all(|node| node.reported == node.meant && (node.ready || node.meant != Standby));
    settled.then(|| alive().map(|node| (node.node.to_string(), node.reported)).collect())
}
