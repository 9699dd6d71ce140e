//! Response actions of a host: a function, a command, a call over HTTP; and what operators do about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use failover_core::incident::{ActionState, Deed};
use failover_core::machine::{EventKind, Finish};
use failover_core::{ActionName, CommandAction, Node, ResponseRun, Role};

use crate::support::until;
use crate::world::{LONG, World};

async fn lose(world: &World, name: &str) -> failover_core::Member {
    let lost = world.node(name).start().unwrap();
    until(&world.clock, LONG, lost.roles().wait_for(|role| *role != Role::Active)).await.unwrap();
    world.event(&mut lost.events(), EventKind::NodeJoined).await;
    let member = lost.member().clone();
    drop(lost);
    member
}

async fn over(world: &World, a: &Node, kind: EventKind) -> String {
    world.event(&mut a.events(), kind).await.event.detail.unwrap_or_default()
}

#[tokio::test]
async fn a_function_is_run_once_and_again_only_for_an_operator() {
    let world = World::new();
    let tries = Arc::new(AtomicU32::new(0));
    let counted = tries.clone();
    let page = move |run: ResponseRun| {
        let tries = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(run.right().is_valid() && run.attempt() == tries + 1);
            if tries == 0 {
                Err("nobody answers".to_owned())
            } else {
                Ok(format!("told of {}", run.incident().claim.node))
            }
        }
    };
    let a = world.node("a").response("page", page).start().unwrap();
    world.role(&a, Role::Active).await;
    let lost = lose(&world, "b").await;
    assert_eq!(over(&world, &a, EventKind::ActionFailed).await, "page: nobody answers");
    crate::support::pass(&world.clock, LONG).await;
    assert_eq!(tries.load(Ordering::SeqCst), 1, "a failure is not repeated by itself");

    let admin = world.admin.clone().with_operator("anna");
    let (action, other) = (ActionName::new("page").unwrap(), ActionName::new("mail").unwrap());
    let refused = until(&world.clock, LONG, admin.retry_action(&lost, &other, LONG)).await.unwrap_err();
    assert!(refused.to_string().contains("no action of that name is due"), "{refused}");
    let mut events = a.events();
    let order = until(&world.clock, LONG, admin.retry_action(&lost, &action, LONG)).await.unwrap();
    assert_eq!((order.by.as_str(), order.reason.as_deref()), ("anna", Some("begun as attempt 2")));
    world.event(&mut events, EventKind::ActionDone).await;
    until(&world.clock, LONG, admin.ack(&lost, "seen", LONG)).await.unwrap();

    let incident = admin.incidents().await.unwrap().remove(0);
    let record = &incident.actions[&action];
    assert_eq!((record.state, record.attempt, record.output.as_str()), (ActionState::Done, 2, "told of b"));
    assert_eq!(incident.ack.as_ref().map(|ack| (ack.by.as_str(), ack.note.as_str())), Some(("anna", "seen")));
    assert!(incident.phases.detect.is_some() && incident.phases.decide.is_some(), "{incident:?}");
    assert_eq!(admin.status(LONG).await.unwrap().open_incidents, 0);
    crate::support::pass(&world.clock, LONG).await;
    let deeds: Vec<_> = admin.history(100).await.unwrap().into_iter().map(|entry| (entry.deed, entry.who)).collect();
    for expected in
        [(Deed::Takeover, "a"), (Deed::Incident, "a"), (Deed::Action, "a"), (Deed::Retry, "anna"), (Deed::Ack, "anna")]
    {
        assert!(deeds.contains(&(expected.0, expected.1.to_owned())), "{expected:?} in {deeds:?}");
    }
    assert_eq!(until(&world.clock, LONG, a.shutdown()).await, Finish::Left);
}

#[tokio::test]
async fn a_panic_is_a_failure_and_an_action_is_cut_off_with_the_role() {
    let world = World::new();
    let panics = |_run: ResponseRun| async { panic!("oh no") };
    let hangs = |_run: ResponseRun| std::future::pending();
    let a = world.node("a").response("panics", panics).response("hangs", hangs).start().unwrap();
    world.role(&a, Role::Active).await;
    let lost = lose(&world, "b").await;
    assert_eq!(over(&world, &a, EventKind::ActionFailed).await, "panics: panicked: oh no");
    let mut events = a.events();
    world.event(&mut events, EventKind::ActionBegun).await;
    assert_eq!(until(&world.clock, LONG, a.shutdown()).await, Finish::Left, "it is not waited for");
    let incident = world.admin.incidents().await.unwrap().remove(0);
    assert_eq!(incident.member(), lost);
    let state = |name: &str| incident.actions[&ActionName::new(name).unwrap()].state;
    assert_eq!((state("panics"), state("hangs")), (ActionState::Failed, ActionState::Claimed));
}

#[tokio::test]
async fn a_command_is_told_of_the_incident() {
    let world = World::new();
    let script = "echo $FAILOVER_LOST_NODE $FAILOVER_ACTION $FAILOVER_ATTEMPT $FAILOVER_NODE $FAILOVER_TOKEN";
    let command = CommandAction::new(["sh", "-c", script], Duration::from_secs(30)).unwrap();
    let a = world.node("a").response("say", command).start().unwrap();
    world.role(&a, Role::Active).await;
    lose(&world, "b").await;
    assert_eq!(over(&world, &a, EventKind::ActionDone).await, "say: b say 1 a 1");
}

#[cfg(feature = "http")]
#[tokio::test]
async fn an_http_action_posts_the_incident() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/incident", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let mut read = 0;
        while !String::from_utf8_lossy(&request[..read]).contains("\"token\"") {
            read += stream.read(&mut request[read..]).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 202 ok\r\ncontent-length: 5\r\n\r\nnoted").await.unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let world = World::new();
    let action = failover_core::HttpAction::new(&url, Duration::from_secs(30)).unwrap();
    let a = world.node("a").response("post", action).start().unwrap();
    world.role(&a, Role::Active).await;
    lose(&world, "b").await;
    assert_eq!(over(&world, &a, EventKind::ActionDone).await, "post: noted");
    let request = served.await.unwrap();
    assert!(request.starts_with("POST /incident HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(r#""attempt":1"#) && request.contains(r#""node":"b""#), "{request}");
}

#[tokio::test]
async fn an_action_without_a_name_of_its_own_is_refused() {
    let world = World::new();
    let nothing = |_run: ResponseRun| async { Ok(String::new()) };
    let twice = world.node("a").response("x", nothing).response("x", nothing).start().unwrap_err();
    assert_eq!(twice.to_string(), "response is `x`: there must be one action of a name");
    assert_eq!(world.node("a").response("a b", nothing).start().unwrap_err().field, "action name");
}

#[tokio::test]
async fn the_history_tells_who_asked_for_a_switchover_and_who_changed_the_settings() {
    let world = World::new();
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let mut events = a.events();
    let admin = world.admin.clone().with_operator("anna");
    let nobody = failover_core::NodeId::new("nobody").unwrap();
    until(&world.clock, LONG, admin.switchover(Some(nobody), LONG)).await.unwrap_err();
    until(&world.clock, LONG, admin.set_roster(vec![a.member().node.clone()])).await.unwrap();
    world.event(&mut events, EventKind::SettingsChanged).await;
    crate::support::pass(&world.clock, LONG).await;
    let entries = admin.history(100).await.unwrap();
    let told = |deed| {
        entries.iter().find(|entry| entry.deed == deed).map(|entry| (&*entry.who, &*entry.what, entry.why.as_str()))
    };
    let refused = ("anna", "switchover to nobody: refused", "no node of that name is a member of the cluster");
    assert_eq!(told(Deed::Switchover), Some(refused));
    let changed = ("anna", "version 1 of the configuration in the place of version 0", "");
    assert_eq!(told(Deed::Settings), Some(changed));
    assert_eq!(until(&world.clock, LONG, a.shutdown()).await, Finish::Left);
}
