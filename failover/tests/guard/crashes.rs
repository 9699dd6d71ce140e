//! Nodes whose host is killed: others have the role and the jobs long before a lease could lapse.

use failover::job::{Outcome, Phase};
use failover::{Admin, JobId, JobSpec};
use failover_testing::{etcd, postgres, redis};

use crate::stage::{Host, Sqlite, Store, TTL, eventually, gone, open, run, store};

fn joins(url: &str, name: &str) -> Host {
    let mut host = Host::start(url);
    host.tell(&format!("join {name} {}", TTL.as_millis()));
    host.hears("event node_joined");
    host
}

/// Three nodes, and a job on the active one. Then another node dies, and then the active one.
async fn killed_hosts_are_replaced_at_once<S: Store>() {
    let server = store::<S>();
    let url = server.url();
    let backend = open(&url).await;
    let admin = Admin::new(backend);
    let mut a = joins(&url, "a");
    a.hears("event role_changed a active");
    let job = JobId::new("j").unwrap();
    admin.submit(&JobSpec::new(job.clone(), "work").unwrap()).await.unwrap();
    a.hears("event job_started a");
    let mut b = joins(&url, "b");
    b.hears("event role_changed b standby");
    let mut c = joins(&url, "c");
    // Of a node that nobody has heard of nobody can tell that it is lost.
    eventually("c is known", async || {
        let status = admin.status(TTL).await.unwrap();
        status.nodes.iter().any(|node| node.node.as_str() == "c").then_some(())
    })
    .await;

    // It is missed, fenced and on record, because it is known to be dead.
    c.kill();
    a.hears("event node_fenced c");
    gone(c.guard()).await;

    // The role, and then the job.
    a.kill();
    b.hears("event role_changed b active");
    // The loss goes on record beside the job's move.
    b.hears_all(["event node_fenced a", "event job_started b"]);
    let record = eventually("the job runs on b", async || {
        let jobs = admin.jobs().await.unwrap();
        jobs.into_iter().find(|record| *record.spec.id() == job && record.phase == Phase::Running)
    })
    .await;
    let ends: Vec<_> =
        record.runs.iter().map(|run| (run.member.node.as_str(), run.end.as_ref().map(|e| e.outcome))).collect();
    assert_eq!(ends, [("a", Some(Outcome::Lost)), ("b", None)], "a crash is no leave");

    // One incident for each, whoever found it.
    let incidents = admin.incidents().await.unwrap();
    let mut lost: Vec<_> = incidents.iter().map(|incident| incident.member().node.to_string()).collect();
    lost.sort();
    assert_eq!(lost, ["a", "c"]);
    gone(a.guard()).await;
}

#[test]
fn killed_hosts_are_replaced_at_once_on_sqlite() {
    run(killed_hosts_are_replaced_at_once::<Sqlite>());
}

#[test]
fn killed_hosts_are_replaced_at_once_on_postgres() {
    run(killed_hosts_are_replaced_at_once::<postgres::Postgres>());
}

#[test]
fn killed_hosts_are_replaced_at_once_on_redis() {
    run(killed_hosts_are_replaced_at_once::<redis::Redis>());
}

#[test]
fn killed_hosts_are_replaced_at_once_on_etcd() {
    run(killed_hosts_are_replaced_at_once::<etcd::Etcd>());
}

/// It is told of, and everything goes on; after a crash the leases have to lapse.
#[test]
fn a_host_whose_guard_is_killed_says_so_and_goes_on() {
    run(async {
        let server = store::<Sqlite>();
        let url = server.url();
        let backend = open(&url).await;
        let mut a = joins(&url, "a");
        a.hears("event role_changed a active");
        rustix::process::kill_process(a.guard(), rustix::process::Signal::KILL).unwrap();
        a.hears("event guard_lost a");
        a.kill();
        crate::stage::stays_held(&backend, "active").await;
        crate::stage::stays_held(&backend, "node/a").await;
    });
}
