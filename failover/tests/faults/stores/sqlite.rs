use tempfile::TempDir;

use super::Store;

/// A file. There is no server and no connection, so only processes and the data can fail.
pub(crate) struct Sqlite(TempDir);

impl Store for Sqlite {
    fn start() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.0.path().join("store.db").display())
    }

    fn wipe(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let path = self.0.path().join(format!("store.db{suffix}"));
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{}: {e}", path.display()),
                _ => {}
            }
        }
    }
}
