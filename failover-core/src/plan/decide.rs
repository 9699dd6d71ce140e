//! What follows from a board, in four steps: operators' moves, the jobs that nobody runs, nodes that are to be emptied, and returns.

use super::board::{Board, Quiet};
use super::job::{Job, Turn};
use super::round::{Act, Ask, Choice, Round};
use super::slab::Slot;
use super::{Decision, Plan, Why};
use crate::job::{Course, Move, Phase, Step};
use crate::time::Time;

impl Board {
    /// Decides what to do now, at most `most` of it. Changes nothing that is known of the jobs: what the store has confirmed is
    /// [`put`](Self::put). While nothing follows and nothing changes, asking again costs nothing.
    pub fn decide(&mut self, now: Time, most: usize) -> Plan {
        let (choices, wake_at) = self.choose(now, most);
        Plan { decisions: choices.iter().map(|choice| self.decision(choice)).collect(), wake_at }
    }

    /// How many decisions follow now. Makes them all and keeps none: what planning itself costs.
    pub fn outline(&mut self, now: Time) -> usize {
        self.choose(now, usize::MAX).0.len()
    }

    fn choose(&mut self, now: Time, most: usize) -> (Vec<Choice>, Option<Time>) {
        if let Some(quiet) = self.quiet.filter(|quiet| quiet.until.is_none_or(|at| now < at)) {
            return (Vec::new(), quiet.until);
        }
        self.index.ripen(now);
        let mut round = Round::new(self, now, most);
        round.asked();
        round.homeless();
        round.leave();
        round.return_home();
        let (choices, mut wake_at) = (std::mem::take(&mut round.choices), round.wake_at);
        let parked = std::mem::take(&mut round.parked);
        self.index.candidates = round.learnt();
        if let Some((due, _)) = self.index.queue.first_wait() {
            wake_at = Some(wake_at.map_or(due, |at| at.min(due)));
        }
        // What was taken in a round may not come true, so only a round that took nothing says that there is no room.
        if choices.is_empty() && most > 0 {
            for line in parked {
                self.index.queue.park(line);
            }
            self.quiet = Some(Quiet { until: wake_at });
        }
        (choices, wake_at)
    }

    fn decision(&self, choice: &Choice) -> Decision {
        let job = &self.index.jobs[choice.slot];
        let owner = job.owner.map(|owner| &self.index.owners[owner]);
        let place = choice.to.map(|rank| &self.places[rank as usize]);
        let to = place.map(|place| place.node.clone());
        let from = owner.map(|owner| owner.member.node.clone());
        let mut course = self.course(job);
        let step = match (choice.act, owner, place.and_then(|place| place.member.clone())) {
            (Act::Place, _, Some(to)) => Step::Place { to },
            (Act::Seize, Some(owner), to) => Step::Seize { from: owner.member.clone(), to },
            (Act::Drain | Act::Place | Act::Seize, _, _) => Step::Drain,
        };
        let leaves = self.index.policies.get(job.policy).leaves();
        match choice.why {
            // Placed on purpose: what went before is forgotten.
            Why::Waited | Why::Arrives => {
                (course.home, course.retries) = (course.home.filter(|home| Some(home) != to.as_ref()), 0);
            }
            Why::Asked => (course.home, course.retries) = (None, 0),
            Why::Restarted | Why::Recovered => {
                course.home = course.home.filter(|home| Some(home) != to.as_ref());
                course.retries = course.retries.saturating_add(1);
            }
            Why::FailedOver => {
                course.home = course.home.or_else(|| from.clone()).filter(|home| Some(home) != to.as_ref());
                course.retries = course.retries.saturating_add(1);
            }
            Why::LostNowhere | Why::LostBound | Why::GaveUp | Why::Drained | Why::DrainedNowhere => {
                let known = course.home.filter(|_| leaves || choice.act == Act::Drain);
                course.home = known.or_else(|| from.clone());
            }
            Why::Removed => course = Course::default(),
            Why::Followed | Why::ReturnedByItself | Why::ReturnAsked => {}
        }
        course.target = to.clone().filter(|_| choice.act == Act::Drain);
        Decision { mv: Move { course, ..Move::new(job.id.clone(), job.epoch, step) }, from, to, why: choice.why }
    }
}

impl Round<'_> {
    pub(super) fn push(&mut self, slot: Slot, act: Act, to: Option<usize>, why: Why) {
        let to = to.and_then(|rank| u32::try_from(rank).ok());
        self.choices.push(Choice { slot, act, to, why });
    }

    pub(super) fn ask(&self, slot: Slot, job: &Job) -> Ask {
        Ask { slot, alike: self.board.index.alike(job), not: None }
    }

    /// What operators want on certain nodes.
    fn asked(&mut self) {
        let board = self.board;
        let mut wanted: Vec<_> = board
            .wanted
            .iter()
            .filter_map(|(id, node)| {
                let (slot, _) = board.find(id)?;
                Some((board.index.turn(slot), *board.index.names.get(node)?))
            })
            .collect();
        wanted.sort_unstable();
        for (Turn { slot, .. }, node) in wanted {
            let job = self.job(slot);
            let owner = board.index.live_owner(job);
            let at_ease = job.retiring || job.phase == Phase::Completed;
            let on_its_way = job.phase == Phase::Draining && job.target == Some(node);
            if self.is_full() || at_ease || on_its_way || owner.is_some_and(|owner| owner.node == node) {
                continue;
            }
            let ask = self.ask(slot, job);
            self.let_go(&ask);
            let Some(rank) = board.index.node(node).rank.filter(|rank| self.can_take(&ask, *rank)) else {
                self.keep(&ask);
                continue;
            };
            self.take(&ask, rank);
            let act = match (owner, job.owner) {
                (Some(_), _) => Act::Drain,
                (None, Some(_)) => Act::Seize,
                (None, None) => Act::Place,
            };
            self.push(slot, act, Some(rank), Why::Asked);
            self.done.insert(slot);
        }
    }
}
