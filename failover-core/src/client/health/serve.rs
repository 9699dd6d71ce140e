//! The listener: so many connections, each for so long, and the oldest makes room.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, server};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::answer::Witness;
use crate::client::Endpoint;
use crate::driver::{Outbox, Shared};
use crate::time::{Clock, Time};

/// So many connections are open at most. One more, and the oldest is closed: an honest one is over within a moment.
const MOST: usize = 64;

/// So long may one take from its first byte to its last.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room for a request's head, and for so many headers.
const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;

/// A node's health endpoints.
pub(crate) struct Health {
    pub(crate) listener: TcpListener,
    pub(crate) shared: Arc<Shared>,
    pub(crate) outbox: Outbox,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) closing: CancellationToken,
}

impl Health {
    /// Serves until `closing` fires, and then ends what was asked before.
    pub(crate) async fn run(self) {
        let Self { listener, shared, outbox, clock, endpoints, closing } = self;
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return warn!(%error, "the health endpoints cannot be served"),
        };
        let mut roles = shared.roles();
        let mut since = clock.now();
        let witness = Arc::new(Witness { shared, outbox, endpoints });
        let (mut tasks, mut open) = (JoinSet::new(), VecDeque::<AbortHandle>::new());
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                Ok(()) = roles.changed() => since = clock.now(),
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        make_room(&mut open);
                        let one = serve(stream, witness.clone(), clock.clone(), since, closing.clone());
                        open.push_back(tasks.spawn(one));
                    }
                    // Out of file descriptors, as a rule: it would fail again at once.
                    Err(error) => {
                        debug!(%error, "a health connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(_) = tasks.join_next() => open.retain(|connection| !connection.is_finished()),
            }
        }
        drop(listener);
        while tasks.join_next().await.is_some() {}
    }
}

fn make_room(open: &mut VecDeque<AbortHandle>) {
    while open.len() >= MOST {
        if let Some(oldest) = open.pop_front() {
            oldest.abort();
        }
    }
}

/// One connection, one request.
async fn serve(
    stream: TcpStream,
    witness: Arc<Witness>,
    clock: Arc<dyn Clock>,
    since: Time,
    closing: CancellationToken,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let (witness, role_for) = (witness.clone(), clock.now().since(since));
        async move { Ok::<_, Infallible>(witness.answer(request, role_for).await) }
    });
    let connection = server::conn::http1::Builder::new()
        .keep_alive(false)
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(tokio::time::timeout(PATIENCE, connection));
    tokio::select! {
        biased;
        _ended = &mut connection => {}
        // What was asked before is answered within a moment; what was not is not waited for.
        () = closing.cancelled() => {
            let _either_way = tokio::time::timeout(PATIENCE / 50, connection).await;
        }
    }
}
