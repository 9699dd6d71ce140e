//! What goes to standard output: lines for people, or one JSON object per line. Never a control code.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::mpsc;
use std::thread::JoinHandle;

use failover::events::StampedEvent;
use serde::Serialize;

/// For whom it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// People.
    Human,
    /// Programs.
    Json,
}

impl Form {
    pub(crate) fn new(json: bool) -> Self {
        if json { Self::Json } else { Self::Human }
    }

    /// Prints one thing.
    pub(crate) fn print<T: Show>(self, thing: &T) {
        line(&self.render(thing));
    }

    pub(crate) fn render<T: Show>(self, thing: &T) -> String {
        match self {
            Self::Human => thing.human(),
            Self::Json => Self::json(thing),
        }
    }

    /// One object. Everything shown is a plain struct of names, numbers and texts, which always serialises.
    pub(crate) fn json(thing: &impl Serialize) -> String {
        serde_json::to_string(thing).unwrap_or_else(|e| format!("{{\"error\":\"{e}\"}}"))
    }
}

/// Something to print: as it serialises, or as lines.
pub(crate) trait Show: Serialize {
    /// As lines, without the last line's end.
    fn human(&self) -> String;
}

/// Prints a line. Whoever stops reading has seen enough, which is no reason for a node to stop.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _unread = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints lines in the order given on a thread of its own, so that a reader who stands still holds up nothing but the printing.
pub(crate) struct Printer {
    lines: mpsc::Sender<String>,
    done: tokio::sync::oneshot::Receiver<()>,
    _thread: JoinHandle<()>,
}

impl Printer {
    pub(crate) fn start() -> Self {
        let (lines, queue) = mpsc::channel::<String>();
        let (finished, done) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            for text in queue {
                line(&text);
            }
            let _nobody_waits = finished.send(());
        });
        Self { lines, done, _thread: thread }
    }

    pub(crate) fn print(&self, text: String) {
        let _closed = self.lines.send(text);
    }

    /// Waits until everything is printed, but not for ever.
    pub(crate) async fn finish(self) {
        drop(self.lines);
        let _stuck = tokio::time::timeout(std::time::Duration::from_secs(2), self.done).await;
    }
}

/// An event, as the README documents it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct EventLine {
    pub(crate) at: String,
    pub(crate) node: String,
    pub(crate) event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) term: Option<u64>,
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// The node that tells it.
    pub(crate) by: String,
}

impl From<StampedEvent> for EventLine {
    fn from(StampedEvent { at, by, event, .. }: StampedEvent) -> Self {
        Self {
            at: jiff::Timestamp::try_from(at).map(stamp).unwrap_or_default(),
            node: event.node.to_string(),
            event: event.kind.as_str(),
            role: event.role.map(failover::Role::as_str),
            job: event.job.map(String::from),
            epoch: event.epoch.map(|epoch| epoch.0),
            lease: None,
            term: event.term.map(|term| term.0),
            reason: event.reason.to_string(),
            detail: event.detail,
            by: by.to_string(),
        }
    }
}

impl Show for EventLine {
    fn human(&self) -> String {
        let mut text = format!("{}  {:<12} {}", self.at, self.node, self.event);
        let mut word = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                // Writing to a String cannot fail.
                let _infallible = write!(text, " {name}={value}");
            }
        };
        word("role", self.role.map(str::to_owned));
        word("job", self.job.clone());
        word("epoch", self.epoch.map(|epoch| epoch.to_string()));
        word("lease", self.lease.clone());
        word("term", self.term.map(|term| term.to_string()));
        let _infallible = write!(text, ": {}", self.reason);
        if let Some(detail) = &self.detail {
            let _infallible = write!(text, " ({detail})");
        }
        plain(&text)
    }
}

/// A moment that the store has on record, by the wall clock of whoever wrote it.
pub(crate) fn moment(at: failover::time::Stamp) -> String {
    jiff::Timestamp::try_from(at.as_system_time()).map(stamp).unwrap_or_default()
}

/// RFC 3339 with milliseconds.
fn stamp(at: jiff::Timestamp) -> String {
    format!("{at:.3}")
}

/// The wall clock, to stamp a line with. Nothing is ever decided by it.
pub(crate) fn now() -> String {
    stamp(jiff::Timestamp::now())
}

/// The text without control characters, which a job or a label could have brought in.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Rows under a head, in columns.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|cell| cell.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = line(&mut head.iter().copied());
    let body = rows.iter().map(|row| line(&mut row.iter().map(String::as_str)));
    std::iter::once(head).chain(body).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> EventLine {
        EventLine {
            at: stamp("2026-01-02T03:04:05.678901Z".parse().unwrap()),
            node: "n1".into(),
            event: "role_changed",
            role: Some("active"),
            term: Some(7),
            reason: "because".into(),
            by: "n1".into(),
            ..EventLine::default()
        }
    }

    #[test]
    fn an_event_is_one_object_with_what_it_has_and_nothing_else() {
        let json = Form::Json.render(&event());
        let expected = r#"{"at":"2026-01-02T03:04:05.678Z","node":"n1","event":"role_changed","role":"active","term":7,"reason":"because","by":"n1"}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn a_line_for_people_holds_no_control_character() {
        let event = EventLine { detail: Some("red \u{1b}[31m\nalert".into()), ..event() };
        let line = Form::Human.render(&event);
        assert!(
            line.starts_with("2026-01-02T03:04:05.678Z  n1 ") && line.contains("role=active term=7: because"),
            "{line}"
        );
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }

    #[test]
    fn a_table_is_aligned_and_ends_no_line_in_spaces() {
        let rows =
            vec![vec!["a".into(), "long value".into(), "x".into()], vec!["bcd".into(), "-".into(), String::new()]];
        assert_eq!(table(&["ID", "VALUE", "Z"], &rows), "ID   VALUE       Z\na    long value  x\nbcd  -");
    }
}
