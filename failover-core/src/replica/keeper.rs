//! The one task that has a replica's copy in its hands: it follows, until its node is to be promoted, and leads, until it is demoted.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, mpsc, oneshot};

use super::Follow;
use super::follow::{Local, Trouble};
use super::journal::{Fenced, Journal};
use super::lead::{self, Lead, Parting};
use super::publisher::Request;
use super::shared::{Pace, Shared};
use crate::driver::repeat;
use crate::right::Right;
use crate::state::StateStore;
use crate::time::Clock;
use crate::timing::Timing;

/// How many requests may wait. Whoever has more waits with them.
const WAITING: usize = 1024;

/// What a keeper is told.
pub(super) enum Order {
    /// Apply all that was acknowledged, and lead from then on. Answered once it is so, or with why it cannot be.
    Promote(Right, oneshot::Sender<Result<(), String>>),
    /// Publish what was asked for before, and follow again. Answered then.
    Demote(oneshot::Sender<()>),
}

pub(super) struct Keeper {
    local: Local,
    orders: mpsc::UnboundedReceiver<Order>,
    hints: Arc<Notify>,
}

/// Keeps a replica for as long as its node runs.
pub(super) async fn keep(
    shared: Arc<Shared>,
    state: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    timing: Timing,
    orders: mpsc::UnboundedReceiver<Order>,
) {
    let _end = End(shared.clone());
    let journal = Journal::new(state, shared.keys.clone(), clock.clone(), timing.call());
    let hints = Arc::new(Notify::new());
    let pace = shared.pace;
    let keeper = Keeper { local: Local::new(shared, journal.clone()), orders, hints: hints.clone() };
    let hinting = async {
        if pace.follow == Follow::Polled {
            return std::future::pending().await;
        }
        let wait = || async { journal.changed().await }.boxed();
        repeat(&*clock, pause(pace), pace.period, wait, || hints.notify_one()).await;
    };
    tokio::select! {
        () = keeper.run() => {}
        () = hinting => {}
    }
}

/// Between two hints: a storm of them costs a bounded number of reads, each of which reads all there is.
fn pause(pace: Pace) -> Duration {
    (pace.period / 50).min(Duration::from_millis(20))
}

/// Nothing follows any more, and nothing is published.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.open(None);
        self.0.change(|view| view.leads = false);
    }
}

impl Keeper {
    async fn run(mut self) {
        loop {
            let Some(order) = self.follow().await else { return };
            match order {
                Order::Promote(right, answer) => self.serve(right, answer).await,
                // It does not lead: there is nothing to end.
                Order::Demote(answer) => drop(answer.send(())),
            }
        }
    }

    /// Reads along until there is something else to do.
    async fn follow(&mut self) -> Option<Order> {
        let clock = self.local.journal.clock.clone();
        loop {
            let page = tokio::select! {
                biased;
                order = self.orders.recv() => return order,
                page = self.local.next() => page,
            };
            let more = match page {
                Ok(page) => self.local.take(page).await,
                Err(trouble) => Err(trouble),
            };
            if let Err(trouble) = &more {
                self.local.troubled(trouble);
            }
            if let Ok(true) = more {
                continue;
            }
            let again = clock.now() + self.local.shared.pace.period;
            tokio::select! {
                biased;
                order = self.orders.recv() => return order,
                // What is refused is not asked for more often because more of it comes.
                () = self.hints.notified(), if more.is_ok() => {}
                () = clock.sleep_until(again) => {}
            }
        }
    }

    /// Leads under this right, until it is demoted or the right is over.
    async fn serve(&mut self, right: Right, answer: oneshot::Sender<Result<(), String>>) {
        // Given up by whoever asked, before it came to this.
        if answer.is_closed() {
            return;
        }
        if let Err(why) = self.complete(&right).await {
            let _gone = answer.send(Err(why));
            return;
        }
        let (door, mut requests) = mpsc::channel(WAITING);
        self.local.shared.open(Some(door));
        self.local.shared.change(|view| view.leads = true);
        let demoted = match answer.send(Ok(())) {
            Ok(()) => self.lead(&right, &mut requests).await,
            Err(_) => None,
        };
        lead::refuse(&mut requests);
        self.local.shared.open(None);
        self.local.show(Some(self.local.journal.clock.now()));
        self.local.shared.change(|view| view.leads = false);
        if let Some(answer) = demoted {
            let _gone = answer.send(());
        }
    }

    /// Leads, and finds out where it is whenever it does not know: whom to tell in the end, if someone asked for the end.
    async fn lead(&mut self, right: &Right, requests: &mut mpsc::Receiver<Request>) -> Option<oneshot::Sender<()>> {
        loop {
            match Lead::new(&mut self.local, right).serve(requests, &mut self.orders).await {
                Parting::Demoted(answer) => return Some(answer),
                Parting::Over => return None,
                Parting::InDoubt => {}
            }
            while self.complete(right).await.is_err() {
                match self.orders.try_recv() {
                    Ok(Order::Demote(answer)) => return Some(answer),
                    Ok(Order::Promote(..)) | Err(_) if right.is_valid() => self.pause(right).await,
                    Ok(Order::Promote(..)) | Err(_) => return None,
                }
            }
        }
    }

    /// Raises the fence, so that no record of an earlier term comes any more, and applies all up to the end.
    async fn complete(&mut self, right: &Right) -> Result<(), String> {
        let trouble = loop {
            match self.try_complete(right).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Store(error)) if error.is_retryable() && right.is_valid() => {
                    self.local.troubled(&Trouble::Store(error));
                    self.pause(right).await;
                }
                Err(trouble) => break trouble,
            }
        };
        self.local.troubled(&trouble);
        Err(format!("replica `{}`: {trouble}", self.local.shared.name()))
    }

    async fn try_complete(&mut self, right: &Right) -> Result<(), Trouble> {
        if let Fenced::By(term) = self.local.journal.raise(right.lease()).await? {
            return Err(Trouble::Refused(format!("another node is active under term {}", term.0)));
        }
        while right.is_valid() {
            let page = self.local.next().await?;
            if !self.local.take(page).await? {
                return Ok(());
            }
        }
        Err(Trouble::Refused("the right ended before all was applied".to_owned()))
    }

    /// Between two attempts.
    async fn pause(&self, right: &Right) {
        let clock = &self.local.journal.clock;
        let wait = (self.local.shared.pace.period / 10).min(Duration::from_millis(200));
        clock.sleep_until((clock.now() + wait).min(right.ends_at())).await;
    }
}
