//! One campaign, from the first question to the end of the leadership it may win: a task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::{Election, Leadership};
use crate::driver::{CallLog, Host, Timer, bounded, lease_call, operation, repeat};
use crate::error::{Error, ErrorKind, Result};
use crate::heir::{Estate, Heir};
use crate::ids::{Member, NodeId, Term};
use crate::lease::LeaseManager;
use crate::machine::claim::{Claim, ClaimEvent, Ticket};
use crate::machine::{Call, Fault, Reply};
use crate::right::RightKeeper;
use crate::time::{Clock, Time};
use crate::timing::Timing;

/// What the holder of a [`Leadership`] wants: to give it up.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) successor: Option<NodeId>,
    /// Told when the store knows.
    pub(super) done: oneshot::Sender<()>,
}

type Grant = oneshot::Sender<Result<Leadership>>;

struct Outcome {
    ticket: Ticket,
    sent: Time,
    operation: &'static str,
    reply: Result<Reply>,
}

/// How far the campaign is.
enum Course {
    Seeking(Grant),
    /// Nobody waits for it any more, but a call is under way that may still be granted.
    Withdrawn,
    Leading {
        keeper: RightKeeper,
        orders: mpsc::UnboundedReceiver<Order>,
    },
    /// Its holder dropped it: it is not renewed, and ends by time.
    Lapsing(RightKeeper),
    /// It is being given back; whoever asked for that may wait.
    Resigning(Option<oneshot::Sender<()>>),
    Over,
}

/// What happened while it waited.
enum News {
    Outcome(Outcome),
    Order(Option<Order>),
    Unwanted,
    Hint,
    Due,
}

pub(super) struct Campaign {
    leases: Arc<dyn LeaseManager>,
    clock: Arc<dyn Clock>,
    timing: Timing,
    member: Arc<Member>,
    highest: Arc<AtomicU64>,
    claim: Claim,
    calls: JoinSet<Outcome>,
    log: CallLog,
    course: Course,
    heir: Option<Arc<dyn Heir>>,
    /// What the heir was told last.
    told: Estate,
    /// Where the work under the leadership runs.
    host: Host,
}

impl Campaign {
    pub(super) fn new(election: &Election, member: Member, host: Host) -> Self {
        Self {
            leases: election.leases.clone(),
            clock: election.clock.clone(),
            timing: election.timing,
            claim: Claim::new(election.name.clone(), member.clone(), election.timing),
            told: Estate::empty(member.clone()),
            heir: election.heir.clone(),
            host,
            member: Arc::new(member),
            highest: election.highest.clone(),
            calls: JoinSet::new(),
            log: CallLog::default(),
            course: Course::Over,
        }
    }

    /// Runs it to its end. The calls that are still under way then are dropped with it.
    pub(super) async fn run(mut self, grant: Grant) {
        let (leases, clock, name) = (self.leases.clone(), self.clock.clone(), self.claim.name().clone());
        let (hinted, beat) = (Notify::new(), self.timing.beat());
        let listen = || leases.changed(&name).boxed();
        let mut hints = std::pin::pin!(repeat(&*clock, beat / 50, beat, listen, || hinted.notify_one()));
        let mut timer = Timer::new(clock.clone());

        self.course = Course::Seeking(grant);
        self.claim.seek(clock.now());
        loop {
            // Read before anything is sent: a right is counted from here (law 4).
            let now = clock.now();
            while let Some(event) = self.claim.expire(now) {
                self.take_in(now, event);
            }
            self.bequeath();
            if self.is_over() {
                return;
            }
            if !matches!(self.course, Course::Withdrawn) {
                while let Some((ticket, call)) = self.claim.poll(now) {
                    self.send(now, ticket, call);
                }
            }
            let deadline = self.claim.deadline();
            let Self { calls, course, .. } = &mut self;
            let seeking = matches!(course, Course::Seeking(_));
            let news = tokio::select! {
                biased;
                // A panic of the backend is caught below, so a task that cannot be joined is none.
                Some(Ok(outcome)) = calls.join_next() => News::Outcome(outcome),
                news = course.heard() => news,
                () = timer.until(deadline) => News::Due,
                () = hinted.notified(), if seeking => News::Hint,
                () = &mut hints, if seeking => News::Hint,
            };
            self.on_news(news);
        }
    }

    fn on_news(&mut self, news: News) {
        let now = self.clock.now();
        match news {
            News::Outcome(outcome) => self.on_outcome(now, outcome),
            News::Order(Some(Order { successor, done })) => {
                self.end_right();
                self.claim.release(now, successor);
                self.course = Course::Resigning(Some(done));
            }
            News::Order(None) => {
                if let Course::Leading { keeper, .. } = std::mem::replace(&mut self.course, Course::Over) {
                    debug!(lease = %self.claim.name(), "the leadership was dropped, so it is renewed no more");
                    keeper.cancel();
                    self.claim.stop_renewing();
                    self.course = Course::Lapsing(keeper);
                }
            }
            News::Unwanted => self.course = Course::Withdrawn,
            News::Hint => self.claim.hint(now),
            News::Due => {}
        }
    }

    /// Tells the heir what this campaign leaves behind, if that is another than before.
    fn bequeath(&mut self) {
        let Some(heir) = &self.heir else { return };
        let bequests =
            if matches!(self.course, Course::Over) { Vec::new() } else { Vec::from_iter(self.claim.bequest()) };
        if bequests != self.told.bequests {
            self.told.bequests = bequests;
            heir.inherit(&self.told);
        }
    }

    fn on_outcome(&mut self, now: Time, outcome: Outcome) {
        let Outcome { ticket, sent, operation, reply } = outcome;
        self.log.note(operation, reply.as_ref().err());
        // What the clock says comes before what anybody else said meanwhile.
        while let Some(event) = self.claim.expire(now) {
            self.take_in(now, event);
        }
        if let Err(error) = &reply
            && (error.kind() == ErrorKind::StoreChanged
                || matches!(self.course, Course::Seeking(_)) && !error.is_retryable())
        {
            return self.fail(error.clone());
        }
        let outcome = reply.map_err(|error| Fault::from(error.kind()));
        if let Some(event) = self.claim.outcome(now, sent, ticket, &outcome) {
            self.take_in(now, event);
        }
    }

    fn take_in(&mut self, now: Time, event: ClaimEvent) {
        match event {
            ClaimEvent::Held { lease, stop_at, ends_at } => match &self.course {
                // The work was told to stop by its host's own clock, while this task stood still.
                Course::Leading { keeper, .. } | Course::Lapsing(keeper) if keeper.was_told() => self.end_right(),
                Course::Leading { keeper, .. } | Course::Lapsing(keeper) => keeper.extend(stop_at, ends_at),
                Course::Seeking(_) if !self.grows(lease.term) => self.fail(self.regressed()),
                Course::Seeking(_) => {
                    let keeper = RightKeeper::new(lease, self.clock.clone(), stop_at, ends_at);
                    self.lead(now, keeper);
                }
                Course::Withdrawn => self.give_back(now),
                Course::Resigning(_) | Course::Over => {}
            },
            ClaimEvent::Refused(view) => {
                if view.term < self.highest() {
                    self.fail(self.regressed());
                }
            }
            ClaimEvent::Ending => match &self.course {
                Course::Leading { keeper, .. } | Course::Lapsing(keeper) => {
                    warn!(lease = %self.claim.name(), "the lease could not be renewed in time: work under it is told to stop");
                    keeper.cancel();
                }
                Course::Seeking(_) | Course::Withdrawn | Course::Resigning(_) | Course::Over => {}
            },
            ClaimEvent::Ended | ClaimEvent::Lost => {
                info!(lease = %self.claim.name(), "leads no more");
                self.end_right();
            }
            ClaimEvent::Released => {
                if let Course::Resigning(Some(done)) = std::mem::replace(&mut self.course, Course::Over) {
                    // Whoever asked may have stopped waiting.
                    let _gone = done.send(());
                }
            }
            ClaimEvent::Regressed => self.fail(self.regressed()),
        }
    }

    /// Hands the leadership to whoever waits for it.
    fn lead(&mut self, now: Time, keeper: RightKeeper) {
        let Course::Seeking(grant) = std::mem::replace(&mut self.course, Course::Over) else { return };
        let (send_orders, orders) = mpsc::unbounded_channel();
        let right = keeper.right();
        self.host.guard(right.clone());
        info!(lease = %self.claim.name(), token = right.token().number, "leads");
        match grant.send(Ok(Leadership { right, orders: send_orders })) {
            Ok(()) => self.course = Course::Leading { keeper, orders },
            // Nothing ever ran under it.
            Err(_) => self.give_back(now),
        }
    }

    fn give_back(&mut self, now: Time) {
        self.claim.release(now, None);
        self.course = Course::Resigning(None);
    }

    /// The right is over: its token fires first.
    fn end_right(&mut self) {
        match std::mem::replace(&mut self.course, Course::Over) {
            Course::Leading { keeper, .. } | Course::Lapsing(keeper) => {
                keeper.cancel();
                keeper.end();
            }
            Course::Seeking(_) | Course::Withdrawn | Course::Resigning(_) | Course::Over => {}
        }
    }

    /// What waiting does not mend: one that seeks is told, one that leads fails closed.
    fn fail(&mut self, error: Error) {
        match std::mem::replace(&mut self.course, Course::Over) {
            // Whoever waited may have gone.
            Course::Seeking(grant) => drop(grant.send(Err(error))),
            leads => {
                self.course = leads;
                self.end_right();
            }
        }
    }

    fn is_over(&self) -> bool {
        match self.course {
            Course::Over => true,
            Course::Withdrawn => self.calls.is_empty(),
            Course::Seeking(_) | Course::Leading { .. } | Course::Lapsing(_) | Course::Resigning(_) => false,
        }
    }

    fn send(&mut self, sent: Time, ticket: Ticket, call: Call) {
        let (leases, clock, member) = (self.leases.clone(), self.clock.clone(), self.member.clone());
        let deadline = sent + self.timing.call();
        self.calls.spawn(async move {
            let operation = operation(&call);
            let reply = bounded(&*clock, deadline, operation, lease_call(&*leases, &member, call)).await;
            Outcome { ticket, sent, operation, reply }
        });
    }

    fn highest(&self) -> Term {
        Term(self.highest.load(Ordering::Acquire))
    }

    /// Whether `term` is higher than every one this election has led under, and remembers it.
    fn grows(&self, term: Term) -> bool {
        self.highest.fetch_max(term.0, Ordering::AcqRel) < term.0
    }

    fn regressed(&self) -> Error {
        let message = format!(
            "the store tells a lower term for {} than {} before: it was restored or replaced; open it anew with a higher floor",
            self.claim.name(),
            self.highest()
        );
        Error::new(ErrorKind::StoreChanged, "acquire", message)
    }
}

impl Course {
    /// Waits for what whoever started it has to say. Cancel safe.
    async fn heard(&mut self) -> News {
        match self {
            Self::Seeking(grant) => {
                grant.closed().await;
                News::Unwanted
            }
            Self::Leading { orders, .. } => News::Order(orders.recv().await),
            Self::Withdrawn | Self::Lapsing(_) | Self::Resigning(_) | Self::Over => std::future::pending().await,
        }
    }
}
