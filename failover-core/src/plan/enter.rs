//! How a job enters and leaves the [`Index`]: each line of one has its counterpart in the other.

use super::index::{Index, Return};
use super::job::Job;
use super::slab::{NodeKey, Slot};
use crate::job::Phase;

impl Index {
    pub(super) fn enter(&mut self, slot: Slot) {
        let job = &self.jobs[slot];
        match (job.owner, job.phase) {
            (Some(owner), _) => {
                let jobs = &mut self.owners[owner].jobs;
                jobs.push(slot);
                self.jobs[slot].position = u32::try_from(jobs.len() - 1).unwrap_or(u32::MAX);
            }
            (None, Phase::Queued | Phase::Lost | Phase::Failed) if !job.retiring && !self.gave_up(job) => {
                let (alike, submitted) = (self.alike(job), job.submitted);
                if job.phase == Phase::Failed && !job.ripe {
                    self.queue.wait(self.due(job), slot);
                } else {
                    self.queue.add(alike, submitted, slot);
                }
            }
            (None, _) => {}
        }
        self.enter_nodes(slot);
    }

    pub(super) fn leave(&mut self, slot: Slot) {
        self.leave_nodes(slot);
        let job = &self.jobs[slot];
        match (job.owner, job.phase) {
            (Some(owner), _) => {
                let at = job.position as usize;
                let jobs = &mut self.owners[owner].jobs;
                jobs.swap_remove(at);
                if let Some(moved) = jobs.get(at) {
                    self.jobs[*moved].position = u32::try_from(at).unwrap_or(u32::MAX);
                }
            }
            (None, Phase::Queued | Phase::Lost | Phase::Failed) if !job.retiring && !self.gave_up(job) => {
                let (alike, submitted) = (self.alike(job), job.submitted);
                if job.phase == Phase::Failed && !job.ripe {
                    self.queue.stop_waiting(self.due(job), slot);
                } else {
                    self.queue.remove(alike, submitted, slot);
                }
            }
            (None, _) => {}
        }
    }

    /// The nodes on which a job takes room: where it is, and where it goes. An owner that is dead runs nothing.
    pub(super) fn seats(&self, job: &Job) -> impl Iterator<Item = NodeKey> + use<> {
        let here = self.live_owner(job).map(|owner| owner.node);
        let there = job.reserved().filter(|there| Some(*there) != here);
        here.into_iter().chain(there)
    }

    pub(super) fn enter_nodes(&mut self, slot: Slot) {
        let job = &self.jobs[slot];
        let (weight, group) = (job.weight, self.policies.get(job.policy).group);
        for key in self.seats(job) {
            let node = self.node_mut(key);
            (node.jobs, node.weight) = (node.jobs + 1, node.weight + u64::from(weight));
            if let Some(rank) = node.rank {
                self.room.take(rank, weight);
            }
            if let Some(group) = group {
                self.apart.insert((group, key, slot));
            }
        }
        if let Some((home, when)) = self.away(&self.jobs[slot]) {
            let turn = self.turn(slot);
            self.node_mut(home).away.entry(when).or_default().insert(turn);
        }
    }

    pub(super) fn leave_nodes(&mut self, slot: Slot) {
        let job = &self.jobs[slot];
        let (weight, group) = (job.weight, self.policies.get(job.policy).group);
        for key in self.seats(job) {
            let node = self.node_mut(key);
            (node.jobs, node.weight) = (node.jobs - 1, node.weight - u64::from(weight));
            if let Some(rank) = node.rank {
                self.room.give(rank, weight);
            }
            if let Some(group) = group {
                self.apart.remove(&(group, key, slot));
            }
        }
        if let Some((home, when)) = self.away(&self.jobs[slot]) {
            let turn = self.turn(slot);
            let away = &mut self.node_mut(home).away;
            if let Some(turns) = away.get_mut(&when) {
                turns.remove(&turn);
                if turns.is_empty() {
                    away.remove(&when);
                }
            }
        }
    }

    /// The node a job was moved from, and when it returns there, while it is elsewhere.
    fn away(&self, job: &Job) -> Option<(NodeKey, Return)> {
        let owner = &self.owners[job.owner.filter(|_| !job.retiring)?];
        let home = job.home.filter(|home| *home != owner.node)?;
        let failback = self.policies.get(job.policy).spec.failback.unwrap_or(self.rules.failback);
        Some((home, failback.into()))
    }
}
