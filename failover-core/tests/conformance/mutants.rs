//! The suite can fail: each well-known bug, built around the reference backend, is caught by the clause that names it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use failover_core::heartbeat::{Heartbeat, Sighting};
use failover_core::job::{
    Assigned, Changes, JobChange, JobRecord, JobReport, JobSpec, JobStatus, MAX_BATCH, MAX_RUNS, Move, Removed,
    Reported, Revised, Step, Submitted,
};
use failover_core::lease::{Acquired, Durability, Lease, LeaseView, Renewed, Tenant};
use failover_core::memory::MemoryStore;
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::testkit::conformance::{heartbeat, job, lease, state};
use failover_core::time::{Clock, SystemClock, Time};
use failover_core::{
    Backend, HeartbeatStore, JobAssigner, JobId, LeaseManager, LeaseName, Member, NodeId, Result, Revision, StateKey,
    StateStore, Term,
};

use super::Memory;

#[derive(Clone, Copy, PartialEq)]
enum Bug {
    OlderBeatWins,
    AgeOverstated,
    ForgetIgnoresIncarnation,
    RenewIgnoresToken,
    RenewRevivesLapsed,
    ExpiryByCallersClock,
    TermResetByRelease,
    ReleaseUnconditional,
    SuccessorIgnored,
    IncarnationIgnored,
    RetrySpendsTerm,
    AcquireNotAtomic,
    FloorIgnored,
    FeedSkipsEntry,
    FeedForgetsRemovals,
    FenceIgnored,
    HeadUntold,
    BatchAppliedInParts,
    ReportFromAnyoneCounts,
    MovesUnbounded,
    RunsNeverClosed,
    RunsForgotten,
    CourseDroppedByDrain,
    ReviseStopsTheRun,
    ReviseMakesTheJob,
    SubmittedMoves,
    PutIgnoresVersion,
    PutNotAtomic,
    StateFenceIgnored,
    ListByCharacters,
    ListRepeats,
    ValueUnbounded,
    WipeUnnoticed,
}

/// The reference backend with one bug in it.
struct Mutant {
    store: MemoryStore,
    bug: Bug,
    /// The latest grant, and when it ends by the clock of whoever asked.
    granted: Mutex<Option<(Lease, Time)>>,
    released: AtomicBool,
}

/// Long enough for every other writer of a clause to come in between.
async fn let_others_in() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

impl Mutant {
    fn new(store: MemoryStore, bug: Bug) -> Self {
        Self { store, bug, granted: Mutex::default(), released: AtomicBool::default() }
    }

    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    /// The store, or, if a wipe is not to be noticed, whatever is in its place.
    fn store(&self) -> MemoryStore {
        if self.is(Bug::WipeUnnoticed) { self.store.reopen(Term::ZERO).unwrap() } else { self.store.clone() }
    }

    /// What whoever holds `lease`'s name holds.
    async fn held(&self, name: &LeaseName, ttl: Duration) -> Result<Option<Lease>> {
        let LeaseView { term, tenant } = self.store().current(name).await?;
        Ok(match tenant {
            Tenant::Held { holder, .. } => Some(Lease { name: name.clone(), holder, term, ttl }),
            _ => None,
        })
    }

    async fn record(&self, job: &JobId) -> Result<Option<JobRecord>> {
        let all = self.store().changes(Revision::ZERO, usize::MAX).await?.changes.into_iter();
        let mut records =
            all.filter_map(|change| if let JobChange::Put(record) = change { Some(record) } else { None });
        Ok(records.find(|record| record.spec.id() == job))
    }

    /// The lease with a term nobody can have raised a fence above.
    fn unfenced(lease: &Lease) -> Lease {
        Lease { term: Term(u64::MAX), ..lease.clone() }
    }
}

#[async_trait]
impl HeartbeatStore for Mutant {
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<()> {
        if self.is(Bug::OlderBeatWins) {
            for sighting in self.store().sightings().await? {
                if sighting.heartbeat.member.node == heartbeat.member.node {
                    self.store().forget(&sighting.heartbeat.member).await?;
                }
            }
        }
        self.store().beat(heartbeat).await
    }

    async fn sightings(&self) -> Result<Vec<Sighting>> {
        let mut sightings = self.store().sightings().await?;
        if self.is(Bug::AgeOverstated) {
            for sighting in &mut sightings {
                sighting.age += Duration::from_nanos(1);
            }
        }
        Ok(sightings)
    }

    async fn forget(&self, member: &Member) -> Result<()> {
        if self.is(Bug::ForgetIgnoresIncarnation) {
            for sighting in self.store().sightings().await? {
                if sighting.heartbeat.member.node == member.node {
                    self.store().forget(&sighting.heartbeat.member).await?;
                }
            }
        }
        self.store().forget(member).await
    }
}

#[async_trait]
impl LeaseManager for Mutant {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        let held = self.held(name, ttl).await?;
        match &held {
            Some(held) if self.is(Bug::IncarnationIgnored) && held.holder.node == member.node => {
                return self.store().acquire(name, &held.holder, ttl).await;
            }
            Some(held) if self.is(Bug::RetrySpendsTerm) && held.holder == *member => {
                self.store().release(held, None).await?;
            }
            None if self.is(Bug::AcquireNotAtomic) => {
                let_others_in().await;
                if let Some(held) = self.held(name, ttl).await? {
                    self.store().release(&held, None).await?;
                }
            }
            _ => {}
        }
        let mut answer = self.store().acquire(name, member, ttl).await?;
        if let Acquired::Granted(lease) = &mut answer {
            if self.is(Bug::TermResetByRelease) && self.released.load(Ordering::Relaxed) {
                lease.term = Term(1);
            }
            *self.granted.lock().unwrap() = Some((lease.clone(), SystemClock::new().now() + ttl));
        }
        Ok(answer)
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        if self.is(Bug::RenewIgnoresToken) {
            let held = self.held(&lease.name, lease.ttl).await?.filter(|held| held.holder == lease.holder);
            return self.store().renew(&held.unwrap_or_else(|| lease.clone())).await;
        }
        let answer = self.store().renew(lease).await?;
        if self.is(Bug::RenewRevivesLapsed) && answer == Renewed::Lost {
            let revived = self.store().acquire(&lease.name, &lease.holder, lease.ttl).await?;
            return Ok(if matches!(revived, Acquired::Granted(_)) { Renewed::Extended } else { Renewed::Lost });
        }
        Ok(answer)
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        self.released.store(true, Ordering::Relaxed);
        let held = if self.is(Bug::ReleaseUnconditional) { self.held(&lease.name, lease.ttl).await? } else { None };
        let successor = successor.filter(|_| !self.is(Bug::SuccessorIgnored));
        self.store().release(held.as_ref().unwrap_or(lease), successor).await
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        if let (true, Some((lease, ends))) = (self.is(Bug::ExpiryByCallersClock), &*self.granted.lock().unwrap()) {
            let tenant = match ends.since(SystemClock::new().now()) {
                Duration::ZERO => Tenant::Free,
                remaining => Tenant::Held { holder: lease.holder.clone(), remaining },
            };
            return Ok(LeaseView { term: lease.term, tenant });
        }
        self.store().current(name).await
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        if self.is(Bug::FloorIgnored) { Ok(()) } else { self.store().raise_floor(floor).await }
    }

    fn durability(&self) -> Durability {
        self.store.durability()
    }
}

#[async_trait]
impl JobAssigner for Mutant {
    async fn submit(&self, spec: &JobSpec) -> Result<Submitted> {
        self.store().submit(spec).await
    }

    async fn revise(&self, spec: &JobSpec) -> Result<Revised> {
        if self.is(Bug::ReviseStopsTheRun)
            && let Some(JobRecord { owner: Some(member), epoch, .. }) = self.record(spec.id()).await?
        {
            let said = JobReport { job: spec.id().clone(), member, epoch, status: JobStatus::Stopped };
            self.store().report(&[said]).await?;
        }
        if self.is(Bug::ReviseMakesTheJob) && self.store().submit(spec).await? == Submitted::Created {
            return Ok(Revised::Changed);
        }
        self.store().revise(spec).await
    }

    async fn remove(&self, job: &JobId) -> Result<Removed> {
        self.store().remove(job).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<Changes> {
        let mut page = self.store().changes(since, limit).await?;
        if self.is(Bug::FeedSkipsEntry) && page.more {
            page.upto = page.upto.next();
        }
        if self.is(Bug::FeedForgetsRemovals) {
            page.changes.retain(|change| matches!(change, JobChange::Put(_)));
        }
        for change in &mut page.changes {
            let JobChange::Put(record) = change else { continue };
            if self.is(Bug::RunsNeverClosed) {
                record.runs.iter_mut().for_each(|run| run.end = None);
            }
            if self.is(Bug::RunsForgotten) {
                record.runs.drain(..record.runs.len().saturating_sub(MAX_RUNS - 1));
            }
            if self.is(Bug::SubmittedMoves) {
                record.submitted = record.revision;
            }
        }
        Ok(page)
    }

    async fn assign(&self, fence: &Lease, moves: &[Move]) -> Result<Assigned> {
        if self.is(Bug::FenceIgnored) {
            return self.store().assign(&Self::unfenced(fence), moves).await;
        }
        if self.is(Bug::HeadUntold) && moves.is_empty() {
            return Ok(Assigned::Applied(Revision::ZERO));
        }
        if self.is(Bug::MovesUnbounded) {
            let mut last = Assigned::Applied(Revision::ZERO);
            for batch in moves.chunks(MAX_BATCH) {
                last = self.store().assign(fence, batch).await?;
            }
            return Ok(last);
        }
        if self.is(Bug::BatchAppliedInParts) {
            let mut stale = Vec::new();
            for one in moves {
                if let Assigned::Stale(which) = self.store().assign(fence, std::slice::from_ref(one)).await? {
                    stale.extend(which);
                }
            }
            if !stale.is_empty() {
                return Ok(Assigned::Stale(stale));
            }
            return self.store().assign(fence, &[]).await;
        }
        let mut moves = moves.to_vec();
        if self.is(Bug::CourseDroppedByDrain) {
            for drain in moves.iter_mut().filter(|wanted| wanted.step == Step::Drain) {
                drain.course = self.record(&drain.job).await?.map(|record| record.course).unwrap_or_default();
            }
        }
        self.store().assign(fence, &moves).await
    }

    async fn report(&self, reports: &[JobReport]) -> Result<Vec<Reported>> {
        let mut reports = reports.to_vec();
        if self.is(Bug::ReportFromAnyoneCounts) {
            for said in &mut reports {
                let owner = self.record(&said.job).await?.and_then(|record| record.owner);
                said.member = owner.unwrap_or_else(|| said.member.clone());
            }
        }
        self.store().report(&reports).await
    }
}

#[async_trait]
impl StateStore for Mutant {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        self.store().get(key).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        let mut found = self.store().list(prefix, after, limit).await?;
        if self.is(Bug::ListByCharacters) {
            for like in ["ab", "a-b/c", "a.b"] {
                found.extend(self.store().get(&StateKey::new(like).unwrap()).await?);
            }
        }
        if let (true, Some(after)) = (self.is(Bug::ListRepeats), after) {
            found.splice(0..0, self.store().get(after).await?);
            found.truncate(limit);
        }
        Ok(found)
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        let mut expect = expect;
        if self.is(Bug::PutIgnoresVersion) {
            expect = Expect::Any;
        }
        if self.is(Bug::PutNotAtomic)
            && self.store().get(key).await?.map(|d| Expect::Version(d.version)) == Some(expect)
        {
            let_others_in().await;
            expect = Expect::Any;
        }
        let value = if self.is(Bug::ValueUnbounded) { &value[..value.len().min(1000)] } else { value };
        let fence = fence.filter(|_| !self.is(Bug::StateFenceIgnored));
        self.store().put(key, value, expect, fence).await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        self.store().delete(key, expect, fence.filter(|_| !self.is(Bug::StateFenceIgnored))).await
    }
}

/// One test for each bug: the clause, run on the mutant, panics, and on the sound store under the same runner does not.
macro_rules! caught {
    ($($test:ident: $bug:ident by $group:ident::$clause:ident;)*) => {$(
        #[test]
        fn $test() {
            let on = |wrap| {
                // On this thread alone, so that the test's output has the panics that are meant to be.
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                catch_unwind(AssertUnwindSafe(|| runtime.block_on($group::$clause(&Memory::start(wrap)))))
            };
            assert!(on(|store| store.backend()).is_ok(), "the clause passes on the sound store");
            let mutant = on(|store| Backend::new(Mutant::new(store, Bug::$bug)));
            assert!(mutant.is_err(), "{}::{} does not see the bug", stringify!($group), stringify!($clause));
        }
    )*};
}

caught! {
    a_store_where_an_older_beat_wins: OlderBeatWins by heartbeat::a_beat_of_an_earlier_incarnation_changes_nothing;
    a_store_where_a_replayed_beat_revives: OlderBeatWins by heartbeat::a_replayed_beat_changes_not_even_the_age;
    a_store_that_overstates_ages: AgeOverstated by heartbeat::an_age_is_never_overstated;
    a_store_that_forgets_the_later_incarnation: ForgetIgnoresIncarnation
        by heartbeat::forget_of_another_incarnation_changes_nothing;
    a_store_that_renews_without_the_token: RenewIgnoresToken by lease::a_renewal_under_an_earlier_term_is_lost;
    a_store_that_revives_a_lapsed_lease: RenewRevivesLapsed by lease::a_lapsed_lease_is_never_renewed;
    a_store_that_judges_expiry_by_the_callers_clock: ExpiryByCallersClock
        by lease::a_lease_lapses_by_the_stores_clock_alone;
    a_store_that_resets_the_term_at_a_release: TermResetByRelease by lease::a_term_rises_with_every_grant;
    a_store_that_releases_whatever_is_held: ReleaseUnconditional
        by lease::a_replayed_release_after_a_new_grant_changes_nothing;
    a_store_whose_renewals_undo_a_release: RenewRevivesLapsed by lease::a_release_beside_a_renewal_frees_the_lease;
    a_store_that_ignores_the_successor: SuccessorIgnored by lease::others_are_refused_while_it_is_reserved;
    a_store_that_ignores_incarnations: IncarnationIgnored by lease::another_incarnation_of_the_holders_node_is_refused;
    a_store_where_a_retry_spends_a_term: RetrySpendsTerm by lease::the_holder_acquiring_again_keeps_its_term;
    a_store_that_looks_before_it_grants: AcquireNotAtomic by lease::of_twenty_concurrent_acquirers_one_is_granted;
    a_store_that_ignores_the_floor: FloorIgnored by lease::a_raised_floor_lifts_every_later_grant;
    a_store_whose_feed_skips_an_entry: FeedSkipsEntry by job::the_feed_pages_without_gap_or_repetition;
    a_store_whose_feed_skips_entries_under_load: FeedSkipsEntry by job::no_reader_skips_a_concurrent_submission;
    a_store_whose_feed_forgets_removals: FeedForgetsRemovals by job::a_removal_is_told;
    a_store_that_ignores_the_fence: FenceIgnored by job::a_lower_term_is_fenced;
    a_store_that_installs_no_fence: FenceIgnored by job::an_empty_assign_installs_the_fence;
    a_store_that_does_not_tell_how_far_its_feed_goes: HeadUntold by job::an_empty_assign_tells_how_far_the_feed_goes;
    a_store_that_applies_half_a_batch: BatchAppliedInParts by job::a_batch_is_applied_wholly_or_not_at_all;
    a_store_that_splits_large_batches: MovesUnbounded by job::a_batch_above_the_most_moves_is_invalid;
    a_store_that_believes_every_report: ReportFromAnyoneCounts by job::a_report_of_another_member_or_epoch_is_stale;
    a_store_that_never_closes_a_run: RunsNeverClosed by job::the_end_of_an_ownership_closes_its_run;
    a_store_that_leaves_the_run_of_a_lost_job_open: RunsNeverClosed by job::a_seizure_closes_the_run_as_lost;
    a_store_that_keeps_too_few_runs: RunsForgotten by job::the_latest_runs_are_kept;
    a_store_whose_drains_note_no_course: CourseDroppedByDrain by job::a_moves_course_is_kept_until_the_next_move;
    a_store_that_stops_what_it_revises: ReviseStopsTheRun by job::to_revise_a_job_changes_its_spec_only;
    a_store_that_makes_what_it_revises: ReviseMakesTheJob by job::a_job_that_is_not_there_is_not_revised;
    a_store_that_forgets_the_order_of_submission: SubmittedMoves by job::the_revision_of_the_submission_stays;
    a_store_that_ignores_the_expected_version: PutIgnoresVersion
        by state::a_put_expecting_a_version_writes_over_that_one_only;
    a_store_that_looks_before_it_writes: PutNotAtomic by state::of_twenty_concurrent_puts_of_a_version_one_is_written;
    a_store_whose_documents_ignore_the_fence: StateFenceIgnored by state::a_put_under_a_lower_term_is_fenced;
    a_store_that_lists_by_characters: ListByCharacters by state::a_list_tells_what_lies_strictly_below;
    a_store_whose_pages_repeat: ListRepeats by state::a_list_pages_without_gap_or_repetition;
    a_store_that_cuts_large_values: ValueUnbounded by state::an_oversized_value_is_invalid;
    a_store_that_does_not_notice_a_wipe: WipeUnnoticed by lease::a_wiped_store_is_noticed;
}
