//! How much a node can run: [`Capacity`].

use serde::{Deserialize, Serialize};

use crate::error::Invalid;

/// How much a node can run at a time: so many jobs, of so much weight in sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capacity {
    /// At most so many jobs.
    pub jobs: u32,
    /// At most so much weight.
    pub weight: u32,
}

impl Capacity {
    /// No jobs at all: a node that has nothing to run them with.
    pub const NONE: Self = Self { jobs: 0, weight: 0 };

    /// So many jobs of weight 1.
    ///
    /// # Errors
    /// [`Invalid`] unless it is 1 to 100 000.
    pub fn of(jobs: u32) -> Result<Self, Invalid> {
        Ok(Self { jobs: check(jobs)?, weight: jobs })
    }

    /// Sets the summed weight it can run, where that is another number than that of the jobs.
    ///
    /// # Errors
    /// [`Invalid`] unless it is 1 to 100 000.
    pub fn with_weight(self, weight: u32) -> Result<Self, Invalid> {
        Ok(Self { weight: check(weight)?, ..self })
    }
}

fn check(capacity: u32) -> Result<u32, Invalid> {
    if (1..=100_000).contains(&capacity) {
        return Ok(capacity);
    }
    Err(Invalid::new("capacity", capacity, "it must be 1 to 100000; to keep jobs away from a node, cordon it"))
}

impl Default for Capacity {
    /// 50 jobs of weight 1.
    fn default() -> Self {
        Self { jobs: 50, weight: 50 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_is_1_to_100000() {
        assert_eq!(Capacity::of(50), Ok(Capacity::default()));
        assert_eq!(Capacity::of(3).unwrap().with_weight(100_000).unwrap(), Capacity { jobs: 3, weight: 100_000 });
        for bad in [0, 100_001] {
            assert!(Capacity::of(bad).unwrap_err().to_string().contains("1 to 100000"));
            assert!(Capacity::default().with_weight(bad).is_err());
        }
    }
}
