//! Starting again what ended.

use std::time::Duration;

use super::super::service::{Next, Phase, State};
use super::super::timers::Timer;
use super::super::{Failure, Kind, Limit, Notice, Restart, RestartWhen, ServiceId, Timestamp, defaults};
use super::Supervisor;

/// Whether a service that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// It will be.
    Restart,
    /// Its settings do not ask for it.
    Stay,
    /// It was, too often.
    Exhausted,
}

impl Supervisor {
    /// Decides whether a service that ended unasked, or is to be stopped since it failed, is started again.
    pub(super) fn plan_restart(&mut self, id: ServiceId, has_failed: bool, now: Timestamp) -> Plan {
        let settings = &self.settings.services[id.index()];
        let Restart { when, delay, delay_max, limit, within } = settings.restart;
        let is_task = settings.kind == Kind::Task;
        let applies = match when {
            RestartWhen::Never => false,
            RestartWhen::OnFailure => has_failed,
            // A task that is done is done.
            RestartWhen::Always => has_failed || !is_task,
        };
        let service = &mut self.services[id.index()];
        if self.stop.is_some() || service.is_unwanted || !applies {
            return Plan::Stay;
        }
        if service.forked.is_some_and(|forked| now.since(forked) >= defaults::STABLE_AFTER) {
            service.restarts_in_a_row = 0;
        }
        while !is_task && service.restarts.front().is_some_and(|first| now.since(*first) >= within) {
            service.restarts.pop_front();
        }
        let attempt = service.restarts.len() as u32 + 1;
        if attempt > limit {
            self.tell(Notice::RestartLimit { service: id, limit, within });
            return Plan::Exhausted;
        }
        service.restarts.push_back(now);
        service.restart_count += 1;
        let doublings = service.restarts_in_a_row.min(30);
        service.restarts_in_a_row = service.restarts_in_a_row.saturating_add(1);
        let full = delay.saturating_mul(1 << doublings).min(delay_max);
        let delay = self.jittered(full);
        self.services[id.index()].next = Next::Restart(delay);
        self.tell(Notice::RestartPlanned { service: id, delay, attempt, limit });
        Plan::Restart
    }

    /// What KILL does not end at once may be only slow, and is started again when it is gone; but nobody waits for ever.
    pub(super) fn bound_wait_for_restart(&mut self, id: ServiceId, now: Timestamp) {
        let service = &self.services[id.index()];
        if service.state == State::Stopping(Phase::Lingering) && service.next != Next::Down {
            self.timers.set(Timer::Wait(id), now + defaults::KILL_WAIT_WITHOUT_DEADLINE);
        }
    }

    /// What was to be started again is not gone, and never may be.
    pub(super) fn abandon_restart(&mut self, id: ServiceId, now: Timestamp) {
        self.services[id.index()].next = Next::Down;
        let (failure, last_seen) = (Failure::NotGone, None);
        self.note_failure(id, failure);
        let limit = Limit::Time(defaults::KILL_WAIT_WITHOUT_DEADLINE);
        self.tell(Notice::ServiceFailing { service: id, failure, last_seen, limit });
        self.has_consequences(id, failure, now);
        if self.stop.is_none() {
            self.give_up(id, now);
        }
    }

    /// Between 75 % and all of it: what failed together does not come back together.
    fn jittered(&mut self, delay: Duration) -> Duration {
        // Xorshift: good enough to spread, and the same for the same seed.
        let mut state = self.random;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random = state;
        delay - delay / 4 / 1024 * (state % 1024) as u32
    }
}
