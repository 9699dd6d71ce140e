//! [`DnsUpdate`]: the name that clients know, moved to the active node by DNS UPDATE (RFC 2136), signed by TSIG (RFC 8945).
//!
//! ```
//! use std::time::Duration;
//!
//! use failover_core::client::redirect::dns::{DnsUpdate, TsigKey};
//!
//! # fn main() -> Result<(), failover_core::Invalid> {
//! let key = TsigKey::new("failover-key", "hmac-sha256", "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA==")?;
//! let update = DnsUpdate::new("ns.example:53", "example.", "app.example.")?.ttl(Duration::from_secs(5))?.key(key);
//! // Node::builder(…).endpoint(Endpoint::new("10.0.0.7:443")?).redirect("dns", update)
//! # drop(update);
//! # Ok(())
//! # }
//! ```
//!
//! In one update the server replaces what the name has of `A`, `AAAA` and `CNAME` by the hosts of the active node's endpoints: addresses, or one name.
//! In the same update it moves the term, which is in a `TXT` record at `_failover.` before the name, from the one that was read to this one. **The server
//! applies all of it only if the term is still the one that was read.** So an update of an older term that comes late, out of a paused process or a
//! slow network, is refused by the server itself: no clock and no lease is asked. The key needs the right to change both names.
//!
//! A name with records of other types can have no alias, and a server leaves the alias out of the update then and says nothing (RFC 2136, 3.4.2.2). So whether
//! it is there is asked afterwards, and [`DnsError::NoAlias`] tells that it is not. Give the name no other records, or the endpoints addresses.
//!
//! Resolvers and clients keep what they have looked up for the record's TTL, and some for longer.

mod exchange;
mod message;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::base::Name;
use domain::base::iana::{Rcode, Rtype};
use domain::tsig::{Algorithm, Key, KeyName};

use self::exchange::Connection;
use super::{Redirect, RedirectError};
use crate::client::endpoint::check_host;
use crate::client::{Address, Endpoint};
use crate::error::Invalid;
use crate::ids::Term;
use crate::right::Right;

type DnsName = Name<Vec<u8>>;

/// The longest time for which resolvers may be told to keep an answer.
const MAX_TTL: Duration = Duration::from_hours(24);

/// How often a race for the record is run again within one try.
const RACES: u32 = 5;

/// A key that signs updates. Its secret is shown nowhere.
#[derive(Clone)]
pub struct TsigKey(Arc<Key>);

impl TsigKey {
    /// The key of this name, as `tsig-keygen` prints it.
    ///
    /// # Errors
    /// [`Invalid`] for a name that is none, an algorithm other than `hmac-sha256`, `hmac-sha384`, `hmac-sha512` (and `hmac-sha1`, which nobody should use any more), and a secret
    /// that is not base64 or shorter than 16 bytes.
    pub fn new(name: &str, algorithm: &str, secret: &str) -> Result<Self, Invalid> {
        check_host(name).map_err(|_| Invalid::new("key name", name, "it must be a domain name"))?;
        let key_name: KeyName = name.parse().map_err(|_| Invalid::new("key name", name, "it must be a domain name"))?;
        let algorithm: Algorithm = algorithm.parse().map_err(|_| {
            Invalid::new("key algorithm", algorithm, "it must be hmac-sha256, hmac-sha384 or hmac-sha512")
        })?;
        let hidden = |rule: &str| Invalid::new("key secret", "…", rule);
        let secret: Vec<u8> = domain::utils::base64::decode(secret)
            .map_err(|_| hidden("it must be base64, as `tsig-keygen` prints it"))?;
        if secret.len() < 16 {
            return Err(hidden("it must be 16 bytes at least"));
        }
        let key =
            Key::new(algorithm, &secret, key_name, None, None).map_err(|_| hidden("it must fit its algorithm"))?;
        Ok(Self(Arc::new(key)))
    }
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TsigKey").field(&format_args!("{}", self.0.name())).finish()
    }
}

/// Moves a name to the active node. See the [module](self).
#[derive(Debug, Clone)]
pub struct DnsUpdate {
    server: Endpoint,
    zone: DnsName,
    name: DnsName,
    /// Where the term is.
    mark: DnsName,
    ttl: u32,
    key: Option<TsigKey>,
    deadline: Duration,
}

/// Why the name was not moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DnsError {
    /// The server was not reached or did not answer in time. The update may have been applied.
    #[error("the DNS server did not answer: {0}")]
    Unreachable(String),
    /// The server does not know the key, or one of the two has another secret or another time.
    #[error("the DNS server and this node do not agree about the key: {0}")]
    Key(String),
    /// The server does not do that.
    #[error("the DNS server refuses to {what}: {rcode}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        rcode: String,
    },
    /// A later term has moved the name.
    #[error("the name was moved under the later term {0}")]
    Superseded(Term),
    /// Somebody else keeps something where the term should be, or wrote there again and again.
    #[error("the term's record cannot be used: {0}")]
    Occupied(String),
    /// The server has left the alias out, because the name has records of other types beside which no alias can be. It leads nowhere now.
    #[error(
        "`{name}` has no alias: it has other records, and beside them no alias can be; remove them, or give the endpoints addresses"
    )]
    NoAlias {
        /// The name that was to become an alias.
        name: String,
    },
    /// The endpoints are not what a name can lead to.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// What the name is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Addresses(Vec<IpAddr>),
    Alias(DnsName),
}

impl DnsUpdate {
    /// Moves `name`, which lies in `zone`, at the zone's primary `server` (`host:port`, over TCP).
    ///
    /// # Errors
    /// [`Invalid`] for a server that is not `host:port`, for what is not a domain name, and for a name outside the zone.
    pub fn new(server: &str, zone: &str, name: &str) -> Result<Self, Invalid> {
        let server = Endpoint::new(server).map_err(|broken| Invalid::new("server", server, broken.rule))?;
        if server.scheme().is_some() {
            return Err(Invalid::new("server", server, "it must be `host:port`"));
        }
        let (zone, name) = (dns_name("zone", zone)?, dns_name("name", name)?);
        if !name.ends_with(&zone) {
            return Err(Invalid::new("name", name, format!("it must lie in the zone `{zone}`")));
        }
        let mark = dns_name("name", &format!("_failover.{name}"))?;
        Ok(Self { server, zone, name, mark, ttl: 10, key: None, deadline: Duration::from_secs(5) })
    }

    /// How long resolvers may keep what they are told, in whole seconds. Default: 10 s.
    ///
    /// # Errors
    /// [`Invalid`] unless it is 1 s to 24 h.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self, Invalid> {
        if ttl < Duration::from_secs(1) || ttl > MAX_TTL {
            return Err(Invalid::new("ttl", format!("{ttl:?}"), "it must be 1 s to 24 h"));
        }
        self.ttl = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
        Ok(self)
    }

    /// What signs the updates, and what is read before. Default: nothing, for a server that trusts this node's address.
    pub fn key(mut self, key: TsigKey) -> Self {
        self.key = Some(key);
        self
    }

    /// How long one try may take. Default: 5 s.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Moves the name to where `to` says, unless a later term has moved it. Safe to repeat. Says what it has now.
    ///
    /// # Errors
    /// [`DnsError`].
    pub async fn update(&self, to: &Address) -> Result<String, DnsError> {
        let target = self.target(&to.endpoints)?;
        let mut connection = Connection::open(&self.server, self.key.as_ref()).await?;
        for _ in 0..RACES {
            let found = self.read_mark(&mut connection).await?;
            if let Some(later) = found.filter(|found| *found > to.term) {
                return Err(DnsError::Superseded(later));
            }
            let answer = connection.ask(message::update(self, found, to.term, &target)).await?;
            match answer.header().rcode() {
                Rcode::NOERROR => match self.left_out(&mut connection, to.term, &target).await? {
                    Some(why) => return Err(why),
                    None => return Ok(format!("{} is {target}", self.name)),
                },
                // Somebody was there in between: what that was decides what is next.
                Rcode::NXRRSET | Rcode::YXRRSET => {}
                rcode => return Err(DnsError::Refused { what: "update the zone", rcode: rcode.to_string() }),
            }
        }
        Err(DnsError::Occupied(format!("`{}` has changed {RACES} times while this node looked", self.mark)))
    }

    /// The term under which the name was moved last.
    async fn read_mark(&self, connection: &mut Connection<'_>) -> Result<Option<Term>, DnsError> {
        let answer = connection.ask(message::question(&self.mark, Rtype::TXT)).await?;
        match answer.header().rcode() {
            Rcode::NOERROR | Rcode::NXDOMAIN => message::mark(&answer, &self.mark),
            rcode => Err(DnsError::Refused { what: "tell the term", rcode: rcode.to_string() }),
        }
    }

    /// Why an alias is not there though the update was applied, if it is not.
    async fn left_out(
        &self,
        connection: &mut Connection<'_>,
        term: Term,
        target: &Target,
    ) -> Result<Option<DnsError>, DnsError> {
        let Target::Alias(alias) = target else { return Ok(None) };
        let answer = connection.ask(message::question(&self.name, Rtype::CNAME)).await?;
        if message::is_alias(&answer, &self.name, alias)? {
            return Ok(None);
        }
        // Or a later term has moved the name meanwhile.
        let later = self.read_mark(connection).await?.filter(|found| *found > term);
        Ok(Some(later.map_or_else(|| DnsError::NoAlias { name: self.name.to_string() }, DnsError::Superseded)))
    }

    fn target(&self, endpoints: &[Endpoint]) -> Result<Target, Invalid> {
        let mut hosts: Vec<&str> = endpoints.iter().map(Endpoint::host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let addresses: Option<Vec<IpAddr>> = hosts.iter().map(|host| host.parse().ok()).collect();
        match (addresses, hosts.as_slice()) {
            (_, []) => Err(Invalid::new("endpoints", "none", "give the node one, for its DNS name to lead to")),
            (Some(addresses), _) => Ok(Target::Addresses(addresses)),
            (None, [host]) if self.name == self.zone => {
                Err(Invalid::new("endpoint", host, "it must be an address, because a zone itself can have no alias"))
            }
            (None, [host]) => dns_name("endpoint", host).map(Target::Alias),
            (None, [..]) => Err(Invalid::new(
                "endpoints",
                hosts.join(", "),
                "their hosts must be addresses, or one name: a DNS name has either",
            )),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(name) => write!(f, "{name}"),
            Self::Addresses(addresses) => {
                let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(", "))
            }
        }
    }
}

#[async_trait]
impl Redirect for DnsUpdate {
    async fn redirect(&self, to: &Address, _right: &Right) -> Result<String, RedirectError> {
        self.update(to).await.map_err(|error| match error {
            DnsError::Superseded(term) => RedirectError::Superseded(term),
            other => RedirectError::Failed(other.to_string()),
        })
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }

    fn check(&self, endpoints: &[Endpoint]) -> Result<(), Invalid> {
        self.target(endpoints).map(drop)
    }
}

/// A name of hosts: nothing is escaped, nothing is a wildcard.
fn dns_name(field: &str, text: &str) -> Result<DnsName, Invalid> {
    let rule = "it must be a domain name such as `app.example.`";
    check_host(text).map_err(|_| Invalid::new(field, text, rule))?;
    text.parse().map_err(|_| Invalid::new(field, text, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T>(result: Result<T, Invalid>) -> String {
        result.err().expect("it should be refused").to_string()
    }

    #[test]
    fn what_cannot_be_updated_is_refused_by_field_value_and_rule() {
        let new = |server, zone, name| refused(DnsUpdate::new(server, zone, name));
        assert!(new("ns", "example.", "a.example.").starts_with("server is `ns`: it must name a port"));
        assert!(new("http://ns:53", "example.", "a.example.").starts_with("server is `http://ns:53`"));
        assert!(new("ns:53", "exa mple", "a.example.").starts_with("zone is `exa mple`"));
        assert!(new("ns:53", "example.", "*.example.").starts_with("name is `*.example.`"));
        assert!(new("ns:53", "example.", "a.example2.").contains("must lie in the zone `example`"));
        let update = || DnsUpdate::new("ns:53", "example", "app.example").unwrap();
        assert!(refused(update().ttl(Duration::ZERO)).starts_with("ttl is `0ns`"));
        assert!(refused(update().ttl(MAX_TTL * 2)).starts_with("ttl is"));
        let check = |list: &str| update().check(&Endpoint::list(list).unwrap());
        assert_eq!(check("10.0.0.1:80;[::1]:80;10.0.0.1:81"), Ok(()));
        assert_eq!(check("a.example:80;https://a.example"), Ok(()));
        assert!(refused(check("a.example:80;10.0.0.1:80")).starts_with("endpoints is"));
        assert!(refused(update().check(&[])).contains("give the node one"));
        let apex = DnsUpdate::new("ns:53", "example", "example").unwrap();
        assert!(refused(apex.check(&Endpoint::list("a.example:80").unwrap())).contains("no alias"));
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_none_is_shown() {
        let secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQ=";
        assert!(refused(TsigKey::new("a key", "hmac-sha256", secret)).starts_with("key name is"));
        assert!(refused(TsigKey::new("k", "hmac-md5", secret)).starts_with("key algorithm is `hmac-md5`"));
        for bad in ["c2VjcmV0", "not base64!"] {
            let told = refused(TsigKey::new("k", "hmac-sha256", bad));
            assert!(told.starts_with("key secret is") && !told.contains(bad), "{told}");
        }
        let update = DnsUpdate::new("ns:53", "example", "app.example").unwrap();
        let shown = format!("{:?}", update.key(TsigKey::new("k", "hmac-sha512", secret).unwrap()));
        assert!(shown.contains("TsigKey(k)") && !shown.contains("secret"), "{shown}");
    }
}
