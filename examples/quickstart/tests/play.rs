//! The whole play, as a newcomer runs it.

use std::process::Command;

#[test]
fn every_check_of_the_play_holds_and_a_log_has_no_control_codes() {
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    assert!(!text.contains('\u{1b}'), "{text}");
    for part in
        ["killed with SIGKILL", "takeover", "switchover", "return", "job/backup: one owner", "Every check held."]
    {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn an_argument_is_wrong_usage() {
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart")).arg("--nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
