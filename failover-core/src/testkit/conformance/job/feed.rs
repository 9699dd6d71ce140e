//! The feed of changes: effects 3, 4 and 8.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::Fixture;
use super::super::kit::{WRITERS, fails, handles, member, ok, patiently, together};
use super::kit::{accepted, applied, head, id, job, place, placed, report, spec, submit};
use crate::Backend;
use crate::error::ErrorKind;
use crate::ids::{JobId, Revision};
use crate::job::{JobChange, JobRecord, JobStatus, Phase};

/// All that changed after `since`, read in pages of `limit`, each checked against the feed's promises.
async fn read(backend: &Backend, mut since: Revision, limit: usize) -> (Vec<JobChange>, Revision) {
    let mut all = Vec::new();
    loop {
        let page = ok(backend.jobs.changes(since, limit).await);
        assert!(!page.reset, "nothing as young as this is forgotten");
        assert!(page.changes.len() <= limit, "at most {limit} changes, not {}", page.changes.len());
        let mut before = since;
        for change in &page.changes {
            assert!(change.revision() > before, "revision {} comes after {before}", change.revision());
            before = change.revision();
        }
        assert!(page.upto >= before, "the reader goes on from the last change it got, or later");
        assert!(page.upto > since || !page.more, "a page that says there is more leads on");
        all.extend(page.changes);
        since = page.upto;
        if !page.more {
            return (all, since);
        }
    }
}

fn names(changes: &[JobChange]) -> Vec<&str> {
    changes.iter().map(|change| change.id().as_str()).collect()
}

/// Effect 3: an empty store has an empty feed.
pub async fn an_empty_feed_is_empty(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let page = ok(backend.jobs.changes(Revision::ZERO, 10).await);
    assert!(page.changes.is_empty() && !page.more, "there is nothing to tell: {page:?}");
}

/// Effect 3: the feed tells the latest change of each job, in the order of the changes.
pub async fn the_feed_tells_the_latest_change_of_each_job_in_order(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    for name in ["a", "b", "c"] {
        submit(&backend, name).await;
    }
    applied(&backend, &[place("a", 0, &member("n1", 1))]).await;
    let (all, _) = read(&backend, Revision::ZERO, 100).await;
    assert_eq!(names(&all), ["b", "c", "a"], "each job once, the one changed last at the end");
    assert_eq!(all[2], JobChange::Put(job(&backend, "a").await), "with its latest record");
}

/// Effect 3: a reader that goes on from where it was gets what is new, and only that.
pub async fn a_reader_goes_on_from_where_it_was(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    for name in ["a", "b", "c"] {
        submit(&backend, name).await;
    }
    let (_, upto) = read(&other, Revision::ZERO, 100).await;
    assert_eq!(read(&other, upto, 100).await, (vec![], upto), "nothing is new");
    submit(&backend, "d").await;
    applied(&backend, &[place("b", 0, &member("n1", 1))]).await;
    let (new, later) = read(&other, upto, 100).await;
    assert_eq!(names(&new), ["d", "b"], "what is new, and only that");
    assert_eq!(read(&other, later, 100).await, (vec![], later), "again nothing is new");
}

/// Effect 3: reading in pages, however small, skips and repeats nothing.
pub async fn the_feed_pages_without_gap_or_repetition(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let all: Vec<String> = (0..10).map(|i| format!("job-{i}")).collect();
    for name in &all {
        submit(&backend, name).await;
    }
    let whole = read(&backend, Revision::ZERO, 1000).await;
    assert_eq!(names(&whole.0), all, "every job is told");
    for limit in [1, 3, 5, 9, 10, 11] {
        assert_eq!(read(&backend, Revision::ZERO, limit).await, whole, "pages of {limit} tell the same");
    }
    let page = ok(backend.jobs.changes(Revision::ZERO, 10).await);
    assert!(!page.more, "ten of ten is all");
    assert!(ok(backend.jobs.changes(Revision::ZERO, 9).await).more, "nine of ten is not");
}

/// Effect 3: a reader that knew a job is told that it was removed.
pub async fn a_removal_is_told(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    for name in ["a", "b", "c"] {
        submit(&backend, name).await;
    }
    let (_, upto) = read(&backend, Revision::ZERO, 100).await;
    ok(backend.jobs.remove(&id("b")).await);
    let (new, later) = read(&backend, upto, 1).await;
    assert!(matches!(&new[..], [JobChange::Removed { id, .. }] if id.as_str() == "b"), "b was removed: {new:?}");
    assert_eq!(read(&backend, later, 1).await.0, [], "that is told once");
}

/// Effect 3: a full read tells what is there, not what was removed.
pub async fn a_full_read_tells_no_removal(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    for name in ["a", "b", "c"] {
        submit(&backend, name).await;
    }
    ok(backend.jobs.remove(&id("b")).await);
    ok(backend.jobs.remove(&id("c")).await);
    let page = ok(backend.jobs.changes(Revision::ZERO, 100).await);
    assert_eq!(names(&page.changes), ["a"], "only what is there");
    assert!(!page.more, "a removal is no reason to read on");
}

/// Effect 3: a job removed and submitted again is told as what it is now.
pub async fn a_resubmitted_job_is_told_as_it_is(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    submit(&backend, "a").await;
    let (_, upto) = read(&backend, Revision::ZERO, 100).await;
    ok(backend.jobs.remove(&id("a")).await);
    submit(&backend, "a").await;
    let (new, _) = read(&backend, upto, 100).await;
    assert_eq!(new, [JobChange::Put(job(&backend, "a").await)], "one change: it is there");
}

/// Effect 8: every change raises the revision, and the answer to `assign` says up to where.
pub async fn every_change_raises_the_revision(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    submit(&backend, "a").await;
    let mut last = head(&backend).await;
    let mut rises = async |what: &str| {
        let now = head(&backend).await;
        assert!(now > last, "{what} raises the revision above {last}");
        last = now;
    };
    let revision = applied(&backend, &[place("a", 0, &m)]).await;
    rises("a placement").await;
    assert!(revision >= job(&backend, "a").await.revision, "the answer's revision includes the placement");
    accepted(&backend, "a", &m, 1, JobStatus::Running).await;
    rises("a report").await;
    let revised = spec("a").with_weight(2).unwrap_or_else(|e| panic!("{e}"));
    ok(backend.jobs.revise(&revised).await);
    rises("a revision").await;
    accepted(&backend, "a", &m, 1, JobStatus::Stopped).await;
    rises("the end of an ownership").await;
    ok(backend.jobs.remove(&id("a")).await);
    rises("a removal").await;
}

/// Failure 2: to read nothing is refused as input.
pub async fn a_limit_of_zero_is_invalid(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    fails(backend.jobs.changes(Revision::ZERO, 0).await, ErrorKind::Invalid, "a limit of zero");
}

/// Several clusters may share a store: each has its own jobs and its own feed.
pub async fn clusters_do_not_see_each_others_jobs(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open_other().await);
    placed(&backend, "a", &member("n1", 1)).await;
    assert_eq!(read(&other, Revision::ZERO, 10).await.0, [], "the other cluster has no job");
    submit(&other, "a").await;
    ok(other.jobs.remove(&id("a")).await);
    assert_eq!(job(&backend, "a").await.phase, Phase::Assigned, "ours is another one");
}

/// A reader that follows the feed while others write; it checks that no revision appears behind it.
async fn follow(backend: Backend, done: Arc<AtomicBool>) -> BTreeMap<JobId, JobRecord> {
    let (mut since, mut known) = (Revision::ZERO, BTreeMap::new());
    loop {
        // Read before the feed: what was written before the writers were done is in the next read.
        let last = done.load(Ordering::SeqCst);
        let (changes, upto) = read(&backend, since, 3).await;
        since = upto;
        for change in changes {
            match change {
                JobChange::Put(record) => drop(known.insert(record.spec.id().clone(), record)),
                JobChange::Removed { id, .. } => drop(known.remove(&id)),
            }
        }
        if last {
            return known;
        }
        tokio::task::yield_now().await;
    }
}

/// Lets all writers write while readers follow, and compares what each reader knows in the end with a full read.
async fn readers_miss_nothing<F>(fixture: &dyn Fixture, handles: &[Backend], write: impl Fn(u64, Backend) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(tokio::spawn(follow(fixture.open().await, done.clone())));
    }
    together(handles, write).await;
    done.store(true, Ordering::SeqCst);
    let (all, _) = read(&handles[0], Revision::ZERO, 1000).await;
    for reader in readers {
        let known = reader.await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
        let mut known: Vec<JobChange> = known.into_values().map(JobChange::Put).collect();
        known.sort_by_key(JobChange::revision);
        assert_eq!(known, all, "the reader that followed knows what a full read tells");
    }
}

/// Effect 3 under contention: no submission is skipped by readers that follow while twenty write.
pub async fn no_reader_skips_a_concurrent_submission(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    readers_miss_nothing(fixture, &handles, |i, backend| async move {
        for k in 0..5 {
            let spec = spec(&format!("job-{i}-{k}"));
            patiently(|| backend.jobs.submit(&spec)).await;
        }
    })
    .await;
    assert_eq!(read(&handles[0], Revision::ZERO, 1000).await.0.len(), 100, "all {WRITERS} have submitted five");
}

/// Effect 3 under contention: no report, revision, removal or resubmission is skipped either.
pub async fn no_reader_skips_a_concurrent_change(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    for i in 0..WRITERS {
        placed(&handles[0], &format!("job-{i}"), &member("n1", 1)).await;
    }
    readers_miss_nothing(fixture, &handles, |i, backend| async move {
        let (name, m) = (format!("job-{i}"), member("n1", 1));
        for progress in 0..3 {
            report(&backend, &name, &m, 1, JobStatus::Progress(progress.to_string())).await;
        }
        if i % 3 == 0 {
            let heavier = spec(&name).with_weight(2).unwrap_or_else(|e| panic!("{e}"));
            patiently(|| backend.jobs.revise(&heavier)).await;
        }
        if i % 2 == 0 {
            report(&backend, &name, &m, 1, JobStatus::Stopped).await;
            let name = id(&name);
            patiently(|| backend.jobs.remove(&name)).await;
        }
        if i % 4 == 0 {
            let again = spec(&name);
            patiently(|| backend.jobs.submit(&again)).await;
        }
    })
    .await;
}

/// Effect 1 under contention: of twenty that submit the same job at once, one creates it.
pub async fn of_twenty_concurrent_submissions_of_a_job_one_creates_it(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let answers = together(&handles, |_, backend| async move { ok(backend.jobs.submit(&spec("import")).await) }).await;
    let created = answers.iter().filter(|answer| **answer == crate::job::Submitted::Created).count();
    assert_eq!(created, 1, "one creates it, for the others it is unchanged: {answers:?}");
}
