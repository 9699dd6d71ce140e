//! The copy of the cluster's configuration on a node's own disk: what it starts with while the store is away.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use crate::control::Versioned;
use crate::driver::{Message, Outbox};
use crate::machine::{HostInput, Kept};
use crate::record;

/// What lies there: nothing, a configuration, or something that cannot be used.
pub(crate) fn read(path: &Path) -> Option<Kept> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(Kept::Unusable(format!("{}: {error}", path.display()))),
    };
    let what = path.display().to_string();
    Some(match record::decode::<Versioned>("start", &what, &bytes) {
        Ok(versioned) => Kept::Good(Box::new(versioned)),
        Err(error) => Kept::Unusable(error.to_string()),
    })
}

/// Writes the latest of what comes, one after another, and tells what cannot be written.
pub(crate) async fn keep(path: PathBuf, mut latest: watch::Receiver<Vec<u8>>, outbox: Outbox) {
    while latest.changed().await.is_ok() {
        let (path, bytes) = (path.clone(), latest.borrow_and_update().clone());
        let shown = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || write(&path, &bytes)).await;
        if let Ok(Err(error)) = written {
            let _gone = outbox.send(Message::Host(HostInput::NotKept(format!("{shown}: {error}"))));
        }
    }
}

/// Writes the file whole or not at all: whoever reads it finds the old one or the new one, also after a power cut.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?.to_string_lossy();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = directory.join(format!(".{name}.{}", std::process::id()));
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(directory)?.sync_all()
    });
    if written.is_err() {
        let _absent = fs::remove_file(&beside);
    }
    written
}
