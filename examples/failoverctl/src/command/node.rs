//! `node NAME`: a node whose jobs are external commands.

use failover::fencer::CommandFencer;
use failover::guard::Guard;
use failover::machine::Finish;
use failover::{Capacity, Node};

use super::response::OnIncident;
use super::runner::Commands;
use crate::cli::{Global, NodeArgs};
use crate::failure::{Failure, Status};
use crate::guard::{adopt_orphans, spare};
use crate::output::{EventLine, Form, Printer};
use crate::signals::Asked;
use crate::store::{self, Absent};

pub(crate) async fn run(global: &Global, args: &NodeArgs, guard: Option<Guard>) -> Result<u8, Failure> {
    let timing = args.timing()?;
    // Before a store is made for it.
    let capacity = Capacity::of(args.capacity)?;
    args.weight.map_or(Ok(capacity), |weight| capacity.with_weight(weight))?;
    let asked = Asked::listen()?;
    adopt_orphans();

    let backend = match &args.local_config {
        None => store::open(global, Absent::Create).await?,
        Some(kept) => store::open_or_go_on(global, kept).await?,
    };
    let jobs = Commands { cluster: global.cluster.clone(), grace: args.pace.grace() };
    let heir = match (&guard, &global.store) {
        (Some(guard), Some(url)) => {
            spare(guard.id()).await;
            Some(guard.attach(url, &global.cluster))
        }
        _ => None,
    };
    let mut builder = Node::builder(backend, args.name.clone()).timing(timing).capacity(args.capacity).jobs(jobs);
    if let Some(weight) = args.weight {
        builder = builder.weight(weight);
    }
    if let Some(heir) = heir {
        builder = builder.guarded(heir);
    }
    for label in &args.labels {
        builder = builder.label(&label.name, &label.value);
    }
    if let Some(version) = &args.version_of {
        builder = builder.version(version);
    }
    if let Some(path) = &args.local_config {
        builder = builder.local_config(path);
    }
    for witness in &args.witnesses {
        builder = builder.witness(witness.clone());
    }
    if let Some(command) = &args.on_incident {
        let (grace, within) = (args.pace.grace(), args.on_incident_within.0);
        builder = builder.response("on-incident", OnIncident { command: command.clone(), grace, within });
    }
    if let Some(command) = &args.fencer {
        builder = builder.node_fencer(CommandFencer::new(["sh", "-c", command], args.fencer_within.0)?);
    }
    let node = args.clients.apply(builder)?.start()?;

    let form = Form::new(global.json);
    let printer = Printer::start();
    let mut events = node.events();
    let mut leaving = false;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => printer.print(form.render(&EventLine::from(event))),
                None => break,
            },
            () = asked.asked(), if !leaving => {
                leaving = true;
                node.leave();
            }
        }
    }
    let finish = node.finished().await;
    printer.finish().await;
    match finish {
        Finish::Left => Ok(0),
        Finish::NameTaken => {
            let text = format!("another process runs node `{}` of cluster `{}`", args.name, global.cluster);
            Err(Failure::refused(text).next("stop that one, or give this one a name of its own"))
        }
        Finish::StoreChanged => {
            let text = "the store was deleted, restored or replaced under the running node, so the node has stopped everything";
            let next = "find out what became of the store; once it is the right one, start the node again";
            Err(Failure::new(Status::Failed, text).next(next))
        }
        _ => Err(Failure::new(Status::Failed, format!("the node ended: {finish:?}"))),
    }
}
