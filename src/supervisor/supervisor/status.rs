//! How things are, for whoever asks.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::service::{Next, Phase, Service, State};
use super::super::timers::Timer;
use super::super::{
    Cause, Deadline, Rest, ServiceId, ServiceState, ServiceStatus, StopPhase, StopStatus, SystemPhase,
    SystemStatus, Timestamp,
};
use super::Supervisor;

impl Supervisor {
    /// How everything is now. It changes nothing, and can be asked for at any time.
    pub fn status(&self, now: Timestamp) -> SystemStatus {
        let phase = match &self.stop {
            Some(stop) => {
                let budget = self.settings.deadline.map(Deadline::budget);
                let since = now.since(stop.since);
                let left = budget.map(|budget| budget.saturating_sub(since));
                SystemPhase::Stopping(StopStatus {
                    cause: stop.cause,
                    since,
                    level: stop.level,
                    budget,
                    left,
                })
            }
            None if self.is_ready => SystemPhase::Running,
            None => SystemPhase::Starting,
        };
        let all = (0..self.services.len()).map(ServiceId::new);
        let shown = all.filter(|id| {
            let service = &self.services[id.index()];
            (self.is_real(*id) && (!service.is_retired || service.state != State::Down))
                || service.leader.is_some()
                || !service.strays.is_empty()
        });
        let services = shown.map(|id| self.service_status(id, now)).collect();
        SystemStatus { phase, uptime: now.since_start(), services }
    }

    /// The services of the configuration that holds.
    pub fn services(&self) -> impl Iterator<Item = ServiceId> {
        let all = (0..self.settings.services.len()).map(ServiceId::new);
        all.filter(|id| !self.services[id.index()].is_retired)
    }

    /// Whether the stop of the system has begun.
    pub const fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Why it began.
    pub fn cause_of_stop(&self) -> Option<Cause> {
        self.stop.as_ref().map(|stop| stop.cause)
    }

    /// How one service is now.
    pub fn service_status(&self, id: ServiceId, now: Timestamp) -> ServiceStatus {
        let (service, settings) = (&self.services[id.index()], self.settings_of(id));
        let left = self.timers.get(Timer::Wait(id)).map(|at| at.since(now));
        let since = match service.leader {
            Some(leader) => Some(now.since(leader.forked)),
            None => service.last_end.map(|(_, at)| now.since(at)),
        };
        let is_up = service.state == State::Up;
        // One that is held is dead, which is not told yet.
        let leader = service.leader.filter(|_| service.state != State::Held);
        ServiceStatus {
            id,
            kind: settings.kind,
            is_essential: self.is_real(id) && settings.essential,
            state: self.state_of(id, left),
            is_unwanted: service.is_unwanted,
            step: service.step,
            pid: leader.map(|leader| leader.pid),
            since,
            ready_for: service.ready.filter(|_| is_up).map(|ready| now.since(ready)),
            restarts: service.restart_count,
            text: (!service.status.is_empty()).then(|| service.status.clone()),
            last_end: service.last_end.map(|(end, _)| end),
            last_failure: service.last_failure,
            failed_probes: service.failed_probes,
            probe_saw: service.last_seen.clone(),
            strays: service.strays.len(),
            awaits: self.whom_it_awaits(id),
        }
    }

    fn state_of(&self, id: ServiceId, left: Option<Duration>) -> ServiceState {
        let service = &self.services[id.index()];
        match service.state {
            State::Waiting => ServiceState::Waiting,
            State::Preparing => ServiceState::Preparing,
            State::Starting => ServiceState::Starting,
            State::Unready => ServiceState::Unready,
            State::Up => ServiceState::Up,
            State::Held | State::Ended => ServiceState::Ended,
            State::Stopping(phase) => ServiceState::Stopping {
                phase: self.phase_of(id, phase),
                left,
                restarts: service.next != Next::Down && !service.is_unwanted && self.stop.is_none(),
            },
            State::BackOff => ServiceState::BackOff { left: left.unwrap_or_default() },
            State::Down => ServiceState::Down(rest(service)),
        }
    }

    fn phase_of(&self, id: ServiceId, phase: Phase) -> StopPhase {
        match phase {
            Phase::PreStop => StopPhase::PreStop,
            Phase::Drain => StopPhase::Drain,
            Phase::Stage(stage) => StopPhase::Stage {
                stage: stage + 1,
                of: self.settings_of(id).grace.stages().len() + 1,
                signal: self.services[id.index()].stage_signal,
            },
            Phase::Killed => StopPhase::Killed,
            Phase::Lingering => StopPhase::Lingering,
            Phase::PostStop if id == self.settings.cleanup_id() => StopPhase::Cleanup,
            Phase::PostStop => StopPhase::PostStop,
        }
    }

    /// Who keeps it from starting, or from beginning to stop.
    fn whom_it_awaits(&self, id: ServiceId) -> Vec<ServiceId> {
        let (service, order) = (&self.services[id.index()], &self.settings.order);
        let runs = service.runs() && self.is_real(id);
        let is_unreached = |other: &ServiceId| !self.services[other.index()].reached;
        let is_in_the_way = |other: &ServiceId| {
            let other = &self.services[other.index()];
            !matches!(other.state, State::Down | State::Waiting) && !other.is_given_up()
        };
        if service.state == State::Waiting {
            order.dependencies(id).iter().copied().filter(is_unreached).collect()
        } else if self.stop.is_some() && runs {
            self.unsettled_after(id)
        } else if service.is_unwanted && runs {
            order.dependents(id).iter().copied().filter(is_in_the_way).collect()
        } else {
            Vec::new()
        }
    }

    /// In a stop of the system: what has to be down before this. What is down already may stand for what comes after it.
    fn unsettled_after(&self, id: ServiceId) -> Vec<ServiceId> {
        let (mut found, mut seen, mut ahead) = (Vec::new(), BTreeSet::new(), vec![id]);
        while let Some(id) = ahead.pop() {
            for other in self.settings.order.dependents(id) {
                let service = &self.services[other.index()];
                if service.settled || !seen.insert(*other) {
                    continue;
                }
                if service.state == State::Down { ahead.push(*other) } else { found.push(*other) }
            }
        }
        found.sort_unstable();
        found
    }
}

fn rest(service: &Service) -> Rest {
    if service.is_done {
        Rest::Done
    } else if service.is_failed && !service.is_unwanted {
        Rest::Failed
    } else if service.outcome.has_run {
        Rest::Stopped
    } else {
        Rest::NeverRan
    }
}
