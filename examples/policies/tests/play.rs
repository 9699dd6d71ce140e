//! The whole story, as a reader runs it.

use std::process::Command;

#[test]
fn the_story_comes_as_it_should_and_says_why() {
    let output = Command::new(env!("CARGO_BIN_EXE_policies")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    for part in [
        "primary is active",
        "policy-12: it runs on second",
        "primary  it is full",
        "it has no label tape, and the job requires tape=yes",
        "6 policies would go on elsewhere, 4 would wait",
        "released: lost on primary, last heard of at step",
        "policy-13-licensed: it waits for primary, because its policy lets it run nowhere else",
        "epoch 1 on primary  lost",
        "epoch 3 on primary  runs",
        "no policy ever ran twice at once",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn an_argument_is_wrong_usage() {
    let output = Command::new(env!("CARGO_BIN_EXE_policies")).arg("--nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
