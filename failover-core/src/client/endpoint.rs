use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Invalid;

/// The most endpoints that a node may have, and that a list may name.
pub const MAX_ENDPOINTS: usize = 8;

/// The most characters of an endpoint.
const MAX_TEXT: usize = 256;

/// Where something can be reached: `host:port`, or a URL such as `https://a.example:8443/login`.
///
/// The host is a name, an IPv4 address, or an IPv6 address in brackets. A URL may leave the port out. It holds no user and no
/// password: everybody can read it.
///
/// ```
/// use failover_core::client::Endpoint;
///
/// let endpoint = Endpoint::new("https://a.example:8443/login")?;
/// assert_eq!((endpoint.scheme(), endpoint.host(), endpoint.port()), (Some("https"), "a.example", Some(8443)));
/// assert_eq!(Endpoint::new("a.example").unwrap_err().to_string(), "endpoint is `a.example`: it must name a port, as in `host:port`");
/// # Ok::<(), failover_core::Invalid>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint(Arc<str>);

/// What an endpoint consists of.
struct Parts<'a> {
    scheme: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    path: &'a str,
}

impl Endpoint {
    /// Parses and validates.
    ///
    /// # Errors
    /// [`Invalid`] names the field, the value and the rule.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        match Parts::of(text) {
            Ok(_) => Ok(Self(text.into())),
            // What a user wrote is repeated without what may be a password.
            Err(rule) => Err(Invalid::new("endpoint", text.rsplit_once('@').map_or(text, |(_, after)| after), rule)),
        }
    }

    /// Parses a list such as `http://a:8080;http://b:8080`: at least one, at most [`MAX_ENDPOINTS`], each once.
    ///
    /// # Errors
    /// [`Invalid`] as [`new`](Self::new), and for a list that is empty, too long, or names an endpoint twice.
    pub fn list(text: &str) -> Result<Vec<Self>, Invalid> {
        let list = text.split(';').map(Self::new).collect::<Result<Vec<_>, _>>()?;
        Self::check_list(&list)?;
        Ok(list)
    }

    /// Whether these can stand side by side: not too many, each once.
    pub(crate) fn check_list(list: &[Self]) -> Result<(), Invalid> {
        if list.len() > MAX_ENDPOINTS {
            return Err(Invalid::new("endpoints", list.len(), format!("there may be {MAX_ENDPOINTS} at most")));
        }
        let twice = list.iter().enumerate().find(|(at, endpoint)| list[..*at].contains(endpoint));
        twice.map_or(Ok(()), |(_, twice)| Err(Invalid::new("endpoint", twice, "each must be named once")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scheme, of a URL.
    pub fn scheme(&self) -> Option<&str> {
        self.parts().scheme
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        self.parts().host
    }

    /// The port, if it names one.
    pub fn port(&self) -> Option<u16> {
        self.parts().port
    }

    /// The path, of a URL that has one: with its leading `/`, else empty.
    pub fn path(&self) -> &str {
        self.parts().path
    }

    fn parts(&self) -> Parts<'_> {
        Parts::of(&self.0).unwrap_or_else(|_| unreachable!("it was parsed when it was made"))
    }
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, &'static str> {
        if !(1..=MAX_TEXT).contains(&text.len()) {
            return Err("it must be 1 to 256 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && !b";\"<>\\^`{|}".contains(&b)) {
            return Err("it must consist of the characters of a URL, without `;`");
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|c: char| c.is_ascii_lowercase())
                && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
        };
        if scheme.is_some_and(|scheme| !is_scheme(scheme)) {
            return Err("its scheme must be lower case letters, digits, `+`, `-` and `.`, as in `https://host`");
        }
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) if scheme.is_some() => rest.split_at(at),
            Some(_) => return Err("it must be `host:port`, or a URL with its scheme, as in `https://host/path`"),
            None => (rest, ""),
        };
        if text.contains('#') {
            return Err("it must not have a fragment");
        }
        if authority.contains('@') {
            return Err("it must not hold a user or a password: everybody can read it");
        }
        let (host, port) = host_and_port(authority)?;
        if scheme.is_none() && port.is_none() {
            return Err("it must name a port, as in `host:port`");
        }
        Ok(Self { scheme, host, port, path })
    }
}

fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    const PORT: &str = "its port must be a number from 1 to 65535";
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("its IPv6 address must end with `]`")?;
        host.parse::<Ipv6Addr>().map_err(|_| "what is in brackets must be an IPv6 address")?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(PORT),
        }
    } else {
        let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        if port.is_some_and(|port| port.contains(':')) {
            return Err("an IPv6 address must be in brackets, as in `[::1]:80`");
        }
        check_host(host)?;
        (host, port)
    };
    let Some(port) = port else { return Ok((host, None)) };
    let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port > 0).ok_or(PORT)?;
    Ok((host, Some(port)))
}

/// A host's name as RFC 1123 has it, or an IPv4 address.
pub(super) fn check_host(host: &str) -> Result<(), &'static str> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err("its host must be a name such as `a.example`, an IPv4 address, or an IPv6 address in brackets");
    }
    // A name whose last label is a number is meant as an address.
    let is_address = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if is_address && host.parse::<Ipv4Addr>().is_err() {
        return Err("its host must be an IPv4 address if it ends with a number");
    }
    Ok(())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.0)
    }
}

impl FromStr for Endpoint {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::new(text)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::new(text)
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> String {
        endpoint.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_with_a_port_or_a_url() {
        let parts = |text: &str| {
            let e = Endpoint::new(text).unwrap();
            assert_eq!(e.to_string(), text);
            (e.scheme().map(str::to_owned), e.host().to_owned(), e.port(), e.path().to_owned())
        };
        let plain = |host: &str, port| (None, host.to_owned(), Some(port), String::new());
        assert_eq!(parts("a:1"), plain("a", 1));
        assert_eq!(parts("10.0.0.7:65535"), plain("10.0.0.7", 65535));
        assert_eq!(parts("[::1]:80"), plain("::1", 80));
        assert_eq!(parts("db_1.example.:5432"), plain("db_1.example.", 5432));
        let url = |scheme: &str, host: &str, port, path: &str| {
            (Some(scheme.to_owned()), host.to_owned(), port, path.to_owned())
        };
        assert_eq!(parts("https://a.example/login?x=1"), url("https", "a.example", None, "/login?x=1"));
        assert_eq!(parts("postgres+tls://[fe80::1]:5432/db"), url("postgres+tls", "fe80::1", Some(5432), "/db"));
    }

    #[test]
    fn one_that_does_not_parse_is_refused_by_field_value_and_rule() {
        for (text, rule) in [
            ("", "1 to 256"),
            ("a", "must name a port"),
            ("a:", "1 to 65535"),
            ("a:0", "1 to 65535"),
            ("a:+1", "1 to 65535"),
            ("a:65536", "1 to 65535"),
            ("a b:1", "characters of a URL"),
            ("a;b:1", "without `;`"),
            ("a:1/x", "with its scheme"),
            ("::1:80", "in brackets"),
            ("[::1:80", "must end with `]`"),
            ("[a]:80", "IPv6 address"),
            ("[::1]80", "1 to 65535"),
            ("-a:1", "its host"),
            ("a..b:1", "its host"),
            ("1.2.3.400:1", "IPv4 address"),
            ("http://", "its host"),
            ("HTTP://a", "its scheme"),
            ("://a", "its scheme"),
            ("http://a/#x", "fragment"),
            ("http://a:1:2", "in brackets"),
        ] {
            let invalid = Endpoint::new(text).unwrap_err();
            assert_eq!((invalid.field.as_str(), invalid.value.as_str()), ("endpoint", text));
            assert!(invalid.rule.contains(rule), "{text}: {}", invalid.rule);
        }
        let secret = Endpoint::new("http://me:secret@a/").unwrap_err().to_string();
        assert!(secret.contains("password") && !secret.contains("secret"), "{secret}");
    }

    #[test]
    fn a_list_is_parsed_strictly() {
        let list = Endpoint::list("http://a:1;http://b:1").unwrap();
        assert_eq!(list.iter().map(Endpoint::host).collect::<Vec<_>>(), ["a", "b"]);
        for (text, rule) in
            [("", "1 to 256"), ("a:1;", "1 to 256"), ("a:1; b:1", "characters"), ("a:1;a:1", "named once")]
        {
            let refused = Endpoint::list(text).unwrap_err().to_string();
            assert!(refused.contains(rule), "{text}: {refused}");
        }
        let many: Vec<String> = (1..=9).map(|port| format!("a:{port}")).collect();
        assert!(Endpoint::list(&many.join(";")).unwrap_err().to_string().starts_with("endpoints is `9`"));
    }
}
