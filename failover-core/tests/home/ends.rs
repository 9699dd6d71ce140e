//! The thread ends when nobody holds it, whatever ran there.

use std::cell::RefCell;
use std::sync::mpsc;

use failover_core::machine::Finish;
use failover_core::memory::MemoryStore;
use failover_core::{Backend, Election, NodeId, Role};

use crate::stage::{LONG, another_host, at_home, host, node, role, soon};

thread_local! {
    /// Dropped with its thread.
    static LEAVES: RefCell<Option<mpsc::Sender<()>>> = const { RefCell::new(None) };
}

/// A backend on a thread of its own, and what is closed when that thread has ended.
async fn seen() -> (Backend, mpsc::Receiver<()>) {
    let (leaves, left) = mpsc::channel();
    let backend = Backend::on_own_thread(|| async move {
        LEAVES.set(Some(leaves));
        Ok(MemoryStore::new().backend())
    });
    (backend.await.unwrap(), left)
}

fn has_ended(left: &mpsc::Receiver<()>) {
    assert_eq!(left.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
}

fn lives(left: &mpsc::Receiver<()>) {
    assert_eq!(left.try_recv(), Err(mpsc::TryRecvError::Empty));
}

#[test]
fn with_the_last_handle_of_the_backend() {
    let (backend, left) = host(seen());
    let leases = backend.leases.clone();
    drop(backend);
    lives(&left);
    // Where there is no runtime at all.
    drop(leases);
    has_ended(&left);
}

#[test]
fn with_an_opening_that_is_given_up() {
    let (leaves, left) = mpsc::channel::<()>();
    host(async {
        let opening = Backend::on_own_thread(|| async move {
            LEAVES.set(Some(leaves));
            std::future::pending().await
        });
        let _given_up = tokio::time::timeout(std::time::Duration::from_millis(20), opening).await.unwrap_err();
    });
    has_ended(&left);
}

#[test]
fn with_a_node_that_leaves_and_one_that_is_dropped_and_a_leadership() {
    host(async {
        let (backend, left) = seen().await;
        let a = node(&backend, "a").start().unwrap();
        role(&a, Role::Active).await;
        let election = Election::new(&backend, "x", NodeId::new("a").unwrap()).unwrap();
        let leadership = election.campaign().await.unwrap();
        drop((backend, election));
        assert_eq!(a.shutdown().await, Finish::Left);
        drop(a);
        lives(&left);
        leadership.resign().await;
        has_ended(&left);

        let (backend, left) = seen().await;
        let a = node(&backend, "a").start().unwrap();
        role(&a, Role::Active).await;
        drop(backend);
        lives(&left);
        drop(a);
        // Its hooks' tasks are the host's to drop.
        let ended = tokio::task::spawn_blocking(move || has_ended(&left));
        soon("the thread ends", ended).await.unwrap();
    });
}

#[test]
fn a_node_ends_with_the_runtime_of_its_host_and_nothing_is_released() {
    let store = MemoryStore::new();
    let (a, right) = host(async {
        let (backend, _, _) = at_home(&store).await;
        let a = node(&backend, "a").start().unwrap();
        role(&a, Role::Active).await;
        let right = a.active().unwrap();
        (a, right)
    });
    // The runtime is gone, the handle is not.
    assert_eq!(host(async { soon("its end", a.finished()).await }), Finish::Abandoned);
    let next = another_host(move || async move {
        let b = node(&store.backend(), "b").start().unwrap();
        role(&b, Role::Active).await;
        b.active().unwrap().token()
    });
    assert!(next.join().unwrap().number > right.token().number);
    assert!(!right.is_valid());
}
