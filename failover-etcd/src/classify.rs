//! What an error of the client means for the call that got it: whether it was surely not applied, and what kind it is.

use failover_core::ErrorKind;

/// A request that failed.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) what: What,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Not applied, and another server or another moment may do better.
    Refused,
    /// Not applied: no connection was to be had.
    Unreachable,
    /// Not applied: the user has to prove again who it is.
    StaleToken,
    /// No answer that says anything about the request: it may have been applied.
    Lost,
    /// Not applied: there is no etcd lease of this id.
    LeaseGone,
    /// Not applied: what was asked for was compacted away.
    Compacted,
    /// Not applied, and asking again gives the same.
    Final(ErrorKind),
}

impl Fault {
    pub(crate) fn new(what: What, text: impl Into<String>) -> Self {
        Self { what, text: text.into() }
    }
}

impl From<etcd_client::Error> for Fault {
    fn from(error: etcd_client::Error) -> Self {
        match &error {
            etcd_client::Error::GRpcStatus(status) => {
                let what = of_status(status.code() as i32, status.message(), &causes(status));
                Self::new(what, causes(status))
            }
            etcd_client::Error::TransportError(e) => Self::new(What::Unreachable, causes(e)),
            etcd_client::Error::LeaseKeepAliveError(text) if text.contains("not found") => {
                Self::new(What::LeaseGone, text.clone())
            }
            etcd_client::Error::InvalidArgs(_) | etcd_client::Error::InvalidUri(_) => {
                Self::new(What::Final(ErrorKind::Invalid), error.to_string())
            }
            _ => Self::new(What::Lost, error.to_string()),
        }
    }
}

/// By the server's words, which its clients have relied on for years; the codes are coarser.
fn of_status(code: i32, message: &str, causes: &str) -> What {
    const REFUSED: [&str; 4] = ["no leader", "too many requests", "not leader", "rpc not supported for learner"];
    const DENIED: [&str; 5] =
        ["permission denied", "authentication failed", "user name is empty", "user name not found", "not enabled"];
    const TOKEN: [&str; 3] = ["invalid auth token", "revision of auth store is old", "token is not provided"];
    const TOO_LARGE: [&str; 2] = ["request is too large", "too many operations"];
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    let server = message.starts_with("etcdserver: ");
    match code {
        _ if server && says(&REFUSED) => What::Refused,
        _ if server && says(&TOKEN) => What::StaleToken,
        _ if server && says(&DENIED) => What::Final(ErrorKind::Denied),
        _ if server && says(&TOO_LARGE) => What::Final(ErrorKind::Invalid),
        _ if server && says(&["space exceeded", "no space"]) => What::Final(ErrorKind::Full),
        _ if server && says(&["requested lease not found"]) => What::LeaseGone,
        _ if server && says(&["has been compacted"]) => What::Compacted,
        UNAUTHENTICATED => What::StaleToken,
        PERMISSION_DENIED => What::Final(ErrorKind::Denied),
        // The connection was to be made anew below the call, and was not.
        _ if ["tcp connect error", "dns error", "invalid peer certificate"]
            .iter()
            .any(|text| causes.contains(text)) =>
        {
            What::Unreachable
        }
        INVALID_ARGUMENT | NOT_FOUND | ALREADY_EXISTS | FAILED_PRECONDITION | OUT_OF_RANGE | UNIMPLEMENTED => {
            What::Final(ErrorKind::Unavailable)
        }
        _ => What::Lost,
    }
}

const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
const ALREADY_EXISTS: i32 = 6;
const PERMISSION_DENIED: i32 = 7;
const FAILED_PRECONDITION: i32 = 9;
const OUT_OF_RANGE: i32 = 11;
const UNIMPLEMENTED: i32 = 12;
const UNAUTHENTICATED: i32 = 16;

/// An error and all below it, as one line: the causes name the address or the certificate, and none of them knows the password.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !line.contains(&text) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&text);
        }
        next = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surely_was_not_applied_is_told_from_what_may_have_been() {
        for (code, message, what) in [
            (14, "etcdserver: no leader", What::Refused),
            (14, "etcdserver: request timed out", What::Lost),
            (14, "etcdserver: request timed out, possibly due to previous leader failure", What::Lost),
            (14, "etcdserver: leader changed", What::Lost),
            (16, "etcdserver: invalid auth token", What::StaleToken),
            (3, "etcdserver: revision of auth store is old", What::StaleToken),
            (3, "etcdserver: authentication failed, invalid user ID or password", What::Final(ErrorKind::Denied)),
            (7, "etcdserver: permission denied", What::Final(ErrorKind::Denied)),
            (3, "etcdserver: request is too large", What::Final(ErrorKind::Invalid)),
            (8, "etcdserver: mvcc: database space exceeded", What::Final(ErrorKind::Full)),
            (5, "etcdserver: requested lease not found", What::LeaseGone),
            (4, "context deadline exceeded", What::Lost),
            (13, "h2 protocol error", What::Lost),
        ] {
            assert_eq!(of_status(code, message, message), what, "{message}");
        }
        assert_eq!(of_status(14, "error", "error: tcp connect error: refused"), What::Unreachable);
    }
}
