//! The driver: the only place with timers and spawned tasks.
//!
//! ```text
//!   hints ──┐                                  ┌──▶ calls   (a task each, under a deadline)
//!   timer ──┼─▶ one task owns the machine ─────┼──▶ hooks   (one after another)
//!   host ───┤     handle(now, input)           ├──▶ jobs    (a task each)
//! outcomes ─┘                                  └──▶ rights, roles, events
//! ```
//!
//! It never waits inside a decision: everything it starts reports back as a message.

mod calls;
mod hints;
mod hooks;
mod inbox;
mod jobs;
mod log;
mod shared;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

pub(crate) use calls::{bounded, lease as lease_call, operation};
pub(crate) use hints::repeat;
pub use hooks::RoleHooks;
pub(crate) use hooks::{Hooks, NoHooks};
pub(crate) use inbox::{Message, Nudges, Outbox};
pub(crate) use jobs::{Aftermath, Jobs, NoJobs};
pub use jobs::{JobHandler, JobRun};
pub(crate) use log::CallLog;
pub(crate) use shared::Shared;

use crate::backend::Backend;
use crate::error::Error;
use crate::ids::{LeaseName, Member};
use crate::machine::{Effect, Fault, Finish, HostInput, Input, Machine};
use crate::right::{Right, RightKeeper};
use crate::time::{Clock, Time};
use crate::timing::Timing;

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) backend: Backend,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timing: Timing,
    pub(crate) jobs: Arc<dyn JobHandler>,
    pub(crate) hooks: Arc<dyn RoleHooks>,
    pub(crate) shared: Arc<Shared>,
    /// Fires when nobody holds the node's handle any more.
    pub(crate) abandoned: CancellationToken,
}

/// Runs `machine` until it is finished or abandoned. When this returns, nothing it started runs any more.
pub(crate) async fn run(machine: Machine, parts: Parts, outbox: Outbox, inbox: mpsc::UnboundedReceiver<Message>) {
    // Also if the runtime is shut down, or this panics: whoever waits for the end is told.
    let end = EndGuard(parts.shared.clone());
    let abandoned = parts.abandoned.clone();
    let mut driver = Driver::new(machine, parts, outbox, inbox);
    let finish = tokio::select! {
        biased;
        () = abandoned.cancelled() => None,
        finish = driver.drive() => Some(finish),
    };
    let Driver { rights, mut tasks, .. } = driver;
    // Their tokens fire first, so that what is about to be dropped may see why.
    drop(rights);
    tasks.shutdown().await;
    end.0.finish(finish.unwrap_or(Finish::Abandoned));
}

struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.finish(Finish::Abandoned);
    }
}

struct Driver {
    machine: Machine,
    backend: Arc<Backend>,
    member: Arc<Member>,
    clock: Arc<dyn Clock>,
    timing: Timing,
    shared: Arc<Shared>,
    outbox: Outbox,
    inbox: mpsc::UnboundedReceiver<Message>,
    nudges: Arc<Nudges>,
    rights: BTreeMap<LeaseName, RightKeeper>,
    hooks: Hooks,
    jobs: Jobs,
    log: CallLog,
    tasks: JoinSet<()>,
}

impl Driver {
    fn new(machine: Machine, parts: Parts, outbox: Outbox, inbox: mpsc::UnboundedReceiver<Message>) -> Self {
        let Parts { backend, clock, timing, jobs, hooks, shared, .. } = parts;
        let (backend, nudges) = (Arc::new(backend), Nudges::new());
        let mut tasks = JoinSet::new();
        for hint in hints::all(machine.member()) {
            tasks.spawn(hints::watch(backend.clone(), clock.clone(), timing, hint, nudges.clone()));
        }
        let aftermath = Aftermath { clock: clock.clone(), margin: timing.margin() };
        Self {
            member: Arc::new(machine.member().clone()),
            hooks: Hooks::new(hooks, clock.clone(), timing.ttl(), outbox.clone()),
            jobs: Jobs::new(jobs, outbox.clone(), nudges.clone(), aftermath),
            machine,
            backend,
            clock,
            timing,
            shared,
            outbox,
            inbox,
            nudges,
            rights: BTreeMap::new(),
            log: CallLog::default(),
            tasks,
        }
    }

    async fn drive(&mut self) -> Finish {
        let mut timer = Timer::new(self.clock.clone());
        let mut input = Input::Wake;
        loop {
            if let Some(finish) = self.take_in(input) {
                return finish;
            }
            while self.tasks.try_join_next().is_some() {}
            let deadline = self.machine.deadline();
            input = tokio::select! {
                biased;
                Some(message) = self.inbox.recv() => self.open(message),
                () = timer.until(deadline) => Input::Wake,
                input = self.nudges.next() => input,
            };
        }
    }

    /// What a message means to the machine.
    fn open(&mut self, message: Message) -> Input {
        match message {
            Message::Outcome { id, operation, outcome } => {
                self.log.note(operation, outcome.as_ref().err());
                Input::Outcome { id, outcome: outcome.map_err(|e: Error| Fault::from(e.kind())) }
            }
            Message::HookEnded(kind) => {
                self.hooks.ended(&mut self.tasks);
                Input::Host(kind.answer())
            }
            Message::JobRunning(job, epoch) => Input::Host(HostInput::JobRunning { job, epoch }),
            Message::JobEnded(job, epoch, end) => {
                self.jobs.ended(&job, epoch);
                Input::Host(HostInput::JobEnded { job, epoch, end })
            }
            Message::Command(command) => Input::Command(command),
        }
    }

    /// Hands the machine what is due and then `input`, and does what it wants.
    fn take_in(&mut self, input: Input) -> Option<Finish> {
        // After a pause, what the clock says comes before what anybody else said meanwhile.
        let overdue = self.machine.deadline().is_some_and(|deadline| deadline <= self.clock.now());
        let wake = (overdue && input != Input::Wake).then_some(Input::Wake);
        let mut effects = Vec::new();
        for input in wake.into_iter().chain([input]) {
            // Read before anything is sent: a right is counted from here (law 4).
            let now = self.clock.now();
            self.machine.handle(now, input, &mut effects);
            self.shared.publish(self.machine.role(), self.machine.stage());
            for effect in effects.drain(..) {
                if let Some(finish) = self.perform(effect, now) {
                    return Some(finish);
                }
            }
        }
        None
    }

    fn perform(&mut self, effect: Effect, now: Time) -> Option<Finish> {
        match effect {
            Effect::Call { id, call } => {
                let (clock, deadline) = (self.clock.clone(), now + self.timing.call());
                let (backend, member, outbox) = (self.backend.clone(), self.member.clone(), self.outbox.clone());
                self.tasks.spawn(async move {
                    let operation = calls::operation(&call);
                    let call = calls::make(backend, member, call);
                    let outcome = bounded(&*clock, deadline, operation, call).await;
                    let _gone = outbox.send(Message::Outcome { id, operation, outcome });
                });
            }
            Effect::Hold { lease, stop_at, ends_at } => {
                let name = lease.name.clone();
                match self.rights.get(&name).filter(|keeper| keeper.is_of(&lease)) {
                    Some(keeper) => keeper.extend(stop_at, ends_at),
                    None => self.hold(name, RightKeeper::new(lease, self.clock.clone(), stop_at, ends_at)),
                }
            }
            Effect::Cancel { name, reason } => {
                debug!(lease = %name, %reason, "work under the lease is told to stop");
                if self.is_own(&name) {
                    self.jobs.cancelled(reason);
                }
                if let Some(keeper) = self.rights.get(&name) {
                    keeper.cancel();
                }
            }
            Effect::Drop { name } => self.end(&name),
            Effect::Prepare => self.hooks.prepare(&mut self.tasks),
            Effect::Promote { lease } => {
                let right = self.rights.get(&lease.name).map(RightKeeper::right);
                self.hooks.promote(right, &mut self.tasks);
            }
            Effect::Demote => self.hooks.demote(&mut self.tasks),
            Effect::Start { job } => {
                let right = self.right(&LeaseName::node(&self.member.node));
                self.jobs.start(*job, right, &mut self.tasks);
            }
            Effect::Stop { job, epoch, reason } => self.jobs.stop(job, epoch, reason),
            Effect::Cut { job, epoch } => self.jobs.cut_off(job, epoch),
            Effect::Tell(event) => {
                info!(
                    event = %event.kind, node = %event.node, role = event.role.map(tracing::field::display),
                    job = event.job.as_ref().map(tracing::field::display), term = event.term.map(|t| t.0),
                    detail = event.detail.as_deref(), "{}", event.reason
                );
                self.shared.tell(event);
            }
            Effect::Finish(finish) => return Some(finish),
        }
        None
    }

    fn is_own(&self, name: &LeaseName) -> bool {
        *name == LeaseName::node(&self.member.node)
    }

    fn right(&self, name: &LeaseName) -> Option<Right> {
        self.rights.get(name).map(RightKeeper::right)
    }

    fn hold(&mut self, name: LeaseName, keeper: RightKeeper) {
        if name == LeaseName::active() {
            self.shared.set_active(Some(keeper.right()));
        }
        if let Some(earlier) = self.rights.insert(name, keeper) {
            earlier.end();
        }
    }

    fn end(&mut self, name: &LeaseName) {
        if let Some(keeper) = self.rights.remove(name) {
            keeper.end();
        }
        if *name == LeaseName::active() {
            self.shared.set_active(None);
            self.hooks.cut();
        }
        if self.is_own(name) {
            self.jobs.cut();
        }
    }
}

/// Sleeps until a moment, and goes on sleeping where it was when the moment is still the same.
pub(crate) struct Timer {
    clock: Arc<dyn Clock>,
    sleeping: Option<(Time, BoxFuture<'static, ()>)>,
}

impl Timer {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sleeping: None }
    }

    /// Cancel safe.
    pub(crate) async fn until(&mut self, at: Option<Time>) {
        let Some(at) = at else { return std::future::pending().await };
        if self.sleeping.as_ref().is_none_or(|(sleeping, _)| *sleeping != at) {
            let clock = self.clock.clone();
            self.sleeping = Some((at, Box::pin(async move { clock.sleep_until(at).await })));
        }
        if let Some((_, sleep)) = &mut self.sleeping {
            Pin::new(sleep).await;
        }
        self.sleeping = None;
    }
}
