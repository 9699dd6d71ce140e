//! Jobs given to the cluster, one at a time.

use super::Admin;
use crate::error::{Error, Result};
use crate::job::{JobDraft, Revised, Submitted};

impl Admin {
    /// Adds a job, to be placed by the active node. What its policy does not name comes from its class.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid), and then nothing is written: for a class that is not defined, a node in a pin that nobody knows, a weight
    /// beyond every node it could run on, and as [`JobPolicy::check`](crate::JobPolicy::check). Labels are not checked: nodes come and go. Else the store's.
    pub async fn submit(&self, job: impl Into<JobDraft>) -> Result<Submitted> {
        let spec = self.resolve("submit", &job.into()).await?;
        self.ask("submit", self.backend.jobs.submit(&spec)).await
    }

    /// Makes a job that is there like this: its next run gets the new payload, its next placement follows the new policy.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn revise(&self, job: impl Into<JobDraft>) -> Result<Revised> {
        let spec = self.resolve("revise", &job.into()).await?;
        self.ask("revise", self.backend.jobs.revise(&spec)).await
    }

    async fn resolve(&self, operation: &'static str, draft: &JobDraft) -> Result<crate::JobSpec> {
        let policy = draft.policy();
        let is_light = policy.class.is_none() && policy.pins.is_none() && draft.weight() == 1;
        // The lightest job that is bound to nothing fits wherever any does, whichever nodes there are.
        let spec = if is_light && self.settings().await?.defaults == crate::JobPolicy::default() {
            draft.resolve(&std::collections::BTreeMap::new())
        } else {
            self.known().await?.resolve(draft)
        };
        spec.map_err(|invalid| Error::invalid(operation, invalid))
    }
}
