//! What a command says of its progress: the lines of its standard output.

use std::io::Write as _;

use failover::JobRun;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::ChildStdout;

/// What is longer is several lines: more is not kept of it, and no line without end may fill the memory.
const LONGEST: u64 = 4096;

/// Tells each line as progress, and passes it on to standard error like the output of any other job.
pub(super) async fn relay(lines: ChildStdout, run: JobRun) {
    let mut lines = BufReader::new(lines);
    let mut line = Vec::new();
    while let Ok(1..) = (&mut lines).take(LONGEST).read_until(b'\n', &mut line).await {
        // Whoever does not read our standard error misses it.
        let _unread = std::io::stderr().lock().write_all(&line);
        run.progress(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}
