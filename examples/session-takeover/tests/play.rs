//! The whole play, as a reader runs it.

use std::process::Command;

#[test]
fn no_login_is_lost_and_one_gate_is_open_at_a_time_through_a_kill_and_a_failback() {
    let output = Command::new(env!("CARGO_BIN_EXE_session-takeover")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    for part in [
        "south refuses a login: this node is not the active one",
        "both see by heartbeats how many users work where",
        "north: killed with SIGKILL",
        "south knows every login that was acknowledged",
        "north: begins with a snapshot of",
        "north refuses a login: this node is not the active one",
        "logins, each as it was acknowledged",
        "gates, one after the other: north-",
        "sessions, each in one piece",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn an_argument_is_wrong_usage() {
    let output = Command::new(env!("CARGO_BIN_EXE_session-takeover")).arg("--nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
