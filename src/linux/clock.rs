//! The one place that reads clocks.

use std::time::{Instant, SystemTime};

use crate::supervisor::Timestamp;

/// The clock of a run: `CLOCK_MONOTONIC`, counted from the start of curfew.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that begins now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time since the start.
    pub fn now(&self) -> Timestamp {
        Timestamp::new(self.start.elapsed())
    }
}

/// The time of day, for what people read. No deadline depends on it.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn time_of_day() -> SystemTime {
    SystemTime::now()
}
