//! What each server records of its gate, moment by moment, in a file that survives its SIGKILL.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use failover::Gate;
use failover::time::{Clock as _, SystemClock, Time};
use stage::Error;

/// By the machine's clock, which all processes share.
pub(crate) fn now() -> Time {
    SystemClock::new().now()
}

/// Records every moment at which a gate is open.
pub(crate) async fn record(gate: Gate, directory: &Path, name: &str) -> Result<(), Error> {
    let who = format!("{name}-{}", std::process::id());
    let mut file = File::create(directory.join(format!("{who}.journal")))?;
    let (mut ticks, mut last) = (tokio::time::interval(Duration::from_millis(10)), None);
    loop {
        ticks.tick().await;
        let at = now();
        let term = gate.admit().ok().map(|admission| admission.right().lease().term);
        // It was open a moment before and is a moment after, under the same term: so it was at this one.
        if let Some(term) = term.filter(|_| term == last) {
            // One write, so that a SIGKILL leaves whole lines.
            file.write_all(format!("{} {who} {term}\n", at.as_nanos()).as_bytes())?;
        }
        last = term;
    }
}

/// Who let users in under which term, moment by moment.
pub(crate) fn read_all(directory: &Path) -> Result<Vec<(String, i64)>, Error> {
    let mut moments: Vec<(u64, String, i64)> = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "journal") {
            for line in std::fs::read_to_string(path)?.lines() {
                let [at, who, term] = *line.split(' ').collect::<Vec<_>>() else { return Err(line.into()) };
                moments.push((at.parse()?, who.to_owned(), term.parse()?));
            }
        }
    }
    moments.sort_unstable();
    Ok(moments.into_iter().map(|(_, who, term)| (who, term)).collect())
}
