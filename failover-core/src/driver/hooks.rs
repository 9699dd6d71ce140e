//! The host's role hooks, run one after another.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::calls::panic_text;
use super::host::Host;
use super::inbox::{Message, Outbox};
use crate::machine::HostInput;
use crate::replica::Replicas;
use crate::right::Right;
use crate::time::Clock;

/// What a host does when its node's role changes. Each hook runs after the one before it has returned.
///
/// A panic is logged as an error. A `promote` that panics has refused: the node gives the role up, so that another can try, and its `demote` runs. Any
/// other hook that panics counts as returned.
#[async_trait]
pub trait RoleHooks: Send + Sync {
    /// Warms the node up, so that a later [`promote`](Self::promote) is quick. Runs before the first promotion at the latest, and as soon as the
    /// node is appointed standby. The node is not active until it has returned.
    async fn prepare(&self) {}

    /// The node holds the cluster's lease: start to act as the active node. The node decides for the cluster once this has returned;
    /// start what is to go on in tasks of your own, and stop them in [`demote`](Self::demote).
    ///
    /// Carry [`Right::token`] to every write. When [`Right::stopping`] fires, return soon; when the right is over before that,
    /// this future is dropped where it stands.
    async fn promote(&self, _right: Right) {}

    /// Stop to act as the active node. The lease is given to another only after this has returned (law 8), so return when nothing runs any
    /// more. One that has not returned a whole ttl after the right ended is dropped where it stands.
    async fn demote(&self) {}
}

/// For a host that only runs jobs.
pub(crate) struct NoHooks;

impl RoleHooks for NoHooks {}

/// Which hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HookKind {
    Prepare,
    Promote,
    Demote,
}

impl HookKind {
    /// What the machine is told when it has returned.
    pub(crate) fn answer(self) -> HostInput {
        match self {
            Self::Prepare => HostInput::Prepared,
            Self::Promote => HostInput::Promoted,
            Self::Demote => HostInput::Demoted,
        }
    }
}

#[derive(Debug)]
enum Hook {
    Prepare,
    /// Without a right if it is over already.
    Promote(Option<Right>),
    Demote,
}

/// The hooks that run or wait to.
pub(crate) struct Hooks {
    host: Arc<dyn RoleHooks>,
    replicas: Replicas,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    outbox: Outbox,
    runs_on: Host,
    /// Whether the right of the last promotion is over.
    over: bool,
    waiting: VecDeque<Hook>,
    running: Option<(HookKind, CancellationToken)>,
}

impl Hooks {
    pub(crate) fn new(
        host: Arc<dyn RoleHooks>,
        replicas: Replicas,
        clock: Arc<dyn Clock>,
        ttl: Duration,
        outbox: Outbox,
        runs_on: Host,
    ) -> Self {
        Self { host, replicas, clock, ttl, outbox, runs_on, over: true, waiting: VecDeque::new(), running: None }
    }

    /// How long a `demote` may go on after the right ended, for those that begin from now on.
    pub(crate) fn set_ttl(&mut self, ttl: Duration) {
        self.ttl = ttl;
    }

    pub(crate) fn prepare(&mut self, tasks: &mut JoinSet<()>) {
        self.add(Hook::Prepare, tasks);
    }

    pub(crate) fn promote(&mut self, right: Option<Right>, tasks: &mut JoinSet<()>) {
        self.over = false;
        self.add(Hook::Promote(right), tasks);
    }

    pub(crate) fn demote(&mut self, tasks: &mut JoinSet<()>) {
        self.add(Hook::Demote, tasks);
    }

    /// The right to act is over: a `promote` that still runs is dropped where it stands, a `demote` has one more ttl.
    pub(crate) fn cut(&mut self) {
        self.over = true;
        if let Some((HookKind::Promote | HookKind::Demote, cut)) = &self.running {
            cut.cancel();
        }
    }

    /// The running hook has returned: the next one may.
    pub(crate) fn ended(&mut self, tasks: &mut JoinSet<()>) {
        self.running = None;
        self.start(tasks);
    }

    fn add(&mut self, hook: Hook, tasks: &mut JoinSet<()>) {
        self.waiting.push_back(hook);
        self.start(tasks);
    }

    fn start(&mut self, tasks: &mut JoinSet<()>) {
        if self.running.is_some() {
            return;
        }
        let Some(hook) = self.waiting.pop_front() else { return };
        let cut = CancellationToken::new();
        let (host, clock, outbox) = (self.host.clone(), self.clock.clone(), self.outbox.clone());
        let replicas = self.replicas.clone();
        let (kind, ttl) = (hook.kind(), self.ttl);
        if self.over && kind == HookKind::Demote {
            cut.cancel();
        }
        self.running = Some((kind, cut.clone()));
        self.runs_on.run(tasks, async move {
            let mut refused = None;
            match hook {
                Hook::Prepare => drop(guarded(kind, host.prepare()).await),
                Hook::Promote(Some(right)) if right.is_valid() => {
                    let over = right.clone();
                    let promote = async {
                        replicas.promote(&right).await?;
                        guarded(kind, host.promote(right)).await
                    };
                    let over = async {
                        tokio::select! {
                            () = cut.cancelled() => {}
                            () = over.ended() => {}
                        }
                    };
                    tokio::select! {
                        promoted = promote => refused = promoted.err(),
                        () = over => warn!("the promote hook still ran when the right ended and was cut off"),
                    }
                }
                Hook::Promote(_) => warn!("the right ended before the promote hook could run, so it was left out"),
                Hook::Demote => {
                    let too_late = async {
                        cut.cancelled().await;
                        clock.sleep_until(clock.now() + ttl).await;
                    };
                    // The host's last words are published; then nothing more is.
                    let demote = async {
                        let _panicked = guarded(kind, host.demote()).await;
                        replicas.demote().await;
                    };
                    tokio::select! {
                        () = demote => {}
                        () = too_late => warn!("the demote hook still ran a whole ttl after the right ended and was cut off"),
                    }
                }
            }
            // Fails only when the driver is gone, and then nobody asks.
            let answer = refused.map_or_else(|| kind.answer(), |why| HostInput::PromotionRefused { why });
            let _gone = outbox.send(Message::HookEnded(answer));
        });
    }
}

impl Hook {
    fn kind(&self) -> HookKind {
        match self {
            Self::Prepare => HookKind::Prepare,
            Self::Promote(_) => HookKind::Promote,
            Self::Demote => HookKind::Demote,
        }
    }
}

/// Runs a hook to its end. A panic is told, and is an error to whoever cares.
async fn guarded(kind: HookKind, hook: impl Future<Output = ()> + Send) -> Result<(), String> {
    AssertUnwindSafe(hook).catch_unwind().await.map_err(|panic| {
        let panic = panic_text(&*panic);
        error!(?kind, panic, "a role hook panicked");
        format!("the host's hook panicked: {panic}")
    })
}
