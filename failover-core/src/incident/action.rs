use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::EntryId;
use crate::ids::{ActionName, Member, Term};
use crate::job::optional_millis;
use crate::time::Stamp;

/// The most bytes of what an action said that are kept: its end.
pub const MAX_OUTPUT: usize = 1024;

/// The most response actions of a node.
pub const MAX_ACTIONS: usize = 32;

/// How far a response action of an incident is: the document `incident/<node>/<incarnation>/action/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActionRecord {
    /// How far.
    pub state: ActionState,
    /// Which attempt: the first, and one more for each time an operator had it retried.
    #[serde(default)]
    pub attempt: u32,
    /// The active node that has begun it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Member>,
    /// The term under which that node was active.
    #[serde(default)]
    pub term: Term,
    /// The operator's order that this attempt follows, if it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// The end of what it said, or why it failed.
    #[serde(default)]
    pub output: String,
    /// How long it ran.
    #[serde(default, with = "optional_millis", skip_serializing_if = "Option::is_none")]
    pub took: Option<Duration>,
    /// The place of its entry in the history, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryId>,
    /// When this was written, by the writer's wall clock. For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Stamp>,
}

/// How far a response action is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ActionState {
    /// Nobody has begun it yet. The active node will, if it knows an action of this name.
    Due,
    /// It was begun and has not been told to be over. Either it runs, or the node that ran it died, was deposed or could not write: then
    /// nobody knows how far it came. It is **never repeated by itself**; an operator may have it [retried](crate::Admin::retry_action).
    Claimed,
    /// It is done.
    Done,
    /// It ran and failed. It is not repeated by itself either.
    Failed,
}

impl ActionState {
    /// The state's name, as it is written to logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Claimed => "claimed",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl ActionRecord {
    /// One that nobody has begun.
    pub(crate) fn due() -> Self {
        let (state, term) = (ActionState::Due, Term::ZERO);
        Self {
            state,
            attempt: 0,
            by: None,
            term,
            order: None,
            output: String::new(),
            took: None,
            entry: None,
            at: None,
        }
    }

    /// Begun by this node, for this order if an operator wants it.
    pub(crate) fn claimed(attempt: u32, by: Member, term: Term, order: Option<String>, at: Option<Stamp>) -> Self {
        Self { attempt, by: Some(by), term, order, at, state: ActionState::Claimed, ..Self::due() }
    }

    /// What an attempt is called.
    pub(crate) fn title(&self, action: &ActionName) -> String {
        if self.attempt <= 1 { action.to_string() } else { format!("{action}, attempt {}", self.attempt) }
    }

    /// Over, with this outcome.
    pub(crate) fn ended(
        &self,
        outcome: Result<String, String>,
        took: Duration,
        entry: EntryId,
        at: Option<Stamp>,
    ) -> Self {
        let (state, output) = match outcome {
            Ok(output) => (ActionState::Done, output),
            Err(output) => (ActionState::Failed, output),
        };
        Self { state, output: tail(output), took: Some(took), entry: Some(entry), at, ..self.clone() }
    }
}

/// The end of a text, as long as it may be.
fn tail(text: String) -> String {
    let from = text.ceil_char_boundary(text.len().saturating_sub(MAX_OUTPUT));
    if from == 0 { text } else { text[from..].to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_an_action_says_the_end_is_kept() {
        let claimed = ActionRecord::due();
        let long = format!("{}end", "é".repeat(MAX_OUTPUT));
        let ended = claimed.ended(Err(long), Duration::ZERO, EntryId::takeover(Term(1)), None);
        assert!(ended.output.len() <= MAX_OUTPUT && ended.output.ends_with("éend"));
        assert_eq!(ended.state, ActionState::Failed);
    }
}
