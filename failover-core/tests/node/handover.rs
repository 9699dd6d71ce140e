//! No planned hand-over waits for a timeout, whatever else is under way; and where a call is lost, what it costs at most.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use failover_core::control::SwitchPhase;
use failover_core::incident::Deed;
use failover_core::lease::Tenant;
use failover_core::machine::{EventKind, Finish};
use failover_core::memory::MemoryStore;
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::time::Clock;
use failover_core::{Lease, LeaseName, Result, Role, StateKey, StateStore, Timing};

use crate::support::{Mishap, Unruly, pass, settle, until};
use crate::world::{BEAT, LONG, TTL, World};

/// The deadline of a call, which none of these may come near.
fn call() -> Duration {
    Timing::new(BEAT, TTL).unwrap().call()
}

/// Waits until so many renewals more have been sent.
async fn renewals(world: &World, leases: &Unruly, more: usize) {
    let upto = leases.calls("renew") + more;
    until(&world.clock, BEAT * 3, async {
        while leases.calls("renew") < upto {
            settle().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_switchover_passes_renewals_that_hang() {
    for mishap in [Mishap::Hang, Mishap::LoseReply] {
        let world = World::new();
        let (leases, backend) = world.unruly();
        let a = world.node_on(backend, "a").start().unwrap();
        world.role(&a, Role::Active).await;
        let b = world.node("b").start().unwrap();
        world.role(&b, Role::Standby).await;
        // One of each of its leases.
        leases.once("renew", mishap);
        leases.once("renew", mishap);
        renewals(&world, &leases, 2).await;

        let asked = world.clock.now();
        until(&world.clock, LONG, world.admin.switchover(None, LONG)).await.unwrap();
        let took = world.clock.now().since(asked);
        assert!(took < call() / 2 && b.active().is_some(), "{mishap:?}: it took {took:?}");
    }
}

#[tokio::test]
async fn a_release_that_is_lost_is_made_again_after_a_calls_deadline() {
    let world = World::new();
    let (leases, backend) = world.unruly();
    let a = world.node_on(backend, "a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Standby).await;
    leases.once("release", Mishap::Hang);
    let asked = world.clock.now();
    a.leave();
    world.role(&b, Role::Active).await;
    let took = world.clock.now().since(asked);
    assert!(took >= call() && took < call() + BEAT / 2, "it took {took:?}");
}

/// Nothing ever ran under that grant, and nobody would renew it: the next in line would have to wait for a whole ttl.
#[tokio::test]
async fn a_standby_that_leaves_while_it_is_granted_the_role_gives_it_back() {
    let world = World::new();
    let (leases, backend) = world.unruly();
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node_on(backend, "b").start().unwrap();
    world.role(&b, Role::Standby).await;
    let c = world.node("c").start().unwrap();
    pass(&world.clock, BEAT * 2).await;

    leases.once("acquire", Mishap::HoldReply);
    a.leave();
    let granted = async {
        loop {
            let view = world.store.backend().leases.current(&LeaseName::active()).await.unwrap();
            if matches!(view.tenant, Tenant::Held { holder, .. } if holder == *b.member()) {
                return;
            }
            settle().await;
        }
    };
    until(&world.clock, BEAT, granted).await;
    let asked = world.clock.now();
    b.leave();
    settle().await;
    leases.let_go();
    world.role(&c, Role::Active).await;
    let took = world.clock.now().since(asked);
    assert!(took < BEAT, "it took {took:?}");
    assert_eq!(until(&world.clock, LONG, b.finished()).await, Finish::Left);
}

/// The successor died and nobody has missed it yet: its reservation is all that it costs, and not a ttl.
#[tokio::test]
async fn a_hand_over_to_a_successor_that_is_dead_costs_its_reservation() {
    let world = World::new();
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Standby).await;
    let c = world.node("c").start().unwrap();
    pass(&world.clock, BEAT * 2).await;
    drop(b);
    let asked = world.clock.now();
    a.leave();
    world.role(&c, Role::Active).await;
    let took = world.clock.now().since(asked);
    assert!(took < TTL / 3 + BEAT / 2, "it took {took:?}");
}

/// Documents of which one step of a switchover never gets an answer, and is not written.
struct Reticent(MemoryStore, SwitchPhase);

#[async_trait]
impl StateStore for Reticent {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        self.0.get(key).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        self.0.list(prefix, after, limit).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        let phase = format!(r#""phase":"{}","from""#, self.1.as_str());
        if String::from_utf8_lossy(value).contains(&phase) {
            return std::future::pending().await;
        }
        self.0.put(key, value, expect, fence).await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        self.0.delete(key, expect, fence).await
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        StateStore::changed(&self.0, prefix).await
    }
}

#[tokio::test]
async fn the_role_does_not_wait_for_the_word_that_the_host_has_stopped() {
    let world = World::new();
    let mut backend = world.store.backend();
    backend.state = Arc::new(Reticent(world.store.clone(), SwitchPhase::Released));
    let a = world.node_on(backend, "a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Standby).await;
    let mut events = a.events();

    let asked = world.clock.now();
    let done = until(&world.clock, LONG, world.admin.switchover(None, LONG)).await.unwrap();
    let took = world.clock.now().since(asked);
    assert!(took < call() / 2 && b.active().is_some(), "it took {took:?}");
    let steps: Vec<_> = done.steps.iter().map(|step| step.phase).collect();
    assert!(steps.ends_with(&[SwitchPhase::Started, SwitchPhase::Done]), "{steps:?}");

    // What was not written stays untold, and the whole is told once.
    pass(&world.clock, TTL * 2).await;
    let history = world.admin.history(100).await.unwrap();
    assert_eq!(history.iter().filter(|entry| entry.deed == Deed::Switchover).count(), 1, "{history:?}");
    drop(a);
    while let Some(event) = until(&world.clock, LONG, events.next()).await {
        assert_ne!(event.event.kind, EventKind::SwitchoverReleased);
    }
}

/// It was proven dead, which cannot change, and it owns nothing: each new active node would ask for its lease, claim its loss in vain and look whose it is.
#[tokio::test]
async fn a_new_active_node_takes_nothing_from_one_whose_loss_is_on_record() {
    let world = World::new();
    let (leases, backend) = world.unruly();
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node_on(backend, "b").start().unwrap();
    world.role(&b, Role::Standby).await;
    let c = world.node("c").start().unwrap();
    pass(&world.clock, BEAT * 2).await;
    let mut events = a.events();
    drop(c);
    world.event(&mut events, EventKind::NodeFenced).await;
    pass(&world.clock, BEAT).await;

    until(&world.clock, LONG, a.shutdown()).await;
    world.role(&b, Role::Active).await;
    pass(&world.clock, TTL).await;
    assert_eq!(leases.calls_of("acquire", "node/c"), 0);
    assert_eq!(world.admin.incidents().await.unwrap().len(), 1);
    // One that is lost from now on is another matter.
    let c = world.node("c").start().unwrap();
    pass(&world.clock, BEAT * 2).await;
    let mut events = b.events();
    drop(c);
    world.event(&mut events, EventKind::NodeFenced).await;
    assert!(leases.calls_of("acquire", "node/c") > 0);
}
