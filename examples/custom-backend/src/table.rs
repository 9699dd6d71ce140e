//! A table: everything one of the four traits keeps, as one message that is replaced whole, if nobody replaced it meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use failover_core::{Error, ErrorKind, Result, record};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::NatsStore;
use crate::link::{Link, jitter};

/// The four tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    Heartbeats,
    Leases,
    Jobs,
    Documents,
}

impl Area {
    pub(crate) const ALL: [Self; 4] = [Self::Heartbeats, Self::Leases, Self::Jobs, Self::Documents];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeats => "heartbeats",
            Self::Leases => "leases",
            Self::Jobs => "jobs",
            Self::Documents => "documents",
        }
    }
}

/// A moment of the server's clock: nanoseconds, as it stamps every message. Never compared with a clock of ours (law 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Stamp(u64);

impl Stamp {
    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// What a table must be able to do.
pub(crate) trait Table: Serialize + DeserializeOwned + Default + Clone + PartialEq + Send + Sync {
    const AREA: Area;

    /// Puts the stamp of the message that the table was read from wherever its writer meant "the moment this is written":
    /// a writer cannot know it.
    fn stamped(&mut self, _at: Stamp) {}
}

/// A table as it was read.
#[derive(Debug)]
pub(crate) struct Sheet<T> {
    pub(crate) table: T,
    /// The sequence of its message: a change is refused if it is another by then.
    pub(crate) revision: u64,
}

/// What is in the message: the table, and which store it was written for.
#[derive(Serialize, Deserialize)]
struct Body<T> {
    store: u64,
    table: T,
}

/// A message as the stream has it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) revision: u64,
    pub(crate) stamp: Stamp,
    pub(crate) payload: Vec<u8>,
}

/// What to keep beside a table because it is too large for it. Never changed once it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blob<'a> {
    pub(crate) id: Uuid,
    pub(crate) bytes: &'a [u8],
}

impl NatsStore {
    pub(crate) fn link(&self, area: Area) -> &Link {
        match area {
            Area::Heartbeats | Area::Leases => &self.shared.pulse,
            Area::Jobs | Area::Documents => &self.shared.work,
        }
    }

    /// Reads a table.
    pub(crate) async fn load<T: Table>(&self, operation: &'static str) -> Result<Sheet<T>> {
        let changed = |what: &str| {
            let message = format!(
                "the stream {what} since this handle was opened: open it anew with a floor above every term that was in use"
            );
            Error::new(ErrorKind::StoreChanged, operation, message)
        };
        let seen = &self.shared.seen[T::AREA as usize];
        // Before the request: answers of two reads may overtake each other on their way here.
        let least = seen.load(Ordering::SeqCst);
        let message = self.latest(T::AREA, operation, &self.shared.keys.table(T::AREA)).await?;
        let message = message.ok_or_else(|| changed("was made anew"))?;
        if message.revision < least {
            return Err(changed("went back"));
        }
        seen.fetch_max(message.revision, Ordering::SeqCst);
        let body: Body<T> = record::decode(operation, T::AREA.as_str(), &message.payload)?;
        if body.store != self.shared.identity {
            return Err(changed("was made anew"));
        }
        let mut table = body.table;
        table.stamped(message.stamp);
        Ok(Sheet { table, revision: message.revision })
    }

    /// Reads a table, lets `decide` change it and writes it, all over again for as long as somebody else was quicker. The
    /// blob is written first, so that no table ever names one that is not there. Tells whether anything was written.
    pub(crate) async fn change<T: Table, A>(
        &self,
        operation: &'static str,
        blob: Option<Blob<'_>>,
        mut decide: impl FnMut(&mut T) -> A,
    ) -> Result<(A, bool)> {
        // Callers of one process take turns, so that only processes compete.
        let _turn = self.shared.turns[T::AREA as usize].lock().await;
        for attempt in 0_u32.. {
            let before = self.load::<T>(operation).await?;
            let mut table = before.table.clone();
            let answer = decide(&mut table);
            if table == before.table {
                return Ok((answer, false));
            }
            if let Some(blob) = blob {
                let subject = self.shared.keys.blob(T::AREA, blob.id);
                self.append(T::AREA, operation, subject, blob.bytes.to_vec(), None).await?;
            }
            if self.store(operation, table, before.revision).await? {
                return Ok((answer, true));
            }
            tokio::time::sleep(jitter(attempt)).await;
        }
        unreachable!("the caller's deadline ends this before the attempts run out")
    }

    /// Writes a table over the one with this revision. False if another is there.
    pub(crate) async fn store<T: Table>(&self, operation: &'static str, table: T, over: u64) -> Result<bool> {
        let body = record::encode(operation, &Body { store: self.shared.identity, table })?;
        let subject = self.shared.keys.table(T::AREA);
        Ok(self.append(T::AREA, operation, subject, body.into_bytes(), Some(over)).await?.is_some())
    }

    /// The server's present moment: it stamps a message, and this reads the stamp. The moment lies between the call and its
    /// answer.
    pub(crate) async fn now(&self, area: Area, operation: &'static str) -> Result<Stamp> {
        let clock = self.shared.keys.clock();
        let ticked = self.append(area, operation, clock.clone(), Vec::new(), None).await;
        // Asked also if the tick was not taken: this tells a stream that is gone from a server that is not ready.
        let latest = self.latest(area, operation, &clock).await?;
        ticked.map_err(|e| Error::new(ErrorKind::Unavailable, operation, "the server tells no time").with_source(e))?;
        latest.map(|tick| tick.stamp).ok_or_else(|| {
            Error::new(ErrorKind::StoreChanged, operation, "the stream has lost its clock: open it anew with a floor")
        })
    }

    /// The latest message on a subject.
    pub(crate) async fn latest(&self, area: Area, operation: &'static str, subject: &str) -> Result<Option<Message>> {
        let live = self.link(area).live(operation).await?;
        let get = async {
            // Asks the stream's leader. A "direct get" may ask a replica, which may tell what was.
            let stream = live.jetstream.get_stream_no_info(self.shared.keys.stream()).await;
            match stream {
                Ok(stream) => stream.get_last_raw_message_by_subject(subject).await,
                Err(e) => unreachable!("the stream's name is valid: {e}"),
            }
        };
        match live.answer(operation, ErrorKind::Unavailable, get).await? {
            Ok(message) => {
                let nanos = u64::try_from(message.time.unix_timestamp_nanos()).unwrap_or_default();
                let payload = message.payload.to_vec();
                Ok(Some(Message { revision: message.sequence, stamp: Stamp(nanos), payload }))
            }
            Err(e) => match e.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                LastRawMessageErrorKind::JetStream(api) if api.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    let message =
                        "the stream was deleted: open the store anew, with a floor above every term that was in use";
                    Err(Error::new(ErrorKind::StoreChanged, operation, message).with_source(e))
                }
                _ => {
                    // The client's own timeout is one of these: no answer is doubt.
                    live.distrust();
                    let message = "the server does not answer with what was asked for: is JetStream enabled?";
                    Err(Error::new(ErrorKind::Unavailable, operation, message).with_source(e))
                }
            },
        }
    }

    /// Appends a message to the stream; with `over`, only if that is still the latest on its subject. Its sequence, or nothing
    /// if another was.
    pub(crate) async fn append(
        &self,
        area: Area,
        operation: &'static str,
        subject: String,
        payload: Vec<u8>,
        over: Option<u64>,
    ) -> Result<Option<u64>> {
        let live = self.link(area).live(operation).await?;
        let mut message = PublishMessage::build().payload(payload.into()).expected_stream(self.shared.keys.stream());
        if let Some(revision) = over {
            message = message.expected_last_subject_sequence(revision);
        }
        let publish = async { live.jetstream.send_publish(subject, message).await?.await };
        match live.answer(operation, ErrorKind::Unknown, publish).await? {
            Ok(ack) => Ok(Some(ack.sequence)),
            Err(e) if e.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
            Err(e) => Err(self.refused(operation, &live, e)),
        }
    }

    /// What a failed write is called: unknown, unless it is sure that it was not carried out.
    fn refused(
        &self,
        operation: &'static str,
        live: &crate::link::Live,
        e: async_nats::jetstream::context::PublishError,
    ) -> Error {
        let source = std::error::Error::source(&e).and_then(|s| s.downcast_ref::<async_nats::jetstream::Error>());
        let full = [
            ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
            ErrorCode::INSUFFICIENT_RESOURCES,
            ErrorCode::STORAGE_RESOURCES_EXCEEDED,
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM,
            ErrorCode::STREAM_STORE_FAILED,
        ];
        let (kind, message) = match (e.kind(), source.map(async_nats::jetstream::Error::error_code)) {
            (PublishErrorKind::MaxPayloadExceeded, _) => {
                (ErrorKind::Full, "the table does not fit in one message: raise the server's max_payload".to_owned())
            }
            (_, Some(code)) if full.contains(&code) => {
                (ErrorKind::Full, "the server has no room: raise its JetStream limits".to_owned())
            }
            (PublishErrorKind::StreamNotFound, _) | (_, Some(_)) => {
                let stream = self.shared.keys.stream();
                (ErrorKind::Unavailable, format!("the server does not take messages for the stream {stream}"))
            }
            _ => {
                live.distrust();
                (ErrorKind::Unknown, "the answer was lost: call again".to_owned())
            }
        };
        Error::new(kind, operation, message).with_source(e)
    }
}
