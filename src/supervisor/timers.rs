use std::collections::{BTreeMap, BTreeSet};

use super::{ServiceId, Timestamp};

/// Every reason to wake up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A service's current wait is over: of its hold, its drain, a stage, or the wait after KILL. Its state says which.
    Wait(ServiceId),
    /// A stage's wait is nearly over.
    Look(ServiceId),
    /// A service had to be ready by now, or a task done.
    Start(ServiceId),
    /// The next probe of a service is due.
    Probe(ServiceId),
    /// A probe of a service should have come back.
    ProbeTimeout(ServiceId),
    /// A service should have said that it is well.
    Watchdog(ServiceId),
    /// The configuration should have been read.
    Reading,
    /// The platform wants to hear that we are well.
    Ping,
    /// More time must be asked for.
    Extend,
    /// The time for stopping is over.
    BudgetEnd,
}

/// The armed timers: data, no callbacks.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    at: BTreeMap<Timer, Timestamp>,
    order: BTreeSet<(Timestamp, Timer)>,
}

impl Timers {
    /// Arms `timer`, or moves it.
    pub(crate) fn set(&mut self, timer: Timer, at: Timestamp) {
        self.clear(timer);
        self.at.insert(timer, at);
        self.order.insert((at, timer));
    }

    /// Disarms `timer`, if it is armed.
    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.at.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// Disarms every timer.
    pub(crate) fn clear_all(&mut self) {
        self.at.clear();
        self.order.clear();
    }

    /// When `timer` will go off, if it is armed.
    pub(crate) fn get(&self, timer: Timer) -> Option<Timestamp> {
        self.at.get(&timer).copied()
    }

    /// When the first timer will go off.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes the first timer that is due.
    pub(crate) fn take_expired(&mut self, now: Timestamp) -> Option<Timer> {
        let (at, timer) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timers_go_off_in_order_and_once() {
        let at = |seconds| Timestamp::ZERO + Duration::from_secs(seconds);
        let [first, second] = [0, 1].map(|index| Timer::Wait(ServiceId::new(index)));
        let mut timers = Timers::default();
        timers.set(first, at(5));
        timers.set(second, at(3));
        timers.set(Timer::BudgetEnd, at(9));
        timers.set(first, at(2));
        timers.clear(Timer::BudgetEnd);
        assert_eq!((timers.next(), timers.get(second)), (Some(at(2)), Some(at(3))));
        assert_eq!(timers.take_expired(at(1)), None);
        assert_eq!(timers.take_expired(at(3)), Some(first));
        assert_eq!(timers.take_expired(at(3)), Some(second));
        assert_eq!(timers.take_expired(at(99)), None);
        timers.set(first, at(1));
        timers.clear_all();
        assert_eq!((timers.next(), timers.get(first)), (None, None));
    }
}
