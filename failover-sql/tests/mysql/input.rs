//! Wrong addresses, passwords, rights and settings: typed errors that name what to change, and no password anywhere.

use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_core::lease::Renewed;
use failover_core::state::Expect;
use failover_core::{Durability, Error, ErrorKind, HeartbeatStore, LeaseManager, StateStore};
use failover_sql::{MysqlOptions, MysqlTls};
use failover_testing::certificates::Certificates;
use failover_testing::mariadb::Mariadb;
use sqlx::Executor;

use crate::common::{LONG, Place, beat, cluster, granted, key, member, server};

const CANARY: &str = "canary-7f3a";

/// Everything an error shows.
fn shown(error: &Error) -> String {
    let mut all = vec![format!("{error} {error:?} {error:#?}")];
    let mut source = error.source();
    while let Some(cause) = source {
        all.push(format!("{cause} {cause:?}"));
        source = cause.source();
    }
    all.join(" ")
}

async fn refused(options: &MysqlOptions, kind: ErrorKind) -> Error {
    assert!(!format!("{options:?}").contains(CANARY), "{options:?}");
    let error = options.open(&cluster("c")).await.map(|store| format!("{store:?}")).expect_err("it must not open");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(!shown(&error).contains(CANARY), "{}", shown(&error));
    error
}

#[tokio::test]
async fn a_wrong_password_and_missing_rights_are_denied() {
    let place = Place::new();
    server().account("input", "right");
    let wrong = MysqlOptions::new("127.0.0.1", place.database.as_str(), "input").port(place.port).password(CANARY);
    let error = refused(&wrong, ErrorKind::Denied).await;
    assert!(error.to_string().contains("password"), "{error}");
    server().account("stranger", CANARY);
    let stranger =
        MysqlOptions::new("127.0.0.1", place.database.as_str(), "stranger").port(place.port).password(CANARY);
    refused(&stranger, ErrorKind::Denied).await;
    // To look is not enough.
    server().execute(&format!("GRANT SELECT ON {}.* TO stranger@'%'", place.database));
    refused(&stranger, ErrorKind::Denied).await;
}

/// A writer that a test can read.
#[derive(Clone, Default)]
struct Traced(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Traced {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What it and its driver trace, at the finest level, while all goes well and while a password is wrong.
#[tokio::test]
async fn no_trace_shows_a_password() {
    let traced = Traced::default();
    let writer = traced.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
    let _guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
    let place = Place::new();
    server().account("traced", CANARY);
    server().execute(&format!("GRANT ALL ON {}.* TO traced@'%'", place.database));
    let url = |password| format!("mysql://traced:{password}@127.0.0.1:{}/{}", place.port, place.database);
    let store = MysqlOptions::from_url(&url(CANARY)).unwrap().open(&cluster("c")).await.unwrap();
    granted(&store, "active", &member("a", 1), LONG).await;
    refused(&MysqlOptions::from_url(&url("wrong-canary-7f3a")).unwrap(), ErrorKind::Denied).await;
    tracing::trace!("all is traced");
    let traced = String::from_utf8(traced.0.lock().unwrap().clone()).unwrap();
    assert!(traced.contains("all is traced"), "{traced}");
    assert!(!traced.contains(CANARY), "{traced}");
}

#[tokio::test]
async fn what_cannot_be_reached_is_unavailable_and_what_does_not_exist_is_named() {
    let nobody = MysqlOptions::new("127.0.0.1", "d", "u").port(failover_testing::port::free()).password(CANARY);
    refused(&nobody, ErrorKind::Unavailable).await;
    let nowhere = MysqlOptions::new("no-such-host.invalid", "d", "u").password(CANARY);
    refused(&nowhere, ErrorKind::Unavailable).await;
    let missing = MysqlOptions::new("127.0.0.1", "no_such_database", "root").port(server().port());
    let error = refused(&missing, ErrorKind::Invalid).await;
    assert!(error.to_string().contains("database"), "{error}");
    let place = Place::new();
    let error = refused(&place.options().must_exist(), ErrorKind::Invalid).await;
    assert!(error.to_string().contains("`create` is false"), "{error}");
    assert_eq!(server().execute(&format!("SHOW TABLES IN {}", place.database)), "", "nothing was made");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_server_must_show_by_its_certificate_who_it_is() {
    let certificates = Certificates::for_server("127.0.0.1");
    let server = Mariadb::start_with_tls(&certificates);
    let place = Place::on(&server);
    server.account("sealed", CANARY);
    server.execute(&format!("GRANT ALL ON {}.* TO sealed@'%'; ALTER USER sealed@'%' REQUIRE SSL", place.database));
    let to = |host: &str, tls, authority| {
        let options = MysqlOptions::new(host, place.database.as_str(), "sealed").port(place.port).password(CANARY);
        options.tls(tls).authority(authority)
    };
    let known = certificates.authority();
    let sealed = to("127.0.0.1", MysqlTls::VerifyIdentity, &known);
    let store = sealed.open(&cluster("c")).await.unwrap();
    granted(&store, "active", &member("a", 1), LONG).await;
    let error = refused(&to("localhost", MysqlTls::VerifyIdentity, &known), ErrorKind::Denied).await;
    assert!(error.to_string().contains("certificate"), "{error}");
    let others = Certificates::for_server("127.0.0.1");
    let other = others.authority();
    refused(&to("127.0.0.1", MysqlTls::VerifyCa, &other), ErrorKind::Denied).await;
    refused(&to("127.0.0.1", MysqlTls::Disabled, &known), ErrorKind::Denied).await;
    let nothing = certificates.authority().with_file_name("no-such-file");
    let error = refused(&to("127.0.0.1", MysqlTls::VerifyCa, &nothing), ErrorKind::Invalid).await;
    assert!(error.to_string().contains("ssl-ca"), "{error}");
}

#[tokio::test]
async fn settings_of_the_server_that_break_promises_are_named() {
    let server = Mariadb::start();
    let place = Place::on(&server);
    let options = place.options();
    let a = member("a", 1);

    server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 0");
    let error = refused(&options, ErrorKind::Invalid).await;
    assert!(error.to_string().contains("innodb_flush_log_at_trx_commit"), "{error}");
    let volatile = options.clone().accept_volatile().open(&cluster("c")).await.unwrap();
    assert_eq!(volatile.durability(), Durability::Volatile);
    server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1");

    let store = options.open(&cluster("c")).await.unwrap();
    assert_eq!(store.durability(), Durability::SingleNode);
    let lease = granted(&store, "active", &a, LONG).await;
    server.execute("SET GLOBAL read_only = 1");
    // Also for an account that the server would let write.
    let error = refused(&options, ErrorKind::Denied).await;
    assert!(error.to_string().contains("read_only"), "{error}");
    assert_eq!(store.renew(&lease).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(store.beat(&beat(&a, 1, 0)).await.unwrap_err().kind(), ErrorKind::Denied);
    server.execute("SET GLOBAL read_only = 0");
    assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended, "it goes on");

    server.execute("SET GLOBAL max_allowed_packet = 65536");
    let error = refused(&options, ErrorKind::Invalid).await;
    assert!(error.to_string().contains("max_allowed_packet"), "{error}");
    let late = options.clone().must_exist();
    server.execute("SET GLOBAL max_allowed_packet = 16777216");
    let late = late.open(&cluster("c")).await.unwrap();
    server.execute("SET GLOBAL max_allowed_packet = 65536");
    let error = late.put(&key("a"), &vec![7; 200_000], Expect::Any, None).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unavailable), "surely not applied: {error}");
    assert!(late.get(&key("a")).await.unwrap().is_none());
}

/// There `SYSDATE` is `NOW`: the clock is read by a statement of its own, and renewals cost more.
#[tokio::test]
async fn a_server_whose_clock_stands_still_within_a_statement_is_worked_with() {
    let server = Mariadb::start_with(&["--sysdate-is-now"]);
    let place = Place::on(&server);
    let store = place.open().await;
    let ttl = Duration::from_millis(300);
    let lease = granted(&store, "active", &member("a", 1), ttl).await;
    let mut host = place.host().await;
    host.execute("BEGIN").await.unwrap();
    host.execute("SELECT * FROM failover_leases FOR UPDATE").await.unwrap();
    let renewing = tokio::spawn(async move { store.renew(&lease).await });
    tokio::time::sleep(ttl * 2).await;
    host.execute("ROLLBACK").await.unwrap();
    assert_eq!(renewing.await.unwrap().unwrap(), Renewed::Lost);
}

/// `rights/mysql.sql`, as it is shipped, is enough for everything, and for nothing else.
#[tokio::test]
async fn the_rights_that_are_shipped_suffice() {
    let place = Place::new();
    let rights = include_str!("../../rights/mysql.sql");
    let account = format!("least_{}", place.database);
    server().account(&account, CANARY);
    server().execute(&rights.replace("`app`", &place.database).replace("'failover'", &format!("'{account}'")));
    place.tamper("CREATE TABLE secret (a INT)").await;
    let options =
        MysqlOptions::new("127.0.0.1", place.database.as_str(), account.as_str()).port(place.port).password(CANARY);
    let store = options.open(&cluster("c")).await.unwrap();
    let a = member("a", 1);
    for seq in 1..3 {
        store.beat(&beat(&a, seq, 0)).await.unwrap();
        let lease = granted(&store, "active", &a, LONG).await;
        store.put(&key("a"), b"x", Expect::Any, Some(&lease)).await.unwrap();
        store.delete(&key("a"), Expect::Any, Some(&lease)).await.unwrap();
        store.renew(&lease).await.unwrap();
        store.release(&lease, None).await.unwrap();
    }
    store.sightings().await.unwrap();
    store.forget(&a).await.unwrap();
    let grants = server().execute(&format!("SHOW GRANTS FOR {account}@'%'"));
    assert!(!grants.contains("secret") && !grants.contains(&format!("`{}`.*", place.database)), "{grants}");
}
