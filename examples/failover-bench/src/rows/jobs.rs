//! A node with many jobs: what it costs to hold them.

use std::time::Duration;

use failover::{Admin, JobId, JobSpec};

use super::ms;
use crate::Outcome;
use crate::node::Part;
use crate::options::Scale;
use crate::pair::Actor;
use crate::proc::{memory, processor_time};
use crate::results::{Goal, Line, Results};
use crate::stores::{Kind, Store};

pub(super) const ABOUT: &str = "**jobs**: one node that is idle and holds that many jobs, on Redis, with a beat of 1 s and a ttl of 5 s: the calls to the store in a second (the renewals among them are \
    the same two, whatever the jobs), the processor time of its process in a second, and its memory.";

pub(super) async fn measure(scale: &Scale, results: &mut Results) -> Outcome<()> {
    for jobs in scale.jobs {
        let store = Store::start(Kind::Redis)?;
        let admin = Admin::new(store.open("jobs").await?);
        for number in 0..jobs {
            admin.submit(&JobSpec::new(JobId::new(format!("j{number}"))?, "idle")?).await?;
            if number % 1000 == 0 {
                results.progress("jobs submitted", number, jobs);
            }
        }
        let part = Part {
            url: store.url(),
            cluster: "jobs".into(),
            node: "n1".into(),
            beat: Duration::from_secs(1),
            ttl: Duration::from_secs(5),
            jobs,
            blocks: None,
            chatty: false,
        };
        let mut node = Actor::start(&part)?;
        node.until("all-jobs").await?;
        // Until what it has reported of them is written.
        settle(&store).await?;
        let (mut calls, mut used) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (before, time) = (store.asked(&[])?, processor_time(node.pid()?)?);
            tokio::time::sleep(scale.watched).await;
            let seconds = scale.watched.as_secs_f64();
            calls.push((store.asked(&[])? - before) / seconds);
            used.push(ms(processor_time(node.pid()?)?.saturating_sub(time)) / seconds);
        }
        let memory = vec![memory(node.pid()?)?];
        for (what, unit, values) in [("calls", "1/s", calls), ("processor", "ms/s", used), ("memory", "MiB", memory)] {
            let what = format!("{jobs} jobs, {what}");
            results.add(Line { what, store: store.kind.name(), unit, values, bare: Vec::new(), goal: Goal::Stated });
        }
        drop(node);
    }
    Ok(())
}

/// Waits until the store is asked for no more than an idle node does.
async fn settle(store: &Store) -> Outcome<()> {
    loop {
        let before = store.asked(&[])?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if store.asked(&[])? - before < 20.0 {
            return Ok(());
        }
    }
}
