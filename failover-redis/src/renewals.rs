//! Renewals: alone, or in one call with all others that were asked for while a few were under way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failover_core::lease::Renewed;
use failover_core::{Error, ErrorKind, Lease, Result};
use tokio::sync::{Notify, oneshot};

use crate::call::args;
use crate::lease::{micros, patience};
use crate::store::Shared;

const OPERATION: &str = "renew";
/// So many calls are made at once, for one lease each; whoever comes then waits, and shares the next call with all who wait.
const MOST_CALLS: usize = 4;
/// So many calls are shared at once: one is at the server while the other is at its clients. More would only divide those who wait.
const MOST_SHARED: usize = 2;
/// For how many leases one call is made: few enough for a server that does nothing else meanwhile.
const MOST_LEASES: usize = 64;

/// The renewals of one handle that are under way, and those that wait.
#[derive(Default)]
pub(crate) struct Renewals {
    queue: Mutex<Queue>,
    /// Stirred when somebody who waits, or shares a call, gives up.
    given_up: Notify,
}

#[derive(Default)]
struct Queue {
    calls: usize,
    /// How many of the calls are shared. As long as any is, all who come wait for the next.
    shared: usize,
    waiting: VecDeque<(Lease, Tell)>,
}

type Tell = oneshot::Sender<Result<Renewed>>;

impl Renewals {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Extends a lease. Cancel safe in the sense of the traits: dropped, its outcome is unknown, and its connection is not used again.
    pub(crate) async fn renew(self: &Arc<Self>, lease: &Lease) -> Result<Renewed> {
        let told = {
            let mut queue = self.renewals.queue();
            if queue.calls < MOST_CALLS && queue.shared == 0 {
                queue.calls += 1;
                None
            } else {
                let (tell, told) = oneshot::channel();
                queue.waiting.push_back((lease.clone(), tell));
                Some(told)
            }
        };
        let Some(told) = told else {
            let _place = Place(self);
            return one(self.renew_all(std::slice::from_ref(lease)).await);
        };
        let mut patience = Patience { renewals: &self.renewals, ended: false };
        let within = self.options.timeout;
        let told = tokio::time::timeout(within, told).await;
        patience.ended = told.is_ok();
        match told {
            Ok(Ok(renewed)) => renewed,
            Ok(Err(_)) => Err(unknown("the runtime on which it was made has ended")),
            Err(_) => Err(unknown(&format!("no answer within {within:?} (`timeout` sets it)"))),
        }
    }

    async fn renew_all(&self, leases: &[Lease]) -> Result<Vec<Renewed>> {
        let mut all = Vec::with_capacity(5 * leases.len());
        let mut waits = Duration::MAX;
        for lease in leases {
            let seen = self.seen().term(&lease.name);
            all.extend(args![lease.name, seen, lease.holder, lease.term, micros(lease.ttl)]);
            waits = waits.min(patience(lease.ttl));
        }
        let mut reply = self.call(OPERATION, &self.scripts.renew, all, waits).await?;
        // Of all together.
        reply.text()?;
        let each = reply.bytes()?;
        if each.len() != leases.len() {
            return Err(reply.strange());
        }
        let renewed = |letter: u8| match letter {
            b'e' => Ok(Renewed::Extended),
            b'l' => Ok(Renewed::Lost),
            _ => Err(reply.strange()),
        };
        each.into_iter().map(renewed).collect()
    }
}

/// Of one who waits, or shares a call. Dropped before it has ended, it gives up.
struct Patience<'s> {
    renewals: &'s Renewals,
    ended: bool,
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.renewals.given_up.notify_waiters();
        }
    }
}

/// One of the calls that may be made at once, by whoever asked.
struct Place<'s>(&'s Arc<Shared>);

impl Drop for Place<'_> {
    /// It is left to those who wait.
    fn drop(&mut self) {
        let mut queue = self.0.renewals.queue();
        if queue.waiting.is_empty() || queue.shared == MOST_SHARED {
            queue.calls -= 1;
            return;
        }
        queue.shared += 1;
        drop(queue);
        let carrier = Carrier { shared: Arc::clone(self.0), over: false };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(carrier.carry());
        }
    }
}

/// The same, by a task, until nobody waits.
struct Carrier {
    shared: Arc<Shared>,
    over: bool,
}

impl Drop for Carrier {
    /// Not over, its runtime has ended.
    fn drop(&mut self) {
        if !self.over {
            let mut queue = self.shared.renewals.queue();
            queue.calls -= 1;
            queue.shared -= 1;
            if queue.calls == 0 {
                // Nobody would come for them: they learn of it.
                queue.waiting.clear();
            }
        }
    }
}

impl Carrier {
    async fn carry(mut self) {
        while let Some((leases, tells)) = self.next() {
            tokio::select! {
                done = self.shared.renew_all(&leases) => answer(&self.shared, &leases, tells, done).await,
                // As if all had: the connection is suspect, and the others are asked for again.
                () = self.shared.renewals.given_up.notified() => {
                    let mut queue = self.shared.renewals.queue();
                    leases.into_iter().zip(tells).rev().for_each(|again| queue.waiting.push_front(again));
                }
            }
            // Those who were told now may be about to ask for the next.
            tokio::task::yield_now().await;
        }
    }

    /// Those who wait, or so many of them; if there are none, this is over.
    fn next(&mut self) -> Option<(Vec<Lease>, Vec<Tell>)> {
        let mut queue = self.shared.renewals.queue();
        queue.waiting.retain(|(_, tell)| !tell.is_closed());
        self.over = queue.waiting.is_empty();
        if self.over {
            queue.calls -= 1;
            queue.shared -= 1;
            return None;
        }
        let most = queue.waiting.len().min(MOST_LEASES);
        Some(queue.waiting.drain(..most).unzip())
    }
}

async fn answer(shared: &Shared, leases: &[Lease], tells: Vec<Tell>, done: Result<Vec<Renewed>>) {
    // Whoever is told may have gone.
    match done {
        Ok(renewed) => tells.into_iter().zip(renewed).for_each(|(tell, renewed)| drop(tell.send(Ok(renewed)))),
        // One of the records is none, and nothing was written: it is not the fault of the others.
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::TooNew) && leases.len() > 1 => {
            for (lease, tell) in leases.iter().zip(tells) {
                drop(tell.send(one(shared.renew_all(std::slice::from_ref(lease)).await)));
            }
        }
        Err(error) => tells.into_iter().for_each(|tell| drop(tell.send(Err(error.clone())))),
    }
}

fn one(renewed: Result<Vec<Renewed>>) -> Result<Renewed> {
    renewed.map(|renewed| renewed.first().copied().unwrap_or(Renewed::Lost))
}

fn unknown(why: &str) -> Error {
    Error::new(ErrorKind::Unknown, OPERATION, format!("{why}: it may have been applied, and may be repeated"))
}
