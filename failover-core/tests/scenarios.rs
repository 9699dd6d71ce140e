//! The scenarios in `tests/scenarios`: transcripts that are tests. See `failover_core::testkit::sim::script` for their language.
//!
//! `FAILOVER_REWRITE=1 cargo test -p failover-core --test scenarios` writes down what comes of them now; read the difference
//! before you commit it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use failover_core::testkit::sim::script;

fn scenarios() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The lines that differ, with what surrounds them.
fn difference(expected: &str, came: &str) -> String {
    let (expected, came): (Vec<_>, Vec<_>) = (expected.lines().collect(), came.lines().collect());
    let same = expected.iter().zip(&came).take_while(|(e, c)| e == c).count();
    let rest = expected.len().min(came.len()) - same;
    let tail = expected.iter().rev().zip(came.iter().rev()).take(rest).take_while(|(e, c)| e == c).count();
    let mut out = String::new();
    expected[same.saturating_sub(5)..same].iter().for_each(|line| writeln!(out, "  {line}").unwrap());
    expected[same..expected.len() - tail].iter().for_each(|line| writeln!(out, "- {line}").unwrap());
    came[same..came.len() - tail].iter().for_each(|line| writeln!(out, "+ {line}").unwrap());
    out
}

#[test]
fn every_scenario_goes_as_written() {
    let rewrite = std::env::var_os("FAILOVER_REWRITE").is_some();
    let files = scenarios();
    assert!(files.len() >= 6, "scenarios are missing");
    let mut differences = String::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let expected = std::fs::read_to_string(&file).unwrap();
        let came = script::play(&expected).unwrap_or_else(|e| panic!("{name}, {e}"));
        if came == expected {
            continue;
        }
        if rewrite {
            std::fs::write(&file, came).unwrap();
        } else {
            writeln!(differences, "{name}:\n{}", difference(&expected, &came)).unwrap();
        }
    }
    let hint = "FAILOVER_REWRITE=1 writes down what comes of them now";
    assert!(differences.is_empty(), "scenarios went otherwise; {hint}\n\n{differences}");
}

#[test]
fn what_is_no_command_is_named_with_its_line() {
    for (script, line, what) in [
        ("crash a\n", 1, "the first command must be `nodes`"),
        ("nodes a b\n\nexplode a\n", 3, "`explode a` is no command"),
        ("nodes a b\ncrash c\n", 2, "no node is called c"),
        ("nodes a b\nadvance 5\n", 2, "`5` is no time: it must end in ms or s"),
        ("nodes a b\nrun until j1=a\n", 2, "`j1` is neither a role nor a stage nor a job"),
    ] {
        let error = script::play(script).unwrap_err();
        assert_eq!((error.line, error.what.as_str()), (line, what));
    }
}

#[test]
fn a_wrong_expectation_is_replaced_and_the_rest_stays() {
    let script =
        "# Two nodes.\nnodes a b\nrun until active=a\nexpect active=b\n----\nwrong\n\nexpect-no node_fenced\n----\n";
    let played = script::play(script).unwrap();
    assert!(played.starts_with("# Two nodes.\nnodes a b\nrun until active=a\nexpect active=b\n----\n"), "{played}");
    assert!(played.contains("active=b: NO\n\nexpect-no node_fenced\n----\nno node_fenced\n"), "{played}");
    assert!(!played.contains("wrong"));
    assert_eq!(script::play(&played).unwrap(), played, "what came of it comes of it again");
}
