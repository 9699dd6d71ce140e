//! Addresses, as text: `scheme://user:password@host:port,host:port/path?option=value`.

use std::time::Duration;

use failover_core::{Durability, Invalid, Term};

use crate::keys::KeyPrefix;
use crate::options::{Address, Login, RedisOptions, Servers, Tls};

pub(crate) const SCHEMES: &[&str] =
    &["redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"];

pub(crate) const DURABILITIES: &str = "it must be `volatile`, `async-replica` or `single-node`; for a stronger one use \
                                       `wait` with the number of replicas that must have a grant";

const OPTIONS: &str = "the options are `prefix`, `create`, `term_floor`, `timeout`, `connect_timeout`, `durability`, `wait`, \
                       for TLS `ca`, `cert` and `key`, and for Sentinel `service`, `sentinel_user` and `sentinel_password`";

/// What stands in an error in the place of what may be, or hold, a password (law 19).
const HIDDEN: &str = "…";

pub(crate) fn parse(url: &str) -> Result<RedisOptions, Invalid> {
    let (scheme, rest) =
        scheme_of(url).and_then(|scheme| Some((scheme, url.strip_prefix(scheme)?))).ok_or_else(|| {
            Invalid::new("scheme", HIDDEN, format!("an address begins with its scheme: one of {}", SCHEMES.join(", ")))
        })?;
    if !SCHEMES.contains(&scheme) {
        return Err(Invalid::new("scheme", scheme, format!("it must be one of {}", SCHEMES.join(", "))));
    }
    let encrypted = scheme.starts_with("rediss");
    if encrypted && !cfg!(feature = "tls") {
        return Err(Invalid::new("scheme", scheme, "this build has no TLS: enable the feature `tls`"));
    }
    let rest = rest.strip_prefix("://").unwrap_or_default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // A password with such a character in it would be cut in two, and one half shown as a host or a path.
    if path.contains('@') || query.contains('@') || authority.contains('#') {
        let rule = "`/`, `?`, `#`, `@` and `%` in a user name, a password or an option are written as %2F, %3F, %23, %40 and %25";
        return Err(Invalid::new("address", HIDDEN, rule));
    }
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (kind, port) = match scheme.split_once('+').map(|(_, kind)| kind) {
        Some("sentinel") => (Servers::Sentinel { service: String::new(), login: Login::default() }, 26_379),
        Some(_) => (Servers::Cluster, 6379),
        None => (Servers::Single, 6379),
    };
    let addresses = hosts.split(',').map(|host| address(host, port)).collect::<Result<Vec<_>, _>>()?;
    if kind == Servers::Single && addresses.len() > 1 {
        let rule = "one server has one address; for several use redis+sentinel or redis+cluster";
        return Err(Invalid::new("host", hosts, rule));
    }
    let mut options = RedisOptions::new(kind, addresses);
    options.login = parse_login(login)?;
    options.tls = encrypted.then(Tls::default);
    parse_path(&mut options, path)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parse_option(&mut options, name, value)?;
    }
    check(&options)?;
    Ok(options)
}

fn check(options: &RedisOptions) -> Result<(), Invalid> {
    if let Servers::Sentinel { service, .. } = &options.servers
        && service.is_empty()
    {
        let rule = "Sentinels have to be told which service, as in redis+sentinel://s1,s2,s3/main";
        return Err(Invalid::new("service", "", rule));
    }
    if options.tls.as_ref().is_some_and(|tls| {
        tls.identity.as_ref().is_some_and(|(c, k)| c.as_os_str().is_empty() != k.as_os_str().is_empty())
    }) {
        return Err(Invalid::new("cert", HIDDEN, "`cert` and `key` go together"));
    }
    Ok(())
}

/// The scheme of an address, if it has one.
fn scheme_of(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    let plain = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    (plain && !scheme.is_empty()).then_some(scheme)
}

fn address(text: &str, default: u16) -> Result<Address, Invalid> {
    let invalid = || {
        Invalid::new("host", text, "it must be a name or an IP address, with a port from 1 to 65535 if any: cache:6379")
    };
    let (host, port) = match text.strip_prefix('[') {
        Some(six) => {
            let (host, after) = six.split_once(']').ok_or_else(invalid)?;
            (host, after.strip_prefix(':').or(after.is_empty().then_some("")).ok_or_else(invalid)?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = if port.is_empty() { Some(default) } else { port.parse().ok().filter(|port| *port > 0) };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || !host.bytes().all(plain) {
        return Err(invalid());
    }
    Ok(Address { host: host.to_owned(), port: port.ok_or_else(invalid)? })
}

fn parse_login(text: &str) -> Result<Login, Invalid> {
    let (user, password) = text.split_once(':').map_or((text, None), |(user, password)| (user, Some(password)));
    let user = Some(decode("user", user, HIDDEN)?).filter(|user| !user.is_empty());
    let password = password.map(|password| decode("password", password, HIDDEN)).transpose()?;
    Ok(Login { user, password: password.filter(|password| !password.is_empty()) })
}

/// `/0` for a server's database, `/main` or `/main/0` for Sentinel's service.
fn parse_path(options: &mut RedisOptions, path: &str) -> Result<(), Invalid> {
    let mut database = path;
    if let Servers::Sentinel { service, .. } = &mut options.servers {
        let (name, rest) = path.split_once('/').unwrap_or((path, ""));
        *service = decode("service", name, name)?;
        database = rest;
    }
    if database.is_empty() {
        return Ok(());
    }
    let number = database.parse().ok().filter(|_| options.servers != Servers::Cluster);
    let rule = "it must be the number of a database, as in redis://cache/0; a Redis cluster has only one";
    options.database = number.ok_or_else(|| Invalid::new("database", database, rule))?;
    Ok(())
}

fn parse_option(options: &mut RedisOptions, name: &str, value: &str) -> Result<(), Invalid> {
    let shown = if name == "sentinel_password" { HIDDEN } else { value };
    let value = decode(name, value, shown)?;
    match (name, &mut options.servers) {
        ("prefix", _) => options.prefix = KeyPrefix::new(value)?,
        ("create", _) => {
            options.create = match value.as_str() {
                "true" => true,
                "false" => false,
                _ => return Err(Invalid::new("create", value, "it must be `true` or `false`")),
            }
        }
        ("term_floor", _) => {
            let floor = Term(number(name, &value)?);
            *options = options.clone().term_floor(floor)?;
        }
        ("timeout", _) => *options = options.clone().timeout(milliseconds(name, &value)?)?,
        ("connect_timeout", _) => *options = options.clone().connect_timeout(milliseconds(name, &value)?)?,
        ("durability", _) => {
            options.accepted = Some(match value.as_str() {
                "volatile" => Durability::Volatile,
                "async-replica" => Durability::AsyncReplica,
                "single-node" => Durability::SingleNode,
                _ => return Err(Invalid::new("durability", value, DURABILITIES)),
            });
        }
        ("wait", _) => options.wait = number(name, &value)?,
        ("service", Servers::Sentinel { service, .. }) => *service = value,
        ("sentinel_user", Servers::Sentinel { login, .. }) => login.user = Some(value),
        ("sentinel_password", Servers::Sentinel { login, .. }) => login.password = Some(value),
        ("service" | "sentinel_user" | "sentinel_password", _) => {
            return Err(Invalid::new("option", name, "it is one of redis+sentinel addresses"));
        }
        ("ca" | "cert" | "key", _) => {
            let Some(tls) = &mut options.tls else {
                return Err(Invalid::new(
                    "option",
                    name,
                    "it is one of encrypted addresses, which begin with `rediss`",
                ));
            };
            let identity = tls.identity.clone().unwrap_or_default();
            match name {
                "ca" => tls.authority = Some(value.into()),
                "cert" => tls.identity = Some((value.into(), identity.1)),
                _ => tls.identity = Some((identity.0, value.into())),
            }
        }
        _ => return Err(Invalid::new("option", name, OPTIONS)),
    }
    Ok(())
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Invalid> {
    value.parse().map_err(|_| Invalid::new(name, value, "it must be a whole number, not below zero and not too large"))
}

fn milliseconds(name: &str, value: &str) -> Result<Duration, Invalid> {
    number::<u32>(name, value).map(|n| Duration::from_millis(n.into()))
}

/// Reads `%XX`. `shown` is what an error may show of it.
fn decode(field: &str, text: &str, shown: &str) -> Result<String, Invalid> {
    let invalid = || Invalid::new(field, shown, "after `%` come two hexadecimal digits, and all of it must be UTF-8");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(options: &RedisOptions) -> Vec<String> {
        options.addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_address_is_taken_apart() {
        let options = parse("redis://me:p%40ss%2F@cache:7000/3?prefix=x:&create=false&term_floor=7&wait=2").unwrap();
        assert_eq!(hosts(&options), ["cache:7000"]);
        assert_eq!(options.login.user.as_deref(), Some("me"));
        assert_eq!(options.login.password.as_deref(), Some("p@ss/"));
        assert_eq!((options.database, options.create, options.term_floor, options.wait), (3, false, Term(7), 2));
        assert_eq!(hosts(&parse("redis://[::1]").unwrap()), ["[::1]:6379"]);
    }

    #[test]
    fn sentinels_are_told_the_service() {
        let options = parse("redis+sentinel://:pw@s1,s2:7000/main/2?sentinel_password=x&timeout=100").unwrap();
        assert_eq!(hosts(&options), ["s1:26379", "s2:7000"]);
        let login = Login { user: None, password: Some("x".into()) };
        assert_eq!(options.servers, Servers::Sentinel { service: "main".into(), login });
        assert_eq!((options.database, options.timeout), (2, Duration::from_millis(100)));
        let named = parse("redis+sentinel://s1?service=other").unwrap();
        assert!(matches!(named.servers, Servers::Sentinel { service, .. } if service == "other"));
    }

    #[test]
    fn whatever_is_wrong_in_an_address_is_named_with_its_rule() {
        for (url, field, value) in [
            ("mysql://h/d", "scheme", "mysql"),
            ("cache:6379", "scheme", "…"),
            ("redis://", "host", ""),
            ("redis://a,b", "host", "a,b"),
            ("redis://a b", "host", "a b"),
            ("redis://h:0", "host", "h:0"),
            ("redis://h:70000", "host", "h:70000"),
            ("redis://[::1", "host", "[::1"),
            ("redis://h/x", "database", "x"),
            ("redis+cluster://h/1", "database", "1"),
            ("redis+sentinel://h", "service", ""),
            ("redis://h?db=1", "option", "db"),
            ("redis://h?service=main", "option", "service"),
            ("redis://h?ca=x.pem", "option", "ca"),
            ("redis://h?prefix=a{b}", "prefix", "a{b}"),
            ("redis://h?create=1", "create", "1"),
            ("redis://h?term_floor=9007199254740992", "term_floor", "9007199254740992"),
            ("redis://h?timeout=0", "timeout", "0"),
            ("redis://h?connect_timeout=soon", "connect_timeout", "soon"),
            ("redis://h?durability=quorum", "durability", "quorum"),
            ("redis://h?wait=-1", "wait", "-1"),
            ("redis://h?prefix=%zz", "prefix", "%zz"),
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!((error.field.as_str(), error.value.as_str()), (field, value), "{url}");
            assert!(!error.rule.is_empty());
        }
    }

    #[test]
    fn no_part_of_a_password_is_shown_whatever_is_wrong_with_it() {
        for url in [
            "redis://:canary/x@h",
            "redis://:canary?x@h",
            "redis://:can#canary@h",
            "redis://:canary%zz@h",
            "redis://canary:canary@h?canary@x=1",
            "redis+sentinel://h/m?sentinel_password=canary%zz",
            "canary@h",
            "redis:canary@h",
            "can ary://canary@h",
        ] {
            let error = parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{url}: {error}");
        }
        let good = parse("redis+sentinel://u:canary@h/m?sentinel_password=canary").unwrap();
        assert!(!format!("{good:?}").contains("canary"), "{good:?}");
    }
}
