//! Hints: whoever changes something says so on a subject that nobody keeps, and waiters listen to it.

use failover_core::{Error, ErrorKind, Result};
use futures_util::StreamExt as _;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::NatsStore;
use crate::keys::{Keys, Topic};
use crate::link;
use crate::options::Server;

/// A connection that only listens.
#[derive(Debug)]
pub(crate) struct Hints {
    /// The subjects that were heard; nothing stands for "some may have been missed".
    heard: broadcast::Sender<Option<String>>,
    listener: JoinHandle<()>,
}

impl Hints {
    pub(crate) async fn listen(server: &Server, keys: &Keys) -> Result<Self> {
        let heard = broadcast::Sender::new(256);
        let missed = heard.clone();
        // This one reconnects by itself, and whoever waits then looks for what was not heard meanwhile.
        let options = server.options().reconnect_delay_callback(|n| link::jitter(u32::try_from(n).unwrap_or(9)) * 4);
        let options = options.event_callback(move |event| {
            if matches!(event, async_nats::Event::Connected) {
                let _nobody_waits = missed.send(None);
            }
            std::future::ready(())
        });
        let client = link::open(server, options, "open").await?;
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Unavailable, "open", format!("no hints can be had from {}: {e}", server.address))
        };
        let mut subscription = client.subscribe(keys.hints()).await.map_err(|e| failed(e.into()))?;
        client.flush().await.map_err(|e| failed(e.into()))?;
        let tell = heard.clone();
        let listener = tokio::spawn(async move {
            while let Some(message) = subscription.next().await {
                let _nobody_waits = tell.send(Some(message.subject.to_string()));
            }
        });
        Ok(Self { heard, listener })
    }

    /// Waits for a hint that is sent on this subject from the first time this is polled.
    async fn wait(&self, subject: &str) {
        let mut heard = self.heard.subscribe();
        loop {
            match heard.recv().await {
                Ok(Some(other)) if other != subject => {}
                // Also if hints were sent faster than they were taken: one of them may have been this one.
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl NatsStore {
    /// Says that something has changed. Nobody waits for it to arrive, nor connects for it: it is a hint (law 7).
    pub(crate) async fn hint(&self, topic: &Topic) {
        let area = match topic {
            Topic::Area(area) => *area,
            Topic::Lease(_) => crate::table::Area::Leases,
        };
        if let Some(live) = self.link(area).at_hand() {
            let subject = self.shared.keys.hint(topic);
            let _sent = live.jetstream.client().publish(subject, Vec::new().into()).await;
        }
    }

    pub(crate) async fn hinted(&self, topic: &Topic) -> Result<()> {
        self.shared.hints.wait(&self.shared.keys.hint(topic)).await;
        Ok(())
    }
}
