//! What the platform above is told.

use std::time::Duration;

use super::super::budget::Path;
use super::super::timers::Timer;
use super::super::{
    Command, Deadline, DeadlineBasis, Notice, PlatformMessage, Timestamp, UseOfExtension, defaults,
};
use super::Supervisor;

impl Supervisor {
    pub(super) fn tell_platform(&mut self, message: PlatformMessage) {
        self.commands.push_back(Command::TellPlatform(message));
    }

    pub(super) fn on_ping_due(&mut self, now: Timestamp) {
        self.tell_platform(PlatformMessage::Ping);
        self.expect_ping(now);
    }

    /// The next ping is due at half the interval.
    pub(super) fn expect_ping(&mut self, now: Timestamp) {
        let interval = self.settings.platform_watchdog.unwrap_or_default();
        if !interval.is_zero() {
            self.timers.set(Timer::Ping, now + interval / 2);
        }
    }

    /// Asks for more time, as long as there is progress to be made and the most is not reached.
    pub(super) fn ask_for_time(&mut self, now: Timestamp) {
        let Some(most) = self.longest_extension() else { return };
        let timeout = self.plain_deadline.map(|deadline| deadline.deadline);
        let (since, time) = match &self.stop {
            Some(stop) => (stop.since, timeout.unwrap_or(defaults::EXTEND_BY)),
            None => (Timestamp::ZERO, defaults::EXTEND_BY),
        };
        let rest = most.saturating_sub(now.since(since));
        if !rest.is_zero() {
            self.tell_platform(PlatformMessage::Extend(time.min(rest)));
        }
        // What reaches the most is the last.
        if time < rest {
            self.timers.set(Timer::Extend, now + time / 3);
        } else {
            self.timers.clear(Timer::Extend);
        }
    }

    /// Says so if the assumed deadline will stay what it is although more time is asked for.
    pub(super) fn check_use_of_extension(&mut self) {
        if self.longest_extension().is_some() && self.is_deadline_assumed() {
            let (use_of_it, deadline) = (UseOfExtension::DeadlineAssumed, self.settings.deadline);
            self.tell(Notice::Extension { use_of_it, deadline });
        }
    }

    /// The most that a platform which hears us is asked for.
    fn longest_extension(&self) -> Option<Duration> {
        self.settings.extend.filter(|_| self.is_heard)
    }

    /// The deadline of a stop that needs this long from now on: a longer one, if there is somebody to grant it.
    pub(super) fn extended_deadline(&self, longest: Path, now: Timestamp) -> Option<Deadline> {
        let deadline = self.settings.deadline?;
        let Some(most) = self.most_granted() else { return Some(deadline) };
        let reserves = defaults::KILL_RESERVE_MAX.saturating_mul(longest.levels);
        let needed = match longest.is_open() {
            true => most,
            false => longest.bounded().saturating_add(reserves).saturating_add(defaults::REPORT_RESERVE_MAX),
        };
        let gone = self.stop.as_ref().map_or(Duration::ZERO, |stop| now.since(stop.since));
        let needed = needed.saturating_add(gone).saturating_add(deadline.margin);
        let needed = needed.min(most).max(deadline.deadline);
        Some(Deadline { deadline: needed, ..deadline })
    }

    /// The deadline that the stop could have been given at most.
    pub(super) fn furthest_deadline(&self) -> Option<Deadline> {
        let deadline = self.settings.deadline?;
        let most = self.most_granted().unwrap_or_default().max(deadline.deadline);
        Some(Deadline { deadline: most, ..deadline })
    }

    /// How long after the first cause of a stop the platform may be made to wait. `None`: it waits as long as it does.
    fn most_granted(&self) -> Option<Duration> {
        // Whoever a deadline is only assumed of, it is not who is asked.
        self.longest_extension().filter(|_| !self.is_deadline_assumed())
    }

    fn is_deadline_assumed(&self) -> bool {
        self.settings.deadline_basis == DeadlineBasis::Assumed && self.learnt.is_none()
    }
}
