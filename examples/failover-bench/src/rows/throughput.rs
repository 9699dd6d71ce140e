//! Sixty-four clients at once: renewals through one handle, beside SETs through one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use failover::lease::{Acquired, Renewed};
use failover::{Incarnation, LeaseName, Member, NodeId};

use crate::Outcome;
use crate::options::Scale;
use crate::pair::now;
use crate::results::{Goal, Line, Results};
use crate::stores::{Bare, Kind, Store};

pub(super) const ABOUT: &str = "**throughput**: 64 tasks of one process renew a lease of their own each, all through one handle; and 64 tasks SET, all through one \
    connection. In turn, five times each.";

const CLIENTS: u128 = 64;
const TURNS: usize = 5;
const TTL: Duration = Duration::from_mins(10);

/// Calls per second, of so many tasks for a while.
async fn rate<C, F>(clients: Vec<C>, span: Duration, call: impl Fn(C) -> F + Clone + Send + 'static) -> Outcome<f64>
where
    C: Clone + Send + Sync + 'static,
    F: Future<Output = Outcome<()>> + Send,
{
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    let start = now();
    for client in clients {
        let (over, done, call) = (over.clone(), done.clone(), call.clone());
        tasks.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                call(client.clone()).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Ok(())
        });
    }
    tokio::time::sleep(span).await;
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
    let done = done.load(Ordering::Relaxed) as f64;
    Ok(done / now().since(start).as_secs_f64())
}

pub(super) async fn measure(scale: &Scale, results: &mut Results) -> Outcome<()> {
    let store = Store::start(Kind::Redis)?;
    let backend = store.open("throughput").await?;
    let Bare::Redis(connection) = store.bare().await? else { return Err("it is a Redis".into()) };
    let mut leases = Vec::new();
    for client in 0..CLIENTS {
        let member = Member::new(NodeId::new(format!("n{client}"))?, Incarnation::from_u128(client));
        match backend.leases.acquire(&LeaseName::election(&format!("e{client}"))?, &member, TTL).await? {
            Acquired::Granted(lease) => leases.push((backend.leases.clone(), lease)),
            other @ Acquired::Refused(_) => return Err(format!("nobody else asks for it: {other:?}").into()),
        }
    }
    let connections: Vec<_> = (0..CLIENTS).map(|_| connection.clone()).collect();
    let span = scale.watched / 5;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let set = |mut connection| async move {
            redis::cmd("SET").arg("bare").arg("0123456789abcdef0123456789abcdef").exec_async(&mut connection).await?;
            Ok(())
        };
        bare.push(rate(connections.clone(), span, set).await?);
        let renew = |(manager, lease): (Arc<dyn failover::LeaseManager>, _)| async move {
            if manager.renew(&lease).await? == Renewed::Extended { Ok(()) } else { Err("a lease was lost".into()) }
        };
        ours.push(rate(leases.clone(), span, renew).await?);
        results.progress("throughput", turn + 1, TURNS);
    }
    let (what, goal) = ("renew, 64 clients".to_owned(), Goal::AtLeast(0.7));
    results.add(Line { what, store: store.kind.name(), unit: "1/s", values: ours, bare, goal });
    Ok(())
}
