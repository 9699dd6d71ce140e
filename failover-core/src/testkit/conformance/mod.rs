//! What the four traits promise, as tests: one async function a clause, named as the sentence it checks.
//!
//! [`conformance!`](crate::conformance) turns them into named tests for one backend. No clause demands that anything happens within a
//! tight time, so a slow machine cannot make a correct backend fail; time is demanded only in the direction that a
//! store must keep.

#![allow(clippy::missing_panics_doc, reason = "to panic when the promise is broken is what a clause is for")]

pub mod heartbeat;
pub mod job;
pub mod lease;
pub mod state;

mod kit;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Backend;
use crate::time::{Clock, SystemClock};

/// How the suite gets at one store. Each clause gets a fixture of its own, with an empty cluster in it.
///
/// Clauses run side by side. A server that takes long to start may be shared by all of them, in a `static`, as long as each
/// fixture has clusters of its own there. Some clauses have twenty writers at once, on a machine that may be busy: open
/// handles whose calls have a generous deadline (a minute), because how long a call takes is not what is tested.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A handle on the fixture's cluster: each call one of its own, as another process that starts now would open it. The
    /// first call finds the cluster empty. After [`wipe`](Self::wipe) it accepts the store as it then is.
    async fn open(&self) -> Backend;

    /// A handle on another cluster in the same store.
    async fn open_other(&self) -> Backend;

    /// Loses all the store holds, terms included, behind the back of the handles that are open: a file deleted or replaced, a
    /// server flushed or restored from nothing.
    async fn wipe(&self);

    /// Marks what the store holds now as written by a build of a newer format than [`FORMAT`](crate::record::FORMAT), behind the
    /// back of the handles that are open.
    async fn make_newer(&self);

    /// A ttl that is worth waiting for and that this store can keep: clauses about expiry wait for a small multiple of it. A
    /// few hundred milliseconds for a store that runs by a real clock, and at least its [`least_ttl`](crate::LeaseManager::least_ttl).
    fn ttl(&self) -> Duration;

    /// Whether [`changed`](crate::HeartbeatStore::changed) completes when something has changed. If it does not, it is not asked.
    fn hints(&self) -> bool;

    /// A clock that runs as the store's does. Default: the machine's.
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }

    /// Lets at least this much time pass for the store. Default: waits.
    async fn pass(&self, by: Duration) {
        let clock = self.clock();
        clock.sleep_until(clock.now() + by).await;
    }

    /// Closes the store and opens it again, as after a restart of its server, if it is one that keeps its data then. Handles
    /// that are open may fail from here on. Default: nothing.
    async fn restart(&self) {}
}

/// Hands the list of all clauses to another macro. The one place where a clause is registered.
#[doc(hidden)]
#[macro_export]
macro_rules! __clauses {
    ($then:path, $fixture:tt) => {
        $then! { $fixture
            heartbeat {
                a_beat_is_sighted_unchanged
                a_beat_makes_the_age_begin_again
                an_age_is_never_overstated
                the_age_of_a_silent_node_grows
                a_replayed_beat_changes_not_even_the_age
                an_older_beat_changes_nothing
                a_beat_of_an_earlier_incarnation_changes_nothing
                a_later_incarnation_takes_its_nodes_place
                every_node_is_sighted_once_in_order
                nodes_that_differ_only_in_case_are_two
                names_of_64_characters_are_kept
                forget_removes_the_members_beat
                forget_of_another_incarnation_changes_nothing
                forgetting_twice_is_forgetting_once
                of_twenty_concurrent_beats_of_a_node_the_highest_stays
                concurrent_beats_of_twenty_nodes_are_all_kept
                clusters_do_not_see_each_others_nodes
                changed_wakes_when_a_node_appears
                changed_wakes_when_news_differ
                a_wiped_store_is_noticed
                a_newer_format_is_refused
            }
            lease {
                a_lease_never_granted_is_free_with_term_zero
                a_free_lease_is_granted
                the_holder_acquiring_again_keeps_its_term
                the_holder_acquiring_again_restarts_its_ttl
                the_holder_acquiring_again_for_another_ttl_has_that_one
                another_incarnation_of_the_holders_node_is_refused
                a_refusal_tells_holder_term_and_remaining_time
                a_refused_acquire_changes_nothing
                a_term_rises_with_every_grant
                of_twenty_concurrent_acquirers_one_is_granted
                twenty_members_taking_turns_never_share_a_term
                concurrent_acquires_by_one_member_agree_on_the_term
                leases_of_different_names_do_not_touch
                names_of_64_characters_are_kept_apart
                clusters_do_not_share_leases
                a_zero_ttl_is_invalid
                a_ttl_below_the_least_is_invalid
                twenty_members_racing_for_ten_leases_leave_one_holder_each
                the_current_lease_is_extended
                a_renewal_restarts_the_ttl
                a_renewal_under_an_earlier_term_is_lost
                a_renewal_under_a_term_to_come_is_lost
                a_renewal_by_another_member_is_lost
                a_renewal_after_release_is_lost
                a_lease_never_granted_is_not_renewed
                twenty_concurrent_calls_leave_the_lease_with_its_holder
                a_lease_lapses_by_the_stores_clock_alone
                a_lease_does_not_lapse_before_its_ttl
                a_lapsed_lease_is_granted_to_another_under_a_higher_term
                a_lapsed_lease_is_granted_anew_to_its_former_holder
                a_lapsed_lease_is_never_renewed
                a_release_after_the_lapse_reserves_nothing
                renewals_keep_a_lease_beyond_its_ttl
                the_remaining_time_falls
                a_release_frees_at_once
                a_release_is_safe_to_repeat
                a_replayed_release_after_a_new_grant_changes_nothing
                a_release_by_another_member_changes_nothing
                a_release_to_a_successor_reserves_the_lease
                others_are_refused_while_it_is_reserved
                the_successor_is_granted_what_is_reserved_for_it
                a_replayed_release_does_not_reserve_again
                a_release_beside_a_renewal_frees_the_lease
                a_reservation_lapses
                a_raised_floor_lifts_every_later_grant
                a_floor_is_never_lowered
                a_raised_floor_leaves_the_holder_its_lease
                a_floor_above_the_highest_is_invalid
                terms_above_the_highest_floor_are_exact
                terms_and_floors_survive_reopening
                a_wiped_store_is_noticed
                a_wiped_store_opened_with_a_floor_grants_above_it
                a_newer_format_is_refused
                changed_wakes_when_a_lease_is_granted
                changed_wakes_when_a_lease_is_released
            }
            job {
                a_new_job_is_queued
                the_same_job_again_is_unchanged
                another_spec_is_a_conflict
                payloads_are_kept_unchanged
                a_job_that_has_ended_is_unchanged
                removing_a_job_without_owner_deletes_it
                removing_an_owned_job_waits_for_its_owner
                seizing_a_retiring_job_deletes_it
                submitting_a_retiring_job_is_a_conflict
                a_resubmitted_job_keeps_its_epoch
                jobs_with_similar_names_are_different_jobs
                an_empty_feed_is_empty
                the_feed_tells_the_latest_change_of_each_job_in_order
                a_reader_goes_on_from_where_it_was
                the_feed_pages_without_gap_or_repetition
                a_removal_is_told
                a_full_read_tells_no_removal
                a_resubmitted_job_is_told_as_it_is
                every_change_raises_the_revision
                a_limit_of_zero_is_invalid
                clusters_do_not_see_each_others_jobs
                no_reader_skips_a_concurrent_submission
                no_reader_skips_a_concurrent_change
                of_twenty_concurrent_submissions_of_a_job_one_creates_it
                a_placed_job_is_its_owners_under_the_next_epoch
                a_move_on_another_epoch_is_stale
                only_a_job_that_waits_is_placed
                a_seized_job_is_given_on_under_the_next_epoch
                a_seizure_from_another_owner_is_stale
                a_drained_job_keeps_its_owner_and_epoch
                a_batch_is_applied_wholly_or_not_at_all
                a_batch_above_the_most_moves_is_invalid
                two_moves_of_a_job_in_a_batch_are_invalid
                of_twenty_concurrent_placements_one_is_applied
                a_lower_term_is_fenced
                an_empty_assign_installs_the_fence
                an_empty_assign_tells_how_far_the_feed_goes
                the_fence_is_judged_before_the_moves
                fences_of_different_leases_are_independent
                fences_of_different_clusters_are_independent
                a_fence_survives_reopening
                twenty_assigns_under_rising_terms_never_go_back
                a_running_job_is_reported_once
                progress_is_kept_and_cut
                a_stopped_job_is_queued_again
                a_completed_job_has_no_owner
                a_failure_is_counted_with_its_reason
                a_report_of_another_member_or_epoch_is_stale
                a_draining_job_stays_draining_until_it_ends
                the_end_of_an_ownership_is_reported_once
                reports_are_judged_one_by_one
                a_batch_above_the_most_reports_is_invalid
                of_twenty_concurrent_endings_one_counts
                a_policy_is_kept_unchanged
                to_revise_a_job_changes_its_spec_only
                a_job_is_revised_in_any_phase
                a_job_that_is_not_there_is_not_revised
                a_payload_is_revised_to_any_length
                the_revision_of_the_submission_stays
                a_revision_and_a_report_at_once_are_both_kept
                changed_wakes_when_a_job_is_revised
                a_moves_course_is_kept_until_the_next_move
                a_placement_opens_a_run
                the_end_of_an_ownership_closes_its_run
                a_seizure_closes_the_run_as_lost
                the_latest_runs_are_kept
                a_runs_last_words_are_cut
                a_resubmitted_job_begins_without_a_past
                jobs_survive_reopening
                a_wiped_store_is_noticed
                a_newer_format_is_refused
                changed_wakes_when_a_job_changes
            }
            state {
                an_absent_document_is_nothing
                a_value_is_kept_unchanged
                a_put_expecting_absence_writes_once
                a_put_expecting_a_version_writes_over_that_one_only
                a_put_expecting_a_version_of_nothing_is_a_conflict
                versions_rise_also_across_a_deletion
                a_repeated_write_conflicts_with_itself
                a_deletion_is_safe_to_repeat
                a_deletion_of_another_version_is_a_conflict
                a_deletion_expecting_absence_is_invalid
                an_oversized_value_is_invalid
                similar_keys_are_different_documents
                clusters_do_not_share_documents
                of_twenty_concurrent_puts_of_a_version_one_is_written
                of_twenty_concurrent_creations_one_is_written
                twenty_concurrent_puts_get_twenty_versions
                a_list_tells_what_lies_strictly_below
                a_list_tells_whole_documents
                a_list_pages_without_gap_or_repetition
                a_list_goes_on_after_any_key
                a_limit_of_zero_is_invalid
                a_put_under_a_lower_term_is_fenced
                a_fence_holds_for_every_key
                a_deletion_under_a_lower_term_is_fenced
                the_fence_is_judged_before_the_expectation
                fences_of_different_leases_are_independent
                fences_of_different_clusters_are_independent
                a_write_without_a_fence_is_bound_by_none
                a_fence_survives_reopening
                twenty_writes_under_rising_terms_leave_the_highest
                documents_survive_reopening
                a_wiped_store_is_noticed
                a_newer_format_is_refused
                changed_wakes_when_a_document_is_written
                changed_wakes_when_a_document_is_deleted
            }
        }
    };
}

/// One named test for each clause of the suite, in the modules `heartbeat`, `lease`, `job` and `state`.
///
/// The argument is an expression that makes a [`Fixture`]; it is
/// evaluated for each test anew, inside an async block. Write it in an integration test, in a module of its own if there are
/// several backends.
#[macro_export]
macro_rules! conformance {
    ($fixture:expr) => {
        $crate::__clauses! { $crate::__clause_tests, ($fixture) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __clause_tests {
    ($fixture:tt $($group:ident { $($clause:ident)* })*) => {
        $($crate::__clause_module! { $fixture $group { $($clause)* } })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __clause_module {
    (($fixture:expr) $group:ident { $($clause:ident)* }) => {
        mod $group {
            #[allow(unused_imports, reason = "the fixture's expression may need nothing from outside")]
            use super::*;
            $(
                #[test]
                fn $clause() {
                    // Boxed and called by name, so that the code of the clauses is compiled once and not for each backend.
                    $crate::testkit::conformance::run(
                        concat!(stringify!($group), "::", stringify!($clause)),
                        Box::pin(async { Box::new($fixture) as Box<dyn $crate::testkit::conformance::Fixture> }),
                    );
                }
            )*
        }
    };
}

/// One clause, to be run on one fixture.
type Clause = for<'a> fn(&'a dyn Fixture) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! clause_table {
    (() $($group:ident { $($clause:ident)* })*) => {
        /// The names of all clauses, with their module.
        pub const CLAUSES: &[&str] = &[$($(concat!(stringify!($group), "::", stringify!($clause)),)*)*];

        const TABLE: &[Clause] = &[$($(|fixture| Box::pin($group::$clause(fixture)),)*)*];
    };
}
crate::__clauses! { clause_table, () }

/// How long a clause may take before it counts as hung: far more than any needs on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs one clause to its end, on a fresh fixture and a runtime of its own, with several threads, so that concurrent calls
/// really are.
///
/// # Panics
/// If the clause is broken, or hangs, or there is none of this name.
pub fn run(clause: &str, fixture: Pin<Box<dyn Future<Output = Box<dyn Fixture>>>>) {
    let named = CLAUSES.iter().zip(TABLE).find(|(name, _)| **name == clause);
    let Some((_, body)) = named else { panic!("there is no clause {clause}") };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|e| panic!("no runtime for a test: {e}"));
    let whole = async {
        let fixture = fixture.await;
        body(&*fixture).await;
    };
    let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, whole).await });
    // A call that hangs on a thread of its own must not keep the test from ending.
    runtime.shutdown_background();
    assert!(done.is_ok(), "{clause}: not finished after {PATIENCE:?}");
}

#[cfg(test)]
mod tests {
    use super::CLAUSES;

    #[test]
    fn there_are_clauses_for_all_four_traits() {
        for (module, least) in [("heartbeat", 15), ("lease", 40), ("job", 40), ("state", 30)] {
            let there = CLAUSES.iter().filter(|clause| clause.starts_with(&format!("{module}::"))).count();
            assert!(there >= least, "{module} has {there} clauses");
        }
    }

    #[test]
    fn clause_names_are_unique() {
        let mut names = CLAUSES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CLAUSES.len());
    }
}
