//! Every wrong address says what to change, and none shows its password anywhere.

use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_core::{Error, ErrorKind};
use failover_testing::certificates::Certificates;
use failover_testing::port;
use failover_testing::postgres::PostgresSetup;

use super::{SERVER, fails, options, try_open};

const CANARY: &str = "canary-8d1f";

/// What is traced, for all to see.
#[derive(Clone, Default)]
struct Traced(Arc<Mutex<Vec<u8>>>);

impl io::Write for Traced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[track_caller]
fn shows_no_password(error: &Error) {
    let mut texts = vec![format!("{error} {error:?}")];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(format!("{error} {error:?}"));
        cause = error.source();
    }
    assert!(!texts.concat().contains(CANARY), "{texts:?}");
}

#[tokio::test]
async fn every_wrong_address_says_what_to_change_and_keeps_its_password() {
    let traced = Traced::default();
    let writer = traced.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
    let guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());

    let certificates = Certificates::for_server("store.test");
    let server = PostgresSetup::default().tls(&certificates).password(CANARY).start();
    let at = |password: &str, host: &str, rest: &str| {
        format!("postgres://postgres:{password}@{host}:{}/{rest}", server.port())
    };
    let store = try_open(&at(CANARY, "127.0.0.1", "postgres?sslmode=require")).await.expect("all of it is right");
    assert!(!format!("{store:?}").contains(CANARY));

    let root = certificates.authority();
    let root = root.display();
    for (url, kind, says) in [
        (at(&format!("{CANARY}-wrong"), "127.0.0.1", "postgres"), ErrorKind::Denied, "password"),
        (at(CANARY, "127.0.0.1", "nowhere"), ErrorKind::Invalid, "no such database"),
        // Its certificate is for another name.
        (
            at(CANARY, "127.0.0.1", &format!("postgres?sslmode=verify-full&sslrootcert={root}")),
            ErrorKind::Denied,
            "TLS",
        ),
        // Nobody trusts its authority.
        (at(CANARY, "localhost", "postgres?sslmode=verify-full"), ErrorKind::Denied, "TLS"),
        (format!("postgres://u:{CANARY}@127.0.0.1:{}/d", port::free()), ErrorKind::Unavailable, "cannot be reached"),
        (at(CANARY, "127.0.0.1", "postgres?create=false&prefix=other_"), ErrorKind::Invalid, "not there"),
    ] {
        let error = fails(try_open(&url).await, kind);
        assert!(error.to_string().contains(says), "{error}");
        shows_no_password(&error);
    }
    // An authority that is trusted, whatever the name.
    let url = at(CANARY, "127.0.0.1", &format!("postgres?sslmode=verify-ca&sslrootcert={root}"));
    try_open(&url).await.expect("its authority is trusted");
    drop(guard);
    let traced = String::from_utf8_lossy(&traced.0.lock().unwrap()).into_owned();
    assert!(!traced.contains(CANARY), "{traced}");
}

#[tokio::test]
async fn a_host_that_never_answers_is_given_up_in_time() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgres://u:{CANARY}@127.0.0.1:{}/d", listener.local_addr().unwrap().port());
    let cluster = failover_core::ClusterName::new("c").unwrap();
    let quick = options(&url).connect_timeout(Duration::from_millis(200));
    let error = fails(quick.open(&cluster).await, ErrorKind::Unavailable);
    assert!(error.to_string().contains("connect_timeout"), "{error}");
    shows_no_password(&error);
}

#[tokio::test]
async fn a_schema_of_a_newer_build_is_left_alone() {
    let database = SERVER.database();
    try_open(&database.url()).await.unwrap();
    database.sql("UPDATE failover_meta SET version = 99");
    fails(try_open(&database.url()).await, ErrorKind::TooNew);
}
