//! What is answered to which question.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, header};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::client::{Address, Endpoint};
use crate::driver::{Message, Outbox, Shared};
use crate::gate::Refused;
use crate::heartbeat::Role;
use crate::ids::{Member, Term};
use crate::record;

/// How long the node may take to show that it lives.
const LIVE_WITHIN: Duration = Duration::from_secs(1);

/// Who is asked.
pub(super) struct Witness {
    pub(super) shared: Arc<Shared>,
    pub(super) outbox: Outbox,
    pub(super) endpoints: Vec<Endpoint>,
}

/// How a node stands.
#[derive(Serialize)]
struct Standing<'a> {
    #[serde(flatten)]
    member: &'a Member,
    role: Role,
    stage: String,
    /// For how long it has had this role, in milliseconds.
    role_for_ms: u128,
    prepared: bool,
    active: bool,
    /// Under which term it may act, and for how long it may unless that is renewed.
    term: Option<Term>,
    remaining_ms: Option<u128>,
    endpoints: &'a [Endpoint],
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Witness {
    pub(super) async fn answer<B>(&self, request: Request<B>, role_for: Duration) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !matches!(path, "/live" | "/standby" | "/active" | "/status") {
            return plain(StatusCode::NOT_FOUND, "ask for /live, /standby, /active or /status");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "ask with GET or HEAD");
            answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let verdict = match path {
            "/live" => self.live().await,
            "/standby" => self.standby(),
            "/active" => match self.address() {
                Ok(address) => return json(StatusCode::OK, record::encode("health", &address)),
                Err(refused) => Err(refused.to_string()),
            },
            _ => Ok(()),
        };
        let status = if verdict.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json(status, record::encode("health", &self.standing(role_for, verdict.err())))
    }

    /// Whether the node's driver still takes in what it is told.
    async fn live(&self) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let _gone = self.outbox.send(Message::Ping(answer));
        let answered = tokio::time::timeout(LIVE_WITHIN, answered).await;
        answered.ok().and_then(Result::ok).ok_or_else(|| "the node does not answer".to_owned())
    }

    fn standby(&self) -> Result<(), String> {
        if self.shared.role() != Role::Standby {
            return Err("this node is not the standby".to_owned());
        }
        if !self.shared.is_prepared() {
            return Err("this node is the standby and not prepared yet".to_owned());
        }
        Ok(())
    }

    /// Where clients reach it, if it is to be reached: what the right says now, not what was true some time ago.
    fn address(&self) -> Result<Address, Refused> {
        let right = self.shared.serving()?;
        Ok(Address::new(right.lease().term, self.shared.member.node.clone(), self.endpoints.clone()))
    }

    fn standing(&self, role_for: Duration, why: Option<String>) -> Standing<'_> {
        let right = self.shared.active();
        Standing {
            member: &self.shared.member,
            role: self.shared.role(),
            stage: format!("{:?}", self.shared.stage()).to_lowercase(),
            role_for_ms: role_for.as_millis(),
            prepared: self.shared.is_prepared(),
            active: self.shared.serving().is_ok(),
            term: right.as_ref().map(|right| right.lease().term),
            remaining_ms: right.as_ref().map(|right| right.remaining().as_millis()),
            endpoints: &self.endpoints,
            why,
        }
    }
}

fn json(status: StatusCode, body: crate::Result<String>) -> Response<Full<Bytes>> {
    let (status, body) = match body {
        Ok(body) => (status, body),
        Err(error) => return plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    answer(status, "application/json", body + "\n")
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    answer
}
