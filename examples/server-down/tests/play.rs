//! The whole story, as a reader runs it.

use std::process::Command;

#[test]
fn the_story_comes_as_it_should_and_says_what_moved_and_what_did_not() {
    let output = Command::new(env!("CARGO_BIN_EXE_server-down")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    for part in [
        "alpha: killed with SIGKILL",
        "who waited for gathering on alpha is released: lost",
        "paged: alpha is down",
        "paged: delta is down",
        "a third event, and nobody is paged again",
        "beta     agent-1 agent-2 report site-hq",
        "gathering: it waits for alpha, because its policy lets it run nowhere else",
        "agent-3-by-hand: it waits for alpha, or for an operator to move it",
        "agent-1          alpha#1, beta#2, alpha#3",
        "gathering        alpha#1, alpha#3",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    for server in ["alpha", "delta"] {
        let events = text.lines().filter(|line| line.contains(&format!("node_fenced {server} "))).count();
        assert_eq!(events, 1, "one event for a server that is down\n{text}");
    }
}

#[test]
fn an_argument_is_wrong_usage() {
    let output = Command::new(env!("CARGO_BIN_EXE_server-down")).arg("--nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
