//! Clauses of [`HeartbeatStore`](crate::HeartbeatStore).

use std::time::Duration;

use super::Fixture;
use super::kit::{WRITERS, fails, handles, longest, member, node, ok, together, wakes};
use crate::capacity::Capacity;
use crate::control::Pace;
use crate::error::ErrorKind;
use crate::heartbeat::{Heartbeat, Lead, News, Role, Sighting};
use crate::ids::{Member, Term};
use crate::{Backend, Endpoint};

fn beat_of(member: Member, term: u64, seq: u64) -> Heartbeat {
    let news = News::new(Role::Inactive, Capacity::of(10).unwrap_or_default());
    Heartbeat { member, term: Term(term), seq, news }
}

async fn beat(backend: &Backend, heartbeat: &Heartbeat) {
    ok(backend.heartbeats.beat(heartbeat).await);
}

async fn sightings(backend: &Backend) -> Vec<Sighting> {
    ok(backend.heartbeats.sightings().await)
}

async fn latest(backend: &Backend) -> Vec<Heartbeat> {
    sightings(backend).await.into_iter().map(|sighting| sighting.heartbeat).collect()
}

/// Effects 1 and 6: whatever a heartbeat says comes back as it was said, through any handle.
pub async fn a_beat_is_sighted_unchanged(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    assert_eq!(sightings(&backend).await, [], "nobody has beaten yet");
    let labels = [("zone", "Zürich \"1\"\n"), ("", ""), ("a'b;--", "\\ \u{1F980}")];
    let news = News {
        load: u32::MAX,
        ready: true,
        leaving: true,
        lead: Some(Lead { term: Term(9_007_199_254_740_991), standby: Some(member("n2", u128::MAX)) }),
        endpoints: Endpoint::list("a:1;https://b.example/login?x=1").unwrap(),
        labels: labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        version: Some("1.4.2-rc.1+build.7".to_owned()),
        pace: Pace::new(Duration::from_millis(400), Duration::from_secs(2)).ok(),
        ..News::new(Role::Active, Capacity::NONE)
    };
    let said = Heartbeat { news, ..beat_of(member("n1", 7), 1 << 52, 1 << 52) };
    beat(&backend, &said).await;
    assert_eq!(latest(&other).await, [said], "what is sighted is what was said");
}

/// Effect 1: the latest beat is the one sighted, and its age counts from it.
pub async fn a_beat_makes_the_age_begin_again(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    beat(&backend, &beat_of(member("n1", 1), 1, 1)).await;
    fixture.pass(fixture.ttl() * 2).await;
    let clock = fixture.clock();
    let sent = clock.now();
    beat(&backend, &beat_of(member("n1", 1), 1, 2)).await;
    let sighting = &sightings(&backend).await[0];
    assert_eq!(sighting.heartbeat.seq, 2, "the later beat is the latest");
    assert!(sighting.age <= clock.now().since(sent), "its age {:?} counts from the later beat", sighting.age);
}

/// Effect 4: no age is longer than the time since the beat was sent.
pub async fn an_age_is_never_overstated(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let clock = fixture.clock();
    let sent = clock.now();
    beat(&backend, &beat_of(member("n1", 1), 1, 1)).await;
    for _ in 0..3 {
        fixture.pass(fixture.ttl() / 3).await;
        let age = sightings(&backend).await[0].age;
        let most = clock.now().since(sent);
        assert!(age <= most, "an age of {age:?} is told {most:?} after the beat was sent");
    }
}

/// Effect 4: a node that falls silent grows older, or nobody would ever miss it.
pub async fn the_age_of_a_silent_node_grows(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    beat(&backend, &beat_of(member("n1", 1), 1, 1)).await;
    fixture.pass(fixture.ttl()).await;
    let first = sightings(&backend).await[0].age;
    fixture.pass(fixture.ttl()).await;
    let second = sightings(&backend).await[0].age;
    assert!(!first.is_zero() && second > first, "its age has to grow: {first:?}, then {second:?}");
}

/// Effect 2: a beat that arrives twice does not make its node younger.
pub async fn a_replayed_beat_changes_not_even_the_age(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let said = beat_of(member("n1", 1), 3, 5);
    beat(&backend, &said).await;
    fixture.pass(fixture.ttl()).await;
    let before = sightings(&backend).await[0].age;
    beat(&backend, &said).await;
    let after = sightings(&backend).await[0].age;
    assert!(after >= before, "a replayed beat made the age fall from {before:?} to {after:?}");
}

/// Effect 2: a beat that was overtaken by a later one of its term changes nothing.
pub async fn an_older_beat_changes_nothing(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let later = beat_of(member("n1", 1), 3, 5);
    beat(&backend, &later).await;
    fixture.pass(fixture.ttl()).await;
    let before = sightings(&backend).await[0].age;
    beat(&backend, &beat_of(member("n1", 1), 3, 4)).await;
    let after = &sightings(&backend).await[0];
    assert_eq!(after.heartbeat, later, "the older beat must not win");
    assert!(after.age >= before, "the older beat must not make the age fall");
}

/// Effect 2: a delayed beat of an earlier incarnation, however high its count, does not hide the later one.
pub async fn a_beat_of_an_earlier_incarnation_changes_nothing(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    // The later incarnation's bits are the lower ones: only terms tell which is later.
    let later = beat_of(member("n1", 1), 4, 1);
    beat(&backend, &later).await;
    beat(&backend, &beat_of(member("n1", 2), 3, 1000)).await;
    assert_eq!(latest(&backend).await, [later], "the earlier incarnation has the lower term");
}

/// Effects 1 and 3: a restarted node is sighted once, as its later incarnation, although that counts from one again.
pub async fn a_later_incarnation_takes_its_nodes_place(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    beat(&backend, &beat_of(member("n1", 2), 3, 1000)).await;
    let later = beat_of(member("n1", 1), 4, 1);
    beat(&backend, &later).await;
    assert_eq!(latest(&backend).await, [later], "one sighting, of the later incarnation");
}

/// Effect 3: one sighting for each node, in order.
pub async fn every_node_is_sighted_once_in_order(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    for name in ["n2", "n10", "n1", "N1", "n-1", "n_1", "n.1", "n1"] {
        let seq = 1 + u64::try_from(latest(&backend).await.len()).unwrap_or(0);
        beat(&backend, &beat_of(member(name, 1), 1, seq)).await;
    }
    let nodes: Vec<_> = latest(&backend).await.into_iter().map(|beat| beat.member.node).collect();
    let expected = ["N1", "n-1", "n.1", "n1", "n10", "n2", "n_1"].map(node);
    assert_eq!(nodes, expected, "every node once, ordered by its characters");
}

/// Law 18: nodes whose names differ only in case are two nodes.
pub async fn nodes_that_differ_only_in_case_are_two(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let (upper, lower) = (beat_of(member("Node", 1), 1, 1), beat_of(member("node", 2), 1, 1));
    beat(&backend, &upper).await;
    beat(&backend, &lower).await;
    ok(backend.heartbeats.forget(&member("NODE", 1)).await);
    assert_eq!(latest(&backend).await, [upper, lower], "both stand, and a third spelling forgets neither");
}

/// Law 18: the longest names are kept whole.
pub async fn names_of_64_characters_are_kept(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let said = beat_of(member(&longest('a'), 1), 1, 1);
    beat(&backend, &said).await;
    assert_eq!(latest(&backend).await, [said], "a name of 64 characters is kept");
}

/// Effect 5: whoever has left is no longer sighted, and comes back with its next beat.
pub async fn forget_removes_the_members_beat(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let stays = beat_of(member("n2", 2), 1, 1);
    beat(&backend, &beat_of(member("n1", 1), 1, 1)).await;
    beat(&backend, &stays).await;
    ok(backend.heartbeats.forget(&member("n1", 1)).await);
    assert_eq!(latest(&backend).await, std::slice::from_ref(&stays), "only the other node is left");
    let back = beat_of(member("n1", 3), 2, 1);
    beat(&backend, &back).await;
    assert_eq!(latest(&backend).await, [back, stays], "a new incarnation is sighted again");
}

/// Effect 5: a late goodbye of an earlier incarnation does not remove the later one.
pub async fn forget_of_another_incarnation_changes_nothing(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let said = beat_of(member("n1", 2), 2, 1);
    beat(&backend, &said).await;
    ok(backend.heartbeats.forget(&member("n1", 1)).await);
    assert_eq!(latest(&backend).await, [said], "the beat is of another incarnation");
}

/// Effect 5: forgetting twice, or whom nobody knows, is no fault.
pub async fn forgetting_twice_is_forgetting_once(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    beat(&backend, &beat_of(member("n1", 1), 1, 1)).await;
    for m in [member("n1", 1), member("n1", 1), member("nobody", 1)] {
        ok(backend.heartbeats.forget(&m).await);
    }
    assert_eq!(latest(&backend).await, [], "nobody is left");
}

/// Effect 2 under contention: of a node's beats that arrive at once, the highest stays.
pub async fn of_twenty_concurrent_beats_of_a_node_the_highest_stays(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let of = |i: u64| beat_of(member("n1", u128::from(i % 4)), 1 + i % 4, i);
    together(&handles, |i, backend| async move { beat(&backend, &of(i)).await }).await;
    assert_eq!(latest(&handles[0]).await, [of(WRITERS - 1)], "the highest term, and of that the highest count");
}

/// Effect 3 under contention: no node's beat is lost because others beat too.
pub async fn concurrent_beats_of_twenty_nodes_are_all_kept(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let of = |i: u64| beat_of(member(&format!("n{i:02}"), 1), 1, 1);
    together(&handles, |i, backend| async move { beat(&backend, &of(i)).await }).await;
    let all: Vec<_> = (0..WRITERS).map(of).collect();
    assert_eq!(latest(&handles[1]).await, all, "every node's beat is there");
}

/// Several clusters may share a store: each sees its own nodes only.
pub async fn clusters_do_not_see_each_others_nodes(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open_other().await);
    let said = beat_of(member("n1", 1), 1, 1);
    beat(&backend, &said).await;
    assert_eq!(latest(&other).await, [], "the other cluster has no node");
    ok(other.heartbeats.forget(&member("n1", 1)).await);
    beat(&other, &beat_of(member("n1", 2), 9, 9)).await;
    assert_eq!(latest(&backend).await, [said], "the other cluster's node is another one");
}

/// Effect 7: who waits is woken when another node appears.
pub async fn changed_wakes_when_a_node_appears(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    if fixture.hints() {
        let beats = |n| beat_of(member(&format!("n{n}"), 1), 1, 1);
        let other = &other;
        wakes(backend.heartbeats.changed(), |n| async move { beat(other, &beats(n)).await }).await;
    }
}

/// Effect 7: who waits is woken when a node tells something new.
pub async fn changed_wakes_when_news_differ(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    if fixture.hints() {
        let beats = |n: u64| {
            let mut said = beat_of(member("n1", 1), 1, n + 1);
            said.news.load = u32::try_from(n).unwrap_or(u32::MAX);
            said
        };
        beat(&other, &beats(0)).await;
        let other = &other;
        wakes(backend.heartbeats.changed(), |n| async move { beat(other, &beats(n)).await }).await;
    }
}

/// Failure 3: who knew a store that was lost is told so, and not that nobody lives.
pub async fn a_wiped_store_is_noticed(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let said = beat_of(member("n1", 1), 1, 1);
    beat(&backend, &said).await;
    fixture.wipe().await;
    let later = Heartbeat { seq: 2, ..said.clone() };
    fails(backend.heartbeats.sightings().await, ErrorKind::StoreChanged, "`sightings` after a wipe");
    fails(backend.heartbeats.beat(&later).await, ErrorKind::StoreChanged, "`beat` after a wipe");
    fails(backend.heartbeats.forget(&said.member).await, ErrorKind::StoreChanged, "`forget` after a wipe");
}

/// Failure 2: a record of a newer format is refused, and left as it is.
pub async fn a_newer_format_is_refused(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let said = beat_of(member("n1", 1), 1, 1);
    beat(&backend, &said).await;
    fixture.make_newer().await;
    let later = Heartbeat { seq: 2, ..said.clone() };
    fails(backend.heartbeats.beat(&later).await, ErrorKind::TooNew, "`beat` over a newer record");
    fails(backend.heartbeats.forget(&said.member).await, ErrorKind::TooNew, "`forget` of a newer record");
    fails(backend.heartbeats.sightings().await, ErrorKind::TooNew, "`sightings` of a newer record");
}
