//! What each process records of its own work, moment by moment, in a file that survives its SIGKILL.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use failover::FencingToken;
use failover::time::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};

/// One moment of one piece of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Nanoseconds of the machine's clock, which all processes share.
    pub(crate) at: u64,
    pub(crate) process: u32,
    pub(crate) node: String,
    /// What was worked on, such as `job/report` or `active`.
    pub(crate) work: String,
    /// Under which fencing token.
    pub(crate) token: u64,
}

/// A journal being written.
pub(crate) struct Journal {
    node: String,
    file: Mutex<File>,
}

impl Journal {
    pub(crate) fn create(directory: &Path, node: &str) -> std::io::Result<Self> {
        let path = directory.join(format!("{node}-{}.journal", std::process::id()));
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { node: node.to_owned(), file: Mutex::new(file) })
    }

    /// Records that this process works at this very moment. One write, so that a SIGKILL leaves whole lines.
    pub(crate) fn mark(&self, token: &FencingToken) -> std::io::Result<()> {
        let at = SystemClock::new().now().as_nanos();
        let (process, node) = (std::process::id(), self.node.clone());
        let line = Line { at, process, node, work: token.name.clone(), token: token.number };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(text.as_bytes())
    }
}

/// Everything all processes have recorded, in order of time.
pub(crate) fn read_all(directory: &Path) -> std::io::Result<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "journal") {
            for line in std::fs::read_to_string(path)?.lines() {
                lines.push(serde_json::from_str(line)?);
            }
        }
    }
    lines.sort_by_key(|line| line.at);
    Ok(lines)
}
