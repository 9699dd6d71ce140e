//! What is asked of others than the store: the witnesses, and whoever switches machines off.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::calls::panic_text;
use super::host::Host;
use super::inbox::{Message, Outbox};
use crate::fencer::NodeFencer;
use crate::ids::Member;
use crate::machine::HostInput;
use crate::time::{Clock, Time};
use crate::witness::{self, Witness};

/// Whom to ask.
pub(crate) struct Outside {
    witnesses: Arc<[Witness]>,
    fencer: Option<Arc<dyn NodeFencer>>,
    /// Where the host's code among them runs.
    host: Host,
    /// The order under way.
    order: Option<(u64, CancellationToken)>,
}

impl Outside {
    pub(crate) fn new(witnesses: Vec<Witness>, fencer: Option<Arc<dyn NodeFencer>>, host: Host) -> Self {
        Self { witnesses: witnesses.into(), fencer, host, order: None }
    }

    /// Whether any of the witnesses answers.
    pub(super) fn ask(&self, clock: &Arc<dyn Clock>, patience: Duration, outbox: &Outbox, tasks: &mut JoinSet<()>) {
        let (witnesses, clock, outbox) = (self.witnesses.clone(), clock.clone(), outbox.clone());
        let host = self.host.clone();
        tasks.spawn(async move {
            let reach = witness::ask(&witnesses, &*clock, patience, &host).await;
            let _gone = outbox.send(Message::Host(HostInput::Witness(reach)));
        });
    }

    /// Has a machine switched off. Dropped where it stands when it is called off, or of no use any more.
    pub(super) fn switch_off(
        &mut self,
        (target, order, until): (Member, u64, Time),
        clock: &Arc<dyn Clock>,
        outbox: &Outbox,
        tasks: &mut JoinSet<()>,
    ) {
        let called_off = CancellationToken::new();
        self.order = Some((order, called_off.clone()));
        let (fencer, clock, outbox) = (self.fencer.clone(), clock.clone(), outbox.clone());
        self.host.run(tasks, async move {
            let fencing = async {
                let Some(fencer) = fencer else { return Err("this node has no fencer".to_owned()) };
                AssertUnwindSafe(fencer.fence(&target)).catch_unwind().await.unwrap_or_else(|panic| {
                    let text = panic_text(&*panic);
                    error!(%target, panic = text, "the fencer panicked");
                    Err(format!("panicked: {text}"))
                })
            };
            let outcome = tokio::select! {
                biased;
                () = called_off.cancelled() => Err("it was called off".to_owned()),
                () = clock.sleep_until(until) => Err("it was not done in time".to_owned()),
                outcome = fencing => outcome,
            };
            let _gone = outbox.send(Message::Host(HostInput::SwitchedOff { order, outcome }));
        });
    }

    pub(super) fn call_off(&mut self, order: u64) {
        if let Some((_, called_off)) = self.order.take_if(|(number, _)| *number == order) {
            called_off.cancel();
        }
    }
}
