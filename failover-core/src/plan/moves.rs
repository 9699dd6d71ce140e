//! Jobs that run and are to run elsewhere: off nodes that are emptied, and back to where they were moved from.

use super::board::Board;
use super::index::Return;
use super::job::{Job, Turn};
use super::round::{Act, Ask, Round};
use super::slab::{NodeKey, Slot};
use super::{Exit, Why};
use crate::ids::{Incarnation, Member, NodeId};
use crate::job::Phase;

impl Round<'_> {
    /// The jobs on nodes that are to be emptied.
    pub(super) fn leave(&mut self) {
        let mut turns: Vec<(Turn, Exit, NodeKey)> = Vec::new();
        for (place, node) in
            self.board.places.iter().zip(&self.board.ranks).filter(|(place, _)| place.exit != Exit::Stay)
        {
            for slot in self.board.slots_on(&place.node) {
                if self.job(slot).settled() && !self.done.contains(&slot) {
                    turns.push((self.board.index.turn(slot), place.exit, *node));
                }
            }
        }
        turns.sort_unstable();
        for (Turn { slot, .. }, exit, node) in turns {
            if self.is_full() {
                return;
            }
            let job = self.job(slot);
            let ask = Ask { not: Some(node), ..self.ask(slot, job) };
            let place = if self.policy(job).leaves() { self.best(&ask, &mut 0) } else { None };
            let why = match (exit, place) {
                (Exit::AtOnce, None) => Why::DrainedNowhere,
                (_, None) => continue,
                (Exit::Follow, Some(_)) => Why::Followed,
                (_, Some(_)) => Why::Drained,
            };
            if let Some(rank) = place {
                self.take(&ask, rank);
            }
            self.push(slot, Act::Drain, place, why);
        }
    }

    /// The jobs whose node is back.
    pub(super) fn return_home(&mut self) {
        let board = self.board;
        for (rank, (place, node)) in board.places.iter().zip(&board.ranks).enumerate() {
            let away = &board.index.node(*node).away;
            if away.is_empty() || !self.room.fits(rank, 1) {
                continue;
            }
            let mut turns: Vec<(Turn, Why)> = Vec::new();
            for (when, jobs) in away {
                let why = match when {
                    Return::Never => continue,
                    Return::After(_) | Return::Asked if board.returning.contains(&place.node) => Why::ReturnAsked,
                    Return::Asked => continue,
                    Return::After(stable_for) => {
                        let wait = board.index.rules.damping.wait(*stable_for, place.falls);
                        let Some(since) = place.stable_since else { continue };
                        if since + wait > self.now {
                            self.wake(since + wait);
                            continue;
                        }
                        Why::ReturnedByItself
                    }
                };
                turns.extend(jobs.iter().map(|turn| (*turn, why)));
            }
            turns.sort_unstable();
            for (Turn { slot, .. }, why) in turns {
                if self.is_full() || !self.room.fits(rank, 1) {
                    break;
                }
                let job = self.job(slot);
                let ask = self.ask(slot, job);
                let runs = job.phase == Phase::Running && board.index.live_owner(job).is_some();
                let elsewhere = self.done.contains(&slot) || board.wanted.contains_key(&job.id);
                if runs && !elsewhere && !self.leaves_now(job) && self.can_take(&ask, rank) {
                    self.take(&ask, rank);
                    self.push(slot, Act::Drain, Some(rank), why);
                }
            }
        }
    }

    /// Whether the job's node is being emptied, so that it was decided about already.
    fn leaves_now(&self, job: &Job) -> bool {
        let rank = self.board.index.live_owner(job).and_then(|owner| self.board.index.node(owner.node).rank);
        rank.is_some_and(|rank| self.board.places[rank].exit != Exit::Stay)
    }
}

impl Board {
    /// The jobs of a node's incarnations that may still act.
    fn slots_on(&self, node: &NodeId) -> impl Iterator<Item = Slot> {
        let from = Member::new(node.clone(), Incarnation::from_u128(0));
        let members = self.index.members.range(from..).take_while(move |(member, _)| member.node == *node);
        members
            .map(|(_, key)| &self.index.owners[*key])
            .filter(|owner| !owner.dead)
            .flat_map(|owner| owner.jobs.clone())
    }
}
