//! Which backend serves an address.

use failover_core::Invalid;

/// A backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Sqlite,
    Postgres,
    Mysql,
    Redis,
    Etcd,
}

/// A scheme: who serves it, the feature that brings it, and whether this build has it.
struct Scheme {
    name: &'static str,
    by: By,
    feature: &'static str,
    built_in: bool,
}

const fn scheme(name: &'static str, by: By, feature: &'static str, built_in: bool) -> Scheme {
    Scheme { name, by, feature, built_in }
}

const SQLITE: bool = cfg!(feature = "sqlite");
const POSTGRES: bool = cfg!(feature = "postgres");
const MYSQL: bool = cfg!(feature = "mysql");
const REDIS: bool = cfg!(feature = "redis");
const REDISS: bool = cfg!(all(feature = "redis", feature = "tls"));
const ETCD: bool = cfg!(feature = "etcd");
const ETCDS: bool = cfg!(all(feature = "etcd", feature = "tls"));

const SCHEMES: &[Scheme] = &[
    scheme("sqlite", By::Sqlite, "`sqlite`", SQLITE),
    scheme("postgres", By::Postgres, "`postgres`", POSTGRES),
    scheme("postgresql", By::Postgres, "`postgres`", POSTGRES),
    scheme("mysql", By::Mysql, "`mysql`", MYSQL),
    scheme("mariadb", By::Mysql, "`mysql`", MYSQL),
    scheme("redis", By::Redis, "`redis`", REDIS),
    scheme("redis+sentinel", By::Redis, "`redis`", REDIS),
    scheme("redis+cluster", By::Redis, "`redis`", REDIS),
    scheme("rediss", By::Redis, "`redis` with `tls`", REDISS),
    scheme("rediss+sentinel", By::Redis, "`redis` with `tls`", REDISS),
    scheme("rediss+cluster", By::Redis, "`redis` with `tls`", REDISS),
    scheme("etcd", By::Etcd, "`etcd`", ETCD),
    scheme("etcds", By::Etcd, "`etcd` with `tls`", ETCDS),
];

pub(crate) fn built_in() -> impl Iterator<Item = &'static str> {
    SCHEMES.iter().filter(|scheme| scheme.built_in).map(|scheme| scheme.name)
}

/// The backend that is built in for an address.
pub(crate) fn backend_of(url: &str) -> Result<By, Invalid> {
    let name = scheme_of(url);
    let found = SCHEMES.iter().find(|scheme| scheme.name == name);
    if let Some(Scheme { by, built_in: true, .. }) = found {
        return Ok(*by);
    }
    let possible: Vec<&str> = built_in().collect();
    let possible = if possible.is_empty() { "nothing".to_owned() } else { possible.join(", ") };
    let rule = match found {
        Some(Scheme { feature, .. }) => {
            format!(
                "this build has no backend for it: enable the feature {feature} of `failover`; built in: {possible}"
            )
        }
        None if name.is_empty() => {
            format!("an address begins with its scheme, as in sqlite:///srv/app.db; built in: {possible}")
        }
        None => format!("no such scheme is known; built in: {possible}"),
    };
    Err(Invalid::new("scheme", name, rule))
}

/// The scheme of an address. Never anything behind it, which may hold a password (law 19).
fn scheme_of(url: &str) -> &str {
    let scheme = url.split_once("://").or_else(|| url.split_once(':')).map_or("", |(scheme, _)| scheme);
    let plain = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if plain { scheme } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_nobody_serves_says_what_to_do_and_keeps_its_password() {
        for (url, says) in [
            ("mongo://u:secret@h", "no such scheme is known"),
            ("/srv/secret.db", "begins with its scheme"),
            ("user secret@x:y", "begins with its scheme"),
            ("", "begins with its scheme"),
        ] {
            let error = backend_of(url).unwrap_err();
            assert_eq!(error.field, "scheme");
            assert!(error.to_string().contains(says), "{error}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }

    #[test]
    fn every_scheme_is_served_or_names_its_feature() {
        for Scheme { name, by, feature, built_in } in SCHEMES {
            match backend_of(&format!("{name}://user:secret@host/x")) {
                Ok(found) => assert!(*built_in && found == *by, "{name}"),
                Err(error) => {
                    assert!(!built_in, "{name} is built in: {error}");
                    assert!(error.to_string().contains(&format!("enable the feature {feature}")), "{error}");
                    assert!(!error.to_string().contains("secret"), "{error}");
                }
            }
        }
    }
}
