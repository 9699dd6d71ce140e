//! Input that cannot work, users and rights: typed errors that say what to change, and never a password.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use failover_core::lease::Renewed;
use failover_core::testkit::conformance::{Fixture, run};
use failover_core::{Error, ErrorKind, HeartbeatStore, JobAssigner, LeaseManager, Revision, StateStore, state::Expect};
use failover_testing::certificates::Certificates;
use failover_testing::etcd::Etcd;
use failover_testing::port;

use crate::common::{
    LEAST, LONG, ONE, Place, beat, client, cluster, granted, key, member, open, options, own_prefix, until,
};

const CANARY: &str = "canary-password";

/// All that an error shows anywhere.
fn shown(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        write!(text, " {cause} {cause:?}").expect("a string takes it");
        source = cause.source();
    }
    text
}

async fn refused(url: &str) -> Error {
    options(url).open(&cluster("c")).await.expect_err("it must not open")
}

/// A server with users: `root`, and `app`, which got its rights from the file that is shipped.
fn with_users(prefix: &str) -> Etcd {
    let mut etcd = Etcd::start_with(&["--bcrypt-cost", "4"]);
    etcd.require_users("root-password");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/rights/etcd.sh");
    let mut shell = std::process::Command::new("sh")
        .args([script, "app", prefix])
        .env("ETCDCTL_ENDPOINTS", format!("http://127.0.0.1:{}", etcd.port()))
        .env("ETCDCTL_USER", "root:root-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh");
    shell.stdin.take().expect("a pipe").write_all(format!("{CANARY}\n").as_bytes()).expect("the password is written");
    let done = shell.wait_with_output().expect("sh ends");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    etcd
}

fn url_as(etcd: &Etcd, user: &str, rest: &str) -> String {
    format!("etcd://{user}@127.0.0.1:{}{rest}", etcd.port())
}

/// What is traced, as text.
#[derive(Clone, Default)]
struct Traced(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Traced {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_password_is_shown_anywhere() {
    let etcd = with_users("failover");
    let traced = Traced::default();
    let writer = traced.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(subscriber.finish(), || {
        runtime.block_on(async {
            let nobody = format!("etcd://app:{CANARY}@127.0.0.1:{}?timeout=500", port::free());
            for (url, kind) in [
                (url_as(&etcd, &format!("app:wrong-{CANARY}"), ""), ErrorKind::Denied),
                (url_as(&etcd, &format!("nobody:{CANARY}"), ""), ErrorKind::Denied),
                (url_as(&etcd, &format!("app:{CANARY}"), "?prefix=elsewhere"), ErrorKind::Denied),
                (nobody, ErrorKind::Unavailable),
            ] {
                let error = refused(&url).await;
                assert_eq!(error.kind(), kind, "{error}");
                assert!(!shown(&error).contains(CANARY), "{}", shown(&error));
            }
            let url = url_as(&etcd, &format!("app:{CANARY}"), "");
            let store = open(&url).await;
            assert!(!format!("{:?}{store:?}", options(&url)).contains(CANARY));
            store.put(&key("a"), b"1", Expect::Any, None).await.unwrap();
        });
    });
    let text = String::from_utf8_lossy(&traced.0.lock().unwrap()).into_owned();
    assert!(!text.is_empty(), "something is traced");
    assert!(!text.contains(CANARY), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_to_change() {
    let etcd = with_users("failover");
    for (user, says) in [("app:wrong", "password"), ("app:", "password")] {
        let error = refused(&url_as(&etcd, user, "")).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = refused(&etcd.url()).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "no user is given: {error}");
    let error = refused(&url_as(&etcd, &format!("app:{CANARY}"), "?prefix=failover2")).await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("rights/etcd.sh"), "{error}");
    let error = refused(&format!("{}?prefix={}&create=false", ONE.url(), own_prefix())).await;
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("must exist"), "{error}");
}

/// The rights that are shipped suffice for all that a backend does.
mod under_the_rights_that_are_shipped {
    use super::*;

    fn clause(name: &str) {
        let etcd = with_users("rights/test");
        let url = url_as(&etcd, &format!("app:{CANARY}"), "?prefix=rights/test");
        let fixture = Box::pin(async move {
            // Kept by the fixture's own address only: the server outlives the clause.
            Box::new(Place::given(url, LEAST)) as Box<dyn Fixture>
        });
        run(name, fixture);
        drop(etcd);
    }

    #[test]
    fn leases_are_granted_renewed_and_released() {
        clause("lease::twenty_concurrent_calls_leave_the_lease_with_its_holder");
        clause("lease::the_successor_is_granted_what_is_reserved_for_it");
    }

    #[test]
    fn nodes_beat_and_leave() {
        clause("heartbeat::forget_removes_the_members_beat");
    }

    #[test]
    fn jobs_are_moved_and_told() {
        clause("job::a_batch_is_applied_wholly_or_not_at_all");
        clause("job::changed_wakes_when_a_job_changes");
    }

    #[test]
    fn documents_are_written_listed_and_deleted() {
        clause("state::versions_rise_also_across_a_deletion");
        clause("state::a_list_pages_without_gap_or_repetition");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_known_any_more_is_asked_for_again() {
    let mut etcd = with_users("failover");
    let store = open(&url_as(&etcd, &format!("app:{CANARY}"), "")).await;
    let m = member("a", 1);
    let lease = granted(&store, "active", &m, LONG).await;
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
    // Every change of users or rights makes all tokens old.
    for n in 0..2 {
        etcd.ctl(&["role", "add", &format!("another-{n}")]);
        store.beat(&beat(&m, n, 0)).await.unwrap();
        assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended);
        store.put(&key("a"), b"1", Expect::Any, None).await.unwrap();
    }
    // A server forgets the tokens it gave when it is restarted.
    etcd.kill();
    etcd.start_again();
    until("it is served again", || async { store.put(&key("a"), b"2", Expect::Any, None).await.is_ok() }).await;
    until("it is renewed again", || async { matches!(store.renew(&lease).await, Ok(Renewed::Extended)) }).await;
}

#[cfg(feature = "tls")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_with_the_server_that_the_certificate_is_for() {
    let certificates = Certificates::for_server("store.test");
    let etcd = Etcd::start_with_tls(&certificates);
    let ca = certificates.authority();
    let url = |rest: &str| format!("etcds://127.0.0.1:{}?timeout=3000{rest}", etcd.port());
    let with_ca = format!("&ca={}", ca.display());
    let store = open(&url(&format!("{with_ca}&domain=store.test"))).await;
    store.put(&key("a"), b"1", Expect::Any, None).await.unwrap();
    for rest in [with_ca.as_str(), "", &format!("{with_ca}&domain=other.test")] {
        let error = refused(&url(rest)).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("`ca` and `domain`"), "{error}");
    }
    for (option, rest) in [("ca", "&ca=/no/such/file"), ("cert", "&cert=/no/such&key=/no/such")] {
        let error = refused(&url(rest)).await;
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(&format!("{option} is `/no/such")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_beyond_the_servers_limit_is_invalid_and_says_which_limit() {
    let etcd = Etcd::start_with(&["--max-request-bytes", "20000"]);
    let store = open(&etcd.url()).await;
    let error = store.put(&key("a"), &vec![7; 30_000], Expect::Any, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("--max-request-bytes"), "{error}");
    store.put(&key("a"), &vec![7; 10_000], Expect::Any, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_a_later_build_has_begun_is_left_as_it_is() {
    let prefix = own_prefix();
    let url = format!("{}?prefix={prefix}", ONE.url());
    let store = open(&url).await;
    client(&ONE.url()).await.put(format!("{prefix}/c/meta"), "2 something else", None).await.unwrap();
    let kinds = [
        refused(&url).await.kind(),
        store.sightings().await.unwrap_err().kind(),
        store.changes(Revision::ZERO, 1).await.unwrap_err().kind(),
        store.put(&key("a"), b"1", Expect::Any, None).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::TooNew; 4]);
}
