//! Opening: to find the servers and the cluster in them, or begin it there.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, ConnectOptions, LeaseGrantOptions, Txn, TxnOp};
use failover_core::{ClusterName, Durability, Error, ErrorKind, Result, rules};
use uuid::Uuid;

use crate::classify::Fault;
use crate::connection::{Access, Call, Connection, Connector, Lane};
use crate::keys::{self, Keys};
use crate::options::EtcdOptions;
use crate::store::{EtcdStore, Identity, Opened};
use crate::txn::{Cache, kvs, send};
use crate::watch::Hints;

/// A ping on a connection with a request under way. etcd's servers end connections that ping more often than every 5 s, or
/// with nothing under way.
const PING: Duration = Duration::from_secs(10);

pub(crate) async fn open(options: &EtcdOptions, cluster: &ClusterName) -> Result<EtcdStore> {
    rules::check_floor("open", options.term_floor)?;
    let call = Call::new("open");
    let work = async {
        let store = find(options, cluster, &call).await?;
        let floor = options.term_floor.0;
        if floor > 0 {
            store.shared.raise(&call, floor, floor).await?;
        }
        Ok(store)
    };
    match tokio::time::timeout(options.timeout, work).await {
        Ok(opened) => opened,
        Err(_) => Err(call.too_late(options.timeout)),
    }
}

async fn find(options: &EtcdOptions, cluster: &ClusterName, call: &Call) -> Result<EtcdStore> {
    let keys = Keys::new(&options.prefix, cluster);
    let connector = Arc::new(connector(options, &keys)?);
    let durable = Lane::new(Arc::clone(&connector));
    let (identity, revision) = identify(options, &keys, &durable, call).await?;
    let durability = durability(&durable, call).await?;
    let least_ttl = least_ttl(&durable, call).await?;
    let cache = Arc::new(Cache::default());
    let hints = Hints::new(Lane::new(Arc::clone(&connector)), keys.clone(), Arc::clone(&cache), revision);
    let pulse = Lane::new(connector);
    let (timeout, cluster) = (options.timeout, cluster.clone());
    let opened =
        Opened { cluster, keys, identity, pulse, durable, hints, cache, timeout, durability, least_ttl, revision };
    Ok(EtcdStore::new(opened))
}

fn connector(options: &EtcdOptions, keys: &Keys) -> Result<Connector> {
    let scheme = if options.tls { "https" } else { "http" };
    let endpoints = options.endpoints.iter().map(|host| format!("{scheme}://{host}")).collect();
    let mut connect = ConnectOptions::new()
        .with_connect_timeout(options.connect_timeout)
        .with_timeout(options.timeout)
        .with_keep_alive(PING, options.timeout)
        .with_keep_alive_while_idle(false)
        // A server that was cut off from the others says so at once, and the next one is asked.
        .with_require_leader(true);
    if let Some((name, password)) = &options.user {
        connect = connect.with_user(name, password);
    }
    let connect = encrypted(options, connect)?;
    Ok(Connector { endpoints, options: connect, timeout: options.connect_timeout, probe: keys.meta() })
}

#[cfg(feature = "tls")]
fn encrypted(options: &EtcdOptions, connect: ConnectOptions) -> Result<ConnectOptions> {
    use etcd_client::{Certificate, Identity, TlsOptions};

    if !options.tls {
        return Ok(connect);
    }
    let read = |option: &'static str, path: &std::path::Path| {
        std::fs::read(path).map_err(|e| {
            let rule = format!("it must be a PEM file that can be read ({e})");
            Error::invalid("open", failover_core::Invalid::new(option, path.display(), rule))
        })
    };
    let mut tls = match &options.ca {
        Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(read("ca", ca)?)),
        None => TlsOptions::new().with_enabled_roots(),
    };
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        tls = tls.identity(Identity::from_pem(read("cert", cert)?, read("key", key)?));
    }
    if let Some(domain) = &options.domain {
        tls = tls.domain_name(domain);
    }
    Ok(connect.with_tls(tls))
}

#[cfg(not(feature = "tls"))]
#[allow(clippy::unnecessary_wraps, reason = "as the other one")]
fn encrypted(_options: &EtcdOptions, connect: ConnectOptions) -> Result<ConnectOptions> {
    // `EtcdOptions` refuses `etcds://` in this build.
    Ok(connect)
}

/// Finds the record of the store's identity, or writes it.
async fn identify(options: &EtcdOptions, keys: &Keys, lane: &Lane, call: &Call) -> Result<(Identity, i64)> {
    let meta = keys.meta();
    let id = Uuid::now_v7().to_string();
    let absent = Compare::create_revision(meta.as_str(), CompareOp::Equal, 0);
    let begin = TxnOp::put(meta.as_str(), keys::value(&id), None);
    let look = TxnOp::get(meta.as_str(), None);
    let txn = if options.create {
        Txn::new().when([absent]).and_then([begin]).or_else([look])
    } else {
        Txn::new().when([absent]).and_then([]).or_else([look])
    };
    // Whether the first of two attempts has written it makes no difference: its id is read back.
    let response = send(call, lane, Access::Read, &txn).await.map_err(|fault| call.error(fault))?;
    let header = response.header().ok_or_else(|| keys::corrupt(call.operation, "an answer"))?;
    let (revision, cluster_id) = (header.revision(), header.cluster_id());
    if response.succeeded() {
        if !options.create {
            let message = "the cluster is not in this store, and must exist: check the address, the prefix and the cluster's name";
            return Err(Error::new(ErrorKind::Unavailable, call.operation, message));
        }
        return Ok((Identity { store: id, revision, cluster_id }, revision));
    }
    let answers = response.op_responses();
    let there = kvs(answers.first()).first().ok_or_else(|| keys::corrupt(call.operation, "the store's identity"))?;
    let store = keys::text(call.operation, "the store's identity", there.value())?.to_owned();
    Ok((Identity { store, revision: there.mod_revision(), cluster_id }, revision))
}

/// What an acknowledged write survives: it was agreed on by a majority of the servers.
async fn durability(lane: &Lane, call: &Call) -> Result<Durability> {
    let ask = |connection: Connection| async move {
        let members = connection.client.cluster_client().member_list().await?;
        Ok(members.members().iter().filter(|member| !member.is_learner()).count())
    };
    match lane.run(call, Access::Read, ask).await {
        Ok(voters) => Ok(if voters >= 3 { Durability::Quorum } else { Durability::SingleNode }),
        // Newer servers tell their members only to administrators: then the weaker is claimed.
        Err(Fault { what: crate::classify::What::Final(ErrorKind::Denied), .. }) => Ok(Durability::SingleNode),
        Err(fault) => Err(call.error(fault)),
    }
}

/// The shortest time to live that the servers grant: they lengthen what is below it.
async fn least_ttl(lane: &Lane, call: &Call) -> Result<Duration> {
    let ask = |connection: Connection| async move {
        let mut leases = connection.client.lease_client();
        let id = crate::lease::new_id();
        let granted = leases.grant(1, Some(LeaseGrantOptions::new().with_id(id))).await?.ttl();
        // If this fails it lapses by itself, in a moment.
        let _gone = leases.revoke(id).await;
        Ok(granted)
    };
    let granted = lane.run(call, Access::Read, ask).await.map_err(|fault| call.error(fault))?;
    Ok(Duration::from_secs(u64::try_from(granted).unwrap_or(1).max(1)))
}
