//! The rights that are shipped are enough, and what they leave out is refused.

use failover_core::job::Submitted;
use failover_core::state::{Expect, Written};
use failover_core::{ErrorKind, JobAssigner, LeaseManager, StateKey, StateStore};

use super::{LONG, SERVER, fails, granted, job, member, open, try_open};

#[tokio::test]
async fn a_node_runs_with_the_rights_of_the_file_and_no_more() {
    let database = SERVER.database();
    drop(open(&database.url()).await);
    database.sql("DROP ROLE IF EXISTS failover_app; CREATE ROLE failover_app LOGIN");
    let url = database.url().replace("postgres@", "failover_app@");
    let error = fails(try_open(&url).await, ErrorKind::Denied);
    assert!(error.to_string().contains("rights/postgres.sql"), "{error}");
    database.sql(include_str!("../../rights/postgres.sql"));

    let store = open(&url).await;
    let lease = granted(&store, "l", &member("a", 1), LONG).await;
    store.renew(&lease).await.unwrap();
    assert_eq!(store.submit(&job("j")).await.unwrap(), Submitted::Created);
    store.assign(&lease, &[]).await.unwrap();
    store.remove(job("j").id()).await.unwrap();
    let key = StateKey::new("k").unwrap();
    let written = store.put(&key, b"v", Expect::Absent, Some(&lease)).await.unwrap();
    assert!(matches!(written, Written::Written(_)));
    store.raise_floor(failover_core::Term(9)).await.unwrap();
    store.release(&lease, None).await.unwrap();
    // It makes no tables of its own (since PostgreSQL 15 nobody but the owner does).
    fails(try_open(&format!("{url}?prefix=other_")).await, ErrorKind::Denied);
    drop(store);
    database.sql("DROP OWNED BY failover_app; DROP ROLE failover_app");
}
