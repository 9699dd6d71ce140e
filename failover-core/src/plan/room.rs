//! How much the places can still take, and the first that can take so much.

use super::place::Place;
use super::strategy::share_score;
use crate::capacity::Capacity;

/// The greatest value of each half, quarter and so on of a row, so that the first that is great enough is found in a few steps.
#[derive(Debug, Clone)]
struct Tree {
    /// The row begins here; before it are the greatest of each two below them, the greatest of all at 1.
    leaves: usize,
    values: Vec<i64>,
}

impl Tree {
    fn new(row: impl ExactSizeIterator<Item = i64>) -> Self {
        let leaves = row.len().next_power_of_two();
        let mut values = vec![i64::MIN; leaves * 2];
        for (value, at) in row.zip(leaves..) {
            values[at] = value;
        }
        for at in (1..leaves).rev() {
            values[at] = values[at * 2].max(values[at * 2 + 1]);
        }
        Self { leaves, values }
    }

    fn get(&self, rank: usize) -> i64 {
        self.values[self.leaves + rank]
    }

    fn greatest(&self) -> i64 {
        self.values[1]
    }

    fn set(&mut self, rank: usize, value: i64) {
        let mut at = self.leaves + rank;
        self.values[at] = value;
        while at > 1 {
            at /= 2;
            let greatest = self.values[at * 2].max(self.values[at * 2 + 1]);
            if self.values[at] == greatest {
                break;
            }
            self.values[at] = greatest;
        }
    }

    /// The first from `from` on that is at least this.
    fn first(&self, from: usize, least: i64) -> Option<usize> {
        if from >= self.leaves {
            return None;
        }
        let mut at = self.leaves + from;
        while self.values[at] < least {
            // Up until there is something to the right, then there.
            while at % 2 == 1 {
                at /= 2;
            }
            if at == 0 {
                return None;
            }
            at += 1;
        }
        while at < self.leaves {
            at *= 2;
            if self.values[at] < least {
                at += 1;
            }
        }
        Some(at - self.leaves)
    }
}

#[derive(Debug, Clone)]
struct Seats {
    open: bool,
    capacity: Capacity,
    jobs: u32,
    weight: u64,
}

impl Seats {
    /// The heaviest job it can still take; less than nothing heavier than zero if none.
    fn free(&self) -> i64 {
        if !self.open || self.jobs >= self.capacity.jobs {
            return 0;
        }
        i64::try_from(u64::from(self.capacity.weight).saturating_sub(self.weight)).unwrap_or(i64::MAX)
    }

    fn used(&self) -> Capacity {
        Capacity { jobs: self.jobs, weight: u32::try_from(self.weight).unwrap_or(u32::MAX) }
    }

    /// Greater is better.
    fn ease(&self) -> i64 {
        if self.free() == 0 { i64::MIN } else { -share_score(self.used(), self.capacity) }
    }
}

/// What each place holds and can still take, by rank.
#[derive(Debug, Clone)]
pub(super) struct Room {
    seats: Vec<Seats>,
    free: Tree,
    /// Kept only where jobs are spread.
    ease: Option<Tree>,
}

impl Room {
    /// Of these places; `used` tells how many jobs of how much weight each has.
    pub(super) fn new(places: &[Place], spread: bool, used: impl Fn(usize) -> (u32, u64)) -> Self {
        let seats = |(rank, place): (usize, &Place)| {
            let (jobs, weight) = used(rank);
            Seats { open: place.closed().is_none(), capacity: place.capacity, jobs, weight }
        };
        let seats: Vec<_> = places.iter().enumerate().map(seats).collect();
        let free = Tree::new(seats.iter().map(Seats::free));
        let ease = spread.then(|| Tree::new(seats.iter().map(Seats::ease)));
        Self { seats, free, ease }
    }

    pub(super) fn take(&mut self, rank: usize, weight: u32) {
        self.take_many(rank, weight, 1);
    }

    pub(super) fn take_many(&mut self, rank: usize, weight: u32, jobs: usize) {
        let seats = &mut self.seats[rank];
        let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
        (seats.jobs, seats.weight) = (seats.jobs + jobs, seats.weight + u64::from(weight) * u64::from(jobs));
        self.refresh(rank);
    }

    /// How many jobs of this weight fit.
    pub(super) fn times(&self, rank: usize, weight: u32) -> usize {
        let seats = &self.seats[rank];
        let by_weight = u64::try_from(seats.free()).unwrap_or(0) / u64::from(weight.max(1));
        let by_jobs = seats.capacity.jobs.saturating_sub(seats.jobs);
        usize::try_from(by_weight.min(u64::from(by_jobs))).unwrap_or(usize::MAX)
    }

    pub(super) fn give(&mut self, rank: usize, weight: u32) {
        let seats = &mut self.seats[rank];
        (seats.jobs, seats.weight) = (seats.jobs - 1, seats.weight - u64::from(weight));
        self.refresh(rank);
    }

    fn refresh(&mut self, rank: usize) {
        let seats = &self.seats[rank];
        self.free.set(rank, seats.free());
        if let Some(ease) = &mut self.ease {
            ease.set(rank, seats.ease());
        }
    }

    /// Whether a place is open and has room for a job of this weight.
    pub(super) fn fits(&self, rank: usize, weight: u32) -> bool {
        self.free.get(rank) >= i64::from(weight)
    }

    /// Whether any has.
    pub(super) fn fits_any(&self, weight: u32) -> bool {
        self.free.greatest() >= i64::from(weight)
    }

    /// The first from `from` on that has.
    pub(super) fn first(&self, from: usize, weight: u32) -> Option<usize> {
        self.free.first(from, i64::from(weight))
    }

    /// The least loaded of all, the first of several, if jobs are spread.
    pub(super) fn easiest(&self) -> Option<usize> {
        let ease = self.ease.as_ref()?;
        if ease.greatest() == i64::MIN {
            return None;
        }
        ease.first(0, ease.greatest())
    }

    /// What is taken of a place.
    pub(super) fn used(&self, rank: usize) -> Capacity {
        self.seats[rank].used()
    }

    pub(super) fn capacity(&self, rank: usize) -> Capacity {
        self.seats[rank].capacity
    }
}
