//! The play: start, jobs, a kill, a takeover, a switchover, a return, and the reckoning.

use std::time::Duration;

use failover::time::{Clock as _, SystemClock, Time};
use failover::{Admin, JobId, JobSpec, NodeId};

use crate::check::{self, Phase};
use crate::journal;
use crate::node::{self, Error, Told};
use crate::stage::Stage;

const NODES: [&str; 3] = ["ada", "bob", "eve"];
const JOBS: [&str; 4] = ["backup", "import", "mail", "report"];

/// Plays it. Whether every check held.
pub(crate) async fn play() -> Result<bool, Error> {
    let directory = tempfile::tempdir()?;
    println!("Three processes on one SQLite file, {}", node::url(directory.path()));
    let backend = failover::open(&node::url(directory.path()), &node::cluster()?).await?;
    let admin = Admin::new(backend);
    let mut stage = Stage::new(directory.path());
    let mut phases = Vec::new();

    stage.heading("three nodes start; one becomes active and appoints a standby");
    let began = SystemClock::new().now();
    for name in NODES {
        stage.start(name)?;
    }
    stage
        .until("one is active, one standby, one inactive", |s| {
            s.roles.len() == 3 && s.with_role("active").is_some() && s.with_role("standby").is_some()
        })
        .await?;
    phases.push(phase(&stage, "start", began, None));

    stage.heading("four jobs are submitted");
    let submitted = SystemClock::new().now();
    for job in JOBS {
        admin.submit(&JobSpec::new(JobId::new(job)?, "")?).await?;
    }
    stage.until("all jobs run", |s| s.jobs.len() == JOBS.len()).await?;
    phases.push(Phase { what: "jobs", detect: None, acquire: None, start: last_start(&stage, submitted) });
    work_a_while().await;

    let victim = stage.with_role("active").ok_or("nobody is active")?;
    stage.heading(&format!("{victim} is active and is killed with SIGKILL"));
    let killed = stage.kill(&victim).await?;
    stage
        .until("another is active and runs all jobs", |s| s.with_role("active").is_some() && s.jobs.len() == JOBS.len())
        .await?;
    phases.push(phase(&stage, "takeover", killed, Some(&victim)));
    stage.until("there is a standby again", |s| s.with_role("standby").is_some()).await?;
    work_a_while().await;

    let before = stage.with_role("active").ok_or("nobody is active")?;
    let target = stage.with_role("standby").ok_or("nobody is standby")?;
    stage.heading(&format!("an operator moves the role and the jobs from {before} to {target}"));
    let asked = SystemClock::new().now();
    admin.switchover(Some(NodeId::new(&target)?), Duration::from_secs(20)).await?;
    stage
        .until("the target is active and runs all jobs", |s| {
            s.with_role("active").as_ref() == Some(&target)
                && s.jobs.len() == JOBS.len()
                && s.jobs.values().all(|(node, _)| *node == target)
        })
        .await?;
    phases.push(phase(&stage, "switchover", asked, None));
    work_a_while().await;

    stage.heading(&format!("{victim} comes back"));
    let returned = SystemClock::new().now();
    stage.start(&victim)?;
    stage.until("it is a member again", |s| s.roles.contains_key(&victim)).await?;
    let joined = stage.first(returned, |t| t.event == "node_joined" && t.node == victim);
    let acquire = joined.map(|at| at.since(returned));
    phases.push(Phase { what: "return", detect: None, acquire, start: None });

    stage.heading("all leave in good order");
    let left_well = stage.curtain().await?;

    let lines = journal::read_all(directory.path())?;
    Ok(check::reckon(&phases, &lines, left_well))
}

/// Lets the jobs work, so that there is something to check.
async fn work_a_while() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// How long each step took since `since`: noticing that `victim` is gone, having a new active node, all jobs running.
fn phase(stage: &Stage<'_>, what: &'static str, since: Time, victim: Option<&str>) -> Phase {
    let active = stage.first(since, |t| t.event == "role_changed" && t.role.as_deref() == Some("active"));
    let noticed = victim.and_then(|victim| {
        let missing = |t: &Told| t.event == "node_missing" && t.node == victim;
        // Whoever gets the lease has noticed at the latest then.
        stage.first(since, missing).into_iter().chain(active).min()
    });
    let start = active.and_then(|active| last_start(stage, since).map(|last| (since + last).since(active)));
    Phase {
        what,
        detect: noticed.map(|at| at.since(since)),
        acquire: active.map(|at| at.since(noticed.unwrap_or(since))),
        start,
    }
}

/// From `since` until the last job began to run.
fn last_start(stage: &Stage<'_>, since: Time) -> Option<Duration> {
    let started = |t: &&Told| t.event == "job_started" && Time::from_nanos(t.at) >= since;
    stage.history.iter().filter(started).map(|t| Time::from_nanos(t.at).since(since)).max()
}
