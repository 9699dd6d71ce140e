//! What the tests of this crate share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::time::Duration;

use failover_core::heartbeat::News;
use failover_core::lease::Acquired;
use failover_core::{
    Capacity, ClusterName, Error, Heartbeat, Incarnation, Lease, LeaseManager, LeaseName, Member, NodeId, Role,
    StateKey, Term,
};
use failover_redis::{RedisOptions, RedisStore};

/// For leases that must not lapse while a test runs.
pub const LONG: Duration = Duration::from_hours(1);

/// Marks every record of a cluster as of a newer format. KEYS[1] is its own record.
pub const MAKE_NEWER: &str = "
    local base = string.sub(KEYS[1], 1, -5)
    for _, what in ipairs({'beats', 'leases', 'jobs', 'docs'}) do
      local all = redis.call('HGETALL', base .. what)
      for i = 1, #all, 2 do
        redis.call('HSET', base .. what, all[i], '99' .. string.sub(all[i + 1], 2))
      end
    end
    return #redis.call('KEYS', '*')";

/// Removes all keys of a cluster.
pub const WIPE: &str = "
    local base = string.sub(KEYS[1], 1, -5)
    for _, what in ipairs({'meta', 'beats', 'leases', 'fences', 'jobs', 'specs', 'feed', 'graves', 'epochs', 'docs', 'paths'}) do
      redis.call('DEL', base .. what)
    end
    return 'gone'";

/// A cluster's own record.
pub fn meta(cluster: &str) -> String {
    format!("failover:{{{cluster}}}:meta")
}

pub fn cluster(name: &str) -> ClusterName {
    ClusterName::new(name).expect("a valid name")
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a valid name")
}

pub fn member(name: &str, bits: u128) -> Member {
    Member::new(node(name), Incarnation::from_u128(bits))
}

pub fn lease_name(name: &str) -> LeaseName {
    LeaseName::new(name).expect("a valid name")
}

pub fn key(key: &str) -> StateKey {
    StateKey::new(key).expect("a valid key")
}

pub fn beat(member: &Member, seq: u64, load: u32) -> Heartbeat {
    let capacity = Capacity::default();
    let news = News { load, ready: true, ..News::new(Role::Inactive, capacity) };
    Heartbeat { member: member.clone(), term: Term(1), seq, news }
}

pub fn options(url: &str) -> RedisOptions {
    RedisOptions::from_url(url).unwrap_or_else(|e| panic!("{e}"))
}

pub async fn try_open(url: &str) -> Result<RedisStore, Error> {
    options(url).open(&cluster("c")).await
}

pub async fn open(url: &str) -> RedisStore {
    try_open(url).await.unwrap_or_else(|e| panic!("the store has to open: {e}"))
}

/// Acquires a lease that has to be granted.
pub async fn granted(store: &RedisStore, name: &str, member: &Member, ttl: Duration) -> Lease {
    match store.acquire(&lease_name(name), member, ttl).await {
        Ok(Acquired::Granted(lease)) => lease,
        other => panic!("{member} has to be granted {name}: {other:?}"),
    }
}

/// Tries until a call succeeds, as a node does that calls again and again.
pub async fn eventually<T, F: Future<Output = Result<T, Error>>>(mut call: impl FnMut() -> F) -> T {
    for _ in 0..3000 {
        match call().await {
            Ok(answer) => return answer,
            Err(e) if e.is_retryable() => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(e) => panic!("it never will: {e}"),
        }
    }
    panic!("not in half a minute");
}
