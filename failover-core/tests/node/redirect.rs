//! Redirects: once per change of the active node, again if they fail, and never by one that is deposed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clients::{endpoint, faulty_state};
use crate::support::{Mishap, pass, settle, until};
use crate::world::{LONG, Story, TTL, World, end_of};
use async_trait::async_trait;
use failover_core::client::redirect::{Command, Redirect, RedirectError, RedirectPhase, Redirected, redirect_key};
use failover_core::client::{Address, Endpoint};
use failover_core::machine::{EventKind, Reason};
use failover_core::testkit::faults::{Fault, Op};
use failover_core::{ErrorKind, Events, Invalid, Node, NodeBuilder, Right, Role, StateStore, Term};

/// Writes down every try, which node made it and under which term; what comes of each was said before.
#[derive(Clone, Default)]
struct Pointer {
    story: Story,
    outcomes: Arc<Mutex<Vec<Result<String, RedirectError>>>>,
}

impl Pointer {
    fn then(&self, outcome: Result<&str, RedirectError>) {
        self.outcomes.lock().unwrap().push(outcome.map(str::to_owned));
    }

    fn told(&self) -> Vec<String> {
        self.story.told()
    }
}

#[async_trait]
impl Redirect for Pointer {
    async fn redirect(&self, to: &Address, right: &Right) -> Result<String, RedirectError> {
        assert!(right.is_valid() && right.lease().term == to.term);
        let endpoints: Vec<&str> = to.endpoints.iter().map(Endpoint::as_str).collect();
        self.story.tell(format!("{} {} {}", to.node, to.term, endpoints.join(";")));
        let mut outcomes = self.outcomes.lock().unwrap();
        if outcomes.is_empty() { Ok("moved".to_owned()) } else { outcomes.remove(0) }
    }
}

fn pointing(node: NodeBuilder, name: &str, pointer: &Pointer) -> Node {
    node.endpoint(endpoint(&format!("{name}:1"))).redirect("vip", pointer.clone()).start().unwrap()
}

async fn noted(world: &World) -> Redirected {
    let document = world.store.get(&redirect_key("vip").unwrap()).await.unwrap().unwrap();
    Redirected::decode(&document.value).unwrap()
}

#[tokio::test]
async fn clients_are_redirected_once_per_term_over_a_switchover_and_a_crash() {
    let world = World::new();
    let pointer = Pointer::default();
    let a = pointing(world.node("a"), "a", &pointer);
    let done = world.event(&mut a.events(), EventKind::RedirectDone).await.event;
    assert_eq!((done.term, done.detail.as_deref()), (Some(Term(1)), Some("vip: moved")));
    assert_eq!(done.reason, Reason::ClientsLed);
    let b = pointing(world.node("b"), "b", &pointer);
    world.role(&b, Role::Standby).await;
    pass(&world.clock, LONG).await;
    assert_eq!(pointer.told(), ["a 1 a:1"], "once, however long it lasts");

    a.shutdown().await;
    world.event(&mut b.events(), EventKind::RedirectDone).await;
    let a = pointing(world.node("a"), "a", &pointer);
    world.role(&a, Role::Standby).await;
    let right = b.active().unwrap();
    drop(b);
    until(&world.clock, TTL * 2, end_of(&world.clock, &right)).await;
    world.event(&mut a.events(), EventKind::RedirectDone).await;
    pass(&world.clock, LONG).await;
    assert_eq!(pointer.told(), ["a 1 a:1", "b 2 b:1", "a 3 a:1"]);
    let note = noted(&world).await;
    assert_eq!((note.term, note.node.as_str(), note.phase), (Term(3), "a", RedirectPhase::Done));
    assert_eq!(note.said.as_deref(), Some("moved"));
}

#[tokio::test]
async fn one_that_fails_is_tried_again_ever_less_often_and_told_once() {
    let world = World::new();
    let pointer = Pointer::default();
    for _ in 0..4 {
        pointer.then(Err(RedirectError::Failed("no route".to_owned())));
    }
    let a = pointing(world.node("a"), "a", &pointer);
    let mut events = a.events();
    let failed = world.event(&mut events, EventKind::RedirectFailed).await.event;
    assert_eq!((failed.detail.as_deref(), failed.reason), (Some("vip: no route"), Reason::RedirectBroke));
    settle().await;
    assert_eq!(noted(&world).await.phase, RedirectPhase::Failed);
    let event = world.event(&mut events, EventKind::RedirectDone);
    tokio::pin!(event);
    pass(&world.clock, Duration::from_secs(7)).await;
    assert!((3..=4).contains(&pointer.told().len()), "{:?}", pointer.told());
    event.await;
    assert_eq!(pointer.told().len(), 5);
    assert_eq!(noted(&world).await.phase, RedirectPhase::Done);
}

#[tokio::test]
async fn one_that_a_later_term_has_overtaken_is_not_tried_again() {
    let world = World::new();
    let pointer = Pointer::default();
    pointer.then(Err(RedirectError::Superseded(Term(9))));
    let a = pointing(world.node("a"), "a", &pointer);
    let failed = world.event(&mut a.events(), EventKind::RedirectFailed).await.event;
    assert_eq!(failed.reason, Reason::LedByLater);
    pass(&world.clock, LONG).await;
    assert_eq!(pointer.told().len(), 1);
}

#[tokio::test]
async fn nobody_is_redirected_before_the_store_has_the_claim() {
    let world = World::new();
    let pointer = Pointer::default();
    let (backend, faults) = faulty_state(&world);
    faults.every(Op::Put, Fault::Refuse(ErrorKind::Unavailable));
    let a = pointing(world.node_on(backend, "a"), "a", &pointer);
    world.role(&a, Role::Active).await;
    pass(&world.clock, TTL * 2).await;
    assert!(pointer.told().is_empty());
    faults.heal();
    world.event(&mut a.events(), EventKind::RedirectDone).await;
    assert_eq!(pointer.told(), ["a 1 a:1"]);
}

/// One that never ends, and tells when it is dropped.
struct Stuck(Story, Duration);

struct Told(Story);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.tell("dropped".to_owned());
    }
}

#[async_trait]
impl Redirect for Stuck {
    async fn redirect(&self, to: &Address, _right: &Right) -> Result<String, RedirectError> {
        self.0.tell(format!("begun {}", to.node));
        let _told = Told(self.0.clone());
        std::future::pending().await
    }

    fn deadline(&self) -> Duration {
        self.1
    }
}

#[tokio::test]
async fn a_try_under_way_is_dropped_when_the_node_has_to_stop_and_its_claim_shows_it() {
    let world = World::new();
    let story = Story::default();
    let (leases, backend) = world.unruly();
    let a = world.node_on(backend, "a").redirect("vip", Stuck(story.clone(), LONG * 10)).start().unwrap();
    world.role(&a, Role::Active).await;
    settle().await;
    assert_eq!(story.told(), ["begun a"]);
    assert_eq!(noted(&world).await.phase, RedirectPhase::Claimed);
    let right = a.active().unwrap();
    leases.always(Some(Mishap::Hang));
    let stopping = right.stopping();
    until(&world.clock, TTL, stopping.cancelled()).await;
    settle().await;
    assert_eq!(story.told(), ["begun a", "dropped"]);
    assert_eq!(noted(&world).await.phase, RedirectPhase::Claimed, "and not as done");
}

#[tokio::test]
async fn a_try_ends_at_its_deadline_and_a_panic_is_a_failure() {
    let world = World::new();
    let story = Story::default();
    let a = world.node("a").redirect("vip", Stuck(story.clone(), Duration::from_secs(2))).start().unwrap();
    let failed = world.event(&mut a.events(), EventKind::RedirectFailed).await.event;
    assert_eq!(failed.detail.as_deref(), Some("vip: it was not done within 2s and was dropped"));
    assert_eq!(story.told()[..2], ["begun a", "dropped"]);
    drop(a);

    let world = World::new();
    let panics = |_: Address, _: Right| async { panic!("no map") };
    let b = world.node("b").redirect("vip", panics).start().unwrap();
    let failed = world.event(&mut b.events(), EventKind::RedirectFailed).await.event;
    assert_eq!(failed.detail.as_deref(), Some("vip: it panicked: no map"));
    assert_eq!(b.role(), Role::Active);
}

#[cfg(unix)]
#[tokio::test]
async fn a_command_is_told_where_to_and_what_it_wrote_is_told() {
    let world = World::new();
    let script = "echo \"$FAILOVER_NODE $FAILOVER_TERM $FAILOVER_TOKEN $FAILOVER_ENDPOINT $FAILOVER_ENDPOINTS\"";
    let echo = Command::new(["/bin/sh", "-c", script]).unwrap();
    let fails = Command::new(["/bin/sh", "-c", "echo no such route >&2; exit 4"]).unwrap();
    let a = world.node("a").endpoint(endpoint("a:1")).endpoint(endpoint("a:2"));
    let a = a.redirect("echo", echo).redirect("fails", fails).start().unwrap();
    let (mut done, mut failed) = (a.events(), a.events());
    // Real processes, and a clock that only the test moves: it must not run away meanwhile.
    let (done, failed) =
        tokio::join!(told(&mut done, EventKind::RedirectDone), told(&mut failed, EventKind::RedirectFailed));
    assert_eq!(done.as_deref(), Some("echo: a 1 active#1 a:1 a:1;a:2"));
    assert_eq!(failed.as_deref(), Some("fails: it ended with exit status: 4: no such route"));
    assert_eq!(Command::new([""]).unwrap_err().to_string(), "redirect is ``: a command must name a program");
}

#[cfg(unix)]
async fn told(events: &mut Events, kind: EventKind) -> Option<String> {
    loop {
        let event = events.next().await?.event;
        if event.kind == kind {
            return event.detail;
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_command_that_is_late_is_killed_with_what_it_started() {
    let world = World::new();
    let room = tempfile();
    // Both hold the fifo open for writing: who reads it learns when the last of them is gone.
    let script = format!("exec 3>{}; sleep 3600 & sleep 3600", room.display());
    let slow = Command::new(["/bin/sh", "-c", &script]).unwrap().within(Duration::from_secs(3));
    let a = world.node("a").redirect("slow", slow).start().unwrap();
    let fifo = room.clone();
    let gone = tokio::task::spawn_blocking(move || std::fs::read(fifo).unwrap());
    world.role(&a, Role::Active).await;
    let mut events = a.events();
    let failed = world.event(&mut events, EventKind::RedirectFailed).await.event;
    assert_eq!(failed.detail.as_deref(), Some("slow: it was not done within 3s and was dropped"));
    drop(a);
    assert_eq!(tokio::time::timeout(LONG, gone).await.expect("something lives on").unwrap(), b"");
    std::fs::remove_file(room).unwrap();
}

/// A fifo of this test's own.
#[cfg(unix)]
fn tempfile() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("failover-redirect-{}", std::process::id()));
    let _earlier = std::fs::remove_file(&path);
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// One that leads nowhere.
struct Picky;

#[async_trait]
impl Redirect for Picky {
    async fn redirect(&self, _to: &Address, _right: &Right) -> Result<String, RedirectError> {
        unreachable!("it was refused")
    }

    fn check(&self, _endpoints: &[Endpoint]) -> Result<(), Invalid> {
        Err(Invalid::new("endpoints", "all", "none will do"))
    }
}

#[tokio::test]
async fn redirects_that_cannot_be_are_refused_before_the_node_starts() {
    let world = World::new();
    let pointer = Pointer::default();
    let refused = |node: NodeBuilder| node.start().unwrap_err().to_string();
    assert!(
        refused(world.node("a").redirect("a/b", pointer.clone())).starts_with("redirect is `a/b`: it must be 1 to 64")
    );
    let twice = world.node("a").redirect("vip", pointer.clone()).redirect("vip", pointer.clone());
    assert_eq!(refused(twice), "redirect is `vip`: each must have a name of its own");
    assert_eq!(refused(world.node("a").redirect("vip", Picky)), "endpoints is `all`: none will do");
    pass(&world.clock, TTL).await;
    assert!(pointer.told().is_empty());
}
