//! Clients that find the active node: by the store, by the nodes themselves, and by a redirect.

use std::process::Stdio;

use failover_testing::port;
use serde_json::Value;

use crate::common::{Place, Process, eventually};

fn options(name: &str, health: u16, redirect: &str) -> Vec<String> {
    let (endpoint, health) = (format!("{name}.example:80"), format!("127.0.0.1:{health}"));
    ["--endpoint", &endpoint, "--health", &health, "--redirect-command", redirect].map(str::to_owned).to_vec()
}

fn start(place: &Place, name: &str, options: &[String]) -> Process {
    place.node_with(name, &options.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn clients_find_the_active_node_after_a_kill_by_the_store_the_nodes_and_a_redirect() {
    let place = Place::new();
    let script = place.path("redirect.sh");
    let log = place.path("redirects");
    std::fs::write(&script, "echo \"$FAILOVER_NODE $FAILOVER_TERM $FAILOVER_ENDPOINT\" >> \"$1\"; echo led\n").unwrap();
    let redirect = format!("sh {} {}", script.display(), log.display());
    let [at_a, at_b] = [port::free(), port::free()];
    let mut a = start(&place, "a", &options("a", at_a, &redirect));
    a.event("endpoints_published");
    let mut b = start(&place, "b", &options("b", at_b, &redirect));
    b.role("standby");

    let found = place.json(["resolve"]).remove(0);
    assert_eq!((&found["node"], &found["term"], &found["endpoint"]), (&"a".into(), &1.into(), &"a.example:80".into()));
    let plain = place.ctl(["resolve"]);
    assert_eq!(String::from_utf8(plain.stdout).unwrap(), "a.example:80\n");
    let from = format!("http://127.0.0.1:{at_b};http://127.0.0.1:{at_a}");
    let mut command = place.command();
    command.args(["--json", "resolve", "--follow", "--from", &from]).env("FAILOVER_STORE", "");
    let mut follower = Process::start("follower", command);
    let of = |endpoint: &'static str| move |line: &Value| line["endpoint"] == endpoint;
    follower.wait("a's address", of("a.example:80"));

    a.kill();
    follower.wait("b's address", of("b.example:80"));
    let done = b.event("redirect_done");
    assert_eq!((&done["detail"], &done["term"]), (&"command: led".into(), &2.into()));
    let told = eventually("both redirects", || {
        let told = std::fs::read_to_string(&log).unwrap_or_default();
        (told.lines().count() >= 2).then_some(told)
    });
    assert_eq!(told, "a 1 a.example:80\nb 2 b.example:80\n", "once each");
}

#[test]
fn what_is_wrong_is_told_before_a_node_starts() {
    let place = Place::new();
    let refused = |args: &[&str], status: i32, text: &str| {
        let output = place.ctl(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(status) && said.contains(text), "{args:?}: {:?}: {said}", output.status);
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let health = taken.local_addr().unwrap().to_string();
    refused(
        &["node", "a", "--health", &health],
        2,
        &format!("health is `{health}`: it must be an address of this machine"),
    );
    refused(&["node", "a", "--endpoint", "nowhere"], 2, "it must name a port");
    refused(&["node", "a", "--endpoint", "a:1", "--endpoint", "a:1"], 2, "endpoint is `a:1`: each must be named once");
    refused(&["node", "a", "--redirect-command", " "], 2, "a command must name a program");
    refused(&["resolve", "--from", "http://a:1;;"], 2, "endpoint is ``");
    refused(&["resolve", "--from", "a:1"], 2, "nodes is `a:1`: it must be `http://host[:port][/path]`");
    let gone = format!("http://{}", std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    refused(&["resolve", "--from", &gone, "--within", "500ms"], 1, "no node says that it is active");

    let mut a = place.node("a");
    a.role("active");
    refused(&["resolve", "--within", "500ms"], 3, "none was given endpoints");
    assert!(
        place.command().arg("resolve").env("FAILOVER_STORE", "").stdout(Stdio::null()).status().unwrap().code()
            == Some(2)
    );
}
