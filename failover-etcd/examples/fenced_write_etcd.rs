//! A holder that is paused for longer than its lease, and whose late write is refused.
//!
//! ```sh
//! cargo run -p failover-etcd --example fenced_write_etcd -- etcd://127.0.0.1:2379
//! ```

use std::time::Duration;

use failover_core::lease::Acquired;
use failover_core::{ClusterName, Incarnation, Lease, LeaseManager, LeaseName, Member, NodeId};
use failover_etcd::etcd_client::{Client, TxnOp};
use failover_etcd::{EtcdOptions, EtcdStore};

#[allow(dead_code, reason = "a test calls `run`")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("say where etcd is: etcd://127.0.0.1:2379")?;
    println!("the account says at the end: {}", run(&url).await?);
    Ok(())
}

/// What the account says at the end.
pub(crate) async fn run(url: &str) -> Result<String, Box<dyn std::error::Error>> {
    let options = EtcdOptions::from_url(url)?;
    let store = options.open(&ClusterName::new("example")?).await?;
    // The host's own connection, to the same servers.
    let hosts = url.trim_start_matches("etcd://").split(['/', '?']).next().unwrap_or_default();
    let mut host = Client::connect(hosts.split(',').collect::<Vec<_>>(), None).await?.kv_client();
    let account = "example/account";

    let ttl = store.least_ttl();
    let first = acquire(&store, "a", ttl).await?;
    let fence = store.fence(&first);
    fence.write(&mut host, [TxnOp::put(account, "written by a", None)]).await??;
    println!("{} wrote", fence.token());

    // Now `a` stands still, as a process under SIGSTOP does: it renews nothing. After a while `b` is granted the lease.
    let second = acquire(&store, "b", ttl).await?;
    let next = store.fence(&second);
    next.write(&mut host, [TxnOp::put(account, "written by b", None)]).await??;
    println!("{} wrote", next.token());

    // `a` goes on where it stopped: behind its last look at the clock, right before its write.
    match fence.write(&mut host, [TxnOp::put(account, "written by a, late", None)]).await? {
        Ok(_) => return Err("a late write got through".into()),
        Err(fenced) => println!("{fenced}"),
    }
    store.release(&second, None).await?;
    let said = host.get(account, None).await?;
    Ok(said.kvs().first().ok_or("the account is gone")?.value_str()?.to_owned())
}

/// Asks until it is granted; a hint or the predicted end would do as well as a fixed pause.
async fn acquire(store: &EtcdStore, node: &str, ttl: Duration) -> Result<Lease, Box<dyn std::error::Error>> {
    let member = Member::new(NodeId::new(node)?, Incarnation::fresh());
    loop {
        match store.acquire(&LeaseName::active(), &member, ttl).await? {
            Acquired::Granted(lease) => return Ok(lease),
            Acquired::Refused(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
