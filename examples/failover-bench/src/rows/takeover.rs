//! Takeovers while the host lives: a holder that leaves, one that hands over, one that is killed.

use std::time::Duration;

use rustix::process::Signal;

use super::ms;
use crate::Outcome;
use crate::options::Scale;
use crate::pair::{Pair, now};
use crate::results::{Goal, Line, Results};
use crate::stores::{Bare, Kind, Store};

pub(super) const ABOUT: &str = "**graceful**: from SIGTERM to the active node until the standby is active. **switchover**: from an operator's call, in a process of its own, until \
    the standby is active. **crash**: from SIGKILL to the active node until the standby's `promote` is called; each node has its guard. Two real processes on each store; whoever has \
    gone is replaced before the next trial, which begins after a second and a half of quiet.";

/// As by default: nothing here waits for it, or it shows.
const BEAT: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(5);
/// How long nothing happens before a trial.
const QUIET: Duration = Duration::from_millis(1500);
/// The bare writes of each trial.
const WRITES: usize = 10;
const WITHIN: Duration = Duration::from_mins(1);

struct Site {
    bare: Bare,
    pair: Pair,
    written: Vec<f64>,
    took: [Vec<f64>; 3],
}

impl Site {
    async fn set(kind: Kind) -> Outcome<Self> {
        let store = Store::start(kind)?;
        let (bare, pair) = (store.bare().await?, Pair::start(store, "takeover", BEAT, TTL).await?);
        Ok(Self { bare, pair, written: Vec::new(), took: Default::default() })
    }

    async fn trial(&mut self, what: usize) -> Outcome<()> {
        for _ in 0..WRITES {
            let start = now();
            self.bare.write().await?;
            self.written.push(ms(now().since(start)));
        }
        let span = match what {
            0 => graceful(&mut self.pair).await?,
            1 => switchover(&mut self.pair).await?,
            _ => crash(&mut self.pair).await?,
        };
        self.took[what].push(ms(span));
        Ok(())
    }
}

async fn graceful(pair: &mut Pair) -> Outcome<Duration> {
    let asked = now();
    pair.active.signal(Signal::TERM)?;
    let active = pair.standby.until("active").await?;
    pair.pass_on().await?.end().await?;
    Ok(active.since(asked))
}

async fn switchover(pair: &mut Pair) -> Outcome<Duration> {
    let admin = pair.admin.clone();
    // Its connections are open, as those of any node that asks are.
    admin.status(TTL).await?;
    let asked = now();
    let asking = tokio::spawn(async move { admin.switchover(None, WITHIN).await });
    let active = pair.standby.until("active").await?;
    asking.await??;
    pair.swap().await?;
    Ok(active.since(asked))
}

async fn crash(pair: &mut Pair) -> Outcome<Duration> {
    let killed = now();
    pair.active.signal(Signal::KILL)?;
    let promoted = pair.standby.until("promote").await?;
    pair.standby.until("active").await?;
    pair.pass_on().await?.gone().await?;
    Ok(promoted.since(killed))
}

pub(super) async fn measure(scale: &Scale, results: &mut Results) -> Outcome<()> {
    let mut sites = Vec::new();
    for kind in Kind::ALL {
        sites.push(Site::set(kind).await?);
    }
    for round in 0..scale.trials {
        for what in 0..3 {
            // Nodes that have just taken over and joined are still busy with that, and spare with what they ask.
            tokio::time::sleep(QUIET).await;
            for site in &mut sites {
                site.trial(what).await?;
            }
        }
        results.progress("takeovers", round + 1, scale.trials);
    }
    for (at, what) in ["graceful", "switchover", "crash, kill -9"].into_iter().enumerate() {
        for site in &mut sites {
            let goal = match (at, site.pair.store.kind) {
                (0 | 1, Kind::Redis | Kind::Postgres) => Goal::TimesAndEach(15.0, 20.0),
                (0 | 1, Kind::Etcd) => Goal::TimesAndEach(8.0, 20.0),
                (2, Kind::Redis | Kind::Postgres) => Goal::Times(25.0),
                (2, Kind::Etcd) => Goal::Times(15.0),
                _ => Goal::Stated,
            };
            let (values, bare) = (std::mem::take(&mut site.took[at]), site.written.clone());
            results.add(Line {
                what: what.to_owned(),
                store: site.pair.store.kind.name(),
                unit: "ms",
                values,
                bare,
                goal,
            });
        }
    }
    Ok(())
}
