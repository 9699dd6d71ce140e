use std::sync::Arc;
use std::time::Duration;

use super::{Ledger, copied, documents, pair};
use crate::support::pass;
use crate::world::{BEAT, World};
use failover_core::machine::EventKind;
use failover_core::replica::{MAX_RECORD, PublishError, Replica};
use failover_core::state::Expect;
use failover_core::{Role, StateKey};

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_by_name_and_nothing_is_written() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    a.publish(&world, "one").await.unwrap();
    let large = "x".repeat(MAX_RECORD + 1);
    let Err(PublishError::Invalid(invalid)) = a.publish(&world, &large).await else { panic!("it is too large") };
    assert_eq!((invalid.field.as_str(), invalid.value.as_str()), ("record", "1048577 bytes"));
    assert!(invalid.rule.contains("at most 1048576 bytes"), "{}", invalid.rule);
    assert_eq!(documents(&world, "replica/ledger/journal").await.len(), 1);
    a.publish(&world, "two").await.unwrap();
    b.reached(&world, 2).await;
    assert_eq!(b.ledger.lines(), ["one", "two"], "and all goes on");
}

#[tokio::test]
async fn a_replica_that_cannot_be_is_named_by_field_value_and_rule() {
    let ledger = || Arc::new(Ledger::default());
    let refused = |built: Result<Replica, failover_core::Invalid>| built.unwrap_err().to_string();
    assert!(refused(Replica::new("a/b", ledger())).starts_with("replica is `a/b`: it must be 1 to 64"));
    let period = Duration::from_millis(9);
    assert!(refused(Replica::builder("a", ledger()).period(period).build()).starts_with("period is `9ms`"));
    assert!(refused(Replica::builder("a", ledger()).snapshot_after(0, 1).build()).starts_with("snapshot_after is `0`"));

    let world = World::new();
    let (one, other) = (Replica::new("a", ledger()).unwrap(), Replica::new("a", ledger()).unwrap());
    let twice = world.node("a").replica(&one).replica(&other).start().unwrap_err();
    assert_eq!(twice.to_string(), "replica is `a`: a node's replicas must have different names");
    let _node = world.node("a").replica(&one).start().unwrap();
    let again = world.node("b").replica(&one).start().unwrap_err();
    assert_eq!(again.to_string(), "replica is `a`: it must be given to one node, once");
}

#[tokio::test]
async fn a_replica_of_a_node_that_was_not_started_can_be_given_to_another() {
    let (world, elsewhere) = (World::new(), World::new());
    let [a, b, c] = ["a", "b", "c"].map(|name| Replica::new(name, Arc::new(Ledger::default())).unwrap());
    let _node = elsewhere.node("x").replica(&c).start().unwrap();
    // Whatever it is that keeps the node from starting.
    let hasty = world.node("y").replica(&a).watchdog(BEAT / 2).start().unwrap_err();
    assert_eq!(hasty.field, "watchdog");
    let taken = world.node("y").replica(&a).replica(&b).replica(&c).start().unwrap_err();
    assert_eq!(taken.to_string(), "replica is `c`: it must be given to one node, once");
    #[cfg(feature = "http")]
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let deaf = world.node("y").replica(&a).health(listener.local_addr().unwrap()).start().unwrap_err();
        assert!(deaf.field.contains("health"), "{deaf}");
    }
    let node = world.node("z").replica(&a).replica(&b).start().unwrap();
    world.role(&node, Role::Active).await;
    crate::support::until(&world.clock, crate::world::LONG, a.publisher().publish("one")).await.unwrap();
}

#[tokio::test]
async fn an_entry_of_a_newer_format_or_none_at_all_makes_a_node_stand_back_and_is_left_as_it_is() {
    for (what, value, text) in [("newer", &b"frj\x02"[..], "entry-2 has format 2"), ("rubbish", b"?", "cannot be read")]
    {
        let world = World::new();
        let [a, b] = pair(&world).await;
        a.publish(&world, "one").await.unwrap();
        b.reached(&world, 1).await;
        let key = StateKey::new("replica/ledger/journal/00000000000000000002").unwrap();
        let state = world.store.backend().state;
        state.put(&key, value, Expect::Absent, None).await.unwrap();
        pass(&world.clock, BEAT).await;
        let trouble = b.replica.trouble().unwrap();
        assert!(trouble.contains(text.trim_start_matches("entry-2 ")), "{what}: {trouble}");
        let mut events = b.node.events();
        drop(a);
        let event = world.event(&mut events, EventKind::PromotionRefused).await.event;
        assert!(event.detail.unwrap().contains(&trouble));
        assert_ne!(b.node.role(), Role::Active);
        assert_eq!(state.get(&key).await.unwrap().unwrap().value, value, "{what}: left as it is");
    }
}

#[tokio::test]
async fn a_record_that_the_active_host_cannot_apply_is_published_and_told_and_asked_for_again() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    a.ledger.refuse(true);
    let refused = a.publish(&world, "one").await.unwrap_err();
    assert!(matches!(&refused, PublishError::Refused(text) if text == "the ledger is closed"), "{refused}");
    assert!(refused.is_outcome_unknown());
    b.reached(&world, 1).await;
    a.ledger.refuse(false);
    a.reached(&world, 1).await;
    a.publish(&world, "two").await.unwrap();
    b.reached(&world, 2).await;
    assert_eq!((a.ledger.lines(), b.ledger.lines()), (b.ledger.lines(), vec!["one".to_owned(), "two".to_owned()]));
}

#[tokio::test]
async fn a_host_that_panics_has_refused_and_its_node_goes_on() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    let refused = a.publish(&world, "boom").await.unwrap_err();
    assert!(refused.to_string().contains("the host's `apply` panicked"), "{refused}");
    pass(&world.clock, BEAT).await;
    assert!(b.replica.trouble().unwrap().contains("panicked"));
    assert_eq!((a.node.role(), b.node.role()), (Role::Active, Role::Standby));
    drop(copied(&world, "c"));
}
