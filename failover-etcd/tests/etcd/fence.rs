//! A host's own transactions under a token.

use failover_core::job::{JobChange, Move, Step};
use failover_core::job::{JobReport, JobStatus};
use failover_core::{Epoch, ErrorKind, JobAssigner, JobRecord, JobSpec, LeaseManager, Revision};
use failover_etcd::EtcdStore;
use failover_etcd::etcd_client::TxnOp;

use crate::common::{LONG, ONE, client, granted, job_id, member, open, own_prefix};

fn own_url() -> String {
    format!("{}?prefix={}", ONE.url(), own_prefix())
}

#[tokio::test]
async fn a_late_write_of_a_paused_holder_is_refused() {
    let said = crate::fenced_write::run(&own_url()).await.unwrap();
    assert_eq!(said, "written by b");
}

async fn record(store: &EtcdStore) -> JobRecord {
    match store.changes(Revision::ZERO, 1).await.unwrap().changes.remove(0) {
        JobChange::Put(record) => record,
        other @ JobChange::Removed { .. } => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_jobs_epoch_fences_the_run_that_was_seized() {
    let store = open(&own_url()).await;
    let mut host = client(&ONE.url()).await.kv_client();
    let (a, b) = (member("a", 1), member("a", 2));
    let active = granted(&store, "active", &a, LONG).await;
    let job = job_id("import");
    store.submit(&JobSpec::new(job.clone(), "").unwrap()).await.unwrap();
    assert_eq!(store.fence_job(&record(&store).await).unwrap_err().kind(), ErrorKind::Invalid);
    let place = Move::new(job.clone(), Epoch(0), Step::Place { to: a.clone() });
    store.assign(&active, &[place]).await.unwrap();
    let first = store.fence_job(&record(&store).await).unwrap();
    let write = || [TxnOp::put(format!("host/{}", own_prefix()), "x", None)];
    assert!(first.write(&mut host, write()).await.unwrap().is_ok());
    let said =
        JobReport { job: job.clone(), member: a.clone(), epoch: Epoch(1), status: JobStatus::Progress("half".into()) };
    store.report(&[said]).await.unwrap();
    assert!(first.write(&mut host, write()).await.unwrap().is_ok(), "progress changes no token");
    let seize = Move::new(job, Epoch(1), Step::Seize { from: a, to: Some(b) });
    store.assign(&active, &[seize]).await.unwrap();
    let fenced = first.write(&mut host, write()).await.unwrap().unwrap_err();
    assert_eq!((fenced.token.name.as_str(), fenced.token.number), ("job/import", 1));
    let second = store.fence_job(&record(&store).await).unwrap();
    assert!(second.write(&mut host, write()).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_token_is_current_in_its_own_store_and_while_it_is_held() {
    let (store, elsewhere) = (open(&own_url()).await, open(&own_url()).await);
    let mut host = client(&ONE.url()).await.kv_client();
    let m = member("a", 1);
    let lease = granted(&store, "active", &m, LONG).await;
    granted(&elsewhere, "active", &m, LONG).await;
    let write = || [TxnOp::put(format!("host/{}", own_prefix()), "x", None)];
    assert!(store.fence(&lease).write(&mut host, write()).await.unwrap().is_ok());
    assert!(elsewhere.fence(&lease).write(&mut host, write()).await.unwrap().is_err(), "it is another store's");
    let again = granted(&store, "active", &m, LONG).await;
    assert!(store.fence(&again).write(&mut host, write()).await.unwrap().is_ok());
    // One longer or shorter number, name or incarnation is another token.
    for other in [member("a", 10), member("aa", 1)] {
        let other = failover_core::Lease { holder: other, ..lease.clone() };
        assert!(store.fence(&other).write(&mut host, write()).await.unwrap().is_err());
    }
    store.release(&lease, None).await.unwrap();
    assert!(store.fence(&lease).write(&mut host, write()).await.unwrap().is_err(), "it was released");
}
