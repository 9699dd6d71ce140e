//! Files of jobs.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::common::Place;

const FILE: &str = r#"
[classes.base]
retries = 3

[classes.agent]
like = "base"
failover = "manual"

[jobs.import]
command = ["sleep", "1000"]
class = "agent"

[jobs.export]
command = ["sleep", "2000"]
priority = 7
weight = 2
"#;

/// Applies this text as a file of that name.
fn apply(place: &Place, name: &str, text: &str, options: &[&str]) -> Output {
    let path = place.path(name);
    fs::write(&path, text).unwrap();
    place.ctl([&["--json", "job", "apply", path.to_str().unwrap()], options].concat())
}

/// What was told: names with results.
fn told(output: &Output) -> Vec<(String, String)> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let name = |line: &Value| line["job"].as_str().or(line["class"].as_str()).unwrap().to_owned();
    lines.map(|line| (name(&line), line["result"].as_str().unwrap().to_owned())).collect()
}

fn all(result: &str) -> Vec<(String, String)> {
    ["agent", "base", "import", "export"].map(|name| (name.to_owned(), result.to_owned())).to_vec()
}

#[test]
fn a_file_is_applied_once_shown_before_and_changes_only_what_differs() {
    let place = Place::new();
    place.json(["job", "add", "other", "--", "true"]);
    assert_eq!(told(&apply(&place, "jobs.toml", FILE, &["--dry-run"])), all("created"));
    assert_eq!(place.json(["job", "list"]).len(), 1, "a dry run makes nothing");
    assert_eq!(place.json(["settings", "show"])[0]["classes"], json!({}));

    assert_eq!(told(&apply(&place, "jobs.toml", FILE, &[])), all("created"));
    let jobs = place.json(["job", "list"]);
    assert_eq!(jobs.iter().map(|job| &job["job"]).collect::<Vec<_>>(), ["export", "import", "other"]);
    assert_eq!((&jobs[0]["priority"], &jobs[0]["weight"]), (&json!(7), &json!(2)));
    assert_eq!(place.json(["job", "explain", "import"])[0]["failover"], "manual", "it has that from its class");
    assert_eq!(told(&apply(&place, "jobs.toml", FILE, &[])), all("unchanged"));

    let changed = FILE.replace("priority = 7", "priority = 8");
    let output = apply(&place, "jobs.toml", &changed, &["--dry-run"]);
    let last = String::from_utf8_lossy(&output.stdout).lines().last().map(|line| serde_json::from_str(line).unwrap());
    let expected =
        json!({"job": "export", "result": "changed", "changes": [{"field": "priority", "from": "7", "to": "8"}]});
    assert_eq!(last, Some(expected));
    let human =
        String::from_utf8(place.ctl(["job", "apply", place.path("jobs.toml").to_str().unwrap()]).stdout).unwrap();
    assert!(human.ends_with("= job `import`\n~ job `export`: priority: 7 > 8\n1 of 4 made\n"), "{human}");
    assert_eq!(place.json(["job", "list"])[0]["priority"], 8);
}

#[test]
fn a_file_in_json_is_the_same() {
    let place = Place::new();
    let text = r#"{"jobs": {"import": {"command": ["sleep", "1000"], "backoff": "2s"}}}"#;
    assert_eq!(told(&apply(&place, "jobs.json", text, &[])), [("import".to_owned(), "created".to_owned())]);
    let toml = "[jobs.import]\ncommand = [\"sleep\", \"1000\"]\nbackoff = \"2s\"\n";
    assert_eq!(told(&apply(&place, "jobs.toml", toml, &[])), [("import".to_owned(), "unchanged".to_owned())]);
}

#[test]
fn a_bad_file_is_refused_whole_with_file_line_column_and_rule() {
    let place = Place::new();
    assert_eq!(told(&apply(&place, "jobs.toml", FILE, &[])), all("created"));
    let before = (place.json(["job", "list"]), place.json(["settings", "show"]));
    let good = "[jobs.good]\ncommand = [\"true\"]\n";
    let bad = [
        ("[jobs.bad]\ncommand = [\"true\"]\nwieght = 2\n", ":5:1: unknown field `wieght`"),
        ("[jobs.bad]\ncommand = \"true\"\n", ":4:11: invalid type: string \"true\""),
        (
            "[jobs.bad]\ncommand = [\"true\"]\npins = [\"nobody\"]\n",
            ":5:1: job `bad`: pins is `nobody`: no such node is known",
        ),
        (
            "[jobs.bad]\ncommand = [\"true\"]\nclass = \"none\"\n",
            ":5:1: job `bad`: class is `none`: there is no such class",
        ),
        ("[jobs.bad]\ncommand = [\"true\"]\nweight = 0\n", ":5:10: weight is `0`: it must be 1 to 1000000"),
        (
            "[classes.a]\nlike = \"b\"\n[classes.b]\nlike = \"a\"\n",
            ":4:1: class `a`: like is `b`: they are like one another",
        ),
        ("[jobs.good]\ncommand = [\"true\"]\n", ":3:7: duplicate key"),
        ("[jobs.bad\n", ":3:10: "),
    ];
    for (text, expected) in bad {
        for options in [&["--dry-run"][..], &[]] {
            let output = apply(&place, "bad.toml", &format!("{good}{text}"), options);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{said}");
            let expected = format!("{}{expected}", place.path("bad.toml").display());
            assert!(said.contains(&expected), "{said}\nwithout {expected}");
            assert!(said.contains("nothing of it was applied") && output.stdout.is_empty(), "{said}");
        }
    }
    assert_eq!((place.json(["job", "list"]), place.json(["settings", "show"])), before);
}
