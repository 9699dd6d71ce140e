//! Fencing a host's own writes: they take effect only while its token is current (law 1).
//!
//! Why inside the script and not a question before it: between an answer and the write that trusts it a process may be
//! paused for longer than its lease. Nothing comes between the parts of a script.

use failover_core::{Error, ErrorKind, FencingToken, JobRecord, Lease, Result};
use redis::aio::ConnectionLike;
use redis::{FromRedisValue, Script, ToRedisArgs, Value};

use crate::call::changed;
use crate::classify::{Stage, broken};
use crate::keys::Key;
use crate::reply::{Reply, corrupt, too_new};
use crate::store::RedisStore;

/// Errors that are not the host's script's own.
const THE_SERVERS: &[&str] = &[
    "NOPERM",
    "NOAUTH",
    "OOM",
    "MISCONF",
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "NOREPLICAS",
    "BUSY",
    "CLUSTERDOWN",
    "MOVED",
    "ASK",
    "TRYAGAIN",
];

/// A condition on a host's own scripts, on the server that also holds this store: the token is current.
///
/// A lease's is while its term is the highest under its name, its holder the same and its time not over; a job's while its
/// owner runs it under that epoch. The store must be the one the token came from.
///
/// In a Redis cluster all keys of a script have to be in one slot. So the host's keys contain the cluster's
/// [hash tag](RedisStore::hash_tag), as in `{billing}:account:alice`.
///
/// ```
/// # async fn example(store: failover_redis::RedisStore, lease: failover_core::Lease,
/// #     mut connection: failover_redis::redis::aio::MultiplexedConnection) -> Result<(), Box<dyn std::error::Error>> {
/// let fence = store.fence(&lease);
/// let key = format!("{}:account:alice", store.hash_tag());
/// let withdraw = "return redis.call('DECRBY', KEYS[1], ARGV[1])";
/// match fence.run::<i64, _, _>(&mut connection, withdraw, &[key], &["5"]).await? {
///     Ok(balance) => println!("{balance} are left"),
///     Err(fenced) => return Err(fenced.into()), // nothing was written
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Fence {
    kind: Kind,
    keys: [String; 2],
    values: [String; 4],
    token: FencingToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lease,
    Job,
}

/// The token is not current any more: nothing may be written under it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token {token} is not current any more: stop the work under it and write nothing")]
pub struct Fenced {
    /// The token.
    pub token: FencingToken,
}

impl RedisStore {
    /// The condition that this lease is current.
    pub fn fence(&self, lease: &Lease) -> Fence {
        let (name, holder) = (lease.name.to_string(), lease.holder.to_string());
        self.condition(Kind::Lease, Key::Leases, [name, holder, lease.term.to_string()], lease.token())
    }

    /// The condition that this run of a job is current: its owner has it, under its epoch.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the record has no owner.
    pub fn fence_job(&self, job: &JobRecord) -> Result<Fence> {
        let Some(owner) = &job.owner else {
            let invalid =
                failover_core::Invalid::new("job", job.spec.id(), "only a job that has an owner can be fenced");
            return Err(Error::invalid("fence_job", invalid));
        };
        let values = [job.spec.id().to_string(), owner.to_string(), job.epoch.to_string()];
        Ok(self.condition(Kind::Job, Key::Jobs, values, job.token()))
    }

    /// What the names of all keys of this cluster have in common, braces included: `{billing}`. A host's key that contains it is in the same slot.
    pub fn hash_tag(&self) -> &str {
        self.shared.keys.tag()
    }

    fn condition(&self, kind: Kind, records: Key, of: [String; 3], token: FencingToken) -> Fence {
        let keys = [self.shared.keys.name(Key::Meta), self.shared.keys.name(records)];
        let store = self.shared.identity.get().cloned().unwrap_or_default();
        let [name, holder, number] = of;
        Fence { kind, keys, values: [store, name, holder, number], token }
    }
}

impl Fence {
    /// Runs the host's script if the token is current, on the host's own connection. To the script, `KEYS` and `ARGV` are what is given here.
    ///
    /// # Errors
    /// [`Unknown`](ErrorKind::Unknown) if the connection broke: it may have been applied.
    /// [`StoreChanged`](ErrorKind::StoreChanged) on a server that does not hold the store of the token. Otherwise what the
    /// server or the host's script said.
    pub async fn run<T, K, A>(
        &self,
        connection: &mut impl ConnectionLike,
        script: &str,
        keys: &[K],
        args: &[A],
    ) -> Result<std::result::Result<T, Fenced>>
    where
        T: FromRedisValue,
        K: ToRedisArgs,
        A: ToRedisArgs,
    {
        let script = Script::new(&self.script(script));
        let mut call = script.prepare_invoke();
        for key in &self.keys {
            call.key(key);
        }
        for key in keys {
            call.key(key);
        }
        for value in &self.values {
            call.arg(value);
        }
        for value in args {
            call.arg(value);
        }
        let answer: Value = call.invoke_async(connection).await.map_err(|error| {
            if error.code() == Some("CROSSSLOT") {
                let rule =
                    format!("every key of a fenced script must contain the cluster's hash tag ({})", self.keys[0]);
                return Error::invalid("fence", failover_core::Invalid::new("keys", "of another slot", rule));
            }
            if error.code().is_some_and(|code| !THE_SERVERS.contains(&code)) {
                let message = "the host's script failed; what it had written before is written";
                return Error::new(ErrorKind::Invalid, "fence", format!("{message}: {error}"));
            }
            broken("fence", Stage::Sent, "the server", &error)
        })?;
        let mut reply = Reply::new("fence", answer)?;
        match reply.text()?.as_str() {
            "ok" => redis::from_redis_value(reply.value().unwrap_or_default()).map(Ok).map_err(|error| {
                let message = "the script ran, and its answer is not of the type that was asked for";
                Error::new(ErrorKind::Invalid, "fence", format!("{message}: {error}"))
            }),
            "fenced" => Ok(Err(Fenced { token: self.token.clone() })),
            "gone" | "other" => Err(changed("fence", "this server does not hold the store that the token came from")),
            "newer" => Err(too_new("fence", &reply.text()?, &reply.text()?)),
            "corrupt" => Err(corrupt("fence", &reply.text()?)),
            _ => Err(reply.strange()),
        }
    }

    /// The host's script with the condition around it, for another client than the `redis` crate. It is called with [`keys`](Self::keys)
    /// before the host's own keys and [`values`](Self::values) before its own arguments, and answers `{'ok', …}` with what the host's
    /// script returns, or `{'fenced'}`; anything else means that the server does not hold the store of the token.
    pub fn script(&self, host: &str) -> String {
        let token = match self.kind {
            Kind::Lease => include_str!("scripts/token_lease.lua"),
            Kind::Job => include_str!("scripts/token_job.lua"),
        };
        let (prelude, fenced) = (include_str!("scripts/prelude.lua"), include_str!("scripts/fenced.lua"));
        let finish = include_str!("scripts/finish.lua");
        format!("#!lua\nlocal function host(KEYS, ARGV)\n{host}\nend\n{prelude}{token}{fenced}{finish}")
    }

    /// The keys that go before the host's own.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The arguments that go before the host's own.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// What is fenced.
    pub fn token(&self) -> &FencingToken {
        &self.token
    }
}
