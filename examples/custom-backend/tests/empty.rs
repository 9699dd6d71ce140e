//! The file to begin with: a store that can do nothing yet, and the suite, which says so. Copy it, and replace one `todo!()`
//! after the other.

use std::time::Duration;

use async_trait::async_trait;
use failover_core::job::{Assigned, Changes, JobReport, JobSpec, Move, Removed, Reported, Revised, Submitted};
use failover_core::lease::{Acquired, Durability, Lease, LeaseView, Renewed};
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::testkit::conformance::{self, Fixture};
use failover_core::{
    Backend, Heartbeat, HeartbeatStore, JobAssigner, JobId, LeaseManager, LeaseName, Member, NodeId, Result, Revision,
    Sighting, StateKey, StateStore, Term,
};

struct MyStore;

#[async_trait]
impl HeartbeatStore for MyStore {
    async fn beat(&self, _heartbeat: &Heartbeat) -> Result<()> {
        todo!("beat")
    }

    async fn sightings(&self) -> Result<Vec<Sighting>> {
        todo!("sightings")
    }

    async fn forget(&self, _member: &Member) -> Result<()> {
        todo!("forget")
    }
}

#[async_trait]
impl LeaseManager for MyStore {
    async fn acquire(&self, _name: &LeaseName, _member: &Member, _ttl: Duration) -> Result<Acquired> {
        todo!("acquire")
    }

    async fn renew(&self, _lease: &Lease) -> Result<Renewed> {
        todo!("renew")
    }

    async fn release(&self, _lease: &Lease, _successor: Option<&NodeId>) -> Result<()> {
        todo!("release")
    }

    async fn current(&self, _name: &LeaseName) -> Result<LeaseView> {
        todo!("current")
    }

    async fn raise_floor(&self, _floor: Term) -> Result<()> {
        todo!("raise_floor")
    }

    fn durability(&self) -> Durability {
        todo!("durability")
    }
}

#[async_trait]
impl StateStore for MyStore {
    async fn get(&self, _key: &StateKey) -> Result<Option<Document>> {
        todo!("get")
    }

    async fn list(&self, _prefix: &StateKey, _after: Option<&StateKey>, _limit: usize) -> Result<Vec<Document>> {
        todo!("list")
    }

    async fn put(&self, _key: &StateKey, _value: &[u8], _expect: Expect, _fence: Option<&Lease>) -> Result<Written> {
        todo!("put")
    }

    async fn delete(&self, _key: &StateKey, _expect: Expect, _fence: Option<&Lease>) -> Result<Deleted> {
        todo!("delete")
    }
}

#[async_trait]
impl JobAssigner for MyStore {
    async fn submit(&self, _spec: &JobSpec) -> Result<Submitted> {
        todo!("submit")
    }

    async fn revise(&self, _spec: &JobSpec) -> Result<Revised> {
        todo!("revise")
    }

    async fn remove(&self, _job: &JobId) -> Result<Removed> {
        todo!("remove")
    }

    async fn changes(&self, _since: Revision, _limit: usize) -> Result<Changes> {
        todo!("changes")
    }

    async fn assign(&self, _fence: &Lease, _moves: &[Move]) -> Result<Assigned> {
        todo!("assign")
    }

    async fn report(&self, _reports: &[JobReport]) -> Result<Vec<Reported>> {
        todo!("report")
    }
}

struct MyFixture;

#[async_trait]
impl Fixture for MyFixture {
    async fn open(&self) -> Backend {
        Backend::new(MyStore)
    }

    async fn open_other(&self) -> Backend {
        todo!("a handle on another cluster in the same store")
    }

    async fn wipe(&self) {
        todo!("lose everything behind the back of open handles")
    }

    async fn make_newer(&self) {
        todo!("write a higher format into every record")
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(300)
    }

    // False if your store has no way to tell of changes: then `changed` keeps its default, and nobody asks for it.
    fn hints(&self) -> bool {
        true
    }
}

/// In your own file this is `failover_core::conformance!(MyFixture);`, which makes a test of each clause. Here they are all
/// red, and that is what this checks.
#[test]
fn every_clause_is_red_for_a_store_that_can_do_nothing() {
    for clause in conformance::CLAUSES {
        let run = || conformance::run(clause, Box::pin(async { Box::new(MyFixture) as Box<dyn Fixture> }));
        assert!(std::panic::catch_unwind(run).is_err(), "{clause} asks nothing of the store");
    }
}

#[test]
#[should_panic(expected = "not yet implemented: sightings")]
fn the_first_clause_asks_for_sightings() {
    let fixture = Box::pin(async { Box::new(MyFixture) as Box<dyn Fixture> });
    conformance::run("heartbeat::a_beat_is_sighted_unchanged", fixture);
}
