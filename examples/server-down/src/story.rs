//! The story.

use failover::admin::{Outlook, WaitFor, Waited};
use failover::job::{FailoverPolicy, Outcome};
use failover::{Admin, Backend, JobId, JobPolicy, JobSpec, NodeId};
use stage::{Error, PATIENCE, Scene, Stage, watch};

use crate::operator::Operator;
use crate::{ledger, node};

/// In the order in which they take over and take jobs.
const SERVERS: [&str; 4] = ["alpha", "beta", "gamma", "delta"];

/// What is managed, what becomes of it when its server is down, and who manages it: the first of the named servers that can.
const MANAGED: [(&str, FailoverPolicy, &[&str]); 8] = [
    ("site-hq", FailoverPolicy::Automatic, &[]),
    ("site-plant", FailoverPolicy::Automatic, &["delta", "gamma"]),
    ("report", FailoverPolicy::Automatic, &[]),
    ("gathering", FailoverPolicy::Never, &[]),
    // Deployed by the server itself, so that any server may have them register with it.
    ("agent-1", FailoverPolicy::Automatic, &[]),
    ("agent-2", FailoverPolicy::Automatic, &[]),
    // Installed by hand, for one server.
    ("agent-3-by-hand", FailoverPolicy::Manual, &[]),
    ("agent-4-by-hand", FailoverPolicy::Manual, &[]),
];

pub(crate) async fn play() -> Result<(), Error> {
    let directory = tempfile::tempdir()?;
    let scene = Scene::new(directory.path());
    let admin = Admin::new(Backend::new(node::store(&scene).await?));
    let sql = ledger::open(&scene.file()).await?;
    let operator = Operator { admin: admin.clone(), sql, scene: scene.clone() };
    let mut stage = Stage::new(scene.clone());

    scene.heading("four servers start, and ping");
    let names: Result<Vec<_>, _> = SERVERS.iter().map(|name| NodeId::new(*name)).collect();
    admin.set_roster(names?).await?;
    stage.start("alpha", &["node", "alpha"])?;
    watch(&admin, "alpha is active", async |outlook| Ok(outlook.status().active.clone())).await?;
    for name in &SERVERS[1..] {
        stage.start(name, &["node", name])?;
    }
    let all_alive = async |outlook: &Outlook| Ok((alive(outlook) == SERVERS.len()).then_some(()));
    watch(&admin, "all are there", all_alive).await?;
    operator.pings().await?;

    scene.heading("alpha manages a site, a report, gathering and four agents, delta another site");
    for (name, failover, pins) in MANAGED {
        let mut policy = JobPolicy::default();
        policy.failover = failover;
        policy.pins = pins.iter().map(|pin| NodeId::new(*pin)).collect::<Result<_, _>>()?;
        admin.submit(&JobSpec::new(JobId::new(name)?, "")?.with_policy(policy)?).await?;
    }
    let everything = "agent-1 agent-2 agent-3-by-hand agent-4-by-hand gathering report site-hq";
    operator.until(&[("alpha", everything), ("delta", "site-plant")]).await?;

    scene.heading("alpha and delta go down, while somebody waits for alpha's gathering");
    let waiting = tokio::spawn({
        let admin = admin.clone();
        async move { admin.wait(&JobId::new("gathering")?, WaitFor::RunEnds).await.map_err(Error::from) }
    });
    watch(&admin, "all jobs tell how far they are", async |outlook| Ok(all_tell(outlook).then_some(()))).await?;
    stage.kill("alpha").await?;
    stage.kill("delta").await?;
    released(&scene, waiting.await??)?;

    scene.heading("each server that is down is one event, and whoever is on call is paged once for each");
    let responder = paged(&operator, &["alpha", "delta"]).await?;

    scene.heading("sites, jobs and agents fail over; gathering does not, nor do agents that were installed by hand");
    let waits = ("-", "agent-3-by-hand agent-4-by-hand gathering");
    operator.until(&[waits, ("beta", "agent-1 agent-2 report site-hq"), ("gamma", "site-plant")]).await?;
    operator.why("gathering").await?;
    operator.why("agent-3-by-hand").await?;
    let pings = operator.pings().await?;
    let expected = [("alpha", 0), ("beta", 1), ("delta", 0), ("gamma", 1)];
    if !pings.iter().map(|(server, status)| (server.as_str(), *status)).eq(expected) {
        return Err("the table of pings should show alpha and delta down, beta and gamma alive".into());
    }

    scene.heading("an operator registers one of those agents with beta by hand");
    admin.move_job(&JobId::new("agent-3-by-hand")?, &NodeId::new("beta")?, PATIENCE).await?;
    let waits = ("-", "agent-4-by-hand gathering");
    operator
        .until(&[waits, ("beta", "agent-1 agent-2 agent-3-by-hand report site-hq"), ("gamma", "site-plant")])
        .await?;

    scene.heading("both servers are back: what waited for alpha goes on, what runs elsewhere is left alone");
    stage.start("alpha", &["node", "alpha"])?;
    stage.start("delta", &["node", "delta"])?;
    watch(&admin, "all are there", all_alive).await?;
    let beta = ("beta", "agent-1 agent-2 agent-3-by-hand report site-hq");
    operator.until(&[("alpha", "agent-4-by-hand gathering"), beta, ("gamma", "site-plant")]).await?;

    scene.heading("an operator rolls it back: what was moved returns, each stopped before it starts again");
    for name in ["alpha", "delta"] {
        let order = admin.failback(&NodeId::new(name)?, PATIENCE).await?;
        scene.say(&format!("   {name}: {}", order.reason.as_deref().unwrap_or("all of it is back")));
    }
    // The one that was registered with beta by hand belongs there now.
    let back = "agent-1 agent-2 agent-4-by-hand gathering report site-hq";
    operator.until(&[("alpha", back), ("beta", "agent-3-by-hand"), ("delta", "site-plant")]).await?;

    scene.heading(&format!(
        "{responder} responded, and is lost too: a third event, and nobody is paged again for the first two"
    ));
    stage.kill(&responder).await?;
    paged(&operator, &["alpha", "delta", &responder]).await?;
    let at = if responder == "beta" { "-" } else { "beta" };
    operator.until(&[("alpha", back), (at, "agent-3-by-hand"), ("delta", "site-plant")]).await?;

    scene.heading("all leave");
    stage.curtain().await?;
    for (job, servers) in ledger::reckon(&operator.sql).await? {
        println!("   {job:<16} {servers}");
    }
    Ok(())
}

fn alive(outlook: &Outlook) -> usize {
    outlook.status().nodes.iter().filter(|node| node.alive).count()
}

fn all_tell(outlook: &Outlook) -> bool {
    outlook.status().jobs.iter().all(|record| !record.detail.is_empty())
}

/// Waits until there is a page for each of these servers, and sees that there is one for each. Who paged last.
async fn paged(operator: &Operator, down: &[&str]) -> Result<String, Error> {
    let enough =
        async |_: &Outlook| Ok(Some(ledger::pages(&operator.sql).await?).filter(|pages| pages.len() >= down.len()));
    let pages = watch(&operator.admin, &format!("there is a page for each of {down:?}"), enough).await?;
    for (server, by) in &pages {
        operator.scene.say(&format!("   {by} paged: {server} is down"));
    }
    let (mut servers, mut expected) =
        (pages.iter().map(|(server, _)| server.as_str()).collect::<Vec<_>>(), down.to_vec());
    servers.sort_unstable();
    expected.sort_unstable();
    if servers != expected {
        return Err(format!("there should be one page for each of {down:?}").into());
    }
    pages.into_iter().next_back().map(|(_, by)| by).ok_or_else(|| "nobody is down".into())
}

fn released(scene: &Scene, waited: Waited) -> Result<(), Error> {
    let Waited::Ended(run) = waited else { return Err(format!("gathering: {waited:?}").into()) };
    let end = run.end.ok_or("a run that has ended has an end")?;
    scene.say(&format!(
        "   who waited for gathering on {} is released: {}, done {}",
        run.member.node, end.outcome, end.detail
    ));
    if end.outcome == Outcome::Lost { Ok(()) } else { Err("it should be lost".into()) }
}
