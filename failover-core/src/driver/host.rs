//! Where the host's own code runs: the runtime in which the node was started, which need not be the driver's.

use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::home::Home;
use crate::right::Right;

/// The host's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    handle: Handle,
    /// Whether the driver runs elsewhere.
    apart: bool,
}

impl Host {
    /// The runtime behind this handle, for a driver that runs in `home`, or there if it has none.
    pub(crate) fn new(handle: Handle, home: Option<&Home>) -> Self {
        Self { handle, apart: home.is_some_and(|home| !home.is_here()) }
    }

    /// Starts a task of the host's.
    pub(crate) fn run(&self, tasks: &mut JoinSet<()>, task: impl Future<Output = ()> + Send + 'static) {
        tasks.spawn_on(task, &self.handle);
    }

    /// Asks the host's code something. Dropped, it is dropped too; a panic is passed on; if the host's runtime is gone, no answer comes.
    pub(crate) async fn ask<T: Send + 'static>(&self, question: impl Future<Output = T> + Send + 'static) -> T {
        if !self.apart {
            return question.await;
        }
        match AbortOnDropHandle::new(self.handle.spawn(question)).await {
            Ok(answer) => answer,
            Err(broken) => match broken.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_gone) => std::future::pending().await,
            },
        }
    }

    /// Has the deadline of a right kept a second time, by the host's runtime, so that it does not depend on the driver's.
    pub(crate) fn guard(&self, right: Right) {
        if self.apart {
            drop(self.handle.spawn(right.keep_deadline()));
        }
    }

    /// Fires `abandoned` if the host's runtime is shut down before the driver has `ended`: whoever works for it is gone then.
    pub(crate) fn tether(&self, abandoned: &CancellationToken, ended: CancellationToken) {
        if self.apart {
            let gone = abandoned.clone().drop_guard();
            drop(self.handle.spawn(async move {
                let _gone = gone;
                ended.cancelled().await;
            }));
        }
    }
}
