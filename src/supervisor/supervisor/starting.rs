//! Starting.

use super::super::service::{Leader, Next, Phase, State};
use super::super::timers::Timer;
use super::super::{
    Cause, Command, Failure, HookKind, Kind, Notice, Pid, PlatformMessage, Purpose, ReadyBy, ServiceId,
    StartFailure, Step, Timestamp,
};
use super::Supervisor;

impl Supervisor {
    pub(super) fn on_begin(&mut self, now: Timestamp) {
        self.expect_ping(now);
        self.check_use_of_extension();
        self.check_schedules(now);
        self.ask_for_time(now);
        for index in 0..self.settings.services.len() {
            if self.services[index].awaited == 0 {
                self.start(ServiceId::new(index));
            }
        }
        // Behind the first starts: it delays none.
        self.ask_deadline();
        self.check_ready(now);
        self.check_nothing_left(now);
    }

    /// Starts what has waited for its dependencies.
    pub(super) fn start(&mut self, id: ServiceId) {
        debug_assert_eq!(self.services[id.index()].state, State::Waiting, "a service is started once");
        self.waiting -= 1;
        self.active += 1;
        self.launch(id);
    }

    /// Begins a life of the service.
    pub(super) fn launch(&mut self, id: ServiceId) {
        let settings = self.settings_of(id);
        let (is_prepared, watchdog) = (settings.hooks.pre_start.is_none(), settings.watchdog);
        let service = &mut self.services[id.index()];
        service.begin_life();
        service.watchdog = watchdog;
        if is_prepared {
            self.launch_command(id);
        } else {
            service.state = State::Preparing;
            self.launch_step(id, Step::PreStart);
        }
    }

    fn launch_command(&mut self, id: ServiceId) {
        self.services[id.index()].state = State::Starting;
        self.launch_step(id, Step::Main);
    }

    pub(super) fn launch_step(&mut self, id: ServiceId, step: Step) {
        self.services[id.index()].step = step;
        self.commands.push_back(Command::Start { service: id, step });
    }

    pub(super) fn on_forked(&mut self, id: ServiceId, pid: Pid, now: Timestamp) {
        let service = &mut self.services[id.index()];
        service.leader = Some(Leader { pid, forked: now });
        service.forked = Some(now);
        let step = service.step;
        if step != Step::PostStop {
            service.forget_outcome();
            service.outcome.has_run = true;
        }
        let wait = service.share.scale.of(self.settings_of(id).hooks.post_stop.unwrap_or_default());
        if let Some(time) = self.time_to_be_done(id) {
            self.timers.set(Timer::Start(id), now + time);
        }
        match step {
            Step::Main => self.tell(Notice::ServiceStarted { service: id, pid }),
            Step::PreStart => self.tell(Notice::StepStarted { service: id, step, pid }),
            Step::PostStop => {
                self.timers.set(Timer::Wait(id), now + wait);
                self.tell(Notice::StepStarted { service: id, step, pid });
            }
        }
    }

    /// How long what is started, or was, may take until it is ready or done.
    pub(super) fn time_to_be_done(&self, id: ServiceId) -> Option<std::time::Duration> {
        let settings = self.settings_of(id);
        match (self.services[id.index()].step, settings.kind) {
            (Step::PreStart, _) => settings.hooks.pre_start,
            (Step::Main, Kind::Task) => settings.task_timeout,
            (Step::Main, Kind::Service) if settings.ready.by == ReadyBy::Execution => None,
            (Step::Main, Kind::Service) => Some(settings.ready.timeout),
            (Step::PostStop, _) => None,
        }
    }

    pub(super) fn on_executed(&mut self, id: ServiceId, now: Timestamp) {
        let ready = self.settings_of(id).ready;
        let is_ready = ready.by == ReadyBy::Execution || self.kind(id) == Kind::Task;
        let service = &mut self.services[id.index()];
        match service.state {
            // A start that a stop found under way is nobody's concern any more: it is stopped when its turn comes.
            State::Starting if self.stop.is_some() => {}
            State::Starting if service.leader.is_some() => {
                if is_ready {
                    return self.become_ready(id, now);
                }
                service.state = State::Unready;
                if ready.by == ReadyBy::Probe {
                    self.probe(id, Purpose::Ready, now);
                }
            }
            // A stop overtook the start, or it was told before, or it is no command of the service itself.
            State::Stopping(_)
            | State::Preparing
            | State::Unready
            | State::Up
            | State::Held
            | State::Ended
            | State::BackOff
            | State::Down => {}
            State::Starting | State::Waiting => {
                debug_assert!(false, "{id:?} executed its command in state {:?}", service.state);
            }
        }
    }

    pub(super) fn on_start_failed(&mut self, id: ServiceId, failure: StartFailure, now: Timestamp) {
        let service = &mut self.services[id.index()];
        let was_forked = service.leader.is_some();
        if service.step == Step::PostStop {
            service.step_failure = Some(failure);
            if !was_forked {
                self.conclude_post_stop(id, Err(failure));
            }
            return;
        }
        if !was_forked {
            service.forget_outcome();
        }
        service.outcome.start_failure = Some(failure);
        let step = service.step;
        self.tell(Notice::StartFailed { service: id, step, failure });
        // If it was forked its death is still to come, and with it the consequences.
        if !was_forked {
            // What ran before its start may have left somebody behind.
            self.services[id.index()].state = State::Ended;
            self.uncounted.insert(id);
            self.ask_census();
            self.failed(id, Failure::Start(failure), now);
        }
    }

    /// What runs before the start has ended, unasked.
    pub(super) fn conclude_pre_start(&mut self, id: ServiceId, end: super::super::End, now: Timestamp) {
        self.timers.clear(Timer::Start(id));
        let service = &mut self.services[id.index()];
        service.leader = None;
        let start_failure = service.outcome.start_failure;
        let result = start_failure.map_or(Ok(end), Err);
        self.tell(Notice::HookEnded { service: id, kind: HookKind::PreStart, result, dismissed: false });
        if start_failure.is_none() && end == super::super::End::Exited(0) {
            return self.launch_command(id);
        }
        let service = &mut self.services[id.index()];
        service.state = State::Ended;
        service.outcome.end = Some(end);
        self.uncounted.insert(id);
        self.ask_census();
        self.failed(id, start_failure.map_or(Failure::PreStart(end), Failure::Start), now);
    }

    /// A stop begins: what was decided to be started, but not yet performed, is not started.
    pub(super) fn abandon_starts(&mut self) {
        let mut abandoned = Vec::new();
        self.commands.retain(|command| match command {
            Command::Start { service, step: step @ (Step::PreStart | Step::Main) } => {
                abandoned.push((*service, *step));
                false
            }
            _ => true,
        });
        for (id, step) in abandoned {
            let hooks = self.settings_of(id).hooks;
            if step == Step::Main && hooks.pre_start.is_some() && hooks.post_stop.is_some() {
                // What was prepared is undone.
                self.services[id.index()].state = State::Ended;
                self.uncounted.insert(id);
                self.ask_census();
            } else {
                self.services[id.index()].state = State::Down;
                self.active -= 1;
            }
        }
    }

    /// `id` is ready, or a task is done, or it failed and that does not matter: what comes after it may start.
    pub(super) fn reach(&mut self, id: ServiceId, now: Timestamp) {
        if self.stop.is_some() || std::mem::replace(&mut self.services[id.index()].reached, true) {
            return;
        }
        for position in 0..self.settings.order.dependents(id).len() {
            let dependent = self.settings.order.dependents(id)[position];
            let service = &mut self.services[dependent.index()];
            service.awaited -= 1;
            if service.awaited == 0 && service.state == State::Waiting {
                self.start(dependent);
            }
        }
        self.check_ready(now);
    }

    /// Whether the platform can be told that all is ready.
    pub(super) fn check_ready(&mut self, now: Timestamp) {
        let is_missing = |(index, service): (usize, &super::super::service::Service)| {
            self.settings.services[index].essential && !service.reached
        };
        let count = self.settings.services.len();
        if self.stop.is_some() || self.is_ready || self.services[..count].iter().enumerate().any(is_missing) {
            return;
        }
        self.is_ready = true;
        self.timers.clear(Timer::Extend);
        self.tell(Notice::SystemReady { after: now.since_start() });
        self.tell_platform(PlatformMessage::Ready);
    }

    pub(super) fn check_nothing_left(&mut self, now: Timestamp) {
        let may_go_on = |service: &super::super::service::Service| {
            (service.is_unwanted && !service.is_retired)
                || (service.state == State::Stopping(Phase::Lingering) && !service.is_given_up())
        };
        if self.stop.is_none()
            && self.active == self.lingering
            && self.waiting == 0
            && !self.services.iter().any(may_go_on)
        {
            self.request_stop(Cause::NothingLeft, now);
        }
    }

    /// Its wait before a restart begins.
    pub(super) fn back_off(&mut self, id: ServiceId, delay: std::time::Duration, now: Timestamp) {
        let service = &mut self.services[id.index()];
        service.state = State::BackOff;
        service.next = Next::Down;
        self.timers.set(Timer::Wait(id), now + delay);
    }
}
