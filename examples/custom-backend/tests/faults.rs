//! Real faults on a real server: what the contract says about errors, lost answers and lost stores.

use std::time::Duration;

use custom_backend::NatsStore;
use failover_core::heartbeat::News;
use failover_core::job::{JobAssigner, Submitted};
use failover_core::lease::{Acquired, Lease, LeaseManager, Renewed, Tenant};
use failover_core::state::{Expect, StateStore, Written};
use failover_core::{
    Capacity, ClusterName, ErrorKind, Heartbeat, HeartbeatStore, Incarnation, JobId, JobSpec, LeaseName, Member,
    NodeId, Role, StateKey, Term,
};
use failover_testing::nats::Nats;
use failover_testing::proxy::Proxy;
use futures_util::StreamExt as _;

const LONG: Duration = Duration::from_hours(1);
const SHORT: Duration = Duration::from_millis(300);

async fn open(url: &str, floor: u64) -> NatsStore {
    NatsStore::open(url, &ClusterName::new("c").unwrap(), Term(floor)).await.unwrap_or_else(|e| panic!("{e}"))
}

fn member(name: &str) -> Member {
    Member::new(NodeId::new(name).unwrap(), Incarnation::from_u128(1))
}

async fn granted(store: &NatsStore, name: &str, ttl: Duration) -> Lease {
    match store.acquire(&LeaseName::active(), &member(name), ttl).await {
        Ok(Acquired::Granted(lease)) => lease,
        other => panic!("{name} has to be granted the lease: {other:?}"),
    }
}

/// Calls until the store answers, as a node does, and returns the answer.
async fn at_last<T, F: Future<Output = failover_core::Result<T>>>(mut call: impl FnMut() -> F) -> T {
    for _ in 0..200 {
        match call().await {
            Ok(answer) => return answer,
            Err(e) => assert!(e.is_retryable(), "{e}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the store never came back");
}

#[tokio::test]
async fn a_lease_outlives_a_restart_of_the_server_and_its_holder_renews_it() {
    let mut server = Nats::start();
    let store = open(&server.url(), 0).await;
    let lease = granted(&store, "n1", LONG).await;
    server.kill();
    let e = store.renew(&lease).await.unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Unknown), "{e}");
    server.start_again();
    assert_eq!(at_last(|| store.renew(&lease)).await, Renewed::Extended);
    let asked = store.acquire(&LeaseName::active(), &member("n2"), LONG).await.unwrap();
    assert!(matches!(asked, Acquired::Refused(view) if view.term == lease.term));
}

#[tokio::test]
async fn a_lease_lapses_while_the_server_is_down() {
    let mut server = Nats::start();
    let store = open(&server.url(), 0).await;
    let lease = granted(&store, "n1", SHORT).await;
    server.kill();
    tokio::time::sleep(SHORT).await;
    server.start_again();
    assert_eq!(at_last(|| store.renew(&lease)).await, Renewed::Lost);
    assert_eq!(granted(&store, "n2", LONG).await.term, lease.term.next());
}

#[tokio::test]
async fn a_renewal_that_arrives_after_the_lapse_is_lost_though_nobody_took_the_lease() {
    let server = Nats::start();
    let proxy = Proxy::to_port(server.port());
    let store = open(&server.url_at(proxy.port()), 0).await;
    let lease = granted(&store, "n1", SHORT).await;
    // The table that is read tells of a lease that is held; by the time the renewal arrives it is not.
    proxy.delay(SHORT);
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Lost);
    proxy.heal();
    let view = store.current(&LeaseName::active()).await.unwrap();
    assert_eq!((view.term, view.tenant), (lease.term, Tenant::Free));
}

#[tokio::test]
async fn a_half_open_connection_costs_one_call() {
    let server = Nats::start();
    let proxy = Proxy::to_port(server.port());
    let store = open(&server.url_at(proxy.port()), 0).await;
    let lease = granted(&store, "n1", LONG).await;
    proxy.half_open();
    // As a node's driver does: it gives up after a third of the ttl, whatever the backend thinks.
    let given_up = tokio::time::timeout(SHORT, store.renew(&lease)).await;
    assert!(given_up.is_err(), "nothing answers on that connection");
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
}

#[tokio::test]
async fn a_server_that_hangs_costs_each_call_its_deadline_and_no_more() {
    let server = Nats::start();
    let store = open(&format!("{}?timeout=300", server.url()), 0).await;
    let lease = granted(&store, "n1", LONG).await;
    server.pause();
    for _ in 0..3 {
        let e = store.renew(&lease).await.unwrap_err();
        assert!(matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Unknown), "{e}");
        assert_eq!(store.current(&LeaseName::active()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    server.resume();
    assert_eq!(at_last(|| store.renew(&lease)).await, Renewed::Extended);
}

/// Runs a call whose last write is carried out while its answer is lost, and returns how the call failed.
async fn lose_the_answer<T: std::fmt::Debug, F: Future<Output = failover_core::Result<T>>>(
    server: &Nats,
    proxy: &Proxy,
    table: &str,
    mut call: impl FnMut(u32) -> F,
) -> (u32, failover_core::Error) {
    let witness = async_nats::connect(server.url()).await.unwrap();
    // The answer waits here while the witness, who hears of the write directly, has it cut. On a machine that is too busy it
    // may slip through; then the next attempt counts.
    for attempt in 0..10 {
        let mut seen = witness.subscribe(format!("failover.c.table.{table}")).await.unwrap();
        witness.flush().await.unwrap();
        proxy.delay(Duration::from_millis(100));
        let cut = async {
            seen.next().await.unwrap();
            proxy.cut_replies();
            std::future::pending::<()>().await;
        };
        let answer = tokio::select! { answer = call(attempt) => answer, () = cut => unreachable!() };
        proxy.heal();
        match answer {
            Err(e) => return (attempt, e),
            Ok(answer) => println!("attempt {attempt}: the answer slipped through: {answer:?}"),
        }
    }
    panic!("no answer could be lost");
}

#[tokio::test]
async fn an_acquire_whose_answer_was_lost_is_safe_to_repeat() {
    let server = Nats::start();
    let proxy = Proxy::to_port(server.port());
    let store = &open(&server.url_at(proxy.port()), 0).await;
    let name = |n: u32| LeaseName::election(&format!("e{n}")).unwrap();
    let acquire = |n| async move { store.acquire(&name(n), &member("n1"), LONG).await };
    let (n, e) = lose_the_answer(&server, &proxy, "leases", acquire).await;
    assert!(e.is_outcome_unknown(), "{e}");
    let Acquired::Granted(lease) = acquire(n).await.unwrap() else { panic!("the member holds it already") };
    assert_eq!(lease.term, Term(1), "the lost grant and the repeated one are the same");
}

#[tokio::test]
async fn a_submission_and_a_put_whose_answers_were_lost_are_safe_to_repeat() {
    let server = Nats::start();
    let proxy = Proxy::to_port(server.port());
    let store = &open(&server.url_at(proxy.port()), 0).await;
    let spec = |n: u32| JobSpec::new(JobId::new(format!("j{n}")).unwrap(), "payload").unwrap();
    let submit = |n| async move { store.submit(&spec(n)).await };
    let (n, e) = lose_the_answer(&server, &proxy, "jobs", submit).await;
    assert!(e.is_outcome_unknown(), "{e}");
    assert_eq!(submit(n).await.unwrap(), Submitted::Unchanged);
    let key = |n: u32| StateKey::new(format!("k{n}")).unwrap();
    let put = |n| async move { store.put(&key(n), b"value", Expect::Absent, None).await };
    let (n, e) = lose_the_answer(&server, &proxy, "documents", put).await;
    assert!(e.is_outcome_unknown(), "{e}");
    let there = store.get(&key(n)).await.unwrap().expect("it was written");
    assert_eq!(put(n).await.unwrap(), Written::Conflict(Some(there.version)));
    assert_eq!(there.value, b"value");
}

#[tokio::test]
async fn a_handle_on_a_wiped_store_fails_for_ever_and_a_new_one_goes_on_above_the_floor() {
    let mut server = Nats::start();
    let old = open(&server.url(), 0).await;
    granted(&old, "n1", LONG).await;
    let quiet = open(&server.url(), 0).await;
    server.wipe();
    let noticed = |e: failover_core::Error| assert_eq!(e.kind(), ErrorKind::StoreChanged, "{e}");
    for _ in 0..200 {
        match old.current(&LeaseName::active()).await.unwrap_err() {
            // The first call may find no more than that its connection has ended.
            e if e.is_retryable() => tokio::time::sleep(Duration::from_millis(20)).await,
            e => {
                noticed(e);
                break;
            }
        }
    }
    let new = open(&server.url(), 41).await;
    let lease = granted(&new, "n1", LONG).await;
    assert_eq!(lease.term, Term(42));
    noticed(old.current(&LeaseName::active()).await.unwrap_err());
    noticed(old.sightings().await.unwrap_err());
    // This one was asked nothing meanwhile, and finds a store that looks sound.
    for _ in 0..200 {
        match quiet.renew(&lease).await.unwrap_err() {
            e if e.is_retryable() => tokio::time::sleep(Duration::from_millis(20)).await,
            e => return noticed(e),
        }
    }
    panic!("it was never noticed");
}

#[tokio::test]
async fn a_store_restored_from_an_old_copy_is_noticed() {
    let mut server = Nats::start();
    granted(&open(&server.url(), 0).await, "n1", LONG).await;
    server.back_up();
    let store = open(&server.url(), 0).await;
    let lease = granted(&store, "n1", LONG).await;
    store.release(&lease, None).await.unwrap();
    granted(&store, "n2", LONG).await;
    server.restore();
    for _ in 0..200 {
        match store.current(&LeaseName::active()).await {
            Err(e) if e.is_retryable() => tokio::time::sleep(Duration::from_millis(20)).await,
            answer => {
                assert_eq!(answer.unwrap_err().kind(), ErrorKind::StoreChanged);
                return;
            }
        }
    }
    panic!("the server never came back");
}

fn heartbeat(label: String) -> Heartbeat {
    let labels = [("label".to_owned(), label)].into();
    let news = News { ready: true, labels, ..News::new(Role::Inactive, Capacity::default()) };
    Heartbeat { member: member("n1"), term: Term(1), seq: 1, news }
}

#[tokio::test]
async fn a_table_that_does_not_fit_in_a_message_is_full_and_stays_as_it_was() {
    let server = Nats::start();
    let store = open(&server.url(), 0).await;
    let e = store.beat(&heartbeat("x".repeat(1024 * 1024))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Full, "{e}");
    assert_eq!(store.sightings().await.unwrap(), []);
    // Half of it fits, and is read back although the answer is longer than a message may be.
    store.beat(&heartbeat("x".repeat(900 * 1024))).await.unwrap();
    assert_eq!(store.sightings().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_dead_writer_left_behind_is_swept_and_what_is_named_stays() {
    let server = Nats::start();
    let store = open(&server.url(), 0).await;
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let orphan = format!("failover.c.blob.jobs.{}", Incarnation::from_u128(7));
    jetstream.publish(orphan.clone(), "left".into()).await.unwrap().await.unwrap();
    let spec = JobSpec::new(JobId::new("j").unwrap(), "payload").unwrap();
    store.submit(&spec).await.unwrap();
    let young = format!("failover.c.blob.jobs.{}", Incarnation::from_u128(8));
    jetstream.publish(young.clone(), "about to be named".into()).await.unwrap().await.unwrap();
    let again = open(&server.url(), 0).await;
    assert_eq!(again.submit(&spec).await.unwrap(), Submitted::Unchanged);
    let stream = jetstream.get_stream("failover-c").await.unwrap();
    assert!(stream.get_last_raw_message_by_subject(&orphan).await.is_err(), "no table will ever name it");
    assert!(stream.get_last_raw_message_by_subject(&young).await.is_ok(), "its writer may still be at work");
}

#[tokio::test]
async fn a_waiter_is_woken_when_hints_may_have_been_missed() {
    let mut server = Nats::start();
    let store = open(&server.url(), 0).await;
    let (waiting, mut woken) = (store.clone(), tokio::task::JoinSet::new());
    woken.spawn(async move { LeaseManager::changed(&waiting, &LeaseName::active()).await });
    let early = tokio::time::timeout(Duration::from_millis(100), woken.join_next()).await;
    assert!(early.is_err(), "nothing has changed yet");
    server.kill();
    server.start_again();
    let woken = tokio::time::timeout(Duration::from_mins(1), woken.join_next()).await;
    woken.expect("it is woken").unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn the_least_rights_suffice_and_less_is_denied() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("rights.conf");
    let rights = include_str!("../rights.conf");
    std::fs::write(&config, rights).unwrap();
    let server = Nats::start_with(&["-c", config.to_str().unwrap()]);
    let url = format!("nats://failover:change-me@127.0.0.1:{}?timeout=2000", server.port());
    let store = open(&url, 0).await;
    let lease = granted(&store, "n1", LONG).await;
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
    let spec = JobSpec::new(JobId::new("j").unwrap(), "payload").unwrap();
    store.submit(&spec).await.unwrap();
    store.remove(spec.id()).await.unwrap();
    let key = StateKey::new("k").unwrap();
    store.put(&key, b"1", Expect::Any, None).await.unwrap();
    store.put(&key, b"2", Expect::Any, None).await.unwrap();
    open(&url, 0).await;
    // The same user has no right to another cluster's stream.
    let other = NatsStore::open(&url, &ClusterName::new("other").unwrap(), Term::ZERO).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Denied, "{other}");
}

#[tokio::test]
async fn a_wrong_password_is_denied_and_no_password_is_ever_shown() {
    let server = Nats::start_with(&["--user", "u", "--pass", "pass/word"]);
    let cluster = ClusterName::new("c").unwrap();
    let right = format!("nats://u:pass%2Fword@127.0.0.1:{}", server.port());
    let store = NatsStore::open(&right, &cluster, Term::ZERO).await.unwrap();
    assert!(!format!("{store:?}").contains("pass"));
    let nobody = failover_testing::port::free();
    let canary = "canary5up";
    for (url, kind) in [
        (format!("nats://u:{canary}@127.0.0.1:{}", server.port()), ErrorKind::Denied),
        (format!("nats://u:{canary}@127.0.0.1:{nobody}"), ErrorKind::Unavailable),
        (format!("nats://u:{canary}@127.0.0.1:{}?tiemout=1", server.port()), ErrorKind::Invalid),
        (format!("nats://u:{canary}@127.0.0.1:{}?timeout=soon", server.port()), ErrorKind::Invalid),
        (format!("redis://u:{canary}@127.0.0.1"), ErrorKind::Invalid),
        (format!("nats://u:{canary}@"), ErrorKind::Invalid),
    ] {
        let e = NatsStore::open(&url, &cluster, Term::ZERO).await.unwrap_err();
        assert_eq!(e.kind(), kind, "{e}");
        let mut cause: Option<&dyn std::error::Error> = Some(&e);
        while let Some(e) = cause {
            assert!(!format!("{e} {e:?}").contains(canary), "{e:?}");
            cause = e.source();
        }
    }
}
