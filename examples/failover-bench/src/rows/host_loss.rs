//! A host that is lost: everything of it stands still at once, and nobody tells.

use std::time::Duration;

use failover_testing::process;

use super::ms;
use crate::Outcome;
use crate::options::Scale;
use crate::pair::{Pair, now};
use crate::results::{Goal, Line, Results};
use crate::stores::{Kind, Store};

pub(super) const ABOUT: &str = "**host loss**: from the moment at which the active node, and all that watches over it, stands still (SIGSTOP) until the standby's `promote` is called, less \
    the ttl. Nobody can know of it sooner than the lease lapses; the lease was renewed before, so most trials are below zero. Not on SQLite, whose nodes share one \
    host.";

const STORES: [Kind; 4] = [Kind::Redis, Kind::Etcd, Kind::Postgres, Kind::Mariadb];

/// A ttl that every store keeps to the letter but etcd, which grants 2 s at least.
fn pace(kind: Kind) -> (Duration, Duration) {
    let ttl = if kind == Kind::Etcd { Duration::from_secs(2) } else { Duration::from_secs(1) };
    (ttl / 5, ttl)
}

pub(super) async fn measure(scale: &Scale, results: &mut Results) -> Outcome<()> {
    let mut sites = Vec::new();
    for store in Store::all(&STORES)? {
        let (beat, ttl) = pace(store.kind);
        sites.push((Pair::start(store, "host-loss", beat, ttl).await?, Vec::new()));
    }
    for round in 0..scale.trials {
        for (pair, took) in &mut sites {
            let host = process::pause_family(pair.active.pid()?);
            let stopped = now();
            let promoted = pair.standby.until("promote").await?;
            pair.standby.until("active").await?;
            let former = pair.pass_on().await?;
            process::kill_all(&host);
            former.gone().await?;
            took.push(ms(promoted.since(stopped)) - ms(pace(pair.store.kind).1));
        }
        results.progress("host loss", round + 1, scale.trials);
    }
    for (pair, values) in sites {
        let goal = match pair.store.kind {
            Kind::Redis | Kind::Postgres => Goal::Each(5.0),
            Kind::Etcd | Kind::Mariadb | Kind::Sqlite => Goal::Stated,
        };
        let what = "host loss, past ttl".to_owned();
        results.add(Line { what, store: pair.store.kind.name(), unit: "ms", values, bare: Vec::new(), goal });
    }
    Ok(())
}
