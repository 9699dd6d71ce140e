//! What networks and servers do, done to real ones: no call is lost without saying so, no term comes twice.

#[path = "../common/mod.rs"]
mod common;
mod connections;
mod data;
mod renewals;

use std::net::SocketAddr;
use std::time::Duration;

use failover_testing::proxy::Proxy;
use failover_testing::redis::Redis;

/// The deadline that a node gives each of its calls: far more than one needs on a busy machine.
const DEADLINE: Duration = Duration::from_secs(2);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Made on another thread: it has a runtime of its own.
fn proxy(redis: &Redis) -> Proxy {
    let upstream = address(redis.port());
    std::thread::spawn(move || Proxy::to(upstream)).join().expect("a proxy")
}

async fn soon<T>(what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(DEADLINE, what).await.ok()
}
