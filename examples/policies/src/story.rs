//! The story.

use std::time::Duration;

use failover::admin::{Admin, WaitFor, Waited, What};
use failover::job::Outcome;
use failover::memory::MemoryStore;
use failover::{JobId, JobPolicy, JobSpec, Node, NodeId, Role};

use crate::servers::{self, Error, Register, Server};
use crate::tell::{MISSING, heading, until, why};

const PRIMARY: Server = Server { name: "primary", capacity: 10, label: None };
const SECOND: Server = Server { name: "second", capacity: 8, label: None };
const THIRD: Server = Server { name: "third", capacity: 8, label: Some(("tape", "yes")) };

/// Needs the tape drive, which only one server has.
const BACKUP: &str = "policy-07-backup";
/// Is licensed for one server.
const LICENSED: &str = "policy-13-licensed";

pub(crate) async fn play() -> Result<(), Error> {
    let (store, register) = (MemoryStore::new(), Register::default());
    let admin = Admin::new(store.backend());

    heading("three servers, in this order: primary (10 policies), second (8), third (8, with a tape drive)");
    let roster = [&PRIMARY, &SECOND, &THIRD].map(|server| NodeId::new(server.name));
    admin.set_roster(roster.into_iter().collect::<Result<_, _>>()?).await?;
    let primary = servers::start(&PRIMARY, &store, &register)?;
    primary.roles().wait_for(|role| *role == Role::Active).await?;
    let others = [servers::start(&SECOND, &store, &register)?, servers::start(&THIRD, &store, &register)?];
    all_seen(&admin).await?;

    heading("twenty policies: the first server fills up, the next takes the rest");
    for policy in policies()? {
        admin.submit(&policy).await?;
    }
    // All but the backup, which goes to the tape drive: ten, eight, and what is left.
    until(&admin, &[("primary", 10), ("second", 8), ("third", 2)], 0).await?;
    why(&admin, "policy-12").await?;
    why(&admin, BACKUP).await?;

    heading("what would follow if the primary server were lost? nothing is moved for the answer");
    let rehearsal = admin.plan(&What::IfLost(NodeId::new("primary")?), MISSING).await?;
    let placed = rehearsal.decisions.iter().filter(|decision| decision.to.is_some()).count();
    println!("   {placed} policies would go on elsewhere, {} would wait", rehearsal.waiting.len());
    if (placed, rehearsal.waiting.len()) != (6, 4) {
        return Err(format!("it should be 6 and 4: {rehearsal:?}").into());
    }

    heading("it is lost");
    let waiting = tokio::spawn({
        let admin = admin.clone();
        async move { admin.wait(&JobId::new("policy-01")?, WaitFor::RunEnds).await.map_err(Error::from) }
    });
    drop(primary);
    released(waiting.await??)?;
    until(&admin, &[("second", 8), ("third", 8)], 4).await?;
    why(&admin, LICENSED).await?;

    heading("it comes back: what waits starts there, what runs elsewhere is left alone");
    let primary = servers::start(&PRIMARY, &store, &register)?;
    until(&admin, &[("primary", 4), ("second", 8), ("third", 8)], 0).await?;

    heading("an operator returns what was moved from it, each policy stopped before it starts again");
    admin.failback(&NodeId::new("primary")?, Duration::from_secs(20)).await?;
    until(&admin, &[("primary", 10), ("second", 8), ("third", 2)], 0).await?;
    history(&admin, "policy-01").await?;

    for node in others.into_iter().chain([primary]) {
        Node::shutdown(&node).await;
    }
    match register.twice() {
        twice if twice.is_empty() => Ok(()),
        twice => Err(twice.join(", ").into()),
    }
}

/// Twenty policies. Of one of them there can be as many as there are servers with what it needs.
fn policies() -> Result<Vec<JobSpec>, Error> {
    let spec = |number: u32| {
        let (name, mut policy) = (format!("policy-{number:02}"), JobPolicy::default());
        let name = match number {
            7 => {
                policy.requires.insert("tape".into(), "yes".into());
                BACKUP.to_owned()
            }
            13 => {
                policy.pins = vec![NodeId::new(PRIMARY.name)?];
                // It must not find its only server full.
                policy.priority = 1;
                LICENSED.to_owned()
            }
            _ => name,
        };
        Ok(JobSpec::new(JobId::new(name)?, format!("policy {number}"))?.with_policy(policy)?)
    };
    // The licensed one first: the order of submission counts among those that are placed at the same time only.
    std::iter::once(13).chain((1..=20).filter(|number| *number != 13)).map(spec).collect()
}

/// Waits until the cluster knows all servers, so that the first policies do not find only some of them.
async fn all_seen(admin: &Admin) -> Result<(), Error> {
    let seen = async {
        loop {
            let status = admin.status(MISSING).await?;
            if status.active.is_some() && status.nodes.len() == 3 {
                return Ok::<_, Error>(status);
            }
            let _hint = tokio::time::timeout(Duration::from_millis(100), admin.changed()).await;
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(30), seen).await??;
    if let Some((active, term)) = status.active {
        println!("   {active} is active under term {term}");
    }
    Ok(())
}

fn released(waited: Waited) -> Result<(), Error> {
    let Waited::Ended(run) = waited else { return Err(format!("policy-01: {waited:?}").into()) };
    let end = run.end.ok_or("a run that has ended has an end")?;
    println!(
        "   who waited for policy-01 is released: {} on {}, last heard of at {}",
        end.outcome, run.member.node, end.detail
    );
    if end.outcome == Outcome::Lost { Ok(()) } else { Err("it should be lost".into()) }
}

/// Who ran a policy, when, under which epoch.
async fn history(admin: &Admin, job: &str) -> Result<(), Error> {
    let jobs = admin.jobs().await?;
    let record = jobs.iter().find(|record| record.spec.id().as_str() == job).ok_or("there is no such policy")?;
    println!("   {job}, run by run:");
    for run in &record.runs {
        let end = run.end.as_ref().map_or("runs", |end| end.outcome.as_str());
        println!("     epoch {} on {:<8} {end}", run.epoch, run.member.node);
    }
    Ok(())
}
