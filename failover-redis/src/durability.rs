//! What a server says about what it acknowledges, and whether that is enough for leases (law 2).

use failover_core::{Durability, Error, Invalid};

use crate::options::{RedisOptions, Servers};

/// What `INFO` and `CONFIG GET` told when a connection was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Which start of the server's process this is.
    pub(crate) run: String,
    pub(crate) is_primary: bool,
    pub(crate) replicas: u32,
    /// Whether it keeps a log on disk.
    pub(crate) logs: bool,
    /// When it flushes that; nothing if we may not know.
    pub(crate) flushes: Option<String>,
    /// Whether it removes any key when its memory is full. (Ours have no time to live.)
    pub(crate) evicts: bool,
}

impl Facts {
    pub(crate) fn parse(info: &str, flushes: Option<String>) -> Self {
        let field = |name: &str| {
            let mut lines = info.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(field, _)| *field == name).map(|(_, value)| value.trim())
        };
        Self {
            run: field("run_id").unwrap_or("-").to_owned(),
            is_primary: field("role") == Some("master"),
            replicas: field("connected_slaves").and_then(|n| n.parse().ok()).unwrap_or(0),
            logs: field("aof_enabled") == Some("1"),
            flushes,
            evicts: field("maxmemory").is_some_and(|most| most != "0")
                && field("maxmemory_policy").is_some_and(|policy| policy.starts_with("allkeys")),
        }
    }

    /// What a grant survives that this server acknowledges.
    pub(crate) fn durability(&self, options: &RedisOptions) -> Durability {
        if self.evicts {
            return Durability::Volatile;
        }
        if options.wait > 0 {
            return Durability::SyncReplica;
        }
        let replicated = self.replicas > 0 || matches!(options.servers, Servers::Sentinel { .. });
        match (self.flushes_always(options), replicated, &options.servers) {
            // A promotion loses more than a crash does, and somebody is there to promote.
            (_, true, Servers::Sentinel { .. } | Servers::Cluster) => Durability::AsyncReplica,
            (true, true, Servers::Single) => Durability::AsyncReplica,
            (true, false, _) => Durability::SingleNode,
            (false, _, _) => Durability::Volatile,
        }
    }

    /// Whether each write is on disk before it is answered. Where we may not know, the user's word counts.
    fn flushes_always(&self, options: &RedisOptions) -> bool {
        let told = options.accepted == Some(Durability::SingleNode);
        self.logs && self.flushes.as_ref().map_or(told, |flushes| flushes == "always")
    }

    /// Refuses to grant leases on a server that may forget them, unless the user has accepted that by its name.
    pub(crate) fn check(&self, operation: &'static str, options: &RedisOptions) -> Result<(), Error> {
        let needed = options.accepted.unwrap_or(Durability::SingleNode);
        let has = self.durability(options);
        if has >= needed {
            return Ok(());
        }
        let (value, why) = match has {
            Durability::AsyncReplica => ("async-replica", "a replica that is promoted may not know the last grants"),
            _ if self.evicts => {
                let rule = "the server removes any key when its memory is full, terms included: set `maxmemory-policy` to \
                            `noeviction` or one of `volatile-…`, or use a server of its own";
                return Err(Error::invalid(operation, Invalid::new("maxmemory-policy", "allkeys-…", rule)));
            }
            _ if self.logs && self.flushes.is_none() => {
                ("volatile", "CONFIG GET is not permitted, so it is not known when the server flushes its log")
            }
            _ if self.logs => {
                ("volatile", "the server flushes its log now and then (`appendfsync`), and may forget the last grants")
            }
            _ => ("volatile", "the server keeps no log on disk, and may forget all grants"),
        };
        let rule = format!(
            "{why}. Ask for `wait=N` with the number of replicas that must have each grant, or have every write on disk \
             (`appendonly yes`, `appendfsync always`), or accept it by name: `durability={value}`"
        );
        Err(Error::invalid(operation, Invalid::new("durability", value, rule)))
    }
}

/// What is promised to hold as long as the store is open: what the user named, or what the server had at first.
pub(crate) fn declared(first: &Facts, options: &RedisOptions) -> Durability {
    let has = first.durability(options);
    if options.wait > 0 { has } else { options.accepted.map_or(has, |accepted| accepted.min(has)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str =
        "# Server\r\nrun_id:abc\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\naof_enabled:1\r\n";

    fn options(url: &str) -> RedisOptions {
        RedisOptions::from_url(url).unwrap()
    }

    #[test]
    fn what_a_server_tells_is_read() {
        let facts = Facts::parse(INFO, Some("always".into()));
        assert_eq!((facts.run.as_str(), facts.is_primary, facts.replicas, facts.logs), ("abc", true, 2, true));
        assert!(!Facts::parse("role:slave", None).is_primary);
        let evicts = |info: &str| Facts::parse(info, None).evicts;
        assert!(evicts("maxmemory:9\r\nmaxmemory_policy:allkeys-lfu\r\n"));
        assert!(!evicts("maxmemory:0\r\nmaxmemory_policy:allkeys-lfu\r\n"));
        assert!(!evicts("maxmemory:9\r\nmaxmemory_policy:noeviction\r\n"));
    }

    #[test]
    fn only_what_survives_is_enough_unless_it_is_accepted_by_name() {
        let facts = |replicas, logs, flushes: Option<&str>| Facts {
            run: "r".into(),
            is_primary: true,
            replicas,
            logs,
            flushes: flushes.map(str::to_owned),
            evicts: false,
        };
        let always = facts(0, true, Some("always"));
        let second = facts(0, true, Some("everysec"));
        let unknown = facts(0, true, None);
        let replicated = facts(1, true, Some("always"));
        let nothing = facts(1, false, Some("everysec"));
        for (facts, url, has, enough) in [
            (&always, "redis://h", Durability::SingleNode, true),
            (&second, "redis://h", Durability::Volatile, false),
            (&second, "redis://h?durability=async-replica", Durability::Volatile, false),
            (&second, "redis://h?durability=volatile", Durability::Volatile, true),
            (&unknown, "redis://h", Durability::Volatile, false),
            (&unknown, "redis://h?durability=single-node", Durability::SingleNode, true),
            (&replicated, "redis://h", Durability::AsyncReplica, false),
            (&replicated, "redis://h?durability=async-replica", Durability::AsyncReplica, true),
            (&replicated, "redis://h?wait=1", Durability::SyncReplica, true),
            (&nothing, "redis://h", Durability::Volatile, false),
            (&nothing, "redis+cluster://h", Durability::AsyncReplica, false),
            (&always, "redis+cluster://h", Durability::SingleNode, true),
            (&always, "redis+sentinel://h/m", Durability::AsyncReplica, false),
            (&second, "redis+sentinel://h/m?wait=1", Durability::SyncReplica, true),
        ] {
            let options = options(url);
            assert_eq!(facts.durability(&options), has, "{url} {facts:?}");
            assert_eq!(facts.check("acquire", &options).is_ok(), enough, "{url} {facts:?}");
        }
        let error = second.check("acquire", &options("redis://h")).unwrap_err();
        assert!(error.to_string().contains("durability=volatile") && error.to_string().contains("wait=N"), "{error}");
    }
}
