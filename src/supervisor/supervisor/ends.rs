//! Ends of leaders, and what follows from them.

use super::super::service::{Leader, Next, Phase, State};
use super::super::timers::Timer;
use super::super::{
    Act, Cause, End, EndMeaning, Failure, HookKind, Kind, Mode, Notice, PlatformMessage, ServiceId, Signal,
    StartFailure, Step, Timestamp, defaults,
};
use super::Supervisor;
use super::restarts::Plan;

impl Supervisor {
    pub(super) fn on_leader_ended(&mut self, id: ServiceId, end: End, now: Timestamp) {
        let service = &mut self.services[id.index()];
        // Told before.
        if service.leader.is_none() || service.state == State::Held {
            return;
        }
        if service.step == Step::PostStop {
            let result = service.step_failure.map_or(Ok(end), Err);
            return self.conclude_post_stop(id, result);
        }
        let unasked = self.stop.is_none() && service.runs() && !service.is_unwanted;
        if service.step == Step::PreStart && unasked {
            return self.conclude_pre_start(id, end, now);
        }
        service.outcome.end = Some(end);
        let failed_to_start = service.outcome.start_failure.is_some();
        if unasked && !failed_to_start && !self.is_success(id, end) && self.answers_stop_signal(id, end) {
            self.services[id.index()].state = State::Held;
            self.stop_watching(id);
            self.timers.set(Timer::Wait(id), now + defaults::HELD_DEATH);
            self.tell(Notice::EndHeld { service: id, hold: defaults::HELD_DEATH });
        } else {
            self.conclude_end(id, end, unasked, now);
        }
    }

    /// Says what the end of a leader means, and draws the consequences.
    pub(super) fn conclude_end(&mut self, id: ServiceId, end: End, unasked: bool, now: Timestamp) {
        let meaning = self.meaning(id, end, unasked);
        self.dismiss_hooks(id);
        self.stop_watching(id);
        self.timers.clear(Timer::Look(id));
        let service = &mut self.services[id.index()];
        let leader = service.leader.take();
        service.last_end = Some((end, now));
        match meaning {
            EndMeaning::Killed => {
                service.outcome.killed = true;
                if self.kind(id) == Kind::Task {
                    self.services[id.index()].outcome.interrupted = Some(end.status());
                }
            }
            EndMeaning::Interrupted => service.outcome.interrupted = Some(end.status()),
            EndMeaning::FailedStopping => service.outcome.failed_stopping = Some((now, end.status())),
            // What ends with success when it is told to may have left its work undone.
            EndMeaning::TaskDone => service.is_done = !matches!(service.state, State::Stopping(_)),
            EndMeaning::Stopped | EndMeaning::Unasked | EndMeaning::Failed(_) => {}
        }
        let service = &mut self.services[id.index()];
        match service.state {
            State::Stopping(Phase::Killed | Phase::Lingering) => {}
            // The census decides how it goes on. A wait that ran out meanwhile must not: what it left behind has heard
            // nothing yet.
            State::Stopping(Phase::PreStop | Phase::Drain | Phase::Stage(_) | Phase::PostStop) => {
                self.timers.clear(Timer::Wait(id));
            }
            State::Waiting
            | State::Preparing
            | State::Starting
            | State::Unready
            | State::Up
            | State::Held
            | State::Ended
            | State::BackOff
            | State::Down => {
                service.state = State::Ended;
                self.timers.clear(Timer::Wait(id));
            }
        }
        // What could not even start has said so already.
        if self.services[id.index()].outcome.start_failure.is_none()
            && let Some(Leader { pid, forked }) = leader
        {
            self.tell(Notice::ServiceEnded { service: id, pid, end, meaning, after: now.since(forked) });
        }
        self.uncounted.insert(id);
        self.ask_census();
        match meaning {
            EndMeaning::Failed(failure) => self.failed(id, failure, now),
            EndMeaning::Unasked
                if leader.is_some_and(|leader| now.since(leader.forked) < defaults::DAEMONISES_WITHIN) =>
            {
                self.services[id.index()].early_end = Some(end);
            }
            EndMeaning::Unasked => self.ended_unasked(id, end, now),
            // One command is the whole system, task or not.
            EndMeaning::TaskDone if unasked && self.settings.mode == Mode::OneCommand => {
                self.request_stop(Cause::ServiceEnded { service: id, end }, now);
            }
            _ => {}
        }
    }

    /// A service ended, unasked, with success.
    pub(super) fn ended_unasked(&mut self, id: ServiceId, end: End, now: Timestamp) {
        match self.plan_restart(id, false, now) {
            Plan::Restart => return,
            Plan::Exhausted => {
                self.note_failure(id, Failure::RestartLimit);
                return self.has_consequences(id, Failure::RestartLimit, now);
            }
            Plan::Stay => {}
        }
        if self.services[id.index()].is_unwanted {
            // It was to end in any case.
        } else if self.settings.services[id.index()].essential {
            self.request_stop(Cause::ServiceEnded { service: id, end }, now);
        } else {
            self.tell_failed_dependency(id);
        }
    }

    pub(super) fn meaning(&self, id: ServiceId, end: End, unasked: bool) -> EndMeaning {
        let service = &self.services[id.index()];
        let is_task = self.kind(id) == Kind::Task;
        let did_its_work = is_task && service.step == Step::Main && !service.has_failed;
        if let Some(failure) = service.outcome.start_failure {
            return if unasked { EndMeaning::Failed(Failure::Start(failure)) } else { EndMeaning::Stopped };
        }
        if self.is_success(id, end) {
            return match (did_its_work, unasked) {
                (true, _) => EndMeaning::TaskDone,
                (false, true) => EndMeaning::Unasked,
                (false, false) => EndMeaning::Stopped,
            };
        }
        if unasked {
            return EndMeaning::Failed(Failure::Ended(end));
        }
        if service.is_killed() && end.answered_signal() == Some(Signal::KILL) {
            EndMeaning::Killed
        } else if self.answers_stop_signal(id, end) {
            if is_task { EndMeaning::Interrupted } else { EndMeaning::Stopped }
        } else {
            EndMeaning::FailedStopping
        }
    }

    /// A service failed, unasked.
    pub(super) fn failed(&mut self, id: ServiceId, failure: Failure, now: Timestamp) {
        self.note_failure(id, failure);
        if self.plan_restart(id, true, now) != Plan::Restart {
            self.has_consequences(id, failure, now);
        }
    }

    /// For whoever asks how it is.
    pub(super) fn note_failure(&mut self, id: ServiceId, failure: Failure) {
        let service = &mut self.services[id.index()];
        (service.last_failure, service.is_failed) = (Some(failure), true);
    }

    /// A service failed for good.
    pub(super) fn has_consequences(&mut self, id: ServiceId, failure: Failure, now: Timestamp) {
        if self.services[id.index()].is_unwanted {
            // It was to end in any case.
        } else if self.settings.services[id.index()].essential {
            if let (Failure::Start(failure), true) = (failure, self.stop.is_none()) {
                self.tell_platform(PlatformMessage::Failed(failure.errno));
            }
            self.request_stop(Cause::ServiceFailed { service: id, failure }, now);
        } else {
            self.tell_failed_dependency(id);
        }
    }

    /// What was never ready, and never will be, counts as reached: what comes after it is started all the same.
    fn tell_failed_dependency(&mut self, id: ServiceId) {
        let dependents = self.settings.order.dependents(id);
        let is_awaited = !self.services[id.index()].reached
            && dependents.iter().any(|dependent| !self.services[dependent.index()].is_retired);
        if self.stop.is_none() && is_awaited {
            self.tell(Notice::DependencyFailed { service: id });
        }
    }

    /// No process of `id` is left: what runs after its end does so now, and then it is down, or starts again.
    pub(super) fn gone(&mut self, id: ServiceId, now: Timestamp) {
        self.uncounted.remove(&id);
        self.close_killed(id);
        let in_haste = self.stop.as_ref().is_some_and(|stop| stop.time_is_up) || self.is_kill_now();
        // The cleanup comes last, even behind what was given up and is gone all the same.
        let cleanup_began = self.services[self.settings.cleanup_id().index()].turn_has_come;
        let post_stop = self.settings_of(id).hooks.post_stop;
        let service = &mut self.services[id.index()];
        let was_cleaned = std::mem::replace(&mut service.is_cleaned, true);
        if post_stop.is_some() && !was_cleaned && !in_haste && !cleanup_began {
            return self.begin_post_stop(id, now);
        }
        self.adopt_when_gone(id);
        let service = &mut self.services[id.index()];
        match service.next {
            Next::Restart(delay) if self.stop.is_none() && !service.is_unwanted => {
                if std::mem::replace(&mut service.state, State::Ended) == State::Stopping(Phase::Lingering) {
                    self.lingering -= 1;
                }
                self.back_off(id, delay, now);
                self.stop_unwanted_dependencies(id, now);
            }
            Next::Restart(_) | Next::Down => self.down(id, now),
        }
    }

    /// Everything else of it is gone: the command after its end runs.
    pub(super) fn begin_post_stop(&mut self, id: ServiceId, now: Timestamp) {
        let service = &mut self.services[id.index()];
        if std::mem::replace(&mut service.state, State::Stopping(Phase::PostStop))
            == State::Stopping(Phase::Lingering)
        {
            self.lingering -= usize::from(id.index() < self.settings.services.len());
        }
        service.is_cleaned = true;
        service.strays_stopping = false;
        service.step_failure = None;
        service.stage_began = now;
        self.timers.clear(Timer::Wait(id));
        self.fit_to_budget(id, now);
        self.launch_step(id, Step::PostStop);
    }

    /// The command after the end has ended itself, or could not be started.
    pub(super) fn conclude_post_stop(&mut self, id: ServiceId, result: Result<End, StartFailure>) {
        let service = &mut self.services[id.index()];
        service.leader = None;
        let dismissed = service.is_killed();
        // What a killed one leaves behind has its reserve, and no more.
        if !dismissed {
            self.timers.clear(Timer::Wait(id));
        }
        self.tell(Notice::HookEnded { service: id, kind: HookKind::PostStop, result, dismissed });
        self.uncounted.insert(id);
        self.ask_census();
    }

    /// No process of `id` is left, and none will come.
    pub(super) fn down(&mut self, id: ServiceId, now: Timestamp) {
        let is_real = self.is_real(id);
        let service = &mut self.services[id.index()];
        let stopped_after = service.stopping_since.map(|since| now.since(since));
        let lingered = service.state == State::Stopping(Phase::Lingering);
        service.state = State::Down;
        let is_unwanted = service.is_unwanted;
        self.timers.clear(Timer::Wait(id));
        self.uncounted.remove(&id);
        if is_real {
            self.active -= 1;
            self.lingering -= usize::from(lingered);
        }
        if stopped_after.is_some() || (self.stop.is_some() && is_real) {
            self.tell(Notice::ServiceDown { service: id, after: stopped_after });
        }
        if self.stop.is_none() {
            if self.services[id.index()].is_retired {
                self.services[id.index()].forget_outcome();
            }
            if !is_unwanted || self.services[id.index()].is_done {
                self.reach(id, now);
            }
            self.stop_unwanted_dependencies(id, now);
            self.check_nothing_left(now);
        } else if self.services[id.index()].turn_has_come {
            self.settle(id);
        }
    }

    /// Nothing of it is in their way any more.
    pub(super) fn stop_unwanted_dependencies(&mut self, id: ServiceId, now: Timestamp) {
        // What comes after it waits for it again.
        let service = &self.services[id.index()];
        if self.kind(id) == Kind::Service && service.is_unwanted && !service.is_retired {
            self.services[id.index()].reached = false;
        }
        for position in 0..self.settings.order.dependencies(id).len() {
            let dependency = self.settings.order.dependencies(id)[position];
            if self.services[dependency.index()].is_unwanted {
                self.stop_unwanted(dependency, now);
            }
        }
    }

    pub(super) fn is_success(&self, id: ServiceId, end: End) -> bool {
        self.settings.services[id.index()].success.contains(end)
    }

    /// Whether this end is the usual answer to a signal that stops things.
    pub(super) fn answers_stop_signal(&self, id: ServiceId, end: End) -> bool {
        let Some(signal) = end.answered_signal() else {
            return false;
        };
        let in_schedule = || {
            let stages = self.settings.services[id.index()].grace.stages();
            stages.iter().any(|stage| self.resolve(&stage.action) == Act::Signal(signal))
        };
        matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT | Signal::HUP)
            || self.settings.stop_signals.contains(signal)
            || in_schedule()
    }
}
