//! [`Room`]: a server's directory, which goes with its value and also with the test's process.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::leash::Leash;

/// A temporary directory that every user may enter, because some servers refuse to run as root.
///
/// A value that is never dropped, as that of a `static` server, leaves nothing behind either: a shell waits for the end of
/// this process and removes the directory.
#[derive(Debug)]
pub struct Room {
    // In the order in which they are to go: the broom is not needed for what the directory's own value does.
    _broom: Leash,
    directory: TempDir,
}

impl Room {
    /// # Panics
    /// If no directory can be made, or no shell started.
    pub fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new().prefix(name).tempdir().expect("a temporary directory");
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("its rights can be set");
        // The server, killed at the same moment, may still write for a while.
        let sweep = r#"for i in 1 2 3 4 5; do rm -rf "$1" 2>/dev/null && [ ! -e "$1" ] && exit; sleep 1; done"#;
        let broom = Leash::new(sweep, &[directory.path().as_os_str()]).expect("a shell can be started");
        Self { _broom: broom, directory }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}
