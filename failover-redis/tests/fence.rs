//! A host's own writes on the same server, under a fence.

mod common;

#[path = "../examples/fenced_write_redis.rs"]
#[allow(unreachable_pub, reason = "in its own place it is the whole program")]
mod fenced_write;

use std::time::Duration;

use common::{LONG, cluster, granted, lease_name, member, open, options};
use failover_core::job::{JobChange, Move, Step};
use failover_core::{Epoch, ErrorKind, JobAssigner, JobId, JobRecord, JobSpec, Lease, LeaseManager, Revision};
use failover_redis::redis::{Client, aio::MultiplexedConnection};
use failover_redis::{Fence, RedisStore};
use failover_testing::redis::{DURABLE, Redis, RedisCluster};

async fn host(port: u16) -> MultiplexedConnection {
    let client = Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

const ADD: &str = "redis.call('RPUSH', KEYS[1], ARGV[1])\nreturn redis.call('LLEN', KEYS[1])";

/// One fenced write; how many there are then, or nothing if it was refused.
async fn add(host: &mut MultiplexedConnection, fence: &Fence, who: &str) -> Option<i64> {
    fence.run(host, ADD, &["{c}:written"], &[who]).await.expect("the script runs").ok()
}

#[tokio::test]
async fn a_paused_holders_late_write_is_refused_after_a_successor_got_the_lease() {
    let redis = Redis::start();
    let host = format!("redis://127.0.0.1:{}", redis.port());
    assert_eq!(fenced_write::run(&redis.url(), &host).await.unwrap(), "b");
}

#[tokio::test]
async fn a_token_is_current_for_its_holder_its_term_and_its_time() {
    let redis = Redis::start();
    let (store, mut host) = (open(&redis.url()).await, host(redis.port()).await);
    let (a, b) = (member("a", 1), member("b", 2));
    let lease = granted(&store, "active", &a, LONG).await;
    assert_eq!(add(&mut host, &store.fence(&lease), "a").await, Some(1));
    let other = Lease { holder: b.clone(), ..lease.clone() };
    assert_eq!(add(&mut host, &store.fence(&other), "b").await, None, "it is another's");
    let later = Lease { term: lease.term.next(), ..lease.clone() };
    assert_eq!(add(&mut host, &store.fence(&later), "a").await, None, "it was never granted");
    let unknown = Lease { name: lease_name("other"), ..lease.clone() };
    assert_eq!(add(&mut host, &store.fence(&unknown), "a").await, None);

    store.release(&lease, None).await.unwrap();
    assert_eq!(add(&mut host, &store.fence(&lease), "a").await, None, "it was given back");
    let short = granted(&store, "active", &a, Duration::from_millis(50)).await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert_eq!(add(&mut host, &store.fence(&short), "a").await, None, "it has lapsed, although nobody took it");
    assert_eq!(redis.command(&["LLEN", "{c}:written"]), "1");
}

#[tokio::test]
async fn a_token_of_another_store_is_never_current() {
    let (redis, other) = (Redis::start(), Redis::start());
    let (store, elsewhere) = (open(&redis.url()).await, open(&other.url()).await);
    let a = member("a", 1);
    let lease = granted(&store, "active", &a, LONG).await;
    assert_eq!(lease, granted(&elsewhere, "active", &a, LONG).await, "equal in everything");
    let mut host = host(other.port()).await;
    assert_eq!(add(&mut host, &elsewhere.fence(&lease), "a").await, Some(1));
    let wrong = store.fence(&lease).run::<i64, _, _>(&mut host, ADD, &["{c}:written"], &["a"]).await;
    assert_eq!(wrong.unwrap_err().kind(), ErrorKind::StoreChanged);
}

#[tokio::test]
async fn a_hosts_script_sees_its_own_keys_and_fails_in_its_own_words() {
    let redis = Redis::start();
    let (store, mut host) = (open(&redis.url()).await, host(redis.port()).await);
    let fence = store.fence(&granted(&store, "active", &member("a", 1), LONG).await);
    let told: Vec<String> = fence
        .run(
            &mut host,
            "return {KEYS[1], KEYS[2], ARGV[1], tostring(#KEYS), tostring(pcall(function() return now end))}",
            &["{c}x", "{c}y"],
            &["z"],
        )
        .await
        .unwrap_or_else(|e| panic!("{e}"))
        .unwrap();
    assert_eq!(told, ["{c}x", "{c}y", "z", "2", "false"]);
    fence.run::<(), _, _>(&mut host, "-- nothing", &[""; 0], &[""; 0]).await.unwrap().unwrap();
    let failed = fence.run::<i64, _, _>(&mut host, "return redis.call('LPOP', KEYS[1], 'x')", &["{c}x"], &["z"]).await;
    assert!(failed.unwrap_err().to_string().contains("value is out of range"));
}

async fn record(store: &RedisStore) -> JobRecord {
    match store.changes(Revision::ZERO, 1).await.unwrap().changes.remove(0) {
        JobChange::Put(record) => record,
        other @ JobChange::Removed { .. } => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_jobs_epoch_fences_the_run_that_was_seized() {
    let redis = Redis::start();
    let (store, mut host) = (open(&redis.url()).await, host(redis.port()).await);
    let (a, b) = (member("a", 1), member("b", 2));
    let active = granted(&store, "active", &a, LONG).await;
    let job = JobId::new("import").unwrap();
    store.submit(&JobSpec::new(job.clone(), "").unwrap()).await.unwrap();
    assert_eq!(store.fence_job(&record(&store).await).unwrap_err().kind(), ErrorKind::Invalid);
    let place = Move::new(job.clone(), Epoch(0), Step::Place { to: a.clone() });
    store.assign(&active, &[place]).await.unwrap();
    let first = store.fence_job(&record(&store).await).unwrap();
    assert_eq!(add(&mut host, &first, "a").await, Some(1));
    let seize = Move::new(job, Epoch(1), Step::Seize { from: a, to: Some(b) });
    store.assign(&active, &[seize]).await.unwrap();
    assert_eq!(add(&mut host, &first, "a").await, None);
    let second = store.fence_job(&record(&store).await).unwrap();
    assert_eq!((add(&mut host, &second, "b").await, second.token().number), (Some(2), 2));
}

#[tokio::test]
async fn in_a_cluster_a_key_without_the_hash_tag_is_refused_with_the_rule() {
    let servers = RedisCluster::start(DURABLE);
    let store = options(&servers.url()).open(&cluster("c")).await.unwrap();
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    let mut servers = servers;
    let owner = servers.owner(servers.slot(store.hash_tag()));
    let port = servers.node(owner).port();
    let mut host = host(port).await;
    assert_eq!(add(&mut host, &store.fence(&lease), "a").await, Some(1));
    let error = store.fence(&lease).run::<i64, _, _>(&mut host, ADD, &["elsewhere"], &["a"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("hash tag"), "{error}");
}
