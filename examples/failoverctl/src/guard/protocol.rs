//! What a node and a guard say to each other: one line of text each.

use std::fmt;

use failover::time::Time;

/// What the node tells its guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The right lasts until then. The first one lets the command start.
    Until { stop_at: Time, ends_at: Time },
    /// Stop the command, as planned.
    Stop,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Until { stop_at, ends_at } => writeln!(f, "until {} {}", stop_at.as_nanos(), ends_at.as_nanos()),
            Self::Stop => writeln!(f, "stop"),
        }
    }
}

impl Order {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let order = match words.next()? {
            "until" => {
                let mut time = || words.next()?.parse().ok().map(Time::from_nanos);
                Self::Until { stop_at: time()?, ends_at: time()? }
            }
            "stop" => Self::Stop,
            _ => return None,
        };
        words.next().is_none().then_some(order)
    }
}

/// What the guard tells its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// The command's process, which leads its group.
    Started(i32),
    /// Nothing of the command is left.
    Ended(Exit, Cause),
    /// There never was one, for this reason.
    NotStarted(String),
}

/// How the command's main process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(126) => f.write_str("exit status 126: the command cannot be executed on this node"),
            Self::Code(127) => f.write_str("exit status 127: the command was not found on this node"),
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
        }
    }
}

/// Why the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// By itself.
    Own,
    /// The node asked for it.
    Asked,
    /// The right was not extended in time.
    RightEnded,
}

impl Cause {
    const ALL: [Self; 3] = [Self::Own, Self::Asked, Self::RightEnded];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Asked => "asked",
            Self::RightEnded => "right-ended",
        }
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(pid) => writeln!(f, "started {pid}"),
            Self::Ended(Exit::Code(code), cause) => writeln!(f, "exited {code} {}", cause.as_str()),
            Self::Ended(Exit::Signal(signal), cause) => writeln!(f, "signalled {signal} {}", cause.as_str()),
            Self::NotStarted(text) => writeln!(f, "not-started {}", text.replace('\n', " ")),
        }
    }
}

impl News {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.trim_end().split_once(' ')?;
        let end = || {
            let (number, cause) = rest.split_once(' ')?;
            let cause = Cause::ALL.into_iter().find(|c| c.as_str() == cause)?;
            Some((number.parse().ok()?, cause))
        };
        Some(match word {
            "started" => Self::Started(rest.parse().ok()?),
            "exited" => end().map(|(code, cause)| Self::Ended(Exit::Code(code), cause))?,
            "signalled" => end().map(|(signal, cause)| Self::Ended(Exit::Signal(signal), cause))?,
            "not-started" => Self::NotStarted(rest.to_owned()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for order in [Order::Until { stop_at: Time::from_nanos(7), ends_at: Time::from_nanos(u64::MAX) }, Order::Stop] {
            assert_eq!(Order::parse(&order.to_string()), Some(order));
        }
        for news in [
            News::Started(42),
            News::Ended(Exit::Code(0), Cause::Own),
            News::Ended(Exit::Signal(15), Cause::Asked),
            News::Ended(Exit::Code(1), Cause::RightEnded),
            News::NotStarted("no such file or directory".into()),
        ] {
            assert_eq!(News::parse(&news.to_string()), Some(news));
        }
    }

    #[test]
    fn half_a_line_is_not_an_order() {
        for line in ["", "until", "until 5", "until 5 x", "until 5 6 7", "stop now", "stopp"] {
            assert_eq!(Order::parse(line), None, "{line}");
        }
    }
}
