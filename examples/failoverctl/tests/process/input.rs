//! Wrong input: what is said, with which exit status, and that nothing was half-written.

use std::fs;

use crate::common::Place;

struct Said {
    code: Option<i32>,
    text: String,
}

fn say(place: &Place, args: &[&str]) -> Said {
    let output = place.ctl(args);
    assert!(output.stdout.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    Said { code: output.status.code(), text: String::from_utf8(output.stderr).unwrap() }
}

#[test]
fn wrong_usage_is_named_by_field_value_and_rule_and_touches_nothing() {
    let place = Place::new();
    let long = "x".repeat(65);
    let name_rule = "it must be 1 to 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`";
    let cases: &[(&[&str], &[&str])] = &[
        (&["node", "a b"], &["node name is `a b`", name_rule]),
        (&["node", &long], &["node name", name_rule]),
        (&["--cluster", "a/b", "status"], &["cluster name is `a/b`", name_rule]),
        (&["job", "add", "é", "--", "true"], &["job id is `é`", name_rule]),
        (&["run", "a", "--lease", "a/b", "--", "true"], &["election name is `a/b`", name_rule]),
        (&["switchover", "--to", ""], &["node name is ``", name_rule]),
        (&["node", "a", "--beat", "2s", "--ttl", "3s"], &["beat is `2s`", "three beats must fit into the ttl of 3s"]),
        (&["run", "a", "--lease", "l", "--beat", "2s", "--ttl", "3s", "--", "true"], &["beat is `2s`", "three beats"]),
        (&["node", "a", "--ttl", "soon"], &["duration is `soon`", "such as 250ms, 5s or 1m30s"]),
        (&["node", "a", "--capacity", "-1"], &["-1"]),
        (&["node", "a", "--witness", "tcp://gateway"], &["witness is `gateway`", "it must be `host:port`"]),
        (&["node", "a", "--witness", "gateway"], &["witness is `gateway`", "tcp://host:port"]),
        (&["node", "a", "--label", "zone"], &["label is `zone`", "it must be NAME=VALUE"]),
        (&["job", "add", "one"], &["<CMD>"]),
        (&["job", "add", "one", "--"], &["<CMD>"]),
        (&["job", "add", "one", "--", ""], &["command is ``", "it must name a program"]),
        (&["job", "add", "one", "--weight", "0", "--", "true"], &["weight is `0`", "it must be 1 to 1000000"]),
        (&["node", "a", "--capacity", "0"], &["capacity is `0`", "it must be 1 to 100000"]),
        (&["job", "add", "one", "--pin", "a,b,a", "--", "true"], &["pins is `a`", "a node may be named once"]),
        (&["job", "add", "one", "--pin", "a b", "--", "true"], &["node name is `a b`", name_rule]),
        (&["job", "add", "one", "--require", "zone", "--", "true"], &["label is `zone`", "it must be NAME=VALUE"]),
        (&["job", "add", "one", "--failover", "maybe", "--", "true"], &["maybe", "automatic, manual, never"]),
        (&["job", "add", "one", "--failback", "soon", "--", "true"], &["failback is `soon`", "automatic=5m"]),
        (
            &["job", "add", "one", "--progress", "0s", "--", "true"],
            &["progress is `0ns`", "a millisecond to ten years"],
        ),
        (
            &["job", "add", "one", "--failover", "never", "--failback", "automatic=5s", "--", "true"],
            &["failback is `automatic`", "never fails over"],
        ),
        (&["job", "apply", "jobs.yaml"], &["file is `jobs.yaml`", "its name must end in .toml or .json"]),
        (&["job", "apply", "/no/such/jobs.toml"], &["cannot read /no/such/jobs.toml"]),
        (&["job", "move", "one"], &["--to"]),
        (&["roster", "set", "a,b c"], &["node name is `b c`", name_rule]),
        (&["capacity", "a"], &["<N>"]),
        (&["capacity", "a", "0"], &["capacity is `0`", "it must be 1 to 100000"]),
        (&["drain", "a", "--then", "wait"], &["wait", "abort, force"]),
        (&["plan"], &["--if-lost", "--if-added", "--roster"]),
        (&["plan", "--if-lost", "a", "--if-added", "b"], &["cannot be used with"]),
        (&["settings", "strategy", "by luck"], &["strategy is `by luck`", name_rule]),
        (&["run", "a", "--lease", "l"], &["<CMD>"]),
        (&["run", "a", "--", "true"], &["--lease"]),
        (&["promote", "a"], &["promote"]),
        (&["node", "a", "--fencer-within", "1s"], &["--fencer <CMD>"]),
        (&["node", "a", "--missing", "1s"], &["missing is `1s`", "it must be at least two beats"]),
        (&["--store", "", "status"], &["no store", "--store URL or set FAILOVER_STORE"]),
        (&["--store", "store.db", "status"], &["scheme", "sqlite"]),
        (&["--store", "nosql://x", "status"], &["scheme is `nosql`", "built in: sqlite"]),
        (&["--store", "sqlite:///tmp/x?mode=ro", "status"], &["option is `mode`", "the options are"]),
    ];
    for (args, expected) in cases {
        let said = say(&place, args);
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.text);
        for part in *expected {
            assert!(said.text.contains(part), "{args:?} does not say {part:?}: {}", said.text);
        }
    }
    let left: Vec<_> = fs::read_dir(place.dir.path()).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn no_error_shows_a_password() {
    let place = Place::new();
    for url in [
        "postgres://u:geheim@h/d",
        "redis://:geheim@h",
        "sqlite://u:geheim@h/d?password=geheim",
        "://u:geheim@h",
        "geheim",
    ] {
        for command in [&["status"][..], &["node", "a"], &["job", "add", "a", "--", "true"]] {
            let said = say(&place, &[&["--store", url], command].concat());
            assert!(matches!(said.code, Some(1 | 2)), "{url}: {}", said.text);
            assert!(!said.text.contains("geheim@"), "{url}: {}", said.text);
        }
    }
    let mut help = place.command();
    help.env("FAILOVER_STORE", "postgres://u:geheim@h/d").arg("--help");
    let output = help.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("geheim"));
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_looking_at_it() {
    let place = Place::new();
    for args in [
        &["status"][..],
        &["job", "list"],
        &["job", "remove", "a"],
        &["job", "explain", "a"],
        &["job", "wait", "a"],
        &["switchover"],
        &["roster", "show"],
        &["cordon", "a"],
        &["plan", "--if-lost", "a"],
    ] {
        let said = say(&place, args);
        assert!(
            said.code == Some(2) && said.text.contains("store.db") && said.text.contains("check the path"),
            "{args:?}: {}",
            said.text
        );
        assert!(!place.database().exists());
    }
}

#[test]
fn a_file_that_is_no_store_is_refused_and_stays_as_it_was() {
    let place = Place::new();
    let garbage = "not a database, ".repeat(300);
    fs::write(place.database(), &garbage).unwrap();
    for args in [&["node", "a"][..], &["job", "add", "one", "--", "true"], &["status"]] {
        let said = say(&place, args);
        assert_eq!(said.code, Some(1), "{args:?}: {}", said.text);
        assert!(said.text.contains("next: "), "{}", said.text);
    }
    assert_eq!(fs::read_to_string(place.database()).unwrap(), garbage);
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_stays_as_it_was() {
    let place = Place::new();
    place.json(["job", "add", "one", "--", "true"]);
    place.tamper("UPDATE failover_meta SET version = 2");
    for args in [&["node", "a"][..], &["job", "add", "two", "--", "true"], &["status"], &["switchover"]] {
        let said = say(&place, args);
        assert_eq!(said.code, Some(1), "{args:?}: {}", said.text);
        assert!(said.text.contains("version 2") && said.text.contains("next: "), "{args:?}: {}", said.text);
    }
    place.tamper("UPDATE failover_meta SET version = 1");
    assert_eq!(place.json(["job", "list"]).len(), 1, "nothing was half-written");
}

#[test]
fn a_job_of_another_programs_making_fails_with_a_clear_text() {
    let place = Place::new();
    let mut a = place.node("a");
    a.role("active");
    place.submit("empty", "");
    place.submit("newer", r#"{"format":2,"container":"x"}"#);
    place.submit("rubbish", "\u{1b}[31mrubbish");
    for (job, text) in [("empty", "has no command"), ("newer", "format 2"), ("rubbish", "cannot be read")] {
        let mut fresh = place.json(["job", "list"]);
        crate::common::eventually(job, || {
            fresh = place.json(["job", "list"]);
            let record = fresh.iter().find(|j| j["job"] == job)?;
            (record["failures"].as_u64() >= Some(1) && record["detail"].as_str()?.contains(text)).then_some(())
        });
    }
    let human = String::from_utf8(place.ctl(["job", "list"]).stdout).unwrap();
    assert!(human.chars().all(|c| c == '\n' || !c.is_control()), "{human:?}");
    assert!(a.lives());
}
