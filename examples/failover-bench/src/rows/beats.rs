//! Many nodes on one server: what their beats and renewals cost it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use failover::heartbeat::News;
use failover::lease::Acquired;
use failover::{Backend, Capacity, Heartbeat, Incarnation, LeaseName, Member, NodeId, Role, Term};

use super::ms;
use crate::Outcome;
use crate::options::Scale;
use crate::pair::now;
use crate::proc::processor_time;
use crate::results::{Goal, Line, Results};
use crate::stores::{Kind, Store};

pub(super) const ABOUT: &str = "**beating**: that many nodes, each of which beats and renews its lease every ten seconds, through eight handles: the calls in a second that the server answered, \
    and the processor time that it took for them in a second. What nodes read of one another is not in it.";

const PERIOD: Duration = Duration::from_secs(10);
const HANDLES: usize = 8;

pub(super) async fn measure(scale: &Scale, results: &mut Results) -> Outcome<()> {
    for kind in [Kind::Redis, Kind::Postgres] {
        for nodes in scale.nodes {
            let store = Store::start(kind)?;
            let crowd = Crowd::settle(&store, nodes, results).await?;
            let (mut calls, mut used) = (Vec::new(), Vec::new());
            for _ in 0..3 {
                let (before, time, start) = (crowd.calls(), processor_time(store.pid()?)?, now());
                tokio::time::sleep(scale.watched).await;
                let seconds = now().since(start).as_secs_f64();
                calls.push((crowd.calls() - before) / seconds);
                used.push(ms(processor_time(store.pid()?)?.saturating_sub(time)) / seconds);
            }
            crowd.end()?;
            for (what, unit, values) in [("calls", "1/s", calls), ("server", "ms/s", used)] {
                let what = format!("{nodes} beating, {what}");
                results.add(Line { what, store: kind.name(), unit, values, bare: Vec::new(), goal: Goal::Stated });
            }
        }
    }
    Ok(())
}

/// Nodes that do nothing but live. They end with it.
struct Crowd {
    tasks: tokio::task::JoinSet<Outcome<()>>,
    answered: Arc<AtomicU64>,
}

impl Crowd {
    async fn settle(store: &Store, nodes: usize, results: &Results) -> Outcome<Self> {
        let mut handles = Vec::new();
        for _ in 0..HANDLES {
            handles.push(store.open("beats").await?);
        }
        let mut crowd = Self { tasks: tokio::task::JoinSet::new(), answered: Arc::default() };
        let mut joined = Vec::new();
        for number in 0..nodes {
            let member = Member::new(NodeId::new(format!("n{number}"))?, Incarnation::from_u128(1));
            let backend = handles[number % HANDLES].clone();
            let name = LeaseName::node(&member.node);
            match backend.leases.acquire(&name, &member, PERIOD * 30).await? {
                Acquired::Granted(lease) => joined.push((backend, lease)),
                other @ Acquired::Refused(_) => return Err(format!("nobody else asks for it: {other:?}").into()),
            }
            if number % 100 == 0 {
                results.progress("nodes joined", number, nodes);
            }
        }
        let first = now();
        for (number, (backend, lease)) in joined.into_iter().enumerate() {
            // Spread evenly over the period, as jitter does to real nodes.
            let due = first + PERIOD * u32::try_from(number)? / u32::try_from(nodes)?;
            let answered = crowd.answered.clone();
            crowd.tasks.spawn(async move { live(&backend, &lease, due, &answered).await });
        }
        Ok(crowd)
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
    fn calls(&self) -> f64 {
        self.answered.load(Ordering::Relaxed) as f64
    }

    /// All of them lived until now.
    fn end(mut self) -> Outcome<()> {
        match self.tasks.try_join_next() {
            None => Ok(()),
            Some(ended) => ended?,
        }
    }
}

async fn live(
    backend: &Backend,
    lease: &failover::Lease,
    mut due: failover::time::Time,
    answered: &AtomicU64,
) -> Outcome<()> {
    let news = News { ready: true, ..News::new(Role::Inactive, Capacity::default()) };
    for seq in 1.. {
        tokio::time::sleep(due.since(now())).await;
        let beat = Heartbeat { member: lease.holder.clone(), term: Term(lease.term.0), seq, news: news.clone() };
        backend.heartbeats.beat(&beat).await?;
        backend.leases.renew(lease).await?;
        answered.fetch_add(2, Ordering::Relaxed);
        due = due + PERIOD;
    }
    Ok(())
}
