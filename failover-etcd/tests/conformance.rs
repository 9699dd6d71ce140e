//! The conformance suite of all backends, on one etcd server and on three.

mod common;

use std::time::Duration;

use failover_core::testkit::conformance::{Fixture, run};

use common::{LEAST, ONE, Place, THREE};

mod one_server {
    use super::*;

    failover_core::conformance!(Place::on(ONE.url(), LEAST));
}

mod three_servers {
    use super::*;

    // They elect within half a second, so they keep leases of one.
    failover_core::conformance!(Place::on(THREE.url(), Duration::from_secs(1)));
}

/// The clauses about reopening again, on a server of their own that is killed and started in between.
mod a_server_that_is_restarted {
    use super::*;

    fn on_its_own(clause: &str) {
        run(clause, Box::pin(async { Box::new(Place::alone()) as Box<dyn Fixture> }));
    }

    #[test]
    fn terms_and_floors_survive() {
        on_its_own("lease::terms_and_floors_survive_reopening");
    }

    #[test]
    fn jobs_survive() {
        on_its_own("job::jobs_survive_reopening");
    }

    #[test]
    fn the_fence_of_jobs_survives() {
        on_its_own("job::a_fence_survives_reopening");
    }

    #[test]
    fn documents_survive() {
        on_its_own("state::documents_survive_reopening");
    }

    #[test]
    fn the_fence_of_documents_survives() {
        on_its_own("state::a_fence_survives_reopening");
    }
}
