//! A batch of moves in two round trips: what comes in between is not overlooked.

use std::time::Duration;

use failover_core::job::{Assigned, JobChange, Move, Phase, Step};
use failover_core::{
    ClusterName, Epoch, Error, ErrorKind, JobAssigner, JobRecord, Lease, LeaseManager, Revision, Term,
};
use failover_sql::SqlStore;
use failover_testing::postgres::Database;
use failover_testing::proxy::Proxy;
use sqlx::{Connection, Executor, PgConnection};

use super::{LONG, SERVER, granted, in_the_end, job, member, open, options};

async fn record(store: &SqlStore, name: &str) -> JobRecord {
    let page = store.changes(Revision::ZERO, 10).await.unwrap();
    let found = page.changes.into_iter().find(|change| change.id().as_str() == name);
    let Some(JobChange::Put(record)) = found else { panic!("{name} has to be there") };
    record
}

fn place(name: &str, epoch: u64) -> Move {
    Move::new(job(name).id().clone(), Epoch(epoch), Step::Place { to: member("b", 2) })
}

/// Two jobs, and a fence that is installed.
async fn settled(store: &SqlStore) -> Lease {
    let lease = granted(store, "active", &member("a", 1), LONG).await;
    for name in ["x", "y"] {
        store.submit(&job(name)).await.unwrap();
    }
    assert!(matches!(store.assign(&lease, &[]).await.unwrap(), Assigned::Applied(_)));
    lease
}

/// Waits until a statement waits for a lock in this database.
async fn until_waiting(database: &Database<'_>) {
    in_the_end(async || {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        match database.sql(waiting).as_str() {
            "0" => Err(Error::new(ErrorKind::Unavailable, "test", "not waiting yet")),
            _ => Ok(()),
        }
    })
    .await;
}

/// What `assign` of a placement of `x` gives, when this is committed between its look and its write.
async fn overtaken_by(change: &str) -> (Assigned, JobRecord) {
    assigned_under(change, vec![place("x", 0)]).await
}

/// The same of any moves: this is committed while the call waits for the cluster's row.
async fn assigned_under(change: &str, moves: Vec<Move>) -> (Assigned, JobRecord) {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let lease = settled(&store).await;
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    other.execute("BEGIN").await.unwrap();
    other.execute("SELECT * FROM failover_clusters FOR UPDATE").await.unwrap();
    let assigning = {
        let store = store.clone();
        tokio::spawn(async move { store.assign(&lease, &moves).await })
    };
    until_waiting(&database).await;
    other.execute(sqlx::AssertSqlSafe(change.to_owned())).await.unwrap();
    other.execute("COMMIT").await.unwrap();
    let answer = assigning.await.unwrap().unwrap();
    (answer, record(&store, "x").await)
}

/// To install a fence changes neither a job nor the cluster's revision.
#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_is_installed_in_between_is_respected() {
    let (answer, left) = overtaken_by("UPDATE failover_fences SET term = 9").await;
    assert_eq!(answer, Assigned::Fenced { current: Term(9) });
    assert_eq!((left.phase, left.owner), (Phase::Queued, None), "nothing of it was applied");
}

/// Where there is nothing to move as well, which is one statement: it judges what it finds once it has waited.
#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_is_installed_before_another_is_respected_and_what_else_has_changed_is_told() {
    let (answer, _) = assigned_under("UPDATE failover_fences SET term = 9", Vec::new()).await;
    assert_eq!(answer, Assigned::Fenced { current: Term(9) });
    let (answer, _) = assigned_under("UPDATE failover_clusters SET revision = 40", Vec::new()).await;
    assert_eq!(answer, Assigned::Applied(Revision(40)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_changes_in_between_is_judged_as_it_then_is() {
    let moved = "UPDATE failover_clusters SET revision = revision + 1; \
        UPDATE failover_jobs SET revision = (SELECT revision FROM failover_clusters), epoch = 5 WHERE job = 'x'";
    let (answer, left) = overtaken_by(moved).await;
    assert_eq!(answer, Assigned::Stale(vec![job("x").id().clone()]));
    assert_eq!((left.phase, left.epoch), (Phase::Queued, Epoch(5)), "nothing of it was applied");
}

/// Another job's change costs a second try, and no more than that.
#[tokio::test(flavor = "multi_thread")]
async fn another_job_that_changes_in_between_is_not_in_the_way() {
    let moved = "UPDATE failover_clusters SET revision = revision + 1; \
        UPDATE failover_jobs SET revision = (SELECT revision FROM failover_clusters), epoch = 5 WHERE job = 'y'";
    let (answer, left) = overtaken_by(moved).await;
    assert_eq!(answer, Assigned::Applied(left.revision));
    assert_eq!((left.phase, left.epoch), (Phase::Assigned, Epoch(1)), "it is applied");
}

/// Sent again by itself, it would find its own work and call that stale.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_connection_breaks_is_unknown_and_not_stale() {
    let database = SERVER.database();
    let proxy = tokio::task::spawn_blocking(|| Proxy::to_port(SERVER.port())).await.expect("a proxy");
    let cluster = ClusterName::new("c").unwrap();
    let through = options(&database.url_at(proxy.port())).timeout(Duration::from_secs(20));
    let (store, beside) = (through.open(&cluster).await.unwrap(), open(&database.url()).await);
    let lease = settled(&store).await;
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    other.execute("BEGIN").await.unwrap();
    other.execute("SELECT * FROM failover_clusters FOR UPDATE").await.unwrap();
    let assigning = tokio::spawn(async move { store.assign(&lease, &[place("x", 0)]).await });
    until_waiting(&database).await;
    // The server goes on with it, and its answer finds nobody.
    proxy.cut_replies();
    other.execute("COMMIT").await.unwrap();
    let error = assigning.await.unwrap().unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    let applied = in_the_end(async || {
        let record = record(&beside, "x").await;
        let unseen = Error::new(ErrorKind::Unavailable, "test", "not applied yet");
        if record.phase == Phase::Assigned { Ok(record) } else { Err(unseen) }
    });
    assert_eq!(applied.await.epoch, Epoch(1), "it was applied");
}

/// What a lost node costs must not grow with the jobs of all others.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_looks_its_jobs_up_and_reads_no_others() {
    let database = SERVER.database();
    let store = open(&database.url()).await;
    let lease = settled(&store).await;
    database.sql(
        "INSERT INTO failover_jobs SELECT j.* FROM generate_series(1000, 21000) AS i, \
         LATERAL (SELECT (jsonb_populate_record(x, jsonb_build_object('job', 'job-' || i, 'revision', i, 'submitted', i))).* \
         FROM failover_jobs AS x WHERE x.job = 'x') AS j; \
         UPDATE failover_clusters SET revision = 30000; SELECT pg_stat_reset()",
    );
    let counted = |what: &str| -> u64 {
        let sql = format!("SELECT {what} FROM pg_stat_user_tables WHERE relname = 'failover_jobs'");
        database.sql(&sql).parse().unwrap()
    };
    let fresh = open(&database.url()).await;
    let moves = [place("x", 0), place("job-2000", 0), place("job-9000", 0)];
    assert!(matches!(fresh.assign(&lease, &moves).await.unwrap(), Assigned::Applied(_)));
    // The server counts what a session has read when that ends.
    drop(fresh);
    let written = in_the_end(async || match counted("n_tup_upd") {
        3 => Ok(()),
        _ => Err(Error::new(ErrorKind::Unavailable, "test", "not counted yet")),
    });
    written.await;
    let read = counted("seq_tup_read + idx_tup_fetch");
    assert!(read < 20, "{read} rows were read to write three");
}

/// Nor is anything else that a second connection could not be made for: the first may have carried it out.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_connection_breaks_is_unknown_and_not_undone() {
    let database = SERVER.database();
    let proxy = tokio::task::spawn_blocking(|| Proxy::to_port(SERVER.port())).await.expect("a proxy");
    let through = options(&database.url_at(proxy.port())).timeout(Duration::from_secs(20));
    let store = through.open(&ClusterName::new("c").unwrap()).await.unwrap();
    let lease = granted(&store, "l", &member("a", 1), LONG).await;
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    other.execute("BEGIN").await.unwrap();
    other.execute("SELECT * FROM failover_leases FOR UPDATE").await.unwrap();
    let releasing = tokio::spawn(async move { store.release(&lease, None).await });
    until_waiting(&database).await;
    proxy.cut_replies();
    other.execute("COMMIT").await.unwrap();
    let error = releasing.await.unwrap().unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
}
