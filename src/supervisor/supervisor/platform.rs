//! What the platform above is told.

use std::time::Duration;

use super::super::budget::Path;
use super::super::timers::Timer;
use super::super::{Command, Deadline, PlatformMessage, Timestamp, defaults};
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
        let Some(most) = self.settings.extend else { return };
        let (since, time) = match &self.stop {
            Some(stop) => (stop.since, self.platform_timeout.unwrap_or(defaults::EXTEND_BY)),
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

    /// The deadline of a stop that needs this long: a longer one, if the platform can be asked for it.
    pub(super) fn extended_deadline(&self, longest: Path) -> Option<Deadline> {
        let deadline = self.settings.deadline?;
        let Some(most) = self.settings.extend else { return Some(deadline) };
        let reserves = defaults::KILL_RESERVE_MAX.saturating_mul(longest.levels);
        let needed = match longest.is_open() {
            true => most,
            false => longest.bounded().saturating_add(reserves).saturating_add(defaults::REPORT_RESERVE_MAX),
        };
        let needed = needed.saturating_add(deadline.margin).min(most).max(deadline.deadline);
        Some(Deadline { deadline: needed, ..deadline })
    }

    /// How long the platform waits if nobody asks for more.
    pub(super) fn note_platform_timeout(&mut self) {
        let time: Option<Duration> = self.settings.deadline.map(|deadline| deadline.deadline);
        self.platform_timeout = time;
    }
}
