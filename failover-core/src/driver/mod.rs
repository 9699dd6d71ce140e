//! The driver: the only place with timers and spawned tasks.
//!
//! ```text
//!   hints ──┐                                  ┌──▶ calls   (a task each, under a deadline)
//!   timer ──┼─▶ one task owns the machine ─────┼──▶ hooks   (one after another)
//!   host ───┤     handle(now, input)           ├──▶ jobs    (a task each)
//! outcomes ─┘                                  └──▶ rights, roles, events
//! ```
//!
//! It never waits inside a decision: everything it starts reports back as a message. It runs in the home of its backend, if that has one; hooks, jobs and what else is the
//! host's are started in the host's runtime.

mod bequest;
mod calls;
mod hints;
mod hooks;
mod host;
mod inbox;
mod jobs;
mod log;
mod outside;
mod pulse;
mod responses;
mod rights;
mod shared;
mod timer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use bequest::Bequeathing;
pub(crate) use calls::{bounded, lease as lease_call, operation, panic_text};
pub(crate) use hints::repeat;
pub use hooks::RoleHooks;
pub(crate) use hooks::{Hooks, NoHooks};
pub(crate) use host::Host;
pub(crate) use inbox::{Message, Nudges, Outbox};
pub(crate) use jobs::{Aftermath, Jobs, NoJobs};
pub use jobs::{JobHandler, JobRun};
pub(crate) use log::CallLog;
pub(crate) use outside::Outside;
pub(crate) use pulse::Pulse;
#[cfg(feature = "http")]
pub use responses::HttpAction;
use responses::Responses;
pub(crate) use responses::{Actions, check_within, named_actions};
pub use responses::{CommandAction, ResponseAction, ResponseRun};
pub(crate) use shared::Shared;
pub(crate) use timer::Timer;

use crate::backend::Backend;
use crate::error::Error;
use crate::heir::Heir;
use crate::ids::{LeaseName, Member};
use crate::lease::Renewed;
use crate::machine::{Effect, Fault, Finish, HostInput, Input, Machine, Reply};
use crate::replica::Replicas;
use crate::right::RightKeeper;
use crate::time::{Clock, Stamp, Time};
use crate::timing::Timing;

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) backend: Backend,
    /// Where the host's own code runs.
    pub(crate) host: Host,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timing: Timing,
    pub(crate) jobs: Arc<dyn JobHandler>,
    pub(crate) hooks: Arc<dyn RoleHooks>,
    pub(crate) replicas: Replicas,
    /// What keeps the replicas.
    pub(crate) keepers: Vec<BoxFuture<'static, ()>>,
    pub(crate) responses: Actions,
    pub(crate) shared: Arc<Shared>,
    /// What goes along with the node beside its decisions.
    pub(crate) companions: Vec<BoxFuture<'static, ()>>,
    /// Whom to ask whether this node is cut off, and whom to have a machine switched off by.
    pub(crate) outside: Outside,
    /// Who settles what the node leaves behind, if anybody does.
    pub(crate) heir: Option<Arc<dyn Heir>>,
    /// The host's signs of life, if it is watched.
    pub(crate) pulse: Option<Arc<Pulse>>,
    /// Where the configuration is kept, if it is.
    pub(crate) local: Option<PathBuf>,
    /// Fires when nobody holds the node's handle any more.
    pub(crate) abandoned: CancellationToken,
    /// To tell the companions that the node has finished in good order.
    pub(crate) closing: CancellationToken,
}

/// Runs `machine` until it is finished or abandoned. When this returns, nothing it started runs any more.
pub(crate) async fn run(machine: Machine, mut parts: Parts, outbox: Outbox, inbox: mpsc::UnboundedReceiver<Message>) {
    // Also if the runtime is shut down, or this panics: whoever waits for the end is told.
    let end = EndGuard(parts.shared.clone());
    let (abandoned, closing) = (parts.abandoned.clone(), parts.closing.clone());
    let ended = CancellationToken::new();
    parts.host.tether(&abandoned, ended.clone());
    let _ended = ended.drop_guard();
    let mut companions = JoinSet::new();
    for companion in parts.companions.drain(..) {
        parts.host.run(&mut companions, companion);
    }
    let local = parts.local.take().map(|path| (path, outbox.clone()));
    let mut driver = Driver::new(machine, parts, outbox, inbox);
    if let Some((path, outbox)) = local {
        companions.spawn(crate::local::keep(path, driver.kept.subscribe(), outbox));
    }
    let finish = tokio::select! {
        biased;
        () = abandoned.cancelled() => None,
        finish = driver.drive() => Some(finish),
    };
    let Driver { rights, mut tasks, clock, timing, kept, .. } = driver;
    // Their tokens fire first, so that what is about to be dropped may see why.
    drop(rights);
    // What is still to be kept on its own disk is the last.
    drop(kept);
    tasks.shutdown().await;
    if finish.is_some() {
        closing.cancel();
        tokio::select! {
            () = async { while companions.join_next().await.is_some() {} } => {}
            () = clock.sleep_until(clock.now() + timing.call()) => {}
        }
    }
    companions.shutdown().await;
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
    host: Host,
    member: Arc<Member>,
    clock: Arc<dyn Clock>,
    timing: Timing,
    /// Tells the listeners to hints how fast to be.
    beat: watch::Sender<Duration>,
    shared: Arc<Shared>,
    outbox: Outbox,
    inbox: mpsc::UnboundedReceiver<Message>,
    nudges: Arc<Nudges>,
    rights: BTreeMap<LeaseName, RightKeeper>,
    hooks: Hooks,
    jobs: Jobs,
    outside: Outside,
    bequeathing: Option<Bequeathing>,
    pulse: Option<Arc<Pulse>>,
    /// The last sign of life that the machine was told of.
    fed_at: Time,
    responses: Responses,
    /// The configuration that is to be kept.
    kept: watch::Sender<Vec<u8>>,
    log: CallLog,
    tasks: JoinSet<()>,
}

impl Driver {
    fn new(machine: Machine, parts: Parts, outbox: Outbox, inbox: mpsc::UnboundedReceiver<Message>) -> Self {
        let Parts {
            backend,
            host,
            clock,
            timing,
            jobs,
            hooks,
            responses,
            replicas,
            keepers,
            shared,
            outside,
            heir,
            pulse,
            ..
        } = parts;
        let kept = watch::Sender::new(Vec::new());
        let (backend, nudges) = (Arc::new(backend), Nudges::new());
        let mut tasks = JoinSet::new();
        let beat = watch::Sender::new(timing.beat());
        for hint in hints::all(machine.member()) {
            tasks.spawn(hints::listen(backend.clone(), clock.clone(), beat.subscribe(), hint, nudges.clone()));
        }
        for keeper in keepers {
            host.run(&mut tasks, keeper);
        }
        if !replicas.is_empty() {
            let nudges = nudges.clone();
            tasks.spawn(replicas.clone().watch(move |standing| nudges.replicated(standing)));
        }
        let bequeathing = heir.map(|heir| Bequeathing::new(heir, &machine));
        if let Some(bequeathing) = &bequeathing {
            tasks.spawn(bequeathing.watch(shared.clone()));
        }
        let aftermath = Aftermath { clock: clock.clone(), margin: timing.margin() };
        Self {
            member: Arc::new(machine.member().clone()),
            hooks: Hooks::new(hooks, replicas, clock.clone(), timing.ttl(), outbox.clone(), host.clone()),
            jobs: Jobs::new(jobs, outbox.clone(), nudges.clone(), aftermath, host.clone()),
            responses: Responses::new(responses, outbox.clone(), host.clone()),
            machine,
            backend,
            host,
            clock,
            timing,
            beat,
            shared,
            outbox,
            inbox,
            nudges,
            rights: BTreeMap::new(),
            outside,
            bequeathing,
            pulse,
            fed_at: Time::ZERO,
            kept,
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
            Message::HookEnded(answer) => {
                if answer == HostInput::Prepared {
                    self.shared.prepared();
                }
                self.hooks.ended(&mut self.tasks);
                Input::Host(answer)
            }
            Message::JobRunning(job, epoch) => Input::Host(HostInput::JobRunning { job, epoch }),
            Message::JobEnded(job, epoch, end) => {
                self.jobs.ended(&job, epoch);
                Input::Host(HostInput::JobEnded { job, epoch, end })
            }
            Message::Host(input) => Input::Host(input),
            // What it is told of before every input.
            Message::Fed => Input::Wake,
            Message::Responded { incident, action, attempt, outcome } => {
                Input::Host(HostInput::Responded { incident, action, attempt, outcome })
            }
            Message::Command(command) => Input::Command(command),
            #[cfg(feature = "http")]
            Message::Ping(answer) => {
                let _asker_is_gone = answer.send(());
                Input::Wake
            }
        }
    }

    /// Hands the machine what is due and then `input`, and does what it wants.
    fn take_in(&mut self, input: Input) -> Option<Finish> {
        // After a pause, what the clock says comes before what anybody else said meanwhile.
        let overdue = self.machine.deadline().is_some_and(|deadline| deadline <= self.clock.now());
        let wake = (overdue && input != Input::Wake).then_some(Input::Wake);
        let fed = self.sign_of_life();
        let mut effects = Vec::new();
        for input in fed.into_iter().chain(wake).chain([input]) {
            // Read before anything is sent: a right is counted from here (law 4).
            let now = self.clock.now();
            self.machine.set_wall(now, Stamp::now());
            self.machine.handle(now, input, &mut effects);
            self.shared.publish(self.machine.role(), self.machine.stage());
            self.keep_time();
            if let Some(bequeathing) = &mut self.bequeathing {
                bequeathing.tell(&self.machine);
            }
            for effect in effects.drain(..) {
                if let Some(finish) = self.perform(effect, now) {
                    return Some(finish);
                }
            }
        }
        if let Some(pulse) = self.pulse.as_ref().filter(|_| self.machine.is_hung()) {
            pulse.miss();
        }
        None
    }

    /// What the host's watchdog has to tell since the last time.
    fn sign_of_life(&mut self) -> Option<Input> {
        let fed_at = self.pulse.as_ref()?.fed_at();
        (std::mem::replace(&mut self.fed_at, fed_at) < fed_at).then_some(Input::Host(HostInput::Fed(fed_at)))
    }

    /// Is as fast as the machine.
    fn keep_time(&mut self) {
        let timing = *self.machine.timing();
        if timing != std::mem::replace(&mut self.timing, timing) {
            self.hooks.set_ttl(timing.ttl());
            self.jobs.set_margin(timing.margin());
            self.beat.send_replace(timing.beat());
        }
    }

    fn perform(&mut self, effect: Effect, now: Time) -> Option<Finish> {
        match effect {
            Effect::Call { id, call } if self.counts_as_lost(&call) => {
                let (operation, outcome) = (calls::operation(&call), Ok(Reply::Renewed(Renewed::Lost)));
                let _gone = self.outbox.send(Message::Outcome { id, operation, outcome });
            }
            Effect::Call { id, call } => {
                let (clock, deadline) = (self.clock.clone(), now + self.machine.call_deadline());
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
            Effect::AskWitness => {
                self.outside.ask(&self.clock, self.timing.call(), &self.outbox, &mut self.tasks);
            }
            Effect::SwitchOff { target, order, until } => {
                self.outside.switch_off((target, order, until), &self.clock, &self.outbox, &mut self.tasks);
            }
            Effect::CallOff { order } => self.outside.call_off(order),
            Effect::Respond { action, attempt, incident } => {
                let right = self.right(&LeaseName::active());
                self.responses.start(action, attempt, *incident, right, &mut self.tasks);
            }
            Effect::Keep { configuration } => drop(self.kept.send_replace(configuration)),
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
}
