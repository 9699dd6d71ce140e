//! The story.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use failover::admin::Outlook;
use failover::control::StrategyName;
use failover::replica::Lag;
use failover::{Admin, NodeId, Role, job};
use stage::{Error, PATIENCE, Scene, Stage, watch};

use crate::client::Client;
use crate::door::{Answer, Question, Session, ask};
use crate::server::{FARM, SERVERS, open};
use crate::{check, journal};

const NORTH: &str = "north";
const SOUTH: &str = "south";

pub(crate) async fn play() -> Result<(), Error> {
    let directory = tempfile::tempdir()?;
    let scene = Scene::new(directory.path());
    let (servers, farm) = (Admin::new(open(&scene, SERVERS).await?), Admin::new(open(&scene, FARM).await?));
    let mut stage = Stage::new(scene.clone());
    let [north, north_health, south, south_health] = &free_addresses()?;

    scene.heading("two terminal servers start, and two login servers: the first is active, the second passive");
    farm.set_strategy(StrategyName("spread".to_owned())).await?;
    for desk in ["desk-1", "desk-2"] {
        stage.start(desk, &["desk", desk])?;
    }
    watch(&farm, "both terminal servers are there", async |seen| Ok((seen.status().nodes.len() == 2).then_some(())))
        .await?;
    stage.start(NORTH, &["server", NORTH, north, north_health])?;
    watch(&servers, "the first is active", async |seen| Ok(has(seen, NORTH, Role::Active))).await?;
    stage.start(SOUTH, &["server", SOUTH, south, south_health])?;
    watch(&servers, "the second stands by", async |seen| Ok(has(seen, SOUTH, Role::Standby))).await?;

    scene.heading("users log in: the client knows both servers and finds the active one");
    let client = Client::start(&format!("http://{north_health};http://{south_health}"))?;
    client.more(20, NORTH).await?;
    refuses(&scene, SOUTH, south).await?;
    let busy = |users: &BTreeMap<String, u32>| users.len() == 2 && users.values().all(|users| *users > 0);
    let load = all_say(&[north, south], &Question::Load, |answer| match answer {
        Answer::Load(users) if busy(&users) => Some(users),
        _ => None,
    })
    .await?;
    scene.say(&format!("both see by heartbeats how many users work where: {load:?}"));

    scene.heading("the active login server is killed in the midst of logins");
    let killed = journal::now();
    stage.kill(NORTH).await?;
    client.more(20, SOUTH).await?;
    scene.say(&format!("nobody was let in for {} ms", client.pause(killed).as_millis()));
    // What the client knows first, and then what the server knows: that must be more.
    let (accepted, known) = (client.accepted(), sessions(&[south]).await?);
    scene.say(&format!("south knows every login that was acknowledged: {}", check::kept(&accepted, &known)?));

    scene.heading("it comes back: the passive one now, which catches up and refuses logins");
    stage.start(NORTH, &["server", NORTH, north, north_health])?;
    let lag = watch(&servers, "it stands by and has caught up", async |seen| Ok(has_caught_up(seen, NORTH))).await?;
    scene.say(&format!("north stands by, {} records behind", lag.records));
    refuses(&scene, NORTH, north).await?;

    scene.heading("failback: the gate of the one shuts, then that of the other opens");
    let asked = journal::now();
    servers.switchover(Some(NodeId::new(NORTH)?), PATIENCE).await?;
    client.more(20, NORTH).await?;
    scene.say(&format!("nobody was let in for {} ms", client.pause(asked).as_millis()));
    refuses(&scene, SOUTH, south).await?;

    scene.heading("no further users; is everything the same everywhere? then all leave");
    let accepted = client.accepted();
    drop(client);
    let known = sessions(&[north, south]).await?;
    scene.say(&format!("both know the same {} sessions", known.len()));
    watch(&farm, "every session runs", async |seen| Ok(all_run(seen, accepted.len()))).await?;
    let jobs = farm.jobs().await?;
    stage.curtain().await?;

    println!("\n   logins, each as it was acknowledged: {}", check::kept(&accepted, &known)?);
    println!("   gates, one after the other: {}", stage::one_at_a_time(journal::read_all(directory.path())?)?);
    println!("   sessions, each in one piece: {}", check::whole(&accepted, &jobs)?);
    Ok(())
}

/// How far behind a standby is that has read along to the journal's end.
fn has_caught_up(seen: &Outlook, name: &str) -> Option<Lag> {
    has(seen, name, Role::Standby)?;
    let node = seen.status().nodes.iter().find(|node| node.node.as_str() == name)?;
    node.lag.filter(|lag| lag.behind.is_some_and(|behind| behind < Duration::from_secs(1)))
}

fn has(seen: &Outlook, name: &str, role: Role) -> Option<()> {
    let is = seen.status().nodes.iter().any(|node| node.node.as_str() == name && node.alive && node.reported == role);
    is.then_some(())
}

/// Whether all sessions run on the terminal servers, and so many are there at least.
fn all_run(seen: &Outlook, sessions: usize) -> Option<()> {
    let jobs = &seen.status().jobs;
    let all = jobs.len() >= sessions && jobs.iter().all(|record| record.phase == job::Phase::Running);
    all.then_some(())
}

/// Tries to log in at a server that must not let anybody in.
async fn refuses(scene: &Scene, name: &str, address: &str) -> Result<(), Error> {
    match ask(address, &Question::Login("nobody".to_owned())).await? {
        Answer::Refused(why) => scene.say(&format!("{name} refuses a login: {why}")),
        other => return Err(format!("{name} should have refused: {other:?}").into()),
    }
    Ok(())
}

/// The sessions that all of these servers know.
async fn sessions(servers: &[&str]) -> Result<Vec<Session>, Error> {
    all_say(servers, &Question::Sessions, |answer| match answer {
        Answer::Sessions(sessions) => Some(sessions),
        _ => None,
    })
    .await
}

/// Asks servers until all of them say the same, and something that can be `read`.
async fn all_say<T>(servers: &[&str], question: &Question, read: impl Fn(Answer) -> Option<T>) -> Result<T, Error> {
    let asking = async {
        loop {
            let mut answers = Vec::new();
            for server in servers {
                answers.push(ask(server, question).await?);
            }
            let same = answers.windows(2).all(|pair| pair[0] == pair[1]);
            if let Some(read) = answers.pop().filter(|_| same).and_then(&read) {
                return Ok(read);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .map_err(|_| format!("{question:?}: the servers do not say the same"))?
}

/// Addresses that nobody listens at.
fn free_addresses() -> Result<[String; 4], Error> {
    let held: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let addresses: Vec<_> = held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    let [a, b, c, d] = *addresses else { return Err("four were asked for".into()) };
    Ok([a, b, c, d].map(|address| address.to_string()))
}
