//! [`LeaseManager`] on etcd leases.
//!
//! Three keys for each name: `term`, which keeps the highest term for ever, `hold`, which says who has the lease, and `reserve`, which
//! says for whom it is kept. The last two are attached to an etcd lease of their own each: that the key is there is what it means to
//! hold, and the servers alone end it.
//!
//! An acquisition writes `hold` and `term` in one transaction, on the condition that nothing has changed since this handle saw the
//! keys, by a read or by its watch; if something has, the answer tells, and it decides anew. The etcd lease is the one in
//! [`stock`], or is granted first. The term is the highest of the store's revision as far as it was seen, the last term plus one and
//! the floor plus one: it rises also when somebody has deleted all of a cluster's keys.

mod keep;
mod record;
mod release;
mod stock;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::LeaseGrantOptions;
use failover_core::lease::{Acquired, LeaseView, Renewed, Tenant};
use failover_core::{
    Durability, Error, ErrorKind, Lease, LeaseManager, LeaseName, Member, NodeId, Result, Term, rules,
};
use uuid::Uuid;

use crate::classify::What;
use crate::connection::{Access, Call, Connection};
use crate::keys::{self, lease_area};
use crate::store::{EtcdStore, Shared};
use crate::txn::{Commit, Op, Plan, View};

pub(crate) use keep::Holds;
pub(crate) use record::hold_prefix;
use record::{Claim, Floor, Standing, hold_value};
pub(crate) use stock::Stock;
use stock::{Hook, Whole};

/// What a lease may outlast its ttl by besides another ttl: an election, rounding to whole seconds, and the servers' look at
/// their leases twice a second.
const SLACK: Duration = Duration::from_secs(3);

/// The ttl of the default timing, which counts until a longer one was asked for.
const USUAL_TTL: Duration = Duration::from_secs(5);

/// How long tidying up behind a call that has done its work may take.
const TIDY: Duration = Duration::from_millis(500);

#[async_trait]
impl LeaseManager for EtcdStore {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        rules::check_ttl("acquire", ttl, self.least_ttl())?;
        let shared = &self.shared;
        let call = Call::new("acquire");
        shared.asked_for(ttl);
        let sent = shared.now();
        let acquired = shared.within(&call, Box::pin(shared.acquire(&call, name, member, ttl))).await?;
        match &acquired {
            // Its ttl began when its etcd lease was granted, which the caller learns only now.
            Acquired::Granted(_) if shared.now().since(sent) >= ttl => Err(late(&call, ttl)),
            Acquired::Granted(lease) => {
                shared.holds.begun_anew(lease, sent);
                Ok(acquired)
            }
            Acquired::Refused(_) => Ok(acquired),
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        rules::check_ttl("renew", lease.ttl, self.least_ttl())?;
        let shared = &self.shared;
        let call = Call::new("renew");
        shared.asked_for(lease.ttl);
        let sent = shared.now();
        let renewed = shared.within(&call, Box::pin(shared.renew(&call, lease))).await?;
        if renewed == Renewed::Extended && shared.now().since(sent) >= lease.ttl {
            return Err(late(&call, lease.ttl));
        }
        if renewed == Renewed::Extended {
            shared.holds.begun_anew(lease, sent);
            shared.tend();
        }
        Ok(renewed)
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        let shared = &self.shared;
        let call = Call::new("release");
        shared.within(&call, shared.release(&call, lease, successor)).await
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        let shared = &*self.shared;
        let call = Call::new("current");
        let look = async {
            let (_, standing) = shared.stand(&call, name).await?;
            shared.view_of(&call, &standing).await
        };
        shared.within(&call, look).await
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        rules::check_floor("raise_floor", floor)?;
        self.shared.raise(&Call::new("raise_floor"), floor.0, 0).await
    }

    async fn changed(&self, name: &LeaseName) -> Result<()> {
        self.changed_in(&lease_area(name)).await
    }

    fn durability(&self) -> Durability {
        self.shared.durability
    }

    /// What the servers grant at least: a second and a half of their election timeout, in whole seconds.
    fn least_ttl(&self) -> Duration {
        self.shared.least_ttl
    }

    /// A new leader, and a server that was restarted, let every lease begin its ttl again: so it is another ttl, the longest that
    /// was asked for through this handle, and 3 s. It counts from the moment the servers serve again.
    fn slack(&self) -> Duration {
        USUAL_TTL.max(Duration::from_millis(self.shared.longest_ttl.load(Ordering::Relaxed))) + SLACK
    }
}

fn late(call: &Call, ttl: Duration) -> Error {
    let message = format!("the answer came after the lease's time of {ttl:?}: it may have lapsed meanwhile; try again");
    Error::new(ErrorKind::Unknown, call.operation, message)
}

impl Shared {
    async fn acquire(
        self: &Arc<Self>,
        call: &Call,
        name: &LeaseName,
        member: &Member,
        ttl: Duration,
    ) -> Result<Acquired> {
        self.stock.want(self.seconds(ttl));
        let who = (name.clone(), member.clone());
        let left = self.holds.left(&who);
        // Whether what was left behind is in use now has to be asked.
        let seen = if left.is_empty() { self.seen(call, name) } else { None };
        let (mut view, mut standing) = match seen {
            Some(seen) => seen,
            None => self.stand(call, name).await?,
        };
        for left in left.into_iter().filter(|left| standing.etcd_lease() != Some(*left)) {
            self.let_go(left);
        }
        // Whoever is granted it may install a fence next, and then need not ask how that is. The leases of nodes have none.
        let fence = (!name.as_str().starts_with("node/")).then(|| self.keys.job_fence(name));
        let mut hook: Option<Hook<'_>> = None;
        loop {
            let term = match &standing.tenant {
                Claim::Held { holder, .. } if holder == member => standing.term,
                Claim::Reserved { successor, .. } if *successor == member.node => standing.next_term(&view),
                Claim::Free => standing.next_term(&view),
                Claim::Held { .. } | Claim::Reserved { .. } if !view.fresh => {
                    (view, standing) = self.stand(call, name).await?;
                    continue;
                }
                Claim::Held { .. } | Claim::Reserved { .. } => {
                    if let Some(Hook { asked, .. }) = hook {
                        self.let_go(asked.id);
                        asked.settle();
                    }
                    let view = self.view_of(call, &standing).await?;
                    self.tend();
                    return Ok(Acquired::Refused(view));
                }
            };
            let mut on = match hook.take() {
                Some(hook) => hook,
                None => self.hook(call, &who, ttl).await?,
            };
            let mut ops =
                vec![Op::Put { key: self.keys.hold(name), value: hold_value(term, member), lease: on.asked.id }];
            if term != standing.term {
                ops.push(Op::put(self.keys.term(name), keys::value(term)));
            }
            if matches!(standing.tenant, Claim::Reserved { .. }) {
                ops.push(Op::Delete { key: self.keys.reserve(name) });
            }
            let commit = self.commit_and_read(call, &self.durable, &view, ops, fence.as_slice());
            let done = if on.whole == Whole::Unknown {
                // A call of its own: it must not say that nothing is on its way.
                let aside = Call::new(call.operation);
                let (done, kept) = tokio::join!(commit, self.keep_alive(&aside, on.keeper.take(), on.asked.id));
                on.heard(kept);
                done
            } else {
                commit.await
            };
            match done {
                Ok(done) => match done? {
                    Commit::Applied { election, .. } => {
                        let whole = on.whole.in_election(election);
                        on.asked.settle();
                        if let Some(keeper) = on.keeper {
                            self.holds.hand_over(name, keeper);
                        }
                        self.never_falls(call, name.as_str(), 0, term)?;
                        match (standing.etcd_lease(), &standing.tenant) {
                            // In the middle of a hand-over there is more to write, and this can wait.
                            (Some(old), Claim::Reserved { .. }) => self.stock.leave(old),
                            (Some(old), Claim::Held { .. } | Claim::Free) => self.let_go(old),
                            (None, _) => {}
                        }
                        let ttl = ttl.min(on.lasts);
                        let lease = Lease { name: name.clone(), holder: member.clone(), term: Term(term), ttl };
                        if whole || self.renew(call, &lease).await? == Renewed::Extended {
                            return Ok(Acquired::Granted(lease));
                        }
                        // What was in stock lapsed meanwhile, and the hold with it.
                        (view, standing) = self.stand(call, name).await?;
                    }
                    Commit::Moved(fresh) => {
                        standing = Standing::parse(call, name, &fresh)?;
                        view = fresh;
                        hook = Some(on);
                    }
                },
                // What was in stock has lapsed: the next one is granted.
                Err(fault) if fault.what == What::LeaseGone && on.whole != Whole::Granted => on.asked.settle(),
                Err(fault) => return Err(call.error(fault)),
            }
        }
    }

    fn lease_keys(&self, name: &LeaseName) -> [String; 4] {
        [self.keys.term(name), self.keys.hold(name), self.keys.reserve(name), self.keys.floor()]
    }

    /// How a lease stood when this handle saw its keys last: a guess, and none where it saw them at different moments.
    fn seen(&self, call: &Call, name: &LeaseName) -> Option<(View, Standing)> {
        let view = self.guess(&self.lease_keys(name))?;
        let standing = Standing::parse(call, name, &view).ok()?;
        Some((view, standing))
    }

    /// How a lease stands now, by a linearizable read.
    async fn stand(&self, call: &Call, name: &LeaseName) -> Result<(View, Standing)> {
        let before = self.highest_term(name.as_str());
        let view = self.fetch(call, &self.pulse, &self.lease_keys(name)).await?;
        let standing = Standing::parse(call, name, &view)?;
        self.never_falls(call, name.as_str(), before, standing.term)?;
        Ok((view, standing))
    }

    async fn view_of(&self, call: &Call, standing: &Standing) -> Result<LeaseView> {
        let remaining = match standing.etcd_lease() {
            Some(id) => self.remaining(call, id).await?,
            None => Duration::ZERO,
        };
        let tenant = match &standing.tenant {
            Claim::Free => Tenant::Free,
            Claim::Held { holder, .. } => Tenant::Held { holder: holder.clone(), remaining },
            Claim::Reserved { successor, .. } => Tenant::Reserved { successor: successor.clone(), remaining },
        };
        Ok(LeaseView { term: Term(standing.term), tenant })
    }

    /// Until an etcd lease lapses. The servers tell whole seconds and leave out the one that has begun; here it counts.
    async fn remaining(&self, call: &Call, id: i64) -> Result<Duration> {
        let ask = |connection: Connection| async move {
            let told = connection.client.lease_client().time_to_live(id, None).await?;
            Ok((told.ttl(), told.granted_ttl()))
        };
        let (left, granted) = self.pulse.run(call, Access::Read, ask).await.map_err(|fault| call.error(fault))?;
        let seconds = u64::try_from(left.saturating_add(1).min(granted)).unwrap_or(0);
        Ok(Duration::from_secs(seconds))
    }

    /// A ttl as the servers count it.
    fn seconds(&self, ttl: Duration) -> i64 {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        i64::try_from(seconds.max(self.least_ttl.as_secs())).unwrap_or(i64::MAX)
    }

    /// Has an etcd lease granted, by agreement of the servers, and returns its time to live: what was asked for, or more.
    async fn grant(&self, call: &Call, id: i64, seconds: i64) -> Result<Duration> {
        let ask = |connection: Connection| async move {
            let options = LeaseGrantOptions::new().with_id(id);
            Ok(connection.client.lease_client().grant(seconds, Some(options)).await?.ttl())
        };
        let granted = self.durable.run(call, Access::Write, ask).await.map_err(|fault| call.error(fault))?;
        Ok(Duration::from_secs(u64::try_from(granted).unwrap_or(0)))
    }

    /// Gives an etcd lease back, in the background: nothing hangs on it any more.
    fn let_go(self: &Arc<Self>, id: i64) {
        let shared = Arc::clone(self);
        tokio::spawn(async move { shared.revoke(&Call::new("release"), id).await });
    }

    /// Gives an etcd lease back. If that fails it lapses by itself, a little later.
    async fn revoke(&self, call: &Call, id: i64) {
        let ask = |connection: Connection| async move {
            connection.client.lease_client().revoke(id).await?;
            Ok(())
        };
        let revoked = tokio::time::timeout(TIDY, self.durable.run(call, Access::Read, ask)).await;
        let gone = match revoked {
            Ok(Ok(())) => true,
            Ok(Err(fault)) => fault.what == What::LeaseGone,
            Err(_) => false,
        };
        if !gone {
            tracing::debug!(cluster = %self.cluster, "an etcd lease that is not needed any more lapses by itself");
        }
    }

    /// Raises the floors of terms and of epochs.
    pub(crate) async fn raise(&self, call: &Call, term: u64, epoch: u64) -> Result<()> {
        let key = [self.keys.floor()];
        let decide = |view: &View| {
            let there = Floor::parse(call, view.at(0))?;
            let raised = Floor { term: there.term.max(term), epoch: there.epoch.max(epoch) };
            if raised == there {
                return Ok(Plan::Answer(()));
            }
            Ok(Plan::Write(vec![Op::put(key[0].clone(), raised.value())], ()))
        };
        self.within(call, self.transact(call, &self.durable, &key, decide)).await?;
        Ok(())
    }

    /// The epoch that a job which is new to the store begins with.
    pub(crate) fn first_epoch(call: &Call, view: &View, index: usize) -> Result<u64> {
        Ok(Floor::parse(call, view.at(index))?.epoch)
    }
}

/// An id of our own choosing, so that it is known whatever becomes of the answer.
pub(crate) fn new_id() -> i64 {
    // The lower half of it is random.
    let random = u64::try_from(Uuid::now_v7().as_u128() & u128::from(u64::MAX)).unwrap_or(1);
    i64::try_from(random >> 1).unwrap_or(1).max(1)
}
