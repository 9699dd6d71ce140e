//! The resource that all nodes write to. It does what every resource should: it remembers the highest token and refuses
//! lower ones. And it keeps a record of who was valid when, to be judged afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

use crate::node::{Said, Told};

/// One process's work under one token, by the machine's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tenure {
    pub(crate) node: String,
    pub(crate) process: u32,
    pub(crate) token: u64,
    /// It was valid before this moment.
    pub(crate) first: u64,
    /// It was valid after this moment.
    pub(crate) last: u64,
    /// Until when it lasts, as it last said.
    pub(crate) ends_at: u64,
    pub(crate) over: bool,
}

/// What is known of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Actor {
    pub(crate) process: u32,
    pub(crate) wall: u64,
    pub(crate) role: Option<String>,
    pub(crate) held: bool,
    pub(crate) finish: Option<String>,
    /// Its events, with their reasons.
    pub(crate) events: Vec<(String, String)>,
    told: Option<Line>,
}

/// Where what it is told goes.
#[derive(Clone)]
struct Line(mpsc::UnboundedSender<Told>);

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

/// What the resource has seen.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) works: BTreeMap<String, Vec<Tenure>>,
    highest: BTreeMap<String, u64>,
    /// The writes that came too late: what, by whom, under which token.
    pub(crate) refused: Vec<(String, String, u64)>,
    pub(crate) actors: BTreeMap<String, Actor>,
}

impl Record {
    /// The latest tenure of a piece of work.
    pub(crate) fn latest(&self, work: &str) -> Option<&Tenure> {
        self.works.get(work)?.iter().max_by_key(|tenure| tenure.token)
    }

    /// The latest tenure, if it is this node's and not over.
    pub(crate) fn held_by(&self, work: &str, node: &str) -> Option<&Tenure> {
        self.latest(work).filter(|tenure| tenure.node == node && !tenure.over)
    }

    pub(crate) fn role(&self, node: &str) -> Option<&str> {
        self.actors.get(node)?.role.as_deref()
    }

    /// No moment had two valid holders, and later holders have higher tokens.
    pub(crate) fn judge(&self) -> Result<(), String> {
        for (work, tenures) in &self.works {
            for (i, one) in tenures.iter().enumerate() {
                for other in &tenures[..i] {
                    let (before, after) = if one.token < other.token { (one, other) } else { (other, one) };
                    if before.token == after.token {
                        return Err(format!("{work}: one token of two processes: {before:?} {after:?}"));
                    }
                    // Certainly valid after the next was certainly valid.
                    if before.last > after.first {
                        let by = Duration::from_nanos(before.last - after.first);
                        return Err(format!("{work}: two holders for {by:?}: {before:?} {after:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, tenure: Tenure, work: &str) -> bool {
        let tenures = self.works.entry(work.to_owned()).or_default();
        let (node, token) = (tenure.node.clone(), tenure.token);
        match tenures.iter_mut().find(|there| there.process == tenure.process && there.token == tenure.token) {
            Some(there) => {
                there.first = there.first.min(tenure.first);
                there.last = there.last.max(tenure.last);
                there.ends_at = there.ends_at.max(tenure.ends_at);
            }
            None => tenures.push(tenure),
        }
        let highest = self.highest.entry(work.to_owned()).or_default();
        if token < *highest {
            self.refused.push((work.to_owned(), node, token));
            return false;
        }
        *highest = token;
        true
    }
}

/// The resource, listening on a socket of its own.
pub(crate) struct Resource {
    socket: PathBuf,
    record: Arc<Mutex<Record>>,
    changed: watch::Sender<()>,
}

impl Resource {
    pub(crate) fn open(directory: &Path) -> Arc<Self> {
        let socket = directory.join("resource");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let resource = Arc::new(Self { socket, record: Arc::default(), changed: watch::Sender::new(()) });
        tokio::spawn({
            let resource = resource.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(resource.clone().serve(stream));
                }
            }
        });
        resource
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is so; what that is, or nothing after `patience`.
    pub(crate) async fn wait<T>(&self, patience: Duration, is_so: impl Fn(&Record) -> Option<T>) -> Option<T> {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = is_so(&self.record()) {
                    return found;
                }
                let _open = changed.changed().await;
            }
        };
        tokio::time::timeout(patience, wait).await.ok()
    }

    pub(crate) fn tell(&self, node: &str, told: Told) {
        let record = self.record();
        let link = record.actors.get(node).and_then(|actor| actor.told.as_ref());
        link.unwrap_or_else(|| panic!("{node} is not there")).0.send(told).expect("its connection lasts");
    }

    async fn serve(self: Arc<Self>, stream: UnixStream) {
        let (read, mut write) = stream.into_split();
        let (out, mut told) = mpsc::unbounded_channel::<Told>();
        let answering = tokio::spawn(async move {
            while let Some(told) = told.recv().await {
                let line = serde_json::to_string(&told).expect("plain data") + "\n";
                if write.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let mut lines = BufReader::new(read).lines();
        let mut me = (String::new(), 0);
        while let Ok(Some(line)) = lines.next_line().await {
            let said = serde_json::from_str(&line).expect("a line of a node's");
            self.hear(&mut me, said, &out);
            self.changed.send_replace(());
        }
        answering.abort();
    }

    fn hear(&self, me: &mut (String, u32), said: Said, out: &mpsc::UnboundedSender<Told>) {
        let mut record = self.record();
        if let Said::Hello { node, process, wall } = &said {
            *me = (node.clone(), *process);
            let actor = Actor { process: *process, wall: *wall, told: Some(Line(out.clone())), ..Actor::default() };
            record.actors.insert(node.clone(), actor);
        }
        let (node, process) = me.clone();
        let Some(actor) = record.actors.get_mut(&node).filter(|actor| actor.process == process) else { return };
        match said {
            Said::Hello { .. } => {}
            Said::Event { kind, role, reason } => {
                if kind == "role_changed" {
                    actor.role = role;
                }
                actor.events.push((kind, reason));
            }
            Said::Held => actor.held = true,
            Said::Finished { finish } => actor.finish = Some(finish),
            Said::Write { id, work, token, asked, checked, ends_at } => {
                let tenure = Tenure { node, process, token, first: checked, last: asked, ends_at, over: false };
                let accepted = record.write(tenure, &work);
                let _gone = out.send(Told::Wrote { id, accepted });
            }
            Said::Over { work, token } => {
                for tenure in record.works.entry(work).or_default() {
                    tenure.over |= tenure.process == process && tenure.token == token;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(writes: &[(u32, u64, u64, u64)]) -> Record {
        let mut record = Record::default();
        for (process, token, last, first) in writes {
            let node = format!("n{process}");
            let (process, token, first, last) = (*process, *token, *first, *last);
            record.write(Tenure { node, process, token, first, last, ends_at: 0, over: false }, "w");
        }
        record
    }

    #[test]
    fn one_holder_after_the_other_is_sound() {
        assert_eq!(record(&[(1, 1, 0, 1), (1, 1, 5, 6), (2, 2, 7, 8), (2, 2, 9, 10)]).judge(), Ok(()));
    }

    #[test]
    fn two_holders_at_one_moment_are_found() {
        let told = record(&[(1, 1, 0, 1), (2, 2, 4, 5), (1, 1, 6, 7)]).judge().unwrap_err();
        assert!(told.contains("two holders for 1ns"), "{told}");
    }

    #[test]
    fn checks_that_overlap_prove_nothing() {
        assert_eq!(record(&[(1, 1, 0, 9), (2, 2, 3, 4)]).judge(), Ok(()), "the first may have been before the second");
    }

    #[test]
    fn a_token_of_two_processes_is_found() {
        assert!(record(&[(1, 1, 0, 1), (2, 1, 4, 5)]).judge().unwrap_err().contains("one token"));
    }

    #[test]
    fn a_token_that_fell_is_found() {
        assert!(record(&[(1, 2, 0, 1), (2, 1, 4, 5)]).judge().is_err());
    }

    #[test]
    fn a_lower_token_is_refused() {
        let record = record(&[(1, 1, 0, 1), (2, 2, 4, 5), (1, 1, 2, 7)]);
        assert_eq!(record.refused, [("w".to_owned(), "n1".to_owned(), 1)]);
    }
}
