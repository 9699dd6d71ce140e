//! Servers and databases that are not what they were: a handle that knows of it fails closed.

use failover_core::job::Submitted;
use failover_core::{Durability, ErrorKind, JobAssigner, LeaseManager, Term};
use failover_sql::Promotion;
use failover_testing::postgres::{Postgres, PostgresSetup};

use super::{LONG, SERVER, fails, granted, in_the_end, job, member, name, open, options, try_open};

#[tokio::test]
async fn an_older_copy_restored_in_place_is_noticed_by_who_saw_more() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let a = member("a", 1);
    let first = granted(&store, "l", &a, LONG).await;
    database.sql("CREATE TABLE copy AS TABLE failover_leases");
    store.release(&first, None).await.unwrap();
    granted(&store, "l", &a, LONG).await;
    database.sql("TRUNCATE failover_leases; INSERT INTO failover_leases SELECT * FROM copy");
    fails(store.renew(&first).await, ErrorKind::StoreChanged);
    fails(store.current(&name("l")).await, ErrorKind::StoreChanged);
    fails(store.submit(&job("j")).await, ErrorKind::StoreChanged);
}

#[tokio::test]
async fn a_counter_that_went_back_refuses_a_grant() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let lease = granted(&store, "l", &member("a", 1), LONG).await;
    store.release(&lease, None).await.unwrap();
    assert_eq!(store.submit(&job("j")).await.unwrap(), Submitted::Created);
    database.sql("UPDATE failover_clusters SET revision = 0");
    fails(store.acquire(&name("l"), &member("b", 2), LONG).await, ErrorKind::StoreChanged);
}

#[tokio::test]
async fn a_copied_database_opens_only_with_a_higher_floor() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let lease = granted(&store, "l", &member("a", 1), LONG).await;
    store.release(&lease, None).await.unwrap();
    drop(store);
    let copy = format!("{}_copy", database.name());
    // A template may have nobody connected to it.
    let end =
        format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{}'", database.name());
    SERVER.sql("postgres", &end);
    SERVER.sql("postgres", &format!("CREATE DATABASE {copy} TEMPLATE {}", database.name()));
    let url = SERVER.url_of(&copy, SERVER.port());
    let error = fails(try_open(&url).await, ErrorKind::StoreChanged);
    assert!(error.to_string().contains("term floor"), "{error}");
    let store = open(&format!("{url}?term_floor=100")).await;
    assert_eq!(granted(&store, "l", &member("b", 2), LONG).await.term, Term(101));
    // From then on it is the store, for everybody.
    open(&url).await;
    drop(store);
    SERVER.sql("postgres", &format!("DROP DATABASE {copy} WITH (FORCE)"));
}

#[tokio::test]
async fn a_standby_is_refused_and_after_its_promotion_takes_a_floor() {
    let mut primary = Postgres::start();
    let standby = Postgres::standby_of(&primary);
    let url = primary.url();
    let store = open(&url).await;
    granted(&store, "l", &member("a", 1), LONG).await;
    let error = fails(try_open(&standby.url()).await, ErrorKind::Unavailable);
    assert!(error.to_string().contains("primary"), "{error}");
    // All of it has to be there: what is tested is that nobody can know.
    let caught_up = "SELECT pg_last_wal_replay_lsn()";
    let written = primary.sql("postgres", "SELECT pg_current_wal_lsn()");
    in_the_end(async || {
        let there = standby.sql("postgres", &format!("SELECT ({caught_up}) >= '{written}'"));
        if there == "t" { Ok(()) } else { Err(failover_core::Error::new(ErrorKind::Unavailable, "test", "not yet")) }
    })
    .await;
    primary.kill();
    standby.promote();
    fails(try_open(&standby.url()).await, ErrorKind::StoreChanged);
    let cluster = failover_core::ClusterName::new("c").unwrap();
    let trusting = options(&standby.url()).promotion(Promotion::Accept).open(&cluster).await.unwrap();
    assert_eq!(trusting.current(&name("l")).await.unwrap().term, Term(1));
    let floored = open(&format!("{}?term_floor=50", standby.url())).await;
    let view = floored.current(&name("l")).await.unwrap();
    assert_eq!(view.term, Term(1), "the holder keeps what it has");
    drop(store);
}

#[tokio::test]
async fn durability_is_what_the_server_is_set_up_for() {
    // Nothing is flushed on a server for tests, and that is what it is worth.
    assert_eq!(open(&SERVER.database().url()).await.durability(), Durability::Volatile);
    let flushing = PostgresSetup::default().setting("fsync=on").start();
    assert_eq!(open(&flushing.url()).await.durability(), Durability::SingleNode);
    let _standby = Postgres::standby_of(&flushing);
    let streams = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'walreceiver'";
    in_the_end(async || {
        let streams = flushing.sql("postgres", streams);
        if streams == "1" { Ok(()) } else { Err(failover_core::Error::new(ErrorKind::Unavailable, "test", "not yet")) }
    })
    .await;
    assert_eq!(open(&flushing.url()).await.durability(), Durability::AsyncReplica);
    flushing.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    flushing.sql("postgres", "SELECT pg_reload_conf()");
    in_the_end(async || {
        let names = flushing.sql("postgres", "SHOW synchronous_standby_names");
        if names == "*" { Ok(()) } else { Err(failover_core::Error::new(ErrorKind::Unavailable, "test", "not yet")) }
    })
    .await;
    assert_eq!(open(&flushing.url()).await.durability(), Durability::SyncReplica);
}
