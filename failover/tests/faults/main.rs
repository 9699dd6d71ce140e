//! Real faults, on real servers and real processes: each backend against each fault, one named test a cell.
//!
//! `README.md` beside this file has the table. A cell starts nodes as processes of their own (this same test binary, see
//! [`node`]), which write to a resource under their tokens (see [`resource`]), does something to them, to their
//! connections or to their server, and asks the resource what it saw.
//!
//! Moments are demanded in one direction only: what has to happen within a bound gets [`stage::PATIENCE`] on top, for a
//! machine that has other things to do.

mod cells;
mod node;
mod resource;
mod rows;
mod scribe;
mod stage;
mod stores;

use stores::{Etcd, EtcdThree, Mariadb, Mixed, Postgres, Redis, RedisCluster, RedisSentinel, Sqlite};

/// One test for each cell of these groups, on a store.
macro_rules! matrix {
    ($($backend:ident: $store:ty => $($group:ident)+;)+) => {$(
        mod $backend {
            #[allow(unused_imports, reason = "the store's type may be named with its module")]
            use super::*;
            $(matrix! { @$group $store })+
        }
    )+};
    (@processes $store:ty) => { matrix! { @cells $store, processes:
        a_killed_holder_is_replaced
        a_holder_paused_longer_than_its_lease_is_replaced_and_its_late_write_is_refused
        a_wall_clock_an_hour_off_changes_nothing
    } };
    (@server $store:ty) => { matrix! { @cells $store, server:
        a_server_restarted_within_the_lease_costs_nobody_a_right
        a_server_away_longer_than_the_lease_leaves_nobody_a_right_and_then_all_goes_on
        a_server_paused_within_the_lease_costs_nobody_a_right
        a_server_paused_longer_than_the_lease_leaves_nobody_a_right_and_then_all_goes_on
        a_server_killed_in_the_middle_of_a_batch_leaves_all_of_it_or_nothing
    } };
    (@connections $store:ty) => {
        matrix! { @cells $store, connections:
            cut_connections_cost_nobody_a_right
            half_open_connections_cost_nobody_a_right
            a_holder_in_a_black_hole_stops_by_itself_and_is_replaced
            refused_connections_within_the_lease_cost_nobody_a_right
            lost_replies_cost_nobody_a_right
        }
        matrix! { @cells $store, histories: a_hundred_histories_under_network_faults_are_linearizable }
    };
    (@wellbeing $store:ty) => { matrix! { @cells $store, wellbeing:
        a_failure_moves_the_role_once_and_not_to_and_fro
        a_host_that_hangs_loses_the_role_and_may_stand_by_again
    } };
    (@fencer $store:ty) => { matrix! { @cells $store, fencer:
        a_stopped_holder_whose_process_is_ended_for_good_is_replaced_long_before_its_lease_lapses
        a_stopped_holder_that_the_fencer_refuses_to_end_is_replaced_not_before_its_lease_lapses
    } };
    (@witness $store:ty) => { matrix! { @cells $store, witness:
        a_holder_that_is_cut_off_stands_down_long_before_its_right_is_over
        a_store_that_is_away_is_told_apart_and_costs_nobody_a_right
    } };
    (@file $store:ty) => { matrix! { @own witness:
        a_holder_that_is_cut_off_from_a_file_stands_down_long_before_its_right_is_over
        a_file_that_is_away_is_told_apart_and_costs_nobody_a_right
    } };
    (@no_proxies $store:ty) => {
        matrix! { @cells $store, histories: a_hundred_histories_with_lost_calls_are_linearizable }
    };
    (@data $store:ty) => { matrix! { @cells $store, data:
        a_wiped_store_stops_every_node_and_goes_on_above_the_floor
    } };
    (@replica $store:ty) => { matrix! { @cells $store, replica:
        an_active_killed_at_random_points_loses_no_acknowledged_record
        an_active_paused_over_a_takeover_has_its_late_record_refused
    } };
    (@herd $store:ty) => { matrix! { @cells $store, herd:
        a_thousand_nodes_that_rejoin_at_once_make_a_bounded_number_of_calls
    } };
    (@leader $store:ty) => { matrix! { @own leader:
        a_killed_leader_costs_nobody_a_right
        a_paused_leader_costs_nobody_a_right_and_renews_nothing_when_it_is_back
        a_holder_killed_with_the_leader_is_replaced_within_the_declared_slack
    } };
    (@promotion $store:ty) => { matrix! { @own promotion:
        a_killed_primary_costs_nobody_a_right
        a_replica_promoted_without_the_last_grant_stops_everyone_who_knows_of_it
    } };
    (@cells $store:ty, $group:ident: $($cell:ident)+) => {
        mod $group {
            use super::*;
            $(
                #[test]
                fn $cell() {
                    crate::stage::run(crate::cells::$group::$cell::<$store>());
                }
            )+
        }
    };
    (@own $group:ident: $($cell:ident)+) => {
        mod $group {
            $(
                #[test]
                fn $cell() {
                    crate::stage::run(crate::cells::$group::$cell());
                }
            )+
        }
    };
}

matrix! {
    sqlite: Sqlite => processes replica data herd no_proxies file wellbeing fencer;
    postgres: Postgres => processes replica server connections data herd witness wellbeing fencer;
    mariadb: Mariadb => processes replica server connections data herd;
    redis: Redis => processes replica server connections data herd witness wellbeing fencer;
    redis_sentinel: RedisSentinel => processes promotion data no_proxies;
    redis_cluster: RedisCluster => processes server data no_proxies;
    etcd: Etcd => processes replica server connections data herd witness wellbeing;
    etcd_three: EtcdThree => processes server connections data leader;
    mixed: Mixed => processes data;
}

/// Not a test of its own: the part of a node's process, when [`stage`] starts this binary as one.
#[test]
fn a_node_process() {
    if let Some(part) = node::part() {
        node::play(&part);
    }
}

/// Nor is this: the part of a process that publishes.
#[test]
fn a_scribe_process() {
    if let Some(script) = scribe::script() {
        scribe::play(&script);
    }
}
