use std::sync::Arc;
use std::time::Duration;

use super::super::sim::Rng;
use crate::ids::{Incarnation, LeaseName, Member, NodeId};
use crate::lease::{Acquired, Lease, LeaseManager};
use crate::time::{Clock, SystemClock};

/// A short play of several clients around one lease, by chance: they acquire, renew, give back, give on, look, repeat old calls,
/// start anew, and rest for less or longer than the ttl. On the machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct Play {
    /// What chance does.
    pub seed: u64,
    /// Of the lease.
    pub ttl: Duration,
    /// Of each client.
    pub calls: u32,
    /// After which a client gives a call up; its outcome is unknown then.
    pub deadline: Duration,
}

impl Play {
    /// Plays it to its end, with one client for each of these; they should be [wrapped](super::History::wrap).
    ///
    /// # Panics
    /// If `lease` is not a valid name.
    pub async fn run(self, lease: &str, clients: Vec<Arc<dyn LeaseManager>>) {
        let name = LeaseName::new(lease).unwrap_or_else(|e| panic!("{e}"));
        let mut tasks = tokio::task::JoinSet::new();
        for (number, leases) in clients.into_iter().enumerate() {
            let rng = Rng::new(self.seed.wrapping_mul(1000).wrapping_add(number as u64));
            tasks.spawn(Client { play: self, name: name.clone(), number, leases, rng, leases_had: Vec::new() }.run());
        }
        tasks.join_all().await;
    }
}

struct Client {
    play: Play,
    name: LeaseName,
    number: usize,
    leases: Arc<dyn LeaseManager>,
    rng: Rng,
    /// The latest last; earlier ones are good for replays.
    leases_had: Vec<Lease>,
}

impl Client {
    async fn run(mut self) {
        let mut start = 1;
        for _ in 0..self.play.calls {
            let member = Member::new(node(self.number), Incarnation::from_u128(start));
            self.rest().await;
            match self.rng.below(16) {
                0..6 => {
                    let asked = self.leases.acquire(&self.name, &member, self.play.ttl);
                    if let Some(Ok(Acquired::Granted(lease))) = self.bounded(asked).await {
                        self.leases_had.retain(|had| *had != lease);
                        self.leases_had.push(lease);
                    }
                }
                6..9 => self.renew(0).await,
                9 => self.renew(1).await,
                10 => self.release(0, None).await,
                11 => {
                    let successor = node(self.rng.index(3));
                    self.release(0, Some(successor)).await;
                }
                12 => self.release(1, None).await,
                13 => start += 1,
                _ => drop(self.bounded(self.leases.current(&self.name)).await),
            }
        }
    }

    /// Mostly short, so that calls meet, and at times long enough for the lease to lapse.
    async fn rest(&mut self) {
        let ttl = self.play.ttl;
        let (least, most) = match self.rng.below(10) {
            0 => (ttl, ttl + ttl / 3),
            1 | 2 => (ttl / 10, ttl / 2),
            _ => (Duration::ZERO, ttl / 20),
        };
        let clock = SystemClock::new();
        clock.sleep_until(clock.now() + self.rng.between(least, most)).await;
    }

    /// The lease it had last, or the one before.
    fn had(&self, back: usize) -> Option<Lease> {
        self.leases_had.iter().rev().nth(back).cloned()
    }

    async fn renew(&self, back: usize) {
        if let Some(lease) = self.had(back) {
            drop(self.bounded(self.leases.renew(&lease)).await);
        }
    }

    async fn release(&self, back: usize, successor: Option<NodeId>) {
        if let Some(lease) = self.had(back) {
            drop(self.bounded(self.leases.release(&lease, successor.as_ref())).await);
        }
    }

    async fn bounded<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let clock = SystemClock::new();
        let give_up = clock.now() + self.play.deadline;
        tokio::select! {
            biased;
            answer = call => Some(answer),
            () = clock.sleep_until(give_up) => None,
        }
    }
}

fn node(number: usize) -> NodeId {
    NodeId::new(format!("n{number}")).unwrap_or_else(|e| unreachable!("{e}"))
}
