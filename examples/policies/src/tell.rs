//! What is told to the reader, from what the library tells of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use failover::admin::{Admin, Outlook};
use failover::plan::State;
use failover::{JobId, NodeId};

use crate::servers::Error;

/// When a server counts as missing: its lease's length.
pub(crate) const MISSING: Duration = Duration::from_secs(1);

/// How long any step may take before the story is given up.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn heading(text: &str) {
    println!("\n== {text}");
}

/// How many policies run on each server, and which ones wait.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) running: BTreeMap<String, usize>,
    pub(crate) waiting: Vec<String>,
}

impl Picture {
    pub(crate) fn of(outlook: &Outlook) -> Self {
        let mut picture = Self::default();
        for record in &outlook.status().jobs {
            let id = record.spec.id();
            match outlook.explain(id).map(|explained| explained.state) {
                Some(State::Running { on }) => *picture.running.entry(on.to_string()).or_default() += 1,
                Some(State::Queued | State::Bound { .. }) => picture.waiting.push(id.to_string()),
                // On its way: neither here nor there.
                _ => {}
            }
        }
        picture
    }

    /// So many on each server and so many that wait.
    pub(crate) fn is(&self, running: &[(&str, usize)], waiting: usize) -> bool {
        let on = |server: &str| self.running.get(server).copied().unwrap_or(0);
        running.iter().all(|(server, jobs)| on(server) == *jobs) && self.waiting.len() == waiting
    }
}

/// Waits until the policies are spread like this, and says so.
pub(crate) async fn until(admin: &Admin, running: &[(&str, usize)], waiting: usize) -> Result<(), Error> {
    let wanted = async {
        loop {
            let picture = Picture::of(&admin.outlook(MISSING).await?);
            if picture.is(running, waiting) {
                return Ok::<_, Error>(picture);
            }
            // A hint makes this quicker; without any, it looks again all the same.
            let _hint = tokio::time::timeout(Duration::from_millis(100), admin.changed()).await;
        }
    };
    let Ok(picture) = tokio::time::timeout(PATIENCE, wanted).await else {
        let now = Picture::of(&admin.outlook(MISSING).await?);
        return Err(format!("wanted {running:?} and {waiting} that wait, but it is {now:?}").into());
    };
    let picture = picture?;
    for (server, jobs) in &picture.running {
        println!("   {server:<8} runs {jobs:>2} policies");
    }
    if !picture.waiting.is_empty() {
        println!("   {} wait: {}", picture.waiting.len(), picture.waiting.join(", "));
    }
    Ok(())
}

/// Why a policy is where it is, and why not elsewhere.
pub(crate) async fn why(admin: &Admin, job: &str) -> Result<(), Error> {
    let explained = admin.explain(&JobId::new(job)?, MISSING).await?.ok_or("there is no such policy")?;
    println!("   {job}: {}", explained.state);
    for (server, verdict) in &explained.verdicts {
        println!("     {:<8} {verdict}", NodeId::as_str(server));
    }
    Ok(())
}
