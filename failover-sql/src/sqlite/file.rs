//! The database file itself: whether it can be used at all, and whether it still is the one that was opened.
//!
//! Nothing here ever opens the file. POSIX locks belong to the process: closing any descriptor of a file drops all the locks
//! that `SQLite` holds on it (sqlite.org/howtocorrupt.html, 2.2). Only its metadata is looked at.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use failover_core::{Error, ErrorKind, Invalid, Result};

use super::options::SqliteOptions;

/// One file, not one name: another file under the same name is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64);

#[cfg(unix)]
fn id_of(metadata: &Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt;
    FileId(metadata.dev(), metadata.ino())
}

/// Elsewhere an open file can be neither deleted nor replaced, and the store's id tells the rest.
#[cfg(not(unix))]
fn id_of(_metadata: &Metadata) -> FileId {
    FileId(0, 0)
}

/// The file that was opened.
#[derive(Debug, Clone)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    id: FileId,
}

impl DatabaseFile {
    /// Remembers which file is at this path.
    pub(super) fn remember(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|e| unreadable(path, e))?;
        Ok(Self { path: path.to_owned(), id: id_of(&metadata) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails if the file was deleted or replaced since: what is written into it then, nobody else ever reads.
    pub(super) fn check(&self, operation: &'static str) -> Result<()> {
        let what = match std::fs::metadata(&self.path) {
            Ok(metadata) if id_of(&metadata) == self.id => return Ok(()),
            Ok(_) => "was replaced by another file",
            Err(e) if e.kind() == io::ErrorKind::NotFound => "was deleted",
            Err(e) => {
                let message = format!("{} cannot be looked at: restore access to it", self.path.display());
                return Err(Error::new(ErrorKind::Unavailable, operation, message).with_source(e));
            }
        };
        let message = format!(
            "{} {what} under this running node; nothing it says counts any more: restart the node, \
             with a term floor above every term that was in use",
            self.path.display()
        );
        Err(Error::new(ErrorKind::StoreChanged, operation, message))
    }

    /// Lets the watchers of all processes know that something has changed, by setting the file's times. See `watch`.
    #[cfg(target_os = "linux")]
    pub(super) fn touch(&self) {
        use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        // A hint: whoever misses it comes to know at its next look.
        if let Err(error) = utimensat(CWD, &self.path, &times, AtFlags::empty()) {
            tracing::debug!(%error, "the change hint was not given");
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn touch(&self) {}
}

/// Checks what can be checked before the database is opened, because it gives better errors, and makes the path absolute, so
/// that it means the same file wherever the process goes.
pub(super) fn prepare(options: &SqliteOptions) -> Result<PathBuf> {
    let given = options.path();
    let invalid = |rule: &str| Error::invalid("open", Invalid::new("path", given.display(), rule));
    let Some(name) = given.file_name() else { return Err(invalid("it must be the path of a file")) };
    let directory = match given.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = directory.canonicalize().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => invalid("its directory must exist: create it, or correct the path"),
        io::ErrorKind::NotADirectory => invalid("what it names as a directory must be one"),
        _ => unreadable(given, e),
    })?;
    let path = directory.join(name);
    if path.to_str().is_none() {
        return Err(invalid("it must be valid UTF-8"));
    }
    match std::fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() => return Err(invalid("it must be a file, not a directory or a device")),
        // Also for root, whom the system would let write: a mode without a write bit is somebody's word that nobody should.
        Ok(metadata) if metadata.permissions().readonly() => {
            return Err(denied(&path, "is read-only: make it writable (chmod u+w)"));
        }
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if !options.creates() {
                return Err(invalid("the file must exist, because `create` is false"));
            }
        }
        Err(e) => return Err(unreadable(&path, e)),
    }
    check_access(&path, &directory)?;
    Ok(path)
}

#[cfg(unix)]
fn check_access(path: &Path, directory: &Path) -> Result<()> {
    use rustix::fs::{Access, access};
    if access(directory, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Err(denied(directory, "must be writable: the database's -wal and -shm files are made beside it"));
    }
    match access(path, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(_) => Err(denied(path, "must be readable and writable by this process's user")),
    }
}

#[cfg(not(unix))]
fn check_access(_path: &Path, _directory: &Path) -> Result<()> {
    Ok(())
}

fn denied(path: &Path, rule: &str) -> Error {
    Error::new(ErrorKind::Denied, "open", format!("{} {rule}", path.display()))
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::NotFound => ErrorKind::StoreChanged,
        _ => ErrorKind::Unavailable,
    };
    let message = format!("{} cannot be looked at: check the path and its directory's rights", path.display());
    Error::new(kind, "open", message).with_source(error)
}
