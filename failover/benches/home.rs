//! What the way to a store's own thread costs a host that calls it, beside the same call on a backend in the host's runtime: `cargo bench -p failover --all-features --bench home`.
//!
//! Interleaved: each round makes every call once. Nodes and elections go no such way (`failover-core/tests/home`).

use std::error::Error;
use std::time::{Duration, Instant};

use failover::memory::MemoryStore;
use failover::{Backend, ClusterName, LeaseName};
use failover_testing::redis::Redis;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How often each call is made.
const ROUNDS: usize = 5000;

fn main() -> Outcome<()> {
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let two = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!(
        "{:<34}{:>12}{:>12}{:>12}{:>12}{:>12}",
        "a look at a lease, µs", "here p50", "p99", "home p50", "p99", "p50 more"
    );
    for (name, runtime) in [("one thread", &one), ("two threads", &two)] {
        runtime.block_on(async { measure(name).await })?;
    }
    Ok(())
}

async fn measure(runtime: &str) -> Outcome<()> {
    let (directory, server) = (tempfile::tempdir()?, Redis::durable());
    let file = format!("sqlite://{}", directory.path().join("store.db").display());
    let cluster = ClusterName::new("bench")?;
    let memory = MemoryStore::new();
    let moved = memory.backend();
    let pairs = [
        ("memory", memory.backend(), Backend::on_own_thread(|| async { Ok(moved) }).await?),
        ("sqlite", failover::open_here(&file, &cluster).await?, failover::open(&file, &cluster).await?),
        ("redis", failover::open_here(&server.url(), &cluster).await?, failover::open(&server.url(), &cluster).await?),
    ];
    let mut figures = vec![[Vec::new(), Vec::new()]; pairs.len()];
    for _ in 0..ROUNDS {
        for ((_, here, home), figures) in pairs.iter().zip(&mut figures) {
            for (backend, figures) in [here, home].into_iter().zip(figures) {
                figures.push(look(backend).await?);
            }
        }
    }
    for ((store, ..), [mut here, mut home]) in pairs.iter().zip(figures) {
        let ((h50, h99), (c50, c99)) = (quantiles(&mut here), quantiles(&mut home));
        println!(
            "{:<34}{h50:>12.1}{h99:>12.1}{c50:>12.1}{c99:>12.1}{:>12.1}",
            format!("{store}, {runtime}"),
            c50 - h50
        );
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures by the process's own clock")]
async fn look(backend: &Backend) -> Outcome<Duration> {
    let begun = Instant::now();
    backend.leases.current(&LeaseName::active()).await?;
    Ok(begun.elapsed())
}

/// The median and the 99th of a hundred, in microseconds.
fn quantiles(figures: &mut [Duration]) -> (f64, f64) {
    figures.sort_unstable();
    let at = |share: usize| figures[(figures.len() * share / 100).min(figures.len() - 1)].as_secs_f64() * 1e6;
    (at(50), at(99))
}
