use std::path::PathBuf;

use failover::time::{Clock as _, SystemClock, Time};

use crate::Error;

/// Where a story takes place and when it began: what each of its processes is told.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Where its files are.
    pub directory: PathBuf,
    began: Time,
}

impl Scene {
    /// One that begins now.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), began: SystemClock::new().now() }
    }

    /// The same, as one of its processes was told.
    ///
    /// # Errors
    /// If it was told something else.
    pub fn of(directory: &str, began: &str) -> Result<Self, Error> {
        Ok(Self { directory: directory.into(), began: Time::from_nanos(began.parse()?) })
    }

    /// The file that all of them share.
    pub fn file(&self) -> PathBuf {
        self.directory.join("story.db")
    }

    pub(crate) fn words(&self) -> [String; 2] {
        [self.directory.display().to_string(), self.began.as_nanos().to_string()]
    }

    /// Says something, with the time since the beginning: all processes of a machine share its clock.
    pub fn say(&self, text: &str) {
        println!("{:8.3}s  {text}", SystemClock::new().now().since(self.began).as_secs_f64());
    }

    /// Says what comes next.
    pub fn heading(&self, text: &str) {
        println!();
        self.say(&format!("== {text}"));
    }
}
