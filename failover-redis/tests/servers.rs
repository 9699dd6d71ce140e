//! Sets of servers that change under a running node: Sentinel's failover, a slot that moves, a node that is lost.

mod common;

use std::time::Duration;

use common::{LONG, cluster, eventually, granted, key, member, options};
use failover_core::lease::{Acquired, Renewed};
use failover_core::state::Expect;
use failover_core::{Durability, LeaseManager, StateStore};
use failover_testing::redis::{DURABLE, RedisCluster, RedisSentinel};

/// Acts on servers, which blocks, beside what the test awaits.
async fn beside<S: Send + 'static>(servers: S, act: impl FnOnce(&mut S) + Send + 'static) -> S {
    let acting = tokio::task::spawn_blocking(move || {
        let mut servers = servers;
        act(&mut servers);
        servers
    });
    acting.await.expect("it does not panic")
}

#[tokio::test]
async fn after_sentinels_replaced_a_killed_primary_the_holder_goes_on_and_terms_grow() {
    let servers = tokio::task::spawn_blocking(|| RedisSentinel::start(&[])).await.unwrap();
    let url = servers.url().replace("wait=1", "durability=async-replica");
    let store = options(&url).open(&cluster("c")).await.unwrap();
    assert_eq!(store.durability(), Durability::AsyncReplica);
    let (a, b) = (member("a", 1), member("b", 2));
    let lease = granted(&store, "active", &a, LONG).await;
    store.put(&key("x"), b"1", Expect::Any, None).await.unwrap();
    let listener = store.clone();
    LeaseManager::changed(&listener, &lease.name).await.unwrap();
    let servers = beside(servers, |servers| {
        servers.wait_for_replica();
        let primary = servers.primary();
        servers.server(primary).kill();
        servers.wait_for_change(primary);
    })
    .await;
    assert_eq!(eventually(|| store.renew(&lease)).await, Renewed::Extended, "it is known to the new primary");
    assert_eq!(store.get(&key("x")).await.unwrap().map(|d| d.value), Some(b"1".to_vec()));
    store.release(&lease, None).await.unwrap();
    let next = granted(&store, "active", &b, LONG).await;
    assert!(next.term.0 > lease.term.0 + 1_000_000, "what the old primary may have granted is left out: {next:?}");
    // Who waited was woken: by the new subscription, if not by the release.
    let woken = tokio::time::timeout(Duration::from_secs(20), LeaseManager::changed(&listener, &lease.name));
    woken.await.expect("it is woken").unwrap();
    drop(servers);
}

#[tokio::test]
async fn a_sentinel_set_without_wait_grants_nothing_unless_that_is_accepted() {
    let servers = tokio::task::spawn_blocking(|| RedisSentinel::start(&[])).await.unwrap();
    let url = servers.url();
    let bare = options(&url.replace("?wait=1", "")).open(&cluster("c")).await.unwrap();
    let error = bare.acquire(&common::lease_name("active"), &member("a", 1), LONG).await.unwrap_err();
    assert!(error.to_string().contains("durability=async-replica"), "{error}");
    let synchronous = options(&url).open(&cluster("c")).await.unwrap();
    assert_eq!(synchronous.durability(), Durability::SyncReplica);
    granted(&synchronous, "active", &member("a", 1), LONG).await;
    // Two of three Sentinels hang: the third is enough to find the primary.
    let error = options(&url.replace("/main", "/nobody")).open(&cluster("c")).await.unwrap_err();
    assert!(error.to_string().contains("nobody"), "{error}");
    let servers = beside(servers, |servers| servers.pause_sentinels(2)).await;
    options(&url).open(&cluster("c")).await.unwrap();
    drop(servers);
}

#[tokio::test]
async fn a_holder_goes_on_while_its_slot_moves_to_another_node_and_back() {
    let servers = tokio::task::spawn_blocking(|| RedisCluster::start(DURABLE)).await.unwrap();
    let store = options(&servers.url()).open(&cluster("c")).await.unwrap();
    assert_eq!(store.durability(), Durability::SingleNode);
    let (a, b) = (member("a", 1), member("b", 2));
    let lease = granted(&store, "active", &a, LONG).await;
    store.put(&key("x"), b"1", Expect::Any, None).await.unwrap();
    let slot = servers.slot(store.hash_tag());
    let home = servers.owner(slot);
    let holder = {
        let (store, lease) = (store.clone(), lease.clone());
        tokio::spawn(async move {
            loop {
                // Some keys are here, some there: such a call waits a moment, and none is lost.
                assert_eq!(store.renew(&lease).await.unwrap_or_else(|e| panic!("{e}")), Renewed::Extended);
                let document = store.get(&key("x")).await.unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(document.map(|document| document.value), Some(b"1".to_vec()));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    let servers = beside(servers, move |servers| {
        for to in [servers.other(slot), home] {
            servers.begin_migration(slot, to);
            // Key by key, so that calls meet every mixture.
            while servers.move_keys(slot, to, 1) > 0 {
                std::thread::sleep(Duration::from_millis(30));
            }
            std::thread::sleep(Duration::from_millis(50));
            servers.end_migration(slot, to);
        }
    })
    .await;
    assert!(!holder.is_finished(), "the holder went on");
    holder.abort();
    assert_eq!(servers.owner(slot), home);
    assert!(matches!(store.acquire(&lease.name, &b, LONG).await.unwrap(), Acquired::Refused(_)));
}

#[tokio::test]
async fn a_cluster_is_found_through_any_of_its_nodes_and_follows_a_node_that_restarts() {
    let servers = tokio::task::spawn_blocking(|| RedisCluster::start(DURABLE)).await.unwrap();
    let url = servers.url();
    let hosts: Vec<&str> = url.strip_prefix("redis+cluster://").unwrap().split(',').collect();
    let stores = futures_util::future::join_all(
        hosts.iter().map(async |host| options(&format!("redis+cluster://{host}")).open(&cluster("c")).await.unwrap()),
    )
    .await;
    let lease = granted(&stores[0], "active", &member("a", 1), LONG).await;
    for store in &stores {
        assert!(matches!(store.acquire(&lease.name, &member("b", 2), LONG).await.unwrap(), Acquired::Refused(_)));
    }
    let slot = servers.slot(stores[0].hash_tag());
    let _servers = beside(servers, move |servers| {
        let owner = servers.owner(slot);
        servers.node(owner).kill();
        servers.node(owner).start_again();
        servers.wait_until_ok();
    })
    .await;
    for store in &stores {
        assert_eq!(eventually(|| store.renew(&lease)).await, Renewed::Extended);
    }
}
