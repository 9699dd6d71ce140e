//! Two nodes with nothing to do: what the store is asked meanwhile, and what a node takes of the processor.

use std::time::Duration;

use super::ms;
use crate::Outcome;
use crate::options::Scale;
use crate::pair::{Pair, now};
use crate::proc::processor_time;
use crate::results::{Goal, Line, Results};
use crate::stores::{Kind, Store};

pub(super) const ABOUT: &str = "**idle**: an active node and its standby with nothing to do, with a beat of 1 s and a ttl of 5 s: what their store is asked in a second, by its own count (scripts on Redis, messages \
    on etcd, transactions on PostgreSQL, statements on MariaDB, reads and writes of both processes on SQLite), and the processor time of the active node's process, its guard included, in a \
    second.";

const BEAT: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(5);
const TURNS: usize = 3;

pub(super) async fn measure(scale: &Scale, results: &mut Results) -> Outcome<()> {
    let mut sites = Vec::new();
    for store in Store::all(&Kind::ALL)? {
        sites.push((Pair::start(store, "idle", BEAT, TTL).await?, Vec::new(), Vec::new()));
    }
    for turn in 0..TURNS {
        for (pair, asked, used) in &mut sites {
            let nodes = [pair.active.pid()?, pair.standby.pid()?];
            let (before, time, start) = (pair.store.asked(&nodes)?, processor_time(nodes[0])?, now());
            tokio::time::sleep(scale.watched).await;
            let (after, seconds) = (pair.store.asked(&nodes)?, now().since(start).as_secs_f64());
            asked.push((after - before) / seconds);
            used.push(ms(processor_time(nodes[0])?.saturating_sub(time)) / seconds);
        }
        results.progress("idle", turn + 1, TURNS);
    }
    for (pair, asked, used) in sites {
        for (what, unit, values) in [("idle, asked", "1/s", asked), ("idle, processor", "ms/s", used)] {
            let what = what.to_owned();
            results.add(Line {
                what,
                store: pair.store.kind.name(),
                unit,
                values,
                bare: Vec::new(),
                goal: Goal::Stated,
            });
        }
    }
    Ok(())
}
