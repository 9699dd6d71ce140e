//! Single calls: a lease acquired with its token, and renewed, beside one write of the bare store.

use std::time::Duration;

use failover::lease::{Acquired, Renewed};
use failover::{Backend, Incarnation, Lease, LeaseName, Member, NodeId};

use super::ms;
use crate::Outcome;
use crate::options::Scale;
use crate::pair::now;
use crate::results::{Goal, Line, Results};
use crate::stores::{Bare, Kind, Store};

pub(super) const ABOUT: &str = "**acquire**: a free lease is granted under a new token. **renew**: it is held for its ttl again. Both through the traits, on \
    an open handle, one call at a time; the bare store's write in turn with them.";

const TTL: Duration = Duration::from_mins(10);

struct Site {
    kind: Kind,
    bare: Bare,
    backend: Backend,
    held: Lease,
    took: [Vec<f64>; 3],
    // Last, so that it ends after those who use it.
    _store: Store,
}

fn member() -> Outcome<Member> {
    Ok(Member::new(NodeId::new("bench")?, Incarnation::from_u128(1)))
}

async fn acquire(backend: &Backend, name: &LeaseName) -> Outcome<Lease> {
    match backend.leases.acquire(name, &member()?, TTL).await? {
        Acquired::Granted(lease) => Ok(lease),
        other @ Acquired::Refused(_) => Err(format!("nobody else asks for it: {other:?}").into()),
    }
}

impl Site {
    async fn open(store: Store) -> Outcome<Self> {
        let (bare, backend) = (store.bare().await?, store.open("calls").await?);
        let held = acquire(&backend, &LeaseName::election("held")?).await?;
        Ok(Self { kind: store.kind, bare, backend, held, took: Default::default(), _store: store })
    }

    /// Each once.
    async fn round(&mut self) -> Outcome<()> {
        let name = LeaseName::election("taken")?;
        let start = now();
        self.bare.write().await?;
        let written = now();
        let lease = acquire(&self.backend, &name).await?;
        let acquired = now();
        let renewed = self.backend.leases.renew(&self.held).await?;
        let ended = now();
        self.backend.leases.release(&lease, None).await?;
        if renewed != Renewed::Extended {
            return Err("a lease of ten minutes has lapsed".into());
        }
        for (took, span) in
            self.took.iter_mut().zip([written.since(start), acquired.since(written), ended.since(acquired)])
        {
            took.push(ms(span));
        }
        Ok(())
    }
}

pub(super) async fn measure(scale: &Scale, results: &mut Results) -> Outcome<()> {
    let mut sites = Vec::new();
    for kind in Kind::ALL {
        sites.push(Site::open(Store::start(kind)?).await?);
    }
    for round in 0..scale.calls {
        for site in &mut sites {
            site.round().await?;
        }
        results.progress("calls", round + 1, scale.calls);
    }
    for site in sites {
        let [bare, acquired, renewed] = site.took;
        let (acquire, renew) = match site.kind {
            Kind::Redis => (Goal::Times(1.2), Goal::Times(1.15)),
            Kind::Etcd => (Goal::Times(1.1), Goal::Times(0.4)),
            Kind::Postgres => (Goal::Times(1.1), Goal::Times(1.1)),
            Kind::Sqlite | Kind::Mariadb => (Goal::Stated, Goal::Stated),
        };
        for (what, values, goal) in [("acquire", acquired, acquire), ("renew", renewed, renew)] {
            let (what, store, bare) = (what.to_owned(), site.kind.name(), bare.clone());
            results.add(Line { what, store, unit: "ms", values, bare, goal });
        }
    }
    Ok(())
}
