//! A start while the store is away: with the configuration that the node has kept on its own disk, and nobody active from it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use failover_testing::etcd::Etcd;
use failover_testing::port;
use failover_testing::postgres::{Postgres, PostgresSetup};
use failover_testing::redis::Redis;
use rustix::process::Signal;
use serde_json::Value;

use crate::common::{LIMIT, Place, eventually, now};

/// Something that can be away.
trait Outage {
    fn begin(&mut self);
    fn end(&mut self);
}

macro_rules! killed_and_started_again {
    ($($server:ty)+) => {$(
        impl Outage for $server {
            fn begin(&mut self) {
                self.kill();
            }

            fn end(&mut self) {
                self.start_again();
            }
        }
    )+};
}

killed_and_started_again! { Postgres Redis Etcd }

/// A file system that is not mounted: where it belongs, there is an empty directory.
struct Disk {
    mounted: PathBuf,
    away: PathBuf,
}

impl Outage for Disk {
    fn begin(&mut self) {
        fs::rename(&self.mounted, &self.away).unwrap();
        fs::create_dir(&self.mounted).unwrap();
    }

    fn end(&mut self) {
        fs::remove_dir(&self.mounted).expect("nobody has made another store there");
        fs::rename(&self.away, &self.mounted).unwrap();
    }
}

/// What a node answers over HTTP: the status and the body.
fn ask(port: u16, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("its health endpoints are there");
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.split(' ').nth(1).expect("a status").to_owned(), body.to_owned())
}

/// Both nodes of a cluster are started while its store is away, and take part when it is back.
fn begins_without_its_store(place: &Place, store: &mut dyn Outage) {
    let config = place.path("config.json");
    // Quicker than the nodes are started with, and still long enough for etcd and a busy machine.
    fs::write(&config, "{\"roster\": [\"b\", \"a\"], \"pace\": {\"beat\": 400, \"ttl\": 2500}}").unwrap();
    let kept = |name: &str| place.path(&format!("{name}.kept")).to_str().unwrap().to_owned();
    let ports = [port::free(), port::free()];
    let start = |name: &str, port: u16| {
        let (health, kept) = (format!("127.0.0.1:{port}"), kept(name));
        place.node_with(name, &["--ttl", "6s", "--beat", "1s", "--local-config", &kept, "--health", &health])
    };
    let (mut a, mut b) = (start("a", ports[0]), start("b", ports[1]));
    a.event("node_joined");
    b.event("node_joined");
    place.json(["config", "set", config.to_str().unwrap(), "--expect", "0"]);
    for (node, name) in [(&mut a, "a"), (&mut b, "b")] {
        node.event("settings_changed");
        eventually("the configuration is kept", || {
            fs::read_to_string(kept(name)).ok().filter(|kept| kept.contains("\"roster\":[\"b\",\"a\"]"))
        });
    }
    let term = place.until_status("somebody is active", |s| !s["active"].is_null())["active"]["term"].as_u64();
    a.kill();
    b.kill();

    store.begin();
    let (mut a, mut b) = (start("a", ports[0]), start("b", ports[1]));
    for (node, port) in [(&mut a, ports[0]), (&mut b, ports[1])] {
        let restored = node.event("settings_restored");
        assert_eq!(restored["detail"], "version 1", "{restored}");
        node.event("pace_changed");
        node.event("store_silent");
        let said = node.errors();
        assert!(said.contains("going on: the node begins with what it kept in"), "{said}");
        let (live, status) = (ask(port, "/live"), ask(port, "/status"));
        assert_eq!((live.0.as_str(), ask(port, "/active").0.as_str()), ("200", "503"), "{live:?}");
        let status: Value = serde_json::from_str(&status.1).unwrap();
        assert_eq!((&status["role"], &status["active"]), (&"inactive".into(), &false.into()), "{status}");
    }
    // As long as it would take to become active many times over, were the store there.
    let end = now() + Duration::from_secs(5);
    eventually("two ttls have passed", || (now() >= end).then_some(()));
    for node in [&mut a, &mut b] {
        assert!(node.lives(), "{}", node.errors());
        let became = node.all().iter().find(|e| e["event"] == "role_changed" || e["event"] == "node_joined");
        assert_eq!(became, None, "nobody becomes anything from a file");
    }
    // One that is asked to leave meanwhile has nothing to wait for.
    fs::copy(kept("a"), kept("c")).unwrap();
    let mut asked = start("c", port::free());
    asked.event("store_silent");
    asked.signal(Signal::TERM);
    assert!(asked.end().success(), "{}", asked.errors());

    store.end();
    for node in [&mut a, &mut b] {
        node.event("store_back");
        node.event("node_joined");
    }
    let status = place.until_status("both have a role", |s| !s["active"].is_null() && !s["standby"].is_null());
    assert!(status["active"]["term"].as_u64() > term, "{status}");
    for (node, name) in [(&mut a, "a"), (&mut b, "b")] {
        let role = if status["active"]["node"] == name { "active" } else { "standby" };
        node.role(role);
        assert_eq!(node.all().iter().filter(|e| e["event"] == "settings_changed").count(), 0, "it had them already");
    }
}

fn begins_without_its_server(mut server: impl Outage, address: &str) {
    let mut place = Place::new();
    place.point_at(address);
    begins_without_its_store(&place, &mut server);
}

#[test]
fn a_node_begins_while_its_file_system_is_not_mounted() {
    let mut place = Place::new();
    let (mounted, away) = (place.path("disk"), place.path("away"));
    fs::create_dir(&mounted).unwrap();
    place.keep_database_in(&mounted);
    begins_without_its_store(&place, &mut Disk { mounted, away });
}

#[test]
fn a_node_begins_while_postgres_is_away() {
    let server = Postgres::start();
    let address = server.url();
    begins_without_its_server(server, &address);
}

#[test]
fn a_node_begins_while_redis_is_away() {
    let server = Redis::durable();
    let address = server.url();
    begins_without_its_server(server, &address);
}

#[test]
fn a_node_begins_while_etcd_is_away() {
    let server = Etcd::start();
    let address = server.url();
    begins_without_its_server(server, &address);
}

#[test]
fn what_does_not_mend_itself_ends_a_node_that_could_begin_without_its_store() {
    let refused = |place: &Place, expected: &str| {
        let kept = place.path("kept");
        let output = place.ctl(["node", "a", "--local-config", kept.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let told = said.contains("failoverctl: open: not permitted") && said.contains("next: ");
        assert!(told && said.contains(expected) && !said.contains("going on"), "{said}");
        assert!(output.stdout.is_empty());
    };
    let place = Place::new();
    place.json(["job", "add", "one", "--", "true"]);
    fs::set_permissions(place.database(), PermissionsExt::from_mode(0o444)).unwrap();
    refused(&place, "read-only");

    let server = PostgresSetup::default().password("right").start();
    let mut place = Place::new();
    place.point_at(&server.url().replace(":right@", ":mistyped@"));
    refused(&place, "password");
}

#[test]
fn a_node_that_has_kept_nothing_yet_begins_and_says_so() {
    let mut place = Place::new();
    let directory = place.path("disk");
    place.keep_database_in(&directory);
    let kept = place.path("a.kept");
    let mut a = place.node_with("a", &["--local-config", kept.to_str().unwrap()]);
    a.event("store_silent");
    assert!(a.errors().contains("although it has kept nothing yet in"), "{}", a.errors());
    fs::create_dir(&directory).unwrap();
    a.role("active");
    let before = a.all().iter().take_while(|e| e["event"] != "store_back");
    assert!(before.clone().all(|e| e["event"] != "role_changed"), "{before:#?}");
}
