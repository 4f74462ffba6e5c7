//! The one place that reads clocks.

use std::time::{Duration, Instant, SystemTime};

use nix::libc;

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

/// `CLOCK_MONOTONIC` as every process of the machine reads it, for messages that carry it to another one.
pub fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is valid for writing. The call cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The time of day, for what people read. No deadline depends on it.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn time_of_day() -> SystemTime {
    SystemTime::now()
}
