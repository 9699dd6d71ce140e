//! Where the host's hooks are: prepared, promoted, demoted.

use super::effect::Effect;
use crate::lease::Lease;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    No,
    Running,
    Done,
}

/// The hooks that ran, run and are still to run. `prepare` runs once; `promote` after it; `demote` exactly once for each `promote`.
#[derive(Debug, Clone)]
pub(super) struct Hooks {
    prepared: Progress,
    promoted: Progress,
    demoting: bool,
    /// `promote` has ended in vain.
    refused: bool,
    promote_next: Option<Lease>,
}

impl Hooks {
    pub(super) fn new() -> Self {
        Self { prepared: Progress::No, promoted: Progress::No, demoting: false, refused: false, promote_next: None }
    }

    pub(super) fn prepare(&mut self, out: &mut Vec<Effect>) {
        if self.prepared == Progress::No {
            self.prepared = Progress::Running;
            out.push(Effect::Prepare);
        }
    }

    pub(super) fn promote(&mut self, lease: Lease, out: &mut Vec<Effect>) {
        self.prepare(out);
        self.promote_next = Some(lease);
        self.go_on(out);
    }

    fn go_on(&mut self, out: &mut Vec<Effect>) {
        if self.prepared == Progress::Done
            && self.promoted == Progress::No
            && let Some(lease) = self.promote_next.take()
        {
            self.promoted = Progress::Running;
            out.push(Effect::Promote { lease });
        }
    }

    /// Ends what `promote` began. Nothing to do if it never began.
    pub(super) fn demote(&mut self, out: &mut Vec<Effect>) {
        self.promote_next = None;
        if self.promoted != Progress::No && !self.demoting {
            self.demoting = true;
            out.push(Effect::Demote);
        }
    }

    pub(super) fn on_prepared(&mut self, out: &mut Vec<Effect>) {
        if self.prepared == Progress::Running {
            self.prepared = Progress::Done;
            self.go_on(out);
        }
    }

    pub(super) fn on_promoted(&mut self) {
        if self.promoted == Progress::Running {
            self.promoted = Progress::Done;
        }
    }

    /// As [`on_promoted`](Self::on_promoted), but in vain. Whether that is news.
    pub(super) fn on_refused(&mut self) -> bool {
        let is_news = self.promoted == Progress::Running;
        if is_news {
            (self.promoted, self.refused) = (Progress::Done, true);
        }
        is_news
    }

    pub(super) fn on_demoted(&mut self) {
        if self.demoting {
            (self.demoting, self.refused) = (false, false);
            self.promoted = Progress::No;
        }
    }

    pub(super) fn is_prepared(&self) -> bool {
        self.prepared == Progress::Done
    }

    pub(super) fn is_promoted(&self) -> bool {
        self.promoted == Progress::Done && !self.demoting && !self.refused
    }

    /// Whether the host could not be promoted, and has not been demoted since.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Whether the host does nothing as active node.
    pub(super) fn is_quiet(&self) -> bool {
        self.promoted == Progress::No && !self.demoting && self.promote_next.is_none()
    }
}
