//! [`Room`]: a server's directory, which goes with its value and also with the test's process.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A temporary directory that every user may enter, because some servers refuse to run as root.
///
/// A value that is never dropped, as that of a `static` server, leaves nothing behind either: a shell waits for the end of
/// this process and removes the directory.
#[derive(Debug)]
pub struct Room {
    directory: TempDir,
    broom: Child,
}

impl Room {
    /// # Panics
    /// If no directory can be made, or no shell started.
    pub fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new().prefix(name).tempdir().expect("a temporary directory");
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("its rights can be set");
        // The server, killed at the same moment, may still write for a while.
        let sweep =
            r#"cat >/dev/null; for i in 1 2 3 4 5; do rm -rf "$0" 2>/dev/null && [ ! -e "$0" ] && exit; sleep 1; done"#;
        let broom = Command::new("sh")
            .args(["-c", sweep])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell can be started");
        Self { directory, broom }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // The directory is removed by its own value, right after this.
        let _gone = self.broom.kill();
        let _status = self.broom.wait();
    }
}
