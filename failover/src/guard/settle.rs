//! The guard's own connection to a store, and what it does there in the end.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::time::{Clock as _, SystemClock, Time};
use crate::{Backend, ClusterName, Estate, Incarnation, Lease, LeaseName, Member, NodeId, Result, Term};

/// How often the connection is used while nothing happens, so that neither end of it nor anything between them lets it go.
const KEEP_WARM: Duration = Duration::from_mins(1);
/// Between two attempts to open a store that cannot be opened, at most; once the host is dead, as below.
const REOPEN: Duration = Duration::from_secs(30);
/// Between two attempts to settle: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// How long one call may take before it is made again. Its outcome does not matter: it can be made as often as one likes (law 5).
const CALL: Duration = Duration::from_secs(2);

/// A store of the host's, opened as soon as the host holds anything there.
pub(super) struct Store {
    opened: watch::Receiver<Option<Backend>>,
    /// Whether the host is dead.
    hurry: watch::Sender<bool>,
}

impl Store {
    pub(super) fn keep<F>(open: Rc<F>, address: String, cluster: ClusterName) -> Self
    where
        F: AsyncFn(String, ClusterName) -> Result<Backend> + 'static,
    {
        let (tell, opened) = watch::channel(None);
        let (hurry, mut hurried) = watch::channel(false);
        tokio::task::spawn_local(async move {
            let mut pause = AGAIN.0;
            let backend = loop {
                if let Ok(Ok(backend)) = timeout(CALL * 5, open(address.clone(), cluster.clone())).await {
                    break backend;
                }
                let most = if *hurried.borrow() { AGAIN.1 } else { REOPEN };
                pause = (pause * 2).min(most);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = hurried.changed() => pause = AGAIN.0,
                }
            };
            tell.send_replace(Some(backend.clone()));
            keep_warm(&backend).await;
        });
        Self { opened, hurry }
    }

    /// Gives back what there is, in its order, and then says the last word. Ends at `until`: by then everything has lapsed.
    pub(super) fn settle(&self, estate: Estate, until: Time) -> impl Future<Output = ()> + use<> {
        self.hurry.send_replace(true);
        let mut opened = self.opened.clone();
        async move {
            let all = async {
                let Ok(backend) = opened.wait_for(Option::is_some).await.map(|backend| backend.clone()) else { return };
                let Some(backend) = backend else { return };
                for bequest in &estate.bequests {
                    insist(|| backend.leases.release(&bequest.lease, bequest.successor.as_ref())).await;
                }
                if let Some(word) = &estate.last_word {
                    insist(|| backend.heartbeats.beat(word)).await;
                }
            };
            let clock = SystemClock::new();
            tokio::select! {
                () = all => {}
                () = clock.sleep_until(until) => {}
            }
        }
    }
}

/// Makes now and then the calls that a death takes, for a lease that nobody has: a store may have a connection, and prepared statements, for each
/// kind of them.
async fn keep_warm(backend: &Backend) {
    let (Ok(nobody), Ok(name)) = (NodeId::new("nobody"), LeaseName::new("nobody")) else { return };
    // No term is zero, so nothing is ever held by this.
    let holder = Member::new(nobody, Incarnation::fresh());
    let lease = Lease { name, holder, term: Term(0), ttl: CALL };
    loop {
        // Whether they are answered does not matter here: after an error, the call after it connects anew.
        let _unanswered = timeout(CALL, backend.leases.release(&lease, None)).await;
        let _unanswered = timeout(CALL, backend.leases.current(&lease.name)).await;
        tokio::time::sleep(KEEP_WARM).await;
    }
}

/// Makes a call again and again until it succeeds, or cannot.
async fn insist<C: Future<Output = Result<()>>>(call: impl Fn() -> C) {
    let mut pause = AGAIN.0;
    loop {
        match timeout(CALL, call()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) if !error.is_retryable() && !error.is_outcome_unknown() => {
                eprintln!("failover: the guard cannot give a lease back, so it has to lapse: {error}");
                return;
            }
            Ok(Err(_)) | Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN.1);
    }
}
