//! The stores the cells run on: what a cell does to one, in one small `impl` each.

mod etcd;
mod mariadb;
mod mixed;
mod postgres;
mod redis;
mod sqlite;

use failover::{Backend, ClusterName};

pub(crate) use etcd::{Etcd, EtcdThree};
pub(crate) use mariadb::Mariadb;
pub(crate) use mixed::Mixed;
pub(crate) use postgres::Postgres;
pub(crate) use redis::{Redis, RedisCluster, RedisSentinel};
pub(crate) use sqlite::Sqlite;

/// A store of one cell's own.
pub(crate) trait Store: Sized + 'static {
    /// Whether [`wipe`](Self::wipe) takes the jobs too.
    const WIPES_JOBS: bool = true;

    /// An empty one.
    fn start() -> Self;

    /// Its address. Four of them, with blanks between, are the heartbeats', the leases', the jobs' and the documents'.
    fn url(&self) -> String;

    /// Loses all it holds, behind everybody's back.
    fn wipe(&mut self);
}

/// A store that is a server, or several, which keep what they acknowledged when they are killed.
pub(crate) trait Served: Store {
    /// The ports clients connect to.
    fn ports(&self) -> Vec<u16>;

    /// Its address through other ports, in the same order.
    fn url_at(&self, ports: &[u16]) -> String;

    fn pause(&mut self);
    fn resume(&mut self);
    fn kill(&mut self);
    fn start_again(&mut self);
}

/// Opens the store at an address of [`Store::url`].
pub(crate) async fn open(url: &str) -> Backend {
    let cluster = ClusterName::new("faults").expect("a valid name");
    let mut opened = Vec::new();
    for url in url.split(' ') {
        opened.push(failover::open(url, &cluster).await.unwrap_or_else(|e| panic!("the store: {e}")));
    }
    match &opened[..] {
        [one] => one.clone(),
        [beats, leases, jobs, state] => {
            let (beats, leases) = (beats.heartbeats.clone(), leases.leases.clone());
            Backend::mixed(beats, leases, jobs.jobs.clone(), state.state.clone())
        }
        other => panic!("{} addresses", other.len()),
    }
}
