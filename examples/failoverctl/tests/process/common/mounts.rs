//! File systems of a test's own.

use std::process::Command;

/// Where a test has a file system of its own, if this process is one that [`in_own_mounts`] has started.
pub(crate) fn own_mounts() -> Option<String> {
    std::env::var(OWN_MOUNTS).ok()
}

/// Runs this test again as root of a mount namespace of its own, so that it may mount and nobody else sees it.
pub(crate) fn in_own_mounts(test: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-r", "-m"]).arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let output = command.env(OWN_MOUNTS, directory.path()).output().expect("`unshare` is there (package util-linux)");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "it ran no test: {said}");
}

/// Runs a mount command, inside [`in_own_mounts`].
pub(crate) fn mount(args: &[&str]) {
    let done = Command::new("mount").args(args).status().expect("`mount` is there (package mount)");
    assert!(done.success(), "mount {args:?} failed: the test needs user namespaces, or root");
}

const OWN_MOUNTS: &str = "FAILOVER_TEST_OWN_MOUNTS";
