//! Whether services are ready, and well.

use std::time::Duration;

use super::super::service::{Phase, State};
use super::super::timers::Timer;
use super::super::{
    Command, Failure, Health, Kind, Limit, Mode, Notice, Purpose, ReadyBy, ServiceId, ServiceMessage, Step,
    Timestamp, defaults,
};
use super::Supervisor;

impl Supervisor {
    pub(super) fn become_ready(&mut self, id: ServiceId, now: Timestamp) {
        let (kind, health) = (self.kind(id), self.settings_of(id).health);
        let service = &mut self.services[id.index()];
        let Some(leader) = service.leader else { return };
        service.state = State::Up;
        service.ready = Some(now);
        (service.failed_probes, service.last_seen) = (0, None);
        self.forget_probe(id);
        if kind == Kind::Service {
            self.timers.clear(Timer::Start(id));
        }
        self.tell(Notice::ServiceReady { service: id, pid: leader.pid, after: now.since(leader.forked) });
        if let Some(health) = health {
            self.timers.set(Timer::Probe(id), now + health.every);
        }
        self.hear_sign_of_life(id, now);
        // One command is ready at its exec, whether it is to end or not.
        if kind == Kind::Service || self.settings.mode == Mode::OneCommand {
            self.reach(id, now);
        }
    }

    /// Begins a probe.
    pub(super) fn probe(&mut self, id: ServiceId, purpose: Purpose, now: Timestamp) {
        let time = match (purpose, self.settings_of(id).health) {
            (Purpose::Health, Some(health)) => health.timeout,
            (Purpose::Ready, _) | (Purpose::Health, None) => defaults::PROBE_TIMEOUT,
        };
        self.services[id.index()].is_probed = true;
        self.timers.set(Timer::ProbeTimeout(id), now + time);
        self.commands.push_back(Command::Probe { service: id, purpose });
    }

    /// What the state of a service calls for.
    fn purpose_of_probe(&self, id: ServiceId) -> Option<Purpose> {
        let settings = self.settings_of(id);
        match self.services[id.index()].state {
            State::Unready if settings.ready.by == ReadyBy::Probe => Some(Purpose::Ready),
            State::Up if settings.health.is_some() => Some(Purpose::Health),
            _ => None,
        }
    }

    pub(super) fn on_probe_due(&mut self, id: ServiceId, now: Timestamp) {
        if let Some(purpose) = self.purpose_of_probe(id) {
            self.probe(id, purpose, now);
        }
    }

    pub(super) fn on_probe_timeout(&mut self, id: ServiceId, now: Timestamp) {
        let Some(purpose) = self.purpose_of_probe(id) else { return };
        self.forget_probe(id);
        self.conclude_probe(id, purpose, Err("no answer in time".to_owned()), now);
    }

    pub(super) fn on_probed(
        &mut self,
        id: ServiceId,
        purpose: Purpose,
        result: Result<(), String>,
        now: Timestamp,
    ) {
        let is_awaited = std::mem::take(&mut self.services[id.index()].is_probed);
        if is_awaited && self.purpose_of_probe(id) == Some(purpose) {
            self.timers.clear(Timer::ProbeTimeout(id));
            self.conclude_probe(id, purpose, result, now);
        }
    }

    fn conclude_probe(
        &mut self,
        id: ServiceId,
        purpose: Purpose,
        result: Result<(), String>,
        now: Timestamp,
    ) {
        let settings = self.settings_of(id);
        let (ready, health) = (settings.ready, settings.health.unwrap_or_default());
        match (purpose, result) {
            (Purpose::Ready, Ok(())) => self.become_ready(id, now),
            (Purpose::Ready, Err(reason)) => {
                self.note_failed_probe(id, purpose, reason);
                self.timers.set(Timer::Probe(id), now + ready.every);
            }
            (Purpose::Health, Ok(())) => {
                let service = &mut self.services[id.index()];
                service.last_seen = None;
                let failures = std::mem::take(&mut service.failed_probes);
                if failures > 0 {
                    self.tell(Notice::ProbeRecovered { service: id, failures });
                }
                self.timers.set(Timer::Probe(id), now + health.every);
            }
            (Purpose::Health, Err(reason)) => {
                let is_young = self.is_young(id, health, now);
                self.note_failed_probe(id, purpose, reason);
                let service = &mut self.services[id.index()];
                if is_young {
                    service.failed_probes = 0;
                }
                if service.failed_probes >= health.failures.max(1) {
                    let limit = Limit::Probes(service.failed_probes);
                    self.fail_while_running(id, Failure::Unhealthy, limit, now);
                } else {
                    self.timers.set(Timer::Probe(id), now + health.every);
                }
            }
        }
    }

    fn is_young(&self, id: ServiceId, health: Health, now: Timestamp) -> bool {
        self.services[id.index()].ready.is_some_and(|ready| now < ready + health.start_period)
    }

    fn note_failed_probe(&mut self, id: ServiceId, purpose: Purpose, reason: String) {
        let service = &mut self.services[id.index()];
        service.failed_probes = service.failed_probes.saturating_add(1);
        let failures = service.failed_probes;
        // The same again and again is said once.
        if service.last_seen.as_ref() != Some(&reason) || purpose == Purpose::Health {
            self.tell(Notice::ProbeFailed { service: id, purpose, failures, reason: reason.clone() });
        }
        self.services[id.index()].last_seen = Some(reason);
    }

    /// A service had to be ready by now, a task or what runs before a start done.
    pub(super) fn on_start_timeout(&mut self, id: ServiceId, now: Timestamp) {
        let settings = self.settings_of(id);
        let had = self.services[id.index()].forked.map(|forked| now.since(forked)).unwrap_or_default();
        let time = match (self.services[id.index()].step, settings.kind) {
            // A reload may have removed it while it ran.
            (Step::PreStart, _) => settings.hooks.pre_start.unwrap_or(had),
            (_, Kind::Task) => settings.task_timeout.unwrap_or_default(),
            (_, Kind::Service) => settings.ready.timeout,
        };
        let failure = match (self.services[id.index()].state, settings.kind) {
            (State::Preparing, _) => Failure::TimedOut,
            (State::Starting | State::Unready, Kind::Service) => Failure::NotReady,
            (State::Starting | State::Up, Kind::Task) => Failure::TimedOut,
            _ => return,
        };
        let limit = match failure {
            Failure::NotReady if self.services[id.index()].is_never_ready => Limit::Closed,
            _ => Limit::Time(time),
        };
        self.fail_while_running(id, failure, limit, now);
    }

    pub(super) fn on_watchdog(&mut self, id: ServiceId, now: Timestamp) {
        let service = &self.services[id.index()];
        if let (State::Up, Some(time)) = (service.state, service.watchdog) {
            self.fail_while_running(id, Failure::Watchdog, Limit::Time(time), now);
        }
    }

    fn hear_sign_of_life(&mut self, id: ServiceId, now: Timestamp) {
        let service = &self.services[id.index()];
        if let (State::Up, Some(time), None) = (service.state, service.watchdog, &self.stop) {
            self.timers.set(Timer::Watchdog(id), now + time);
        }
    }

    /// A service has failed, but lives: it is stopped, and then what its settings say.
    fn fail_while_running(&mut self, id: ServiceId, failure: Failure, limit: Limit, now: Timestamp) {
        let service = &mut self.services[id.index()];
        service.has_failed = true;
        let last_seen = service.last_seen.clone();
        self.tell(Notice::ServiceFailing { service: id, failure, last_seen, limit });
        self.failed(id, failure, now);
        // A system stop that this caused takes it in its turn.
        if self.stop.is_none() {
            self.begin_stop(id, now);
        }
    }

    /// It is stopped, or has ended: nothing of it is watched any more.
    pub(super) fn stop_watching(&mut self, id: ServiceId) {
        for timer in [Timer::Start(id), Timer::Watchdog(id)] {
            self.timers.clear(timer);
        }
        self.forget_probe(id);
    }

    pub(super) fn forget_probe(&mut self, id: ServiceId) {
        self.timers.clear(Timer::Probe(id));
        self.timers.clear(Timer::ProbeTimeout(id));
        if std::mem::take(&mut self.services[id.index()].is_probed) {
            self.commands.push_back(Command::AbandonProbe { service: id });
        }
    }

    pub(super) fn on_notified(&mut self, id: ServiceId, message: ServiceMessage, now: Timestamp) {
        let service = &mut self.services[id.index()];
        if service.leader.is_none() || service.step != Step::Main {
            return;
        }
        match message {
            ServiceMessage::Ready => {
                let is_awaited = self.kind(id) == Kind::Service
                    && matches!(self.settings_of(id).ready.by, ReadyBy::Notify | ReadyBy::Descriptor);
                let service = &mut self.services[id.index()];
                let is_unready = matches!(service.state, State::Starting | State::Unready);
                if std::mem::take(&mut service.is_reloading) {
                    self.tell(Notice::Reloading { service: id, done: true });
                }
                // Its word may come in before the news of its exec. In a stop nobody waits for it any more.
                if self.stop.is_none() && is_awaited && is_unready {
                    self.become_ready(id, now);
                }
            }
            ServiceMessage::NeverReady => self.on_never_ready(id, now),
            ServiceMessage::Reloading => {
                service.is_reloading = true;
                self.tell(Notice::Reloading { service: id, done: false });
            }
            ServiceMessage::Stopping => self.tell(Notice::StopsByItself { service: id }),
            ServiceMessage::Status(text) => {
                service.status.clone_from(&text);
                self.tell(Notice::StatusSaid { service: id, text });
            }
            ServiceMessage::Alive => self.hear_sign_of_life(id, now),
            ServiceMessage::Trouble => {
                if service.state == State::Up && service.watchdog.is_some() && self.stop.is_none() {
                    self.fail_while_running(id, Failure::Watchdog, Limit::None, now);
                }
            }
            // Only who is watched may say how.
            ServiceMessage::WatchdogEvery(time) => {
                if self.settings_of(id).watchdog.is_some() {
                    self.services[id.index()].watchdog = time;
                    self.timers.clear(Timer::Watchdog(id));
                    self.hear_sign_of_life(id, now);
                }
            }
            ServiceMessage::Extend(time) => self.extend(id, time, now),
        }
    }

    /// A service closed its descriptor without a word. Who ends closes it as well, a moment before that is known: then it is
    /// its end that counts.
    fn on_never_ready(&mut self, id: ServiceId, now: Timestamp) {
        let is_awaited =
            self.kind(id) == Kind::Service && self.settings_of(id).ready.by == ReadyBy::Descriptor;
        let service = &mut self.services[id.index()];
        let is_unready = matches!(service.state, State::Starting | State::Unready);
        if self.stop.is_none() && is_awaited && is_unready && !service.is_never_ready {
            service.is_never_ready = true;
            let at = now + defaults::HELD_DEATH;
            let due = self.timers.get(Timer::Start(id));
            self.timers.set(Timer::Start(id), due.map_or(at, |due| due.min(at)));
        }
    }

    /// A service needs more time for what it does now: it gets what nobody else needs.
    fn extend(&mut self, id: ServiceId, asked: Duration, now: Timestamp) {
        let service = &self.services[id.index()];
        let timer = match service.state {
            // It cannot become ready in any time.
            State::Starting | State::Unready if service.is_never_ready => return,
            State::Starting | State::Unready => Timer::Start(id),
            State::Up if self.kind(id) == Kind::Task => Timer::Start(id),
            State::Stopping(Phase::PreStop | Phase::Drain | Phase::Stage(_)) => Timer::Wait(id),
            _ => return,
        };
        // Without a limit there is nothing to extend.
        let Some(at) = self.timers.get(timer) else { return };
        let latest = match (timer, service.share.ends) {
            (Timer::Wait(_), Some(ends)) => ends,
            _ => now + asked,
        };
        let until = (now + asked).min(latest).max(at);
        if until > at {
            self.timers.set(timer, until);
            self.services[id.index()].is_extended |= matches!(timer, Timer::Wait(_));
            self.tell(Notice::WaitExtended { service: id, asked, granted: until.since(now) });
        }
    }
}
