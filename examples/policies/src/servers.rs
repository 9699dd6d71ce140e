//! The servers, and what they do with a policy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use failover::machine::JobEnd;
use failover::memory::MemoryStore;
use failover::{JobHandler, JobRun, Node, NodeId, Timing};

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a server is like.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// How many policies it runs at most.
    pub(crate) capacity: u32,
    pub(crate) label: Option<(&'static str, &'static str)>,
}

/// Which policy runs where right now, by the policies' own word: two of one name at once are found out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Register(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    by_job: BTreeMap<String, String>,
    twice: Vec<String>,
}

impl Register {
    /// The policies that ran twice at once.
    pub(crate) fn twice(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).twice.clone()
    }

    fn enter(&self, job: &str, node: &str) -> Entered {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = running.by_job.insert(job.to_owned(), node.to_owned()) {
            running.twice.push(format!("{job} ran on {other} and on {node}"));
        }
        Entered { register: self.clone(), job: job.to_owned() }
    }
}

/// A policy that runs; when this is dropped, it does not any more, whatever ended it.
struct Entered {
    register: Register,
    job: String,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.register.0.lock().unwrap_or_else(PoisonError::into_inner).by_job.remove(&self.job);
    }
}

/// Runs a policy: works until it is told to stop, and says how far it has come.
struct Policies(Register);

#[async_trait::async_trait]
impl JobHandler for Policies {
    async fn run(&self, run: JobRun) -> JobEnd {
        let _entered = self.0.enter(run.spec().id().as_str(), run.right().lease().holder.node.as_str());
        let stop = run.stop();
        for step in 1.. {
            run.progress(format!("step {step}"));
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
        JobEnd::Stopped
    }
}

/// Starts a server.
pub(crate) fn start(server: &Server, store: &MemoryStore, register: &Register) -> Result<Node, Error> {
    // A heartbeat each 200 ms, a lease of a second: quick enough to watch.
    let timing = Timing::new(Duration::from_millis(200), Duration::from_secs(1))?;
    let mut builder = Node::builder(store.backend(), NodeId::new(server.name)?)
        .timing(timing)
        .capacity(server.capacity)
        .jobs(Policies(register.clone()));
    if let Some((name, value)) = server.label {
        builder = builder.label(name, value);
    }
    Ok(builder.start()?)
}
