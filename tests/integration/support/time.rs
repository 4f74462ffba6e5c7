//! The one place of the tests that knows what time it is.

use std::time::{Duration, Instant};

/// A moment of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Instant);

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn now() -> Moment {
    Moment(Instant::now())
}

/// Lets time pass. Each caller says why nothing can be waited for instead.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

impl Moment {
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    pub(crate) fn plus(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}
