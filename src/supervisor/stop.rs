use std::time::Duration;

use super::budget::Budget;
use super::{Cause, Level, Sender, Signal, Timestamp, defaults};

/// The stop of the whole system, from its first cause.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) cause: Cause,
    pub(crate) since: Timestamp,
    /// `None`: no deadline.
    pub(crate) budget: Option<Budget>,
    pub(crate) level: Level,
    /// What a stage sends that passes on the signal received.
    pub(crate) received: Signal,
    /// How many services are not settled.
    pub(crate) unsettled: usize,
    /// The time is up: the next census is the last look.
    pub(crate) time_is_up: bool,
    /// Then somebody was there who had not been sent KILL, or only just before.
    pub(crate) killed_late: bool,
    /// What was killed late was waited for.
    pub(crate) swept: bool,
    /// When the last stop signal came that counted.
    last_counted: Option<Timestamp>,
    /// The last stop signal that changed nothing, and when it came.
    last_without_effect: Option<(Signal, Timestamp)>,
    last_quit: Option<Timestamp>,
}

/// What a further stop signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It came right behind another: one request.
    Duplicate,
    /// It changes nothing.
    Nothing,
    /// A person wants haste.
    Hasten(Level),
}

impl Stop {
    pub(crate) fn new(cause: Cause, now: Timestamp, budget: Option<Budget>, unsettled: usize) -> Self {
        let mut stop = Self {
            cause,
            since: now,
            budget,
            level: Level::Stop,
            received: Signal::TERM,
            unsettled,
            time_is_up: false,
            killed_late: false,
            swept: false,
            last_counted: None,
            last_without_effect: None,
            last_quit: None,
        };
        if let Cause::Signal { signal, .. } = cause {
            stop.last_counted = Some(now);
            stop.received = signal;
            if signal == Signal::QUIT {
                stop.last_quit = Some(now);
            }
        }
        stop
    }

    /// Judges a stop signal that comes while the stop is under way.
    pub(crate) fn repeat(&mut self, signal: Signal, sender: Sender, now: Timestamp) -> Repeat {
        // The first stop signal behind a stop that had another cause is nobody's second one.
        let Some(last) = self.last_counted else {
            self.last_counted = Some(now);
            self.last_quit = (signal == Signal::QUIT).then_some(now);
            return Repeat::Nothing;
        };
        // A duplicate does not count: a stream of signals must not put off the second one for ever.
        let is_close = |at: Timestamp| now.since(at) < defaults::DUPLICATE_SIGNAL_WINDOW;
        let is_sent_twice = |(of, at): (Signal, Timestamp)| of == signal && is_close(at);
        if is_close(last) || self.last_without_effect.is_some_and(is_sent_twice) {
            return Repeat::Duplicate;
        }
        let repeat = match signal {
            Signal::INT => Repeat::Hasten(Level::NextStage),
            Signal::QUIT => {
                let again = self.last_quit.is_some_and(|quit| now.since(quit) >= defaults::SECOND_QUIT_AFTER);
                self.last_quit.get_or_insert(now);
                if sender == Sender::Terminal || again {
                    Repeat::Hasten(Level::KillNow)
                } else {
                    Repeat::Nothing
                }
            }
            _ => Repeat::Nothing,
        };
        // What changes nothing, a service manager's TERM, must not swallow a person's INT.
        match repeat {
            Repeat::Nothing => self.last_without_effect = Some((signal, now)),
            Repeat::Hasten(_) | Repeat::Duplicate => self.last_counted = Some(now),
        }
        repeat
    }

    /// The wait after a KILL that comes when the time is up.
    pub(crate) fn sweep(&self) -> Duration {
        self.budget.map_or(defaults::KILL_RESERVE_MAX, |budget| budget.sweep)
    }

    /// The wait after KILL until what waits for a service waits no longer.
    pub(crate) fn reserve(&self) -> Duration {
        self.budget.map_or(defaults::KILL_RESERVE_MAX, |budget| budget.reserve)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Sender = Sender::Process { pid: 1, uid: 0 };

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::new(Duration::from_millis(milliseconds))
    }

    fn stop_by(signal: Signal) -> Stop {
        Stop::new(Cause::Signal { signal, sender: SENDER }, at(0), None, 1)
    }

    #[test]
    fn a_repeat_within_half_a_second_is_a_duplicate_whatever_the_signal() {
        let mut stop = stop_by(Signal::TERM);
        assert_eq!(stop.repeat(Signal::INT, SENDER, at(499)), Repeat::Duplicate);
        // The window is that of the signal that counted.
        assert_eq!(stop.repeat(Signal::INT, SENDER, at(500)), Repeat::Hasten(Level::NextStage));
        assert_eq!(stop.repeat(Signal::INT, SENDER, at(999)), Repeat::Duplicate);
    }

    #[test]
    fn a_later_term_changes_nothing_and_a_later_int_hastens() {
        let mut stop = stop_by(Signal::INT);
        assert_eq!(stop.repeat(Signal::TERM, SENDER, at(2000)), Repeat::Nothing);
        assert_eq!(stop.repeat(Signal::PWR, SENDER, at(3000)), Repeat::Nothing);
        assert_eq!(stop.repeat(Signal::INT, SENDER, at(4000)), Repeat::Hasten(Level::NextStage));
    }

    #[test]
    fn what_changed_nothing_has_duplicates_of_its_own_signal_alone() {
        let mut stop = stop_by(Signal::INT);
        assert_eq!(stop.repeat(Signal::TERM, SENDER, at(2000)), Repeat::Nothing);
        assert_eq!(stop.repeat(Signal::TERM, SENDER, at(2001)), Repeat::Duplicate);
        assert_eq!(stop.repeat(Signal::INT, SENDER, at(2200)), Repeat::Hasten(Level::NextStage));
        assert_eq!(stop.repeat(Signal::INT, SENDER, at(2201)), Repeat::Duplicate);
        assert_eq!(stop.repeat(Signal::TERM, SENDER, at(2400)), Repeat::Duplicate);
    }

    #[test]
    fn quit_from_the_terminal_or_a_second_quit_kills() {
        let mut stop = stop_by(Signal::TERM);
        assert_eq!(stop.repeat(Signal::QUIT, Sender::Terminal, at(600)), Repeat::Hasten(Level::KillNow));
        let mut stop = stop_by(Signal::QUIT);
        assert_eq!(stop.repeat(Signal::QUIT, SENDER, at(999)), Repeat::Nothing);
        assert_eq!(stop.repeat(Signal::QUIT, SENDER, at(1499)), Repeat::Hasten(Level::KillNow));
        let mut stop = stop_by(Signal::TERM);
        assert_eq!(stop.repeat(Signal::QUIT, SENDER, at(600)), Repeat::Nothing);
        assert_eq!(stop.repeat(Signal::QUIT, SENDER, at(1600)), Repeat::Hasten(Level::KillNow));
    }

    #[test]
    fn the_first_stop_signal_behind_another_cause_is_no_second_one() {
        let mut stop = Stop::new(Cause::NothingLeft, at(0), None, 1);
        assert_eq!(stop.repeat(Signal::INT, SENDER, at(3000)), Repeat::Nothing);
        assert_eq!(stop.repeat(Signal::INT, SENDER, at(3100)), Repeat::Duplicate);
        assert_eq!(stop.repeat(Signal::INT, SENDER, at(3500)), Repeat::Hasten(Level::NextStage));
        let mut stop = Stop::new(Cause::NothingLeft, at(0), None, 1);
        assert_eq!(stop.repeat(Signal::QUIT, SENDER, at(3000)), Repeat::Nothing);
        assert_eq!(stop.repeat(Signal::QUIT, SENDER, at(4000)), Repeat::Hasten(Level::KillNow));
    }
}
