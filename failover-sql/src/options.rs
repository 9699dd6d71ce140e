//! What the options of all databases have in common: addresses, and the options whose names are the same everywhere.

use failover_core::lease::MAX_FLOOR;
use failover_core::{Invalid, Term};

/// Reads `%XX`.
pub(crate) fn decode(field: &str, text: &str) -> Result<String, Invalid> {
    let invalid = || Invalid::new(field, text, "after `%` come two hexadecimal digits, and all of it must be UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or_else(invalid);
        let [high, low, after @ ..] = rest else { return Err(invalid()) };
        bytes.push(digit(high)? << 4 | digit(low)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| invalid())
}

/// The options in the query of an address, decoded.
pub(crate) fn pairs(query: &str) -> Result<Vec<(String, String)>, Invalid> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((name.to_owned(), decode(name, value)?))
        })
        .collect()
}

pub(crate) fn yes_or_no(name: &str, value: &str) -> Result<bool, Invalid> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Invalid::new(name, value, "it must be `true` or `false`")),
    }
}

pub(crate) fn floor(value: &str) -> Result<Term, Invalid> {
    let floor = value.parse().ok().map(Term).filter(|floor| *floor <= MAX_FLOOR);
    floor.ok_or_else(|| Invalid::new("term_floor", value, format!("it must be a number from 0 to {MAX_FLOOR}")))
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) use server::{Address, Common};

#[cfg(feature = "mysql")]
pub(crate) use server::Secret;

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server {
    use std::fmt;
    use std::time::Duration;

    use failover_core::{Invalid, Term};

    use super::{decode, floor, pairs, yes_or_no};
    use crate::keys::TablePrefix;

    /// A text that is never shown (law 19).
    #[derive(Clone, PartialEq, Eq)]
    pub(crate) struct Secret(String);

    impl Secret {
        pub(crate) fn new(text: impl Into<String>) -> Self {
            Self(text.into())
        }

        pub(crate) fn reveal(&self) -> &str {
            &self.0
        }
    }

    impl fmt::Debug for Secret {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("***")
        }
    }

    /// Where a server is, and as whom to go there: `scheme://user:password@host:port/database?option=value&…`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct Address {
        pub(crate) host: String,
        pub(crate) port: u16,
        pub(crate) user: String,
        pub(crate) password: Option<Secret>,
        pub(crate) database: String,
    }

    impl Address {
        /// An address and its options. What is wrong is named, but never quoted if it may hold a password.
        pub(crate) fn parse(url: &str, schemes: &[&str], port: u16) -> Result<(Self, Vec<(String, String)>), Invalid> {
            let (scheme, example) = (crate::scheme_of(url), schemes.first().copied().unwrap_or_default());
            let example = format!("{example}://user:password@host:{port}/database");
            let rest = url.split_once("://").map(|(_, rest)| rest).filter(|_| schemes.contains(&scheme));
            let Some(rest) = rest else {
                return Err(Invalid::new("scheme", scheme, format!("an address is written {example}")));
            };
            let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
            let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
            let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
            let (user, password) = login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word)));
            let hidden = |field| {
                move |_| {
                    Invalid::new(field, "***", "after `%` come two hexadecimal digits, and all of it must be UTF-8")
                }
            };
            let user = decode("user", user).map_err(hidden("user"))?;
            if user.is_empty() {
                return Err(Invalid::new("user", "", format!("an address names its user: {example}")));
            }
            let password = password.map(|word| decode("password", word).map_err(hidden("password"))).transpose()?;
            let (host, port) = host_and_port(place, port, &example)?;
            let database = decode("database", database)?;
            if database.is_empty() || database.contains('/') {
                return Err(Invalid::new("database", database, format!("an address names one database: {example}")));
            }
            Ok((Self { host, port, user, password: password.map(Secret::new), database }, pairs(query)?))
        }
    }

    fn host_and_port(place: &str, default: u16, example: &str) -> Result<(String, u16), Invalid> {
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
            None => place.split_once(':').unwrap_or((place, "")),
        };
        // A password with a bare `/`, `?` or `#` in it ends up here: it is not quoted.
        let port = match port {
            "" => default,
            port => port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                let rule = "it must be a number from 1 to 65535; a password's `/`, `?`, `#` and `@` are written %2F, %3F, %23 and %40";
                Invalid::new("port", "***", rule)
            })?,
        };
        let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b));
        if host.is_empty() || !plain {
            return Err(Invalid::new(
                "host",
                if plain { host } else { "***" },
                format!("an address names one host: {example}"),
            ));
        }
        Ok((host.to_owned(), port))
    }

    /// The options that every server's have.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct Common {
        pub(crate) prefix: TablePrefix,
        pub(crate) create: bool,
        pub(crate) term_floor: Term,
        pub(crate) timeout: Duration,
        pub(crate) connect_timeout: Duration,
    }

    impl Default for Common {
        fn default() -> Self {
            let (timeout, connect_timeout) = (Duration::from_secs(5), Duration::from_secs(2));
            Self { prefix: TablePrefix::default(), create: true, term_floor: Term::ZERO, timeout, connect_timeout }
        }
    }

    impl Common {
        /// The names of these options, for the rule that an unknown one broke.
        pub(crate) const NAMES: &str = "`prefix`, `create`, `term_floor`, `timeout`, `connect_timeout`";

        /// Takes an option, if it is one of these.
        pub(crate) fn take(&mut self, name: &str, value: &str) -> Result<bool, Invalid> {
            match name {
                "prefix" => self.prefix = TablePrefix::new(value)?,
                "create" => self.create = yes_or_no(name, value)?,
                "term_floor" => self.term_floor = floor(value)?,
                "timeout" => self.timeout = milliseconds(name, value)?,
                "connect_timeout" => self.connect_timeout = milliseconds(name, value)?,
                _ => return Ok(false),
            }
            Ok(true)
        }
    }

    fn milliseconds(name: &str, value: &str) -> Result<Duration, Invalid> {
        let time = value.parse().ok().filter(|ms| (1..=3_600_000).contains(ms)).map(Duration::from_millis);
        time.ok_or_else(|| Invalid::new(name, value, "it must be a number of milliseconds, from 1 to 3600000"))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn parse(url: &str) -> Result<(Address, Vec<(String, String)>), Invalid> {
            Address::parse(url, &["postgres", "postgresql"], 5432)
        }

        #[test]
        fn an_address_is_taken_apart_and_decoded() {
            let (address, options) = parse("postgresql://u%40x:p%3A%2f@[::1]:77/d%20b?a=b%26c&d").unwrap();
            let expected = Address {
                host: "::1".into(),
                port: 77,
                user: "u@x".into(),
                password: Some(Secret::new("p:/")),
                database: "d b".into(),
            };
            assert_eq!(address, expected);
            assert_eq!(options, [("a".into(), "b&c".into()), ("d".into(), String::new())]);
            assert_eq!(parse("postgres://u@h/d").unwrap().0.port, 5432);
        }

        #[test]
        fn what_is_wrong_in_an_address_is_named_without_its_password() {
            for (url, field) in [
                ("mysql://u:canary@h/d", "scheme"),
                ("postgres:u:canary@h/d", "scheme"),
                ("postgres://:canary@h/d", "user"),
                ("postgres://h/d", "user"),
                ("postgres://u:canary@/d", "host"),
                ("postgres://u:canary@h,i/d", "host"),
                ("postgres://u:canary@h:x/d", "port"),
                ("postgres://u:canary@h:0/d", "port"),
                ("postgres://u:can/ary@h/d", "user"),
                ("postgres://u:canary%zz@h/d", "password"),
                ("postgres://u:canary@h/", "database"),
                ("postgres://u:canary@h", "database"),
                ("postgres://u:canary@h/d/e", "database"),
            ] {
                let error = parse(url).unwrap_err();
                assert_eq!(error.field, field, "{url}");
                assert!(!format!("{error:?} {error}").contains("canary"), "{error}");
            }
        }

        #[test]
        fn a_common_option_has_its_rule() {
            let mut common = Common::default();
            assert!(common.take("timeout", "250").unwrap() && common.take("prefix", "x_").unwrap());
            assert_eq!(common.timeout, Duration::from_millis(250));
            assert!(!common.take("sslmode", "x").unwrap());
            for (name, value) in
                [("timeout", "0"), ("connect_timeout", "1s"), ("create", "1"), ("term_floor", "-1"), ("prefix", "A")]
            {
                let error = common.take(name, value).unwrap_err();
                assert_eq!((error.field.as_str(), error.value.as_str()), (name, value));
            }
        }
    }
}
