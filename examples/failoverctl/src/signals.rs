//! SIGTERM, SIGINT and SIGHUP: the first asks to leave in good order, the second means at once.

use std::process::exit;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Status};

/// That someone wants the program to end.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    token: CancellationToken,
    first: std::sync::Arc<std::sync::OnceLock<Signal>>,
}

impl Asked {
    /// Listens from now on. The second signal ends the process hard: guards kill its commands, its leases lapse.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let fail = |e: std::io::Error| Failure::new(Status::Failed, format!("cannot listen to signals: {e}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(fail)?;
        let asked = Self { token: CancellationToken::new(), first: std::sync::Arc::default() };
        let told = asked.clone();
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    _ = terminate.recv() => Signal::TERM,
                    _ = interrupt.recv() => Signal::INT,
                    _ = hangup.recv() => Signal::HUP,
                };
                if told.first.set(signal).is_err() {
                    eprintln!("failoverctl: a second signal: stopped hard; commands are killed and leases lapse");
                    exit(i32::from(Status::Failed as u8));
                }
                told.token.cancel();
            }
        });
        Ok(asked)
    }

    /// Completes once somebody has asked.
    pub(crate) async fn asked(&self) {
        self.token.cancelled().await;
    }

    /// The token that [`asked`](Self::asked) waits for.
    pub(crate) fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// The exit status of a program that ended by the signal, as shells have it; none before one came.
    pub(crate) fn status(&self) -> Option<u8> {
        self.first.get().and_then(|signal| u8::try_from(128 + signal.as_raw()).ok())
    }
}
