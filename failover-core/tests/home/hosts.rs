//! What a host that blocks its executor keeps, and where its own code runs.

use std::thread;
use std::time::Duration;

use failover_core::incident::Incident;
use failover_core::machine::{Finish, JobEnd};
use failover_core::memory::MemoryStore;
use failover_core::testkit::faults::{Fault, Op};
use failover_core::{
    Admin, Election, ErrorKind, JobId, JobRun, JobSpec, NodeId, Replica, Replicated, ResponseRun, Role, Timing, Witness,
};

use crate::stage::{BEAT, Story, TTL, at_home, beside, host, node, role, soon, until};

#[test]
fn a_host_that_blocks_its_executor_keeps_its_role_and_its_token() {
    host(async {
        let store = MemoryStore::new();
        let (backend, _, home) = at_home(&store).await;
        let (a, b) = (node(&backend, "a").start().unwrap(), node(&backend, "b").start().unwrap());
        role(&a, Role::Active).await;
        role(&b, Role::Standby).await;
        let right = a.active().unwrap();
        let carried = home.carried();
        for _ in 0..2 {
            thread::sleep(TTL * 3 / 2);
            assert!(right.is_valid() && right.remaining() > Duration::ZERO);
            tokio::task::yield_now().await;
            assert_eq!((a.role(), b.role()), (Role::Active, Role::Standby));
            assert_eq!(a.active().unwrap().token(), right.token());
        }
        assert_eq!(home.carried(), carried, "what nodes ask is asked at home");
        assert_eq!((a.shutdown().await, b.shutdown().await), (Finish::Left, Finish::Left));
    });
}

#[test]
fn without_a_home_the_same_host_loses_its_right_and_sees_it_at_the_first_look() {
    host(async {
        let a = node(&MemoryStore::new().backend(), "a").start().unwrap();
        role(&a, Role::Active).await;
        let right = a.active().unwrap();
        thread::sleep(TTL * 3 / 2);
        assert!(!right.is_valid() && a.active().is_none());
        assert_eq!(a.role(), Role::Active, "nobody could tell it yet");
        role(&a, Role::Active).await;
    });
}

#[test]
fn a_leader_that_blocks_its_executor_keeps_leading() {
    host(async {
        let (backend, _, home) = at_home(&MemoryStore::new()).await;
        let election = move |name| {
            let builder = Election::builder(backend.leases.clone(), "x", NodeId::new(name).unwrap()).unwrap();
            builder.timing(Timing::new(BEAT, TTL).unwrap()).start().unwrap()
        };
        let leadership = election("a").campaign().await.unwrap();
        let b = election("b");
        let other = tokio::spawn(async move { b.campaign().await });
        thread::sleep(TTL * 3 / 2);
        assert!(leadership.is_valid() && !leadership.stopping().is_cancelled());
        tokio::task::yield_now().await;
        assert!(!other.is_finished());
        let first = leadership.token();
        leadership.resign().await;
        let second = soon("the other leads", other).await.unwrap().unwrap();
        assert!(second.token().number > first.number);
        assert_eq!(home.carried(), 1, "only the opening");
        second.resign().await;
    });
}

#[test]
fn a_right_that_lapsed_while_the_executor_was_blocked_is_invalid_at_the_first_look() {
    host(async {
        let store = MemoryStore::new();
        let (backend, faults, _) = at_home(&store).await;
        let log = Story::default();
        let a = node(&backend, "a").hooks(log.clone()).start().unwrap();
        role(&a, Role::Active).await;
        let right = a.active().unwrap();
        let b = beside(&store);
        role(&b, Role::Standby).await;

        faults.all(Fault::Hang);
        until("the standby takes over while the host of the active node is blocked", || b.active().is_some());
        assert!(!right.is_valid() && a.active().is_none(), "by the clock alone");
        assert_eq!(log.told("demote"), 0, "it could not hear of it");
        assert!(b.active().unwrap().token().number > right.token().number);

        soon("it hears of it when it runs again", async {
            while log.told("demote") == 0 {
                tokio::time::sleep(BEAT).await;
            }
        })
        .await;
        faults.heal();
    });
}

/// Tells where it is asked.
#[derive(Clone)]
struct Copy(Story);

#[async_trait::async_trait]
impl Replicated for Copy {
    async fn apply(&self, _record: &[u8]) -> Result<(), String> {
        self.0.tell("apply");
        Ok(())
    }

    async fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    async fn restore(&self, _snapshot: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn the_hosts_own_code_runs_in_the_hosts_runtime() {
    host(async {
        let store = MemoryStore::new();
        let (backend, faults, _) = at_home(&store).await;
        let log = Story::default();
        let (jobs, responses, witnesses) = (log.clone(), log.clone(), log.clone());
        let replica = Replica::new("copy", std::sync::Arc::new(Copy(log.clone()))).unwrap();
        let a = node(&backend, "a")
            .hooks(log.clone())
            .replica(&replica)
            .jobs(move |run: JobRun| {
                let log = jobs.clone();
                async move {
                    log.tell("job");
                    tokio::spawn(async move { log.tell("spawned by a job") }).await.unwrap();
                    run.stop().cancelled().await;
                    JobEnd::Stopped
                }
            })
            .response("note", move |run: ResponseRun| {
                let (log, _incident): (_, &Incident) = (responses.clone(), run.incident());
                async move {
                    log.tell("response");
                    Ok(String::new())
                }
            })
            .witness(Witness::function(move || {
                let log = witnesses.clone();
                async move {
                    log.tell("witness");
                    true
                }
            }))
            .start()
            .unwrap();
        role(&a, Role::Active).await;
        Admin::new(backend.clone()).submit(&JobSpec::new(JobId::new("j").unwrap(), "").unwrap()).await.unwrap();
        replica.publisher().publish("x").await.unwrap();
        // One that is lost, so that there is an incident to respond to.
        let lost = node(&store.backend(), "b").start().unwrap();
        role(&lost, Role::Standby).await;
        drop(lost);
        let wait = async |what| {
            soon(what, async {
                while log.told(what) == 0 {
                    tokio::time::sleep(BEAT).await;
                }
            })
            .await;
        };
        for what in ["prepare", "promote", "spawned by promote", "job", "spawned by a job", "apply", "response"] {
            wait(what).await;
        }
        faults.all(Fault::Refuse(ErrorKind::Unavailable));
        wait("witness").await;
        faults.heal();
        role(&a, Role::Active).await;
        assert_eq!(a.shutdown().await, Finish::Left);
        assert!(log.told("demote") > 0);
        let here = thread::current().id();
        let elsewhere: Vec<_> = log.all().into_iter().filter(|(_, thread)| *thread != here).collect();
        assert_eq!(elsewhere, [], "all on {here:?}");
        assert!(faults.calls(Op::Renew) > 0);
    });
}

#[test]
fn a_host_that_hangs_loses_its_role_if_it_has_a_watchdog() {
    host(async {
        let store = MemoryStore::new();
        let (backend, _, _) = at_home(&store).await;
        let log = Story::default();
        let a = node(&backend, "a").hooks(log.clone()).watchdog(TTL).start().unwrap();
        role(&a, Role::Active).await;
        let b = beside(&store);
        loop {
            a.feed();
            if b.role() == Role::Standby {
                break;
            }
            tokio::time::sleep(BEAT).await;
        }
        let right = a.active().unwrap();
        // From here on nobody feeds it, and nothing of the host runs.
        until("the standby takes over from a host that hangs", || b.active().is_some());
        assert!(!right.is_valid() && log.told("demote") == 0);
    });
}
