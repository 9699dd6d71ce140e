//! [`LeaseManager`] on Redis: one field for each name, which keeps the highest term for ever.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use failover_core::lease::{Acquired, LeaseView, Renewed, Tenant};
use failover_core::{Durability, Lease, LeaseManager, LeaseName, Member, NodeId, Result, Term, Timing, rules};

use crate::call::args;
use crate::keys::lease_area;
use crate::reply::Reply;
use crate::store::RedisStore;

/// The shortest ttl that is more than the rounding of a proxy, a network and a single-threaded server.
const LEAST_TTL: Duration = Duration::from_millis(10);

#[async_trait]
impl LeaseManager for RedisStore {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        rules::check_ttl("acquire", ttl, LEAST_TTL)?;
        let shared = &self.shared;
        shared.longest_ttl.fetch_max(micros(ttl), Ordering::Relaxed);
        let args = args![name, shared.seen().term(name), member, member.node, micros(ttl)];
        let mut reply = shared.call("acquire", &shared.scripts.acquire, args, patience(ttl)).await?;
        match reply.text()?.as_str() {
            "granted" => {
                let term = reply.number()?;
                shared.seen().saw_term(name, term);
                Ok(Acquired::Granted(Lease { name: name.clone(), holder: member.clone(), term: Term(term), ttl }))
            }
            "refused" => Ok(Acquired::Refused(self.view(name, &mut reply)?)),
            _ => Err(reply.strange()),
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        rules::check_ttl("renew", lease.ttl, LEAST_TTL)?;
        self.shared.renew(lease).await
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        let shared = &self.shared;
        let successor = successor.map_or("", NodeId::as_str);
        let thousandths = Timing::reservation(Duration::from_secs(1)).as_millis();
        let args = args![lease.name, shared.seen().term(&lease.name), lease.holder, lease.term, successor, thousandths];
        shared.call("release", &shared.scripts.release, args, patience(lease.ttl)).await.map(drop)
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        let shared = &self.shared;
        let args = args![name, shared.seen().term(name)];
        let mut reply = shared.call("current", &shared.scripts.current, args, Duration::ZERO).await?;
        match reply.text()?.as_str() {
            "view" => self.view(name, &mut reply),
            _ => Err(reply.strange()),
        }
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        rules::check_floor("raise_floor", floor)?;
        let shared = &self.shared;
        shared.call("raise_floor", &shared.scripts.raise_floor, args![floor], Duration::MAX).await.map(drop)
    }

    async fn changed(&self, name: &LeaseName) -> Result<()> {
        self.changed_in(&lease_area(name)).await
    }

    fn durability(&self) -> Durability {
        self.shared.durability()
    }

    fn least_ttl(&self) -> Duration {
        LEAST_TTL
    }

    /// A server that was restarted or promoted lets every lease that nobody saw lapse begin its ttl again: so it is another
    /// ttl, the longest that was asked for through this handle.
    fn slack(&self) -> Duration {
        Duration::from_micros(self.shared.longest_ttl.load(Ordering::Relaxed))
    }
}

impl RedisStore {
    fn view(&self, name: &LeaseName, reply: &mut Reply) -> Result<LeaseView> {
        let (term, state, who, remaining) = (reply.number()?, reply.text()?, reply.text()?, reply.number()?);
        self.shared.seen().saw_term(name, term);
        let remaining = Duration::from_micros(remaining);
        let tenant = match state.as_str() {
            "free" => Tenant::Free,
            "held" => Tenant::Held { holder: parse_member(&who).ok_or_else(|| reply.strange())?, remaining },
            "reserved" => Tenant::Reserved { successor: who.parse().map_err(|_| reply.strange())?, remaining },
            _ => return Err(reply.strange()),
        };
        Ok(LeaseView { term: Term(term), tenant })
    }
}

/// `node@incarnation`, as [`Member`] shows itself.
pub(crate) fn parse_member(text: &str) -> Option<Member> {
    let (node, incarnation) = text.split_once('@')?;
    Some(Member::new(node.parse().ok()?, incarnation.parse().ok()?))
}

/// How long replicas may take to acknowledge: half of what a call has at most (law 9).
pub(crate) fn patience(ttl: Duration) -> Duration {
    ttl / 6
}

/// At most seventy years, so that no sum with a moment leaves the numbers that a script counts exactly.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).min(1 << 51)
}
