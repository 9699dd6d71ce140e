//! The host's response actions: each attempt a task of its own, under the active node's right, and cut off with it.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::calls::panic_text;
use super::host::Host;
use super::inbox::{Message, Outbox};
use crate::command::CommandLine;
use crate::error::Invalid;
use crate::ids::{ActionName, FencingToken};
use crate::incident::{Incident, MAX_ACTIONS};
use crate::right::Right;

/// The longest that a command or an HTTP call may take.
const LONGEST: Duration = Duration::from_hours(24);

/// What is to be done about a failure. Also any `Fn(ResponseRun) -> impl Future<Output = Result<String, String>>`.
#[async_trait]
pub trait ResponseAction: Send + Sync {
    /// Does it, once: what it said, or why it failed.
    ///
    /// It runs on the active node and has been claimed in the store before it is begun, so it is not begun a second time unless an
    /// operator asks for it. When the node's right to be active ends, it is dropped where it stands, at its next `await`, and shown as
    /// begun and not done; what it started in tasks of its own is for it to end. A panic is a failure.
    async fn run(&self, run: ResponseRun) -> Result<String, String>;
}

#[async_trait]
impl<F, R> ResponseAction for F
where
    F: Fn(ResponseRun) -> R + Send + Sync,
    R: Future<Output = Result<String, String>> + Send,
{
    async fn run(&self, run: ResponseRun) -> Result<String, String> {
        self(run).await
    }
}

/// One attempt at a response action.
#[derive(Clone)]
pub struct ResponseRun {
    action: ActionName,
    attempt: u32,
    incident: Arc<Incident>,
    right: Right,
}

impl ResponseRun {
    /// Which action.
    pub fn action(&self) -> &ActionName {
        &self.action
    }

    /// Which attempt: 1, and one more for each time an operator has had it retried.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What happened.
    pub fn incident(&self) -> &Incident {
        &self.incident
    }

    /// The right to be active, under which it runs.
    pub fn right(&self) -> &Right {
        &self.right
    }

    /// The token to carry to every write.
    pub fn token(&self) -> FencingToken {
        self.right.token()
    }

    /// What a command is told of it in its environment.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let claim = &self.incident.claim;
        vec![
            ("FAILOVER_NODE", self.right.lease().holder.node.to_string()),
            ("FAILOVER_TOKEN", self.token().number.to_string()),
            ("FAILOVER_ACTION", self.action.to_string()),
            ("FAILOVER_ATTEMPT", self.attempt.to_string()),
            ("FAILOVER_LOST_NODE", claim.node.to_string()),
            ("FAILOVER_LOST_INCARNATION", claim.incarnation.to_string()),
            ("FAILOVER_LOST_WAS_ACTIVE", claim.was_active.to_string()),
            ("FAILOVER_LOST_REASON", claim.reason.clone()),
        ]
    }
}

impl fmt::Debug for ResponseRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseRun")
            .field("action", &self.action)
            .field("attempt", &self.attempt)
            .field("incident", &self.incident.member())
            .finish_non_exhaustive()
    }
}

/// A response action that is an external command.
///
/// It is told of the incident in its environment: `FAILOVER_LOST_NODE`, `FAILOVER_LOST_INCARNATION`, `FAILOVER_LOST_WAS_ACTIVE`, `FAILOVER_LOST_REASON`,
/// `FAILOVER_ACTION`, `FAILOVER_ATTEMPT`, `FAILOVER_NODE` and `FAILOVER_TOKEN`. It is done if its status is zero; the end of what it writes is kept. It runs in a
/// process group of its own, all of which is killed when it has run for too long or the right has ended. A command whose node
/// is killed with SIGKILL goes on: have it end by itself, or run it under a guard.
#[derive(Debug, Clone)]
pub struct CommandAction {
    line: CommandLine,
    within: Duration,
}

impl CommandAction {
    /// Program and arguments, and how long it may run: a millisecond to a day.
    ///
    /// # Errors
    /// [`Invalid`] if there is no program, or for another time.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>, within: Duration) -> Result<Self, Invalid> {
        let line = CommandLine::new("action", argv.into_iter().map(Into::into))?;
        Ok(Self { line, within: check_within(within)? })
    }
}

#[async_trait]
impl ResponseAction for CommandAction {
    async fn run(&self, run: ResponseRun) -> Result<String, String> {
        self.line.run(&run.environment(), tokio::time::sleep(self.within)).await
    }
}

/// A response action that is an HTTP call: `POST` with `{"action":…,"attempt":…,"token":…,"incident":{…}}` as its JSON body. It is
/// done if the answer's status is 200 to 299; the end of the answer is kept.
#[cfg(feature = "http")]
#[derive(Debug, Clone)]
pub struct HttpAction {
    url: crate::http::Url,
    within: Duration,
}

#[cfg(feature = "http")]
impl HttpAction {
    /// Where, as `http://host[:port][/path]`, and how long it may take: a millisecond to a day.
    ///
    /// # Errors
    /// [`Invalid`] for another address or time.
    pub fn new(url: &str, within: Duration) -> Result<Self, Invalid> {
        Ok(Self { url: crate::http::Url::parse("action", url)?, within: check_within(within)? })
    }
}

#[cfg(feature = "http")]
#[async_trait]
impl ResponseAction for HttpAction {
    async fn run(&self, run: ResponseRun) -> Result<String, String> {
        let body = serde_json::json!({
            "action": run.action, "attempt": run.attempt, "token": run.token().number, "incident": &*run.incident,
        });
        let answer =
            crate::http::ask(hyper::Method::POST, &self.url, body.to_string().into_bytes(), self.within).await?;
        let text = String::from_utf8_lossy(&answer.body).trim().to_owned();
        match answer.status {
            200..=299 => Ok(text),
            status if text.is_empty() => Err(format!("status {status}")),
            status => Err(format!("status {status}: {text}")),
        }
    }
}

/// A time that something of the host's may take.
pub(crate) fn check_within(within: Duration) -> Result<Duration, Invalid> {
    if (Duration::from_millis(1)..=LONGEST).contains(&within) {
        return Ok(within);
    }
    Err(Invalid::new("within", format!("{within:?}"), "it must be a millisecond to a day"))
}

/// The actions by name.
pub(crate) type Actions = BTreeMap<ActionName, Arc<dyn ResponseAction>>;

/// The response actions by name, and their order.
pub(crate) fn named_actions(
    responses: Vec<(String, Arc<dyn ResponseAction>)>,
) -> Result<(Vec<ActionName>, Actions), Invalid> {
    let (mut order, mut actions) = (Vec::new(), Actions::new());
    for (name, action) in responses {
        let name = ActionName::new(name)?;
        if actions.insert(name.clone(), action).is_some() {
            return Err(Invalid::new("response", name, "there must be one action of a name"));
        }
        order.push(name);
    }
    if order.len() > MAX_ACTIONS {
        let rule = format!("a node can have at most {MAX_ACTIONS} response actions");
        return Err(Invalid::new("responses", order.len(), rule));
    }
    Ok((order, actions))
}

/// What begins them.
pub(crate) struct Responses {
    actions: Actions,
    outbox: Outbox,
    host: Host,
}

impl Responses {
    pub(crate) fn new(actions: Actions, outbox: Outbox, host: Host) -> Self {
        Self { actions, outbox, host }
    }

    /// Begins an attempt. Without a right there is nothing to run under; when work under it has to stop, it is dropped where it stands.
    pub(crate) fn start(
        &self,
        action: ActionName,
        attempt: u32,
        incident: Incident,
        right: Option<Right>,
        tasks: &mut JoinSet<()>,
    ) {
        let which = (incident.member(), action.clone());
        let (handler, outbox) = (self.actions.get(&action).cloned(), self.outbox.clone());
        self.host.run(tasks, async move {
            let outcome = match (handler, right.filter(Right::is_valid)) {
                (Some(handler), Some(right)) => {
                    let run = ResponseRun { action, attempt, incident: Arc::new(incident), right };
                    carry_out(&*handler, run).await
                }
                (None, _) => Err("this node has no action of that name".to_owned()),
                (_, None) => Err("the right ended before it could begin".to_owned()),
            };
            let (incident, action) = which;
            let _gone = outbox.send(Message::Responded { incident, action, attempt, outcome });
        });
    }
}

async fn carry_out(handler: &dyn ResponseAction, run: ResponseRun) -> Result<String, String> {
    let (action, incident, stopping) = (run.action.clone(), run.incident.member(), run.right.stopping());
    tokio::select! {
        biased;
        () = stopping.cancelled() => {
            warn!(%action, %incident, "the right ended while a response action ran, so it was cut off");
            Err("the right to be active ended, so it was cut off".to_owned())
        }
        outcome = AssertUnwindSafe(handler.run(run)).catch_unwind() => outcome.unwrap_or_else(|panic| {
            let text = panic_text(&*panic);
            error!(%action, %incident, panic = text, "a response action panicked");
            Err(format!("panicked: {text}"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_that_cannot_be_is_refused_by_field_value_and_rule() {
        let second = Duration::from_secs(1);
        let refused = |action: Result<CommandAction, Invalid>| action.unwrap_err().to_string();
        assert_eq!(refused(CommandAction::new([""], second)), "action is ``: a command must name a program");
        let endless = refused(CommandAction::new(["true"], Duration::MAX));
        assert!(endless.starts_with("within is `") && endless.ends_with("a millisecond to a day"), "{endless}");
        assert!(refused(CommandAction::new(["true"], Duration::ZERO)).starts_with("within is `0ns`"));
        #[cfg(feature = "http")]
        assert!(HttpAction::new("ftp://x", second).unwrap_err().to_string().starts_with("action is `ftp://x`"));
    }
}
