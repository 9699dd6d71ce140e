//! A node's replicas, as its driver sees them: complete before the host is promoted, flushed after it is demoted.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all, select_all};
use tokio::sync::{mpsc, oneshot, watch};

use super::Replica;
use super::keeper::{self, Order};
use super::shared::{Shared, View};
use crate::backend::Backend;
use crate::error::Invalid;
use crate::machine::Standing;
use crate::right::Right;
use crate::time::Clock;
use crate::timing::Timing;

/// For how many ttls a promotion may stand still before it is given up.
const PATIENCE: u32 = 6;

/// All replicas of a node. Without any it does nothing and costs nothing.
#[derive(Clone)]
pub(crate) struct Replicas {
    all: Vec<Kept>,
    clock: Arc<dyn Clock>,
    patience: Duration,
}

#[derive(Clone)]
struct Kept {
    shared: Arc<Shared>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Replicas {
    /// Gives these replicas to a node, which runs the tasks.
    ///
    /// # Errors
    /// [`Invalid`] if two have the same name, or one was given to a node before; then none is given to this one.
    pub(crate) fn attach(
        replicas: &[Replica],
        backend: &Backend,
        clock: &Arc<dyn Clock>,
        timing: Timing,
    ) -> Result<(Self, Vec<BoxFuture<'static, ()>>), Invalid> {
        for (place, replica) in replicas.iter().enumerate() {
            if replicas.iter().take(place).any(|earlier| earlier.name() == replica.name()) {
                return Err(Invalid::new("replica", replica.name(), "a node's replicas must have different names"));
            }
        }
        let (mut all, mut tasks) = (Vec::<Kept>::new(), Vec::<BoxFuture<'static, ()>>::new());
        for replica in replicas {
            let shared = replica.shared().clone();
            if let Err(taken) = shared.attach(clock.clone()) {
                for earlier in &all {
                    earlier.shared.detach();
                }
                return Err(taken);
            }
            let (orders, inbox) = mpsc::unbounded_channel();
            tasks.push(Box::pin(keeper::keep(shared.clone(), backend.state.clone(), clock.clone(), timing, inbox)));
            all.push(Kept { shared, orders });
        }
        Ok((Self { all, clock: clock.clone(), patience: timing.ttl() * PATIENCE }, tasks))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Applies all that was acknowledged, so that the host can be promoted under this right.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(crate) async fn promote(&self, right: &Right) -> Result<(), String> {
        join_all(self.all.iter().map(|kept| self.promote_one(kept, right))).await.into_iter().collect()
    }

    async fn promote_one(&self, kept: &Kept, right: &Right) -> Result<(), String> {
        let (answer, mut answered) = oneshot::channel();
        let mut view = kept.shared.view();
        let mut steps = view.borrow().steps;
        // Fails only if the keeper has ended, and then the answer does not come either.
        let _ended = kept.orders.send(Order::Promote(right.clone(), answer));
        loop {
            let patience = self.clock.now() + self.patience;
            tokio::select! {
                biased;
                complete = &mut answered => return complete.unwrap_or_else(|_| Err("its replica has ended".to_owned())),
                Ok(further) = view.wait_for(|view| view.steps != steps) => steps = further.steps,
                () = self.clock.sleep_until(patience) => {
                    let (name, trouble) = (kept.shared.name(), kept.shared.trouble());
                    let trouble = trouble.map_or_else(String::new, |trouble| format!(": {trouble}"));
                    return Err(format!("replica `{name}` did not get any further for {:?}{trouble}", self.patience));
                }
            }
        }
    }

    /// Publishes what the host has asked for, and nothing from then on.
    pub(crate) async fn demote(&self) {
        join_all(self.all.iter().map(async |kept| {
            let (answer, answered) = oneshot::channel();
            let _ended = kept.orders.send(Order::Demote(answer));
            let _done = answered.await;
        }))
        .await;
    }

    /// Tells how far behind the node is, again and again.
    pub(crate) async fn watch(self, told: impl Fn(Standing)) {
        let view = |kept: &Kept| (kept.shared.view(), kept.shared.pace.period);
        let mut views: Vec<_> = self.all.iter().map(view).collect();
        loop {
            told(standing(&mut views));
            let changed = views.iter_mut().map(|(view, _)| Box::pin(view.changed()));
            let (_changed, _, _) = select_all(changed).await;
            // However fast records come, it is told at leisure.
            self.clock.sleep_until(self.clock.now() + Duration::from_millis(20)).await;
        }
    }
}

/// The worst of all copies.
fn standing(views: &mut [(watch::Receiver<View>, Duration)]) -> Standing {
    let mut worst: Option<Standing> = None;
    for (view, period) in views {
        let period = *period;
        let view = view.borrow_and_update();
        let this = Standing { records: view.records_behind(), complete_at: view.complete_at, period };
        worst = Some(worst.map_or(this, |worst| worst.or_worse(this)));
    }
    worst.unwrap_or_default()
}
