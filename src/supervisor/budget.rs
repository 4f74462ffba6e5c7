use std::time::Duration;

use super::{Deadline, Timestamp, defaults};

/// The time a system stop may take, from its first cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// When the services must be down: the end of the budget, less the time for the report.
    pub(crate) stop_by: Timestamp,
    /// Kept for each level of the stop order, to kill and reap. Never scaled.
    pub(crate) reserve: Duration,
    /// After `stop_by`: what a last KILL may take if curfew itself came too late. Taken from the report's time.
    pub(crate) sweep: Duration,
}

/// What the services that are still to be stopped may need, one after another: the longest way through the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    /// The sum of its waits; an open one counts for [`defaults::OPEN_WAIT_NOMINAL`].
    length: Duration,
    /// How many waits are open.
    open: u32,
    /// How many services stand in the way, each with its reserve.
    pub(crate) levels: u32,
}

/// What one service gets of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// What every wait of it is multiplied by.
    pub(crate) scale: Scale,
    /// When its last wait must be over, so that what is stopped after it still gets its own. `None`: no deadline.
    pub(crate) ends: Option<Timestamp>,
}

/// A factor between 0 and 1, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    part: Duration,
    whole: Duration,
}

impl Budget {
    /// The budget of a stop that begins now, with so many levels in its order.
    pub(crate) fn new(deadline: Deadline, now: Timestamp, levels: u32) -> Self {
        let budget = deadline.budget();
        let report = defaults::REPORT_RESERVE_MAX.min(deadline.margin / 2).min(budget);
        let reserve = defaults::KILL_RESERVE_MAX.min(budget / (10 * levels.max(1)));
        Self { stop_by: now + (budget - report), reserve, sweep: report / 2 }
    }

    /// The share of a service that begins to stop now: its `own` waits, then those `behind` it.
    ///
    /// By induction everything ends in time: a service takes at most its scaled waits and one reserve, and what
    /// stands behind it then has at least the part of the time that was set aside for it here.
    pub(crate) fn share(&self, now: Timestamp, own: Path, behind: Path) -> Share {
        let remaining = self.stop_by.since(now);
        let reserved = self.reserve.saturating_mul(own.levels + behind.levels);
        let free = remaining.saturating_sub(reserved);
        let path = own.length.saturating_add(behind.length);
        let scale = if path <= free { Scale::FULL } else { Scale { part: free, whole: path } };
        // What the path does not need is shared among the open waits on it.
        let spare = free.saturating_sub(path);
        let spare_behind = match own.open + behind.open {
            0 => Duration::ZERO,
            open => spare / open * behind.open,
        };
        let kept_behind = scale.of(behind.length).saturating_add(spare_behind);
        let ends = now + free.saturating_sub(kept_behind);
        Share { scale, ends: Some(ends) }
    }
}

impl Path {
    /// The way of one service, with waits of which the sum is `bounded`, and perhaps an open one.
    pub(crate) fn of_service(bounded: Duration, is_open: bool) -> Self {
        let open = u32::from(is_open);
        let length = bounded.saturating_add(defaults::OPEN_WAIT_NOMINAL * open);
        Self { length, open, levels: 1 }
    }

    /// So many levels without a wait.
    pub(crate) fn of_levels(levels: u32) -> Self {
        Self { levels, ..Self::default() }
    }

    /// This way, then `next`.
    pub(crate) const fn then(self, next: Self) -> Self {
        Self {
            length: self.length.saturating_add(next.length),
            open: self.open + next.open,
            levels: self.levels + next.levels,
        }
    }

    /// The longer of two ways in every respect: safe, though no single way may be that long.
    pub(crate) fn longest(self, other: Self) -> Self {
        Self {
            length: self.length.max(other.length),
            open: self.open.max(other.open),
            levels: self.levels.max(other.levels),
        }
    }

    /// Whether a wait on it has no end of its own.
    pub(crate) const fn is_open(self) -> bool {
        self.open > 0
    }

    /// The waits that are written down.
    pub(crate) fn bounded(self) -> Duration {
        self.length.saturating_sub(defaults::OPEN_WAIT_NOMINAL * self.open)
    }
}

impl Share {
    /// The share where there is no deadline.
    pub(crate) const UNLIMITED: Self = Self { scale: Scale::FULL, ends: None };

    /// A wait that begins now, cut off where the share ends.
    pub(crate) fn until_end(self, wait: Duration, now: Timestamp) -> Duration {
        match self.ends {
            Some(ends) => wait.min(ends.since(now)),
            None => wait,
        }
    }

    /// The same share for what is still to come, from now on: never past its end.
    pub(crate) fn rescaled(self, now: Timestamp, rest: Path) -> Self {
        let Some(ends) = self.ends else { return self };
        let (left, rest) = (ends.since(now), rest.length);
        let scale = if rest <= left { Scale::FULL } else { Scale { part: left, whole: rest } };
        Self { scale, ends: self.ends }
    }
}

impl Scale {
    /// Nothing is shortened.
    pub const FULL: Self = Self { part: Duration::from_secs(1), whole: Duration::from_secs(1) };

    /// Whether anything is shortened.
    pub fn is_full(self) -> bool {
        self.part == self.whole
    }

    /// The factor in thousandths, rounded down.
    pub fn per_mille(self) -> u32 {
        u32::try_from(self.part.as_nanos() * 1000 / self.whole.as_nanos()).unwrap_or(1000)
    }

    /// The scaled duration, rounded down.
    pub fn of(self, duration: Duration) -> Duration {
        if self.is_full() {
            return duration;
        }
        // A wait of centuries times a part of years still fits 128 bits; the result is below `duration`.
        let nanoseconds = duration.as_nanos().saturating_mul(self.part.as_nanos()) / self.whole.as_nanos();
        let seconds = u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX);
        Duration::new(seconds, (nanoseconds % 1_000_000_000) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn milliseconds(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn deadline(deadline: Duration, margin: Duration) -> Deadline {
        Deadline { deadline, margin }
    }

    fn path(bounded: Duration, open: u32, levels: u32) -> Path {
        Path { length: bounded + defaults::OPEN_WAIT_NOMINAL * open, open, levels }
    }

    #[test]
    fn the_report_and_the_reserve_are_kept_free() {
        let now = Timestamp::new(seconds(100));
        let budget = Budget::new(deadline(seconds(10), seconds(1)), now, 1);
        assert_eq!(budget.stop_by, now + milliseconds(8900));
        assert_eq!(budget.reserve, milliseconds(500));
        let tight = Budget::new(deadline(milliseconds(1500), milliseconds(100)), now, 2);
        assert_eq!(tight.stop_by, now + milliseconds(1350));
        assert_eq!(tight.reserve, milliseconds(70));
        // Without a margin there is no time of its own for the report.
        assert_eq!(Budget::new(deadline(seconds(1), Duration::ZERO), now, 0).stop_by, now + seconds(1));
    }

    #[test]
    fn what_fits_is_not_shortened() {
        let budget = Budget::new(deadline(seconds(20), seconds(1)), Timestamp::ZERO, 2);
        let share = budget.share(Timestamp::ZERO, path(seconds(8), 0, 1), path(seconds(8), 0, 1));
        assert_eq!(share.scale, Scale::FULL);
        // 18.9 s, less two reserves of 0.5 s, less the 8 s of the one behind.
        assert_eq!(share.ends, Some(Timestamp::new(milliseconds(9900))));
    }

    #[test]
    fn what_does_not_fit_is_shortened_in_proportion() {
        let budget = Budget::new(deadline(seconds(10), seconds(1)), Timestamp::ZERO, 2);
        // 8.9 s less two reserves of 0.45 s leaves 8 s for 16 s.
        let share = budget.share(Timestamp::ZERO, path(seconds(12), 0, 1), path(seconds(4), 0, 1));
        assert_eq!(share.scale.per_mille(), 500);
        assert_eq!(share.scale.of(seconds(12)), seconds(6));
        assert_eq!(share.ends, Some(Timestamp::new(seconds(6))));
    }

    #[test]
    fn an_open_wait_gets_what_nobody_else_needs() {
        let budget = Budget::new(deadline(seconds(20), Duration::ZERO), Timestamp::ZERO, 1);
        let alone = budget.share(Timestamp::ZERO, path(Duration::ZERO, 1, 1), Path::default());
        assert_eq!(alone.ends, Some(Timestamp::new(milliseconds(19_500))));
        // 19 s free: 3 s for the one behind, 1 s nominal each, the spare 14 s in halves.
        let shared = budget.share(Timestamp::ZERO, path(Duration::ZERO, 1, 1), path(seconds(3), 1, 1));
        assert_eq!(shared.scale, Scale::FULL);
        assert_eq!(shared.ends, Some(Timestamp::new(seconds(8))));
    }

    #[test]
    fn nothing_is_left_when_time_is_up() {
        let budget = Budget::new(deadline(seconds(10), seconds(1)), Timestamp::ZERO, 1);
        let share = budget.share(Timestamp::new(seconds(60)), path(seconds(8), 0, 1), Path::default());
        assert_eq!(share.scale.of(seconds(8)), Duration::ZERO);
        assert_eq!(share.ends, Some(Timestamp::new(seconds(60))));
    }

    #[test]
    fn a_share_never_grows_past_its_end() {
        let share = Share { scale: Scale::FULL, ends: Some(Timestamp::new(seconds(10))) };
        let rescaled = |bounded, open| share.rescaled(Timestamp::new(seconds(4)), path(bounded, open, 1));
        assert_eq!(rescaled(seconds(6), 0).scale, Scale::FULL);
        assert_eq!(rescaled(seconds(12), 0).scale.per_mille(), 500);
        // An open wait at the end counts as well.
        assert_eq!(rescaled(seconds(11), 1).scale.per_mille(), 500);
        let twelve = path(seconds(12), 0, 1);
        assert_eq!(Share::UNLIMITED.rescaled(Timestamp::ZERO, twelve), Share::UNLIMITED);
    }

    #[test]
    fn paths_add_up_along_the_order_and_take_the_longest_across_it() {
        let first = path(seconds(3), 1, 1);
        let second = path(seconds(5), 0, 2);
        assert_eq!(first.then(second), path(seconds(8), 1, 3));
        assert_eq!(first.longest(second), Path { length: seconds(5), open: 1, levels: 2 });
        assert_eq!(Path::of_service(seconds(3), true), first);
        assert_eq!((first.bounded(), second.bounded()), (seconds(3), seconds(5)));
    }

    #[test]
    fn scaling_stands_absurd_lengths() {
        let scale = Scale { part: seconds(1), whole: Duration::MAX };
        assert!(scale.of(Duration::MAX) <= Duration::MAX);
        assert_eq!(Scale::FULL.of(Duration::MAX), Duration::MAX);
        assert_eq!(scale.per_mille(), 0);
        assert!(!scale.is_full());
    }
}
