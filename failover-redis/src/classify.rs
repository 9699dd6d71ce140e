//! What a failed call means to a caller.

use failover_core::{Error, ErrorKind};
use redis::{RedisError, ServerError};

/// How far a call had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing was sent that writes.
    Connecting,
    /// It was sent.
    Sent,
}

/// The classification of what is not a server's answer: a broken connection, a failed handshake.
pub(crate) fn broken(operation: &'static str, stage: Stage, at: &str, error: &RedisError) -> Error {
    if let Some(code) = error.code() {
        let detail = error.detail().unwrap_or_default().to_owned();
        return answered(operation, at, code, &detail).with_source(Cause::of(error));
    }
    if error.kind() == redis::ErrorKind::AuthenticationFailed {
        return denied(operation, at, "the user or the password is wrong").with_source(Cause::of(error));
    }
    let (kind, message) = match stage {
        Stage::Connecting if error.to_string().contains("ertificate") => {
            let message = format!(
                "{at} is not who the address says, or its authority is not trusted: connect by a name that its certificate \
                 holds, and name the authority's file in `ca`"
            );
            (ErrorKind::Unavailable, message)
        }
        Stage::Connecting => {
            (ErrorKind::Unavailable, format!("{at} cannot be reached: see that it runs and that the address is right"))
        }
        Stage::Sent => {
            (ErrorKind::Unknown, format!("the connection to {at} broke: it may have been applied, and may be repeated"))
        }
    };
    Error::new(kind, operation, message).with_source(Cause::of(error))
}

/// The classification of an error that the server answered: it ran nothing, or nothing of ours that writes.
pub(crate) fn refused(operation: &'static str, at: &str, error: &ServerError) -> Error {
    let detail = error.details().unwrap_or_default();
    answered(operation, at, error.code(), detail).with_source(Cause(format!("{} {detail}", error.code())))
}

fn denied(operation: &'static str, at: &str, why: &str) -> Error {
    let message =
        format!("{at} does not permit it: {why}. The README names the rights that are needed (rights/redis.acl)");
    Error::new(ErrorKind::Denied, operation, message)
}

fn answered(operation: &'static str, at: &str, code: &str, detail: &str) -> Error {
    // What a script may not do is said differently by each version.
    let phrases = ["The user executing the script can't", "ACL failure", "no permissions"];
    let forbidden = phrases.iter().any(|phrase| detail.contains(phrase));
    let (kind, message) = match code {
        "WRONGPASS" | "NOAUTH" => return denied(operation, at, "the user or the password is wrong, or missing"),
        "NOPERM" => return denied(operation, at, "the user lacks rights to a command, a key or a channel"),
        _ if forbidden => return denied(operation, at, "the user lacks rights to a command, a key or a channel"),
        "OOM" => (ErrorKind::Full, "has no memory left: raise `maxmemory` or remove something; nothing was written"),
        "MISCONF" => (ErrorKind::Full, "cannot write to its disk: see its log; nothing was written"),
        "READONLY" => (ErrorKind::Unavailable, "is a replica: connect to the primary, or through Sentinel"),
        "LOADING" => (ErrorKind::Unavailable, "is still loading its data"),
        "MASTERDOWN" => (ErrorKind::Unavailable, "has lost its primary"),
        "NOREPLICAS" => (ErrorKind::Unavailable, "has too few replicas to write (`min-replicas-to-write`)"),
        "BUSY" => (ErrorKind::Unavailable, "is busy with somebody's script"),
        "CLUSTERDOWN" => (ErrorKind::Unavailable, "says that the cluster does not serve this slot now"),
        "MOVED" | "ASK" | "TRYAGAIN" => (ErrorKind::Unavailable, "does not serve this slot at the moment"),
        "WRONGTYPE" => {
            (ErrorKind::Corrupt, "holds something else under one of our keys: choose another `prefix`, or remove it")
        }
        _ => (ErrorKind::Unavailable, "refused; Redis 7.0 or later is needed"),
    };
    Error::new(kind, operation, format!("{at} {message}"))
}

/// What the client or the server said, as text: none of their types is ours to show.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Cause(String);

impl Cause {
    fn of(error: &RedisError) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_refusal_says_what_to_do_next() {
        for (code, detail, kind, says) in [
            ("WRONGPASS", "", ErrorKind::Denied, "password"),
            ("NOPERM", "", ErrorKind::Denied, "rights/redis.acl"),
            ("ERR", "ACL failure in script: This user has no permissions", ErrorKind::Denied, "rights/redis.acl"),
            ("OOM", "", ErrorKind::Full, "maxmemory"),
            ("READONLY", "", ErrorKind::Unavailable, "primary"),
            ("WRONGTYPE", "", ErrorKind::Corrupt, "prefix"),
            ("ERR", "unknown command", ErrorKind::Unavailable, "7.0"),
        ] {
            let error = answered("acquire", "cache:6379", code, detail);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn a_break_is_unknown_only_after_something_was_sent() {
        let broke = || RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(broken("put", Stage::Connecting, "h:1", &broke()).kind(), ErrorKind::Unavailable);
        assert_eq!(broken("put", Stage::Sent, "h:1", &broke()).kind(), ErrorKind::Unknown);
    }
}
