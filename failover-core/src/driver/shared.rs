#[cfg(feature = "http")]
use std::net::SocketAddr;
#[cfg(feature = "http")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::events::{EventHub, Events};
#[cfg(feature = "http")]
use crate::gate::Refused;
use crate::health::Health;
use crate::heartbeat::Role;
use crate::ids::{Member, Term};
use crate::machine::{Event, Finish, Stage};
use crate::right::Right;

/// What a running node shows: written by its driver, read through its handles.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) member: Member,
    role: watch::Sender<Role>,
    stage: watch::Sender<Stage>,
    active: Mutex<Option<Right>>,
    finish: watch::Sender<Option<Finish>>,
    events: EventHub,
    /// What is wrong, as the host said it last.
    health: Mutex<Health>,
    prepared: AtomicBool,
    #[cfg(feature = "http")]
    health_at: OnceLock<SocketAddr>,
}

impl Shared {
    pub(crate) fn new(member: Member, role: Role, stage: Stage) -> Self {
        Self {
            events: EventHub::new(member.node.clone()),
            member,
            role: watch::Sender::new(role),
            stage: watch::Sender::new(stage),
            active: Mutex::new(None),
            finish: watch::Sender::new(None),
            health: Mutex::default(),
            prepared: AtomicBool::new(false),
            #[cfg(feature = "http")]
            health_at: OnceLock::new(),
        }
    }

    pub(crate) fn role(&self) -> Role {
        *self.role.borrow()
    }

    pub(crate) fn roles(&self) -> watch::Receiver<Role> {
        self.role.subscribe()
    }

    pub(crate) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// The right to be active, while the node is the active one and the right lasts.
    pub(crate) fn active(&self) -> Option<Right> {
        let right = self.active.lock().unwrap_or_else(PoisonError::into_inner).clone();
        right.filter(|right| self.role() == Role::Active && right.is_valid())
    }

    pub(super) fn prepared(&self) {
        self.prepared.store(true, Ordering::Relaxed);
    }

    /// Waits until the node is active under a later term than that, and gives the right to be. Cancel safe.
    pub(crate) async fn active_after(&self, last: Option<Term>) -> Right {
        let mut roles = self.roles();
        loop {
            roles.borrow_and_update();
            if let Some(right) = self.active().filter(|right| Some(right.lease().term) > last) {
                return right;
            }
            // The sender is a field of self.
            let _changed = roles.changed().await;
        }
    }

    pub(crate) fn listen(&self) -> Events {
        self.events.listen()
    }

    pub(crate) async fn finished(&self) -> Finish {
        let mut finish = self.finish.subscribe();
        let Ok(finish) = finish.wait_for(Option::is_some).await else { unreachable!("the sender is a field of self") };
        finish.unwrap_or(Finish::Abandoned)
    }

    /// What the host said of itself. Whoever changes it tells the machine before letting it go, so that both know the same order.
    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self, role: Role, stage: Stage) {
        self.stage.send_if_modified(|now| std::mem::replace(now, stage) != stage);
        self.role.send_if_modified(|now| std::mem::replace(now, role) != role);
    }

    pub(super) fn set_active(&self, right: Option<Right>) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = right;
    }

    pub(crate) fn tell(&self, event: Event) {
        self.events.tell(event);
    }

    /// The first end counts.
    pub(super) fn finish(&self, finish: Finish) {
        self.events.close();
        self.finish.send_if_modified(|now| now.is_none() && now.replace(finish).is_none());
    }
}

/// What its health endpoints ask.
#[cfg(feature = "http")]
impl Shared {
    /// The right to take work in as the active node, at this moment.
    pub(crate) fn serving(&self) -> Result<Right, Refused> {
        let right = self.active().ok_or(Refused::Passive)?;
        if right.is_stopping() { Err(Refused::Stopping) } else { Ok(right) }
    }

    /// Whether its `prepare` hook has returned.
    pub(crate) fn is_prepared(&self) -> bool {
        self.prepared.load(Ordering::Relaxed)
    }

    pub(crate) fn health_address(&self) -> Option<SocketAddr> {
        self.health_at.get().copied()
    }

    pub(crate) fn serves_health(&self, address: SocketAddr) {
        self.health_at.get_or_init(|| address);
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::ids::{Incarnation, LeaseName, NodeId};
    use crate::lease::Lease;
    use crate::right::RightKeeper;
    use crate::time::{Clock, ManualClock};

    #[test]
    fn whether_it_serves_is_a_comparison_with_the_clock_though_nobody_says_that_its_role_is_over() {
        let (clock, second) = (ManualClock::new(), Duration::from_secs(1));
        let member = Member::new(NodeId::new("a").unwrap(), Incarnation::from_u128(1));
        let lease = Lease { name: LeaseName::active(), holder: member.clone(), term: Term(7), ttl: second * 5 };
        let now = clock.now();
        let keeper = RightKeeper::new(lease, Arc::new(clock.clone()), now + second * 3, now + second * 4);
        let shared = Shared::new(member, Role::Active, Stage::Active);
        shared.set_active(Some(keeper.right()));
        assert!(shared.serving().is_ok());
        clock.advance(second * 4);
        assert_eq!((shared.serving().unwrap_err(), shared.role()), (Refused::Passive, Role::Active));

        keeper.extend(now + second * 6, now + second * 7);
        keeper.cancel();
        assert_eq!(shared.serving().unwrap_err(), Refused::Stopping, "it lasts, and no new work is let in");
    }
}
