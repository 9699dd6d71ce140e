use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::events::{EventHub, Events};
use crate::heartbeat::Role;
use crate::ids::Member;
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

    pub(crate) fn listen(&self) -> Events {
        self.events.listen()
    }

    pub(crate) async fn finished(&self) -> Finish {
        let mut finish = self.finish.subscribe();
        let Ok(finish) = finish.wait_for(Option::is_some).await else { unreachable!("the sender is a field of self") };
        finish.unwrap_or(Finish::Abandoned)
    }

    pub(super) fn publish(&self, role: Role, stage: Stage) {
        self.stage.send_if_modified(|now| std::mem::replace(now, stage) != stage);
        self.role.send_if_modified(|now| std::mem::replace(now, role) != role);
    }

    pub(super) fn set_active(&self, right: Option<Right>) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = right;
    }

    pub(super) fn tell(&self, event: Event) {
        self.events.tell(event);
    }

    /// The first end counts.
    pub(super) fn finish(&self, finish: Finish) {
        self.events.close();
        self.finish.send_if_modified(|now| now.is_none() && now.replace(finish).is_none());
    }
}
