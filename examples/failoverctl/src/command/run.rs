//! `run NAME --lease LEASE -- CMD…`: a command on exactly one of the machines that call this.

use failover::election::{Election, Leadership};
use failover::guard::{Attached, Guard};
use failover::lease::{LeaseView, Tenant};
use failover::machine::Reason;
use failover::{Backend, Heir as _, LeaseName, Term};
use tokio_util::sync::CancellationToken;

use crate::cli::{Global, RunArgs};
use crate::failure::{Failure, Status};
use crate::guard::{self, Cause, CommandLine, Ended, Exit, Output, adopt_orphans, spare};
use crate::output::{EventLine, Form, Show, now};
use crate::signals::Asked;
use crate::store::{self, Absent};

pub(crate) async fn run(global: &Global, args: &RunArgs, guard: Option<Guard>) -> Result<u8, Failure> {
    let timing = args.pace.timing()?;
    let lease = LeaseName::election(&args.lease)?;
    let asked = Asked::listen()?;
    adopt_orphans();

    let backend = store::open(global, Absent::Create).await?;
    let tell = Tell { form: Form::new(global.json), node: args.name.to_string(), lease: args.lease.clone() };
    tell_who_has_it(&backend, &lease, &tell).await;
    let mut election = Election::builder(backend.leases.clone(), &args.lease, args.name.clone())?.timing(timing);
    if let (Some(guard), Some(url)) = (&guard, &global.store) {
        spare(guard.id()).await;
        let attached = guard.attach(url, &global.cluster);
        tokio::spawn(tell.clone().when_gone(attached.clone()));
        election = election.guarded(attached);
    }
    let election = election.start()?;

    loop {
        let leadership = tokio::select! {
            leadership = election.campaign() => leadership?,
            () = asked.asked() => {
                tell.event("lease_given_up", None, "a signal ended the wait".into());
                return Ok(asked.status().unwrap_or(1));
            }
        };
        let term = leadership.right().lease().term;
        tell.event("lease_granted", Some(term), "the store granted the lease, so the command starts".into());
        let ended = command(global, args, &leadership, &asked).await;
        let lost = |reason: &str| tell.event("lease_lost", Some(term), reason.into());
        match ended {
            Ended::Ran(exit, cause) => {
                tell.event("command_ended", Some(term), exit.to_string());
                let finished = cause == Cause::Own || (cause == Cause::Asked && asked.status().is_some());
                if finished {
                    leadership.resign().await;
                    tell.event("lease_released", Some(term), "the command has ended and left nothing behind".into());
                    return Ok(status(exit));
                }
                lost("it could not be renewed in time, so the command was stopped; waiting for it anew");
            }
            Ended::Broken(text) if leadership.is_valid() => {
                leadership.resign().await;
                return Err(Failure::new(Status::Failed, format!("the command could not be run: {text}")));
            }
            Ended::Broken(text) => lost(&text),
        }
    }
}

/// Runs the command under the leadership, until it ends, a signal asks for its end, or the lease is lost.
async fn command(global: &Global, args: &RunArgs, leadership: &Leadership, asked: &Asked) -> Ended {
    let right = leadership.right().clone();
    let command = CommandLine {
        words: args.command.clone(),
        environment: vec![
            ("FAILOVER_CLUSTER", global.cluster.to_string()),
            ("FAILOVER_LEASE", args.lease.clone()),
            ("FAILOVER_NODE", args.name.to_string()),
            ("FAILOVER_TOKEN", right.token().number.to_string()),
        ],
        output: if global.json { Output::Stderr } else { Output::Stdout },
        grace: args.pace.grace(),
    };
    let stop: CancellationToken = asked.token().child_token();
    let stopping = right.stopping();
    let run = guard::run(command, right, stop.clone());
    tokio::pin!(run);
    tokio::select! {
        ended = &mut run => return ended,
        () = stopping.cancelled() => stop.cancel(),
    }
    run.await
}

/// The exit status by which shells know how a command ended.
fn status(exit: Exit) -> u8 {
    match exit {
        Exit::Code(code) => u8::try_from(code).unwrap_or(1),
        Exit::Signal(signal) => u8::try_from(128 + signal).unwrap_or(1),
    }
}

/// Says whom it waits for. Only for the reader: whether the store answers does not matter here.
async fn tell_who_has_it(backend: &Backend, lease: &LeaseName, tell: &Tell) {
    if let Ok(LeaseView { term, tenant: Tenant::Held { holder, .. } }) = backend.leases.current(lease).await {
        tell.event("lease_waiting", Some(term), format!("`{}` holds it", holder.node));
    }
}

/// Tells what happens: as JSON on standard output, or for people on standard error, since standard output is the command's.
#[derive(Clone)]
struct Tell {
    form: Form,
    node: String,
    lease: String,
}

impl Tell {
    /// Tells that the guard is gone, once it is.
    async fn when_gone(self, guard: Attached) {
        let why = guard.gone().await;
        self.event("guard_lost", None, format!("{} ({why})", Reason::GuardGone));
    }

    fn event(&self, event: &'static str, term: Option<Term>, reason: String) {
        let line = EventLine {
            at: now(),
            node: self.node.clone(),
            event,
            lease: Some(self.lease.clone()),
            term: term.map(|term| term.0),
            reason,
            by: self.node.clone(),
            ..EventLine::default()
        };
        match self.form {
            Form::Json => self.form.print(&line),
            Form::Human => eprintln!("{}", line.human()),
        }
    }
}
