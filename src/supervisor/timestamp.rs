use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A moment, as the time since curfew started.
///
/// The core never reads a clock: every call is told what time it is. Built from `CLOCK_MONOTONIC`, so that a step
/// of the wall clock moves no deadline. It stands still while the machine is suspended, as systemd's timers do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(Duration);

impl Timestamp {
    /// The start of curfew.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The moment `since_start` after curfew started.
    pub const fn new(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// The time since curfew started.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this moment; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `duration` before this one, at the earliest the start.
    pub const fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates: a wait of centuries is a wait for ever, never a panic.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}.{:03}s", self.0.as_secs(), self.0.subsec_millis())
    }
}
