//! A holder that was paused for longer than its lease writes late, and is refused.
//!
//! `cargo run -p failover-redis --example fenced_write_redis -- 'redis://localhost?durability=volatile'`

use std::error::Error;
use std::time::Duration;

use failover_core::lease::Acquired;
use failover_core::{ClusterName, Incarnation, Lease, LeaseManager, LeaseName, Member, NodeId};
use failover_redis::redis::{AsyncCommands, Client, aio::MultiplexedConnection};
use failover_redis::{Fenced, RedisOptions, RedisStore};

/// What the host writes: whose turn it was last.
const WRITE: &str = "redis.call('SET', KEYS[1], ARGV[1]); return redis.call('GET', KEYS[1])";

async fn acquire(store: &RedisStore, node: &str, ttl: Duration) -> Result<Lease, Box<dyn Error>> {
    let member = Member::new(NodeId::new(node)?, Incarnation::fresh());
    loop {
        match store.acquire(&LeaseName::active(), &member, ttl).await? {
            Acquired::Granted(lease) => return Ok(lease),
            Acquired::Refused(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn write(store: &RedisStore, host: &mut MultiplexedConnection, lease: &Lease) -> Result<(), Box<dyn Error>> {
    let key = format!("{}:turn", store.hash_tag());
    let written: Result<String, Fenced> =
        store.fence(lease).run(host, WRITE, &[key], &[lease.holder.node.as_str()]).await?;
    println!("{} writes: {written:?}", lease.holder.node);
    written.map(drop).map_err(Into::into)
}

/// Tells the story; who wrote last.
pub async fn run(store_url: &str, host_url: &str) -> Result<String, Box<dyn Error>> {
    let store = RedisOptions::from_url(store_url)?.open(&ClusterName::new("fenced-write")?).await?;
    // The host's own connection: any client of the same server will do.
    let mut host = Client::open(host_url)?.get_multiplexed_async_connection().await?;

    let first = acquire(&store, "a", Duration::from_millis(300)).await?;
    write(&store, &mut host, &first).await?;
    // Here `a` is paused: it neither renews nor knows. `b` gets the lease as soon as it has lapsed.
    let second = acquire(&store, "b", Duration::from_mins(1)).await?;
    write(&store, &mut host, &second).await?;
    // `a` goes on where it was.
    match write(&store, &mut host, &first).await {
        Err(error) if error.is::<Fenced>() => println!("a is refused: {error}"),
        other => return Err(format!("a late write has to be refused: {other:?}").into()),
    }
    store.release(&second, None).await?;
    Ok(host.get(format!("{}:turn", store.hash_tag())).await?)
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "a test calls the story itself")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://localhost?durability=volatile".to_owned());
    let host = url.split('?').next().unwrap_or_default().to_owned();
    println!("{} wrote last", run(&url, &host).await?);
    Ok(())
}
