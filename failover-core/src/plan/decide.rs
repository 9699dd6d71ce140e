//! What follows from a board, in four steps: operators' moves, the jobs that nobody runs, nodes that are to be emptied, and returns.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, btree_set};
use std::vec;

use super::board::Board;
use super::index::Return;
use super::job::{Job, Turn};
use super::queue::Alike;
use super::round::{Act, Ask, Choice, Round};
use super::slab::{LineKey, NodeKey, Slot};
use super::{Decision, Exit, Plan, Why};
use crate::ids::{Incarnation, Member, Revision};
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
        if let Some(wake_at) = self.quiet.filter(|wake_at| wake_at.is_none_or(|at| now < at)) {
            return (Vec::new(), wake_at);
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
            self.quiet = Some(wake_at);
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
                (course.home, course.retries) = (course.home.filter(|home| Some(home) != to.as_ref()), 0)
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

/// Jobs without a place, in the order of their turns.
struct Source<'a> {
    jobs: Jobs<'a>,
    /// If they are alike: in which line they stand.
    line: Option<(LineKey, Alike)>,
    start: usize,
}

enum Jobs<'a> {
    Line(i32, btree_set::Iter<'a, (Revision, Slot)>),
    Orphans(vec::IntoIter<Turn>),
}

impl Source<'_> {
    fn next(&mut self) -> Option<Turn> {
        match &mut self.jobs {
            Jobs::Line(priority, jobs) => jobs.next().map(|(submitted, slot)| Turn::new(*priority, *submitted, *slot)),
            Jobs::Orphans(turns) => turns.next(),
        }
    }
}

impl<'a> Round<'a> {
    fn push(&mut self, slot: Slot, act: Act, to: Option<usize>, why: Why) {
        let to = to.and_then(|rank| u32::try_from(rank).ok());
        self.choices.push(Choice { slot, act, to, why });
    }

    fn ask(&self, slot: Slot, job: &Job) -> Ask {
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

    /// The jobs that nobody runs: those that wait, and those whose owner is dead.
    fn homeless(&mut self) {
        let index = &self.board.index;
        let mut sources: Vec<Source<'a>> = Vec::new();
        for (key, line) in index.queue.lines() {
            let priority = index.policies.get(line.alike.policy).spec.priority;
            sources.push(Source {
                jobs: Jobs::Line(priority, line.jobs.iter()),
                line: Some((key, line.alike)),
                start: 0,
            });
        }
        let dead = self.board.dead.iter().filter_map(|member| index.members.get(member));
        let mut orphans: Vec<_> =
            dead.flat_map(|owner| &index.owners[*owner].jobs).map(|slot| index.turn(*slot)).collect();
        orphans.sort_unstable();
        sources.push(Source { jobs: Jobs::Orphans(orphans.into_iter()), line: None, start: 0 });

        let mut turns = BinaryHeap::with_capacity(sources.len());
        for (at, source) in sources.iter_mut().enumerate() {
            turns.extend(source.next().map(|turn| Reverse((turn, at))));
        }
        while let Some(Reverse((mut turn, at))) = turns.pop() {
            let source = &mut sources[at];
            loop {
                if self.is_full() {
                    return;
                }
                if !self.settle(turn.slot, source) {
                    break;
                }
                let Some(next) = source.next() else { break };
                if turns.peek().is_some_and(|Reverse((other, _))| *other < next) {
                    turns.push(Reverse((next, at)));
                    break;
                }
                turn = next;
            }
        }
    }

    /// Whether those behind it may find a place.
    fn settle(&mut self, slot: Slot, source: &mut Source<'_>) -> bool {
        if !self.done.is_empty() && self.done.contains(&slot) {
            return true;
        }
        let Some((line, alike)) = source.line else {
            self.seize(slot);
            return true;
        };
        let ask = Ask { slot, alike, not: None };
        self.let_go(&ask);
        let Some(rank) = self.best(&ask, &mut source.start) else {
            self.keep(&ask);
            self.parked.push(line);
            return false;
        };
        self.take(&ask, rank);
        let why = match self.job(slot).phase {
            Phase::Failed => Why::Restarted,
            Phase::Lost => Why::Recovered,
            _ if alike.target == Some(self.board.ranks[rank]) => Why::Arrives,
            _ => Why::Waited,
        };
        self.push(slot, Act::Place, Some(rank), why);
        true
    }

    /// A job whose owner is dead.
    fn seize(&mut self, slot: Slot) {
        let job = self.job(slot);
        let ask = self.ask(slot, job);
        self.let_go(&ask);
        let policy = self.policy(job);
        let stays = if job.retiring {
            Some(Why::Removed)
        } else if self.board.index.gave_up(job) {
            Some(Why::GaveUp)
        } else if !policy.leaves() {
            Some(Why::LostBound)
        } else {
            None
        };
        let place = if stays.is_none() { self.best(&ask, &mut 0) } else { None };
        if let Some(rank) = place {
            self.take(&ask, rank);
        }
        let alone = if policy.spec.pins.len() == 1 { Why::LostBound } else { Why::LostNowhere };
        let why = stays.unwrap_or(if place.is_some() { Why::FailedOver } else { alone });
        self.push(slot, Act::Seize, place, why);
    }

    /// The jobs on nodes that are to be emptied.
    fn leave(&mut self) {
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
    fn return_home(&mut self) {
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
    fn slots_on(&self, node: &crate::ids::NodeId) -> impl Iterator<Item = Slot> {
        let from = Member::new(node.clone(), Incarnation::from_u128(0));
        let members = self.index.members.range(from..).take_while(move |(member, _)| member.node == *node);
        members
            .map(|(_, key)| &self.index.owners[*key])
            .filter(|owner| !owner.dead)
            .flat_map(|owner| owner.jobs.clone())
    }
}
