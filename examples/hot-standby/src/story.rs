//! The story.

use failover::Role::{Active, Inactive, Maintenance, Standby};
use failover::admin::Outlook;
use failover::control::{SwitchStep, Topology, VersionRule, Versioned};
use failover::{Admin, Backend, NodeId, record};
use stage::{Error, PATIENCE, Scene, Stage, watch};

use crate::operator::Operator;
use crate::{application, node};

/// The version of the product.
const PRODUCT: &str = "5.0.2";

const SERVERS: [&str; 4] = ["north", "south", "east", "west"];

pub(crate) async fn play() -> Result<(), Error> {
    let directory = tempfile::tempdir()?;
    let scene = Scene::new(directory.path());
    let admin = Admin::new(Backend::new(node::store(&scene).await?));
    let sql = application::open(&scene.file()).await?;
    let operator = Operator { admin: admin.clone(), sql, scene: scene.clone() };
    let mut stage = Stage::new(scene.clone());

    scene.heading("four servers: north and south share the work, west is in maintenance, east is not chosen");
    admin
        .reconfigure(|settings| {
            settings.topology = Topology::ActiveStandby;
            settings.versions = VersionRule::Exact;
            settings.roster = servers(&["north", "south", "west"])?;
            settings.maintenance = servers(&["west"])?.into_iter().collect();
            Ok(())
        })
        .await?;
    for name in SERVERS {
        std::fs::write(node::line(&scene, name), "ok")?;
    }
    stage.start("north", &["node", "north", PRODUCT])?;
    operator.until(&[("north", Active)]).await?;
    for name in &SERVERS[1..] {
        stage.start(name, &["node", name, PRODUCT])?;
    }
    operator.until(&[("north", Active), ("south", Standby), ("east", Inactive), ("west", Maintenance)]).await?;

    scene.heading("north is killed: the standby is in operation as soon as north's right has ended");
    stage.kill("north").await?;
    operator.until(&[("south", Active), ("east", Inactive), ("west", Maintenance)]).await?;

    scene.heading("the cluster is reconfigured: east, which has watched, is chosen");
    let read = admin.config().await?;
    let mut settings = read.settings;
    settings.roster = servers(&["south", "east", "west"])?;
    // With the version that was read: what somebody else changed meanwhile is not overwritten.
    let version = admin.set_config(read.version, settings, "operator").await?;
    for server in ["south", "east", "west"] {
        let copied = async |_: &Outlook| Ok(copy(&scene, server).filter(|copy| copy.edit.version == version));
        let copy = watch(&admin, &format!("{server} has a copy of version {version}"), copied).await?;
        scene.say(&format!("   {server} has a copy of version {version} by {}", copy.edit.by));
    }
    operator.until(&[("south", Active), ("east", Standby), ("west", Maintenance)]).await?;

    scene.heading("from the standby, an operator activates east by hand");
    let show = |step: &SwitchStep| {
        let by = step.node.as_ref().map_or("operator", NodeId::as_str);
        scene.say(&format!("   {:<10} {by:<8} {}", step.phase.as_str(), step.reason));
    };
    admin.switchover_in_steps(Some(NodeId::new("east")?), PATIENCE, show).await?;
    operator.until(&[("east", Active), ("south", Standby), ("west", Maintenance)]).await?;

    scene.heading("east's line to the plant breaks: the role goes to the standby, which is in better health");
    std::fs::remove_file(node::line(&scene, "east"))?;
    operator.until(&[("south", Active), ("east", Standby), ("west", Maintenance)]).await?;
    std::fs::write(node::line(&scene, "east"), "ok")?;

    scene.heading("north is back, first on the roster, but with another version of the product");
    admin.set_roster(servers(&["north", "south", "east", "west"])?).await?;
    stage.start("north", &["node", "north", "5.1.0"])?;
    let held_back = |outlook: &Outlook| {
        outlook.status().nodes.iter().any(|node| node.node.as_str() == "north" && node.alive && node.held_back)
    };
    watch(&admin, "north is held back", async |outlook| Ok(held_back(outlook).then_some(()))).await?;
    operator.until(&[("south", Active), ("east", Standby), ("north", Inactive), ("west", Maintenance)]).await?;

    scene.heading("with the same version as the others it has its place");
    stage.stop("north").await?;
    stage.start("north", &["node", "north", PRODUCT])?;
    operator.until(&[("south", Active), ("north", Standby), ("east", Inactive), ("west", Maintenance)]).await?;

    scene.heading("west's maintenance is over: it takes part again, and waits to be needed");
    admin.end_maintenance(&NodeId::new("west")?).await?;
    operator.until(&[("south", Active), ("north", Standby), ("east", Inactive), ("west", Inactive)]).await?;

    scene.heading("all leave");
    stage.curtain().await?;
    println!("   in operation: {}", operator.reckon().await?);
    Ok(())
}

/// The configuration, as a server has it on its own disk.
fn copy(scene: &Scene, server: &str) -> Option<Versioned> {
    record::decode("read", server, &std::fs::read(node::domain(scene, server)).ok()?).ok()
}

fn servers(names: &[&str]) -> Result<Vec<NodeId>, failover::Invalid> {
    names.iter().map(|name| NodeId::new(*name)).collect()
}
