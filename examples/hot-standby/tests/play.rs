//! The whole story, as a reader runs it.

use std::process::Command;

#[test]
fn the_story_comes_as_it_should_and_no_two_are_in_operation_at_once() {
    let output = Command::new(env!("CARGO_BIN_EXE_hot-standby")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    for part in [
        "active north, standby south, inactive east, maintenance west",
        "north: killed with SIGKILL",
        "south: application in operation under active#2",
        "checked    south    that node is alive and could take over",
        "started    south    that node is prepared, so the active one stops what it does as such",
        "done       east     its fence is installed, the jobs are read and the host is promoted",
        "east: failure_reported (the host reported it): line: the plant does not answer (weight 30)",
        "west has a copy of version 2 by operator",
        "north: settings_restored",
        "north: version_refused (its version is not the one that is wanted, so it stays inactive)",
        "active south, standby north, inactive east, maintenance west",
        "active south, standby north, inactive east west, maintenance none",
        "in operation: north#1, south#2, east#3, south#4",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    // The standby is hot before it is needed.
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part:?} in\n{text}"));
    assert!(at("south: application loaded") < at("north: killed"), "{text}");
    assert!(!text.contains("west: application"), "what is in maintenance takes part in nothing\n{text}");
}

#[test]
fn an_argument_is_wrong_usage() {
    let output = Command::new(env!("CARGO_BIN_EXE_hot-standby")).arg("--nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
