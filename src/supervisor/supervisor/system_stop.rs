//! Stopping the whole system, inside its budget.

use super::super::budget::{Budget, Path};
use super::super::service::{Phase, State};
use super::super::stop::Stop;
use super::super::timers::Timer;
use super::super::{
    Cause, Command, Deadline, Level, Mode, Notice, Pid, PlatformMessage, ServiceId, Signal, Timestamp,
    defaults, exit_status, verdict,
};
use super::Supervisor;

impl Supervisor {
    pub(super) fn request_stop(&mut self, cause: Cause, now: Timestamp) {
        let sent = match cause {
            Cause::Signal { signal, .. } => signal,
            _ => Signal::TERM,
        };
        self.request_stop_sending(cause, sent, now);
    }

    /// Begins the stop, unless it has begun: the clock starts at the first cause.
    pub(super) fn request_stop_sending(&mut self, cause: Cause, received: Signal, now: Timestamp) {
        if self.stop.is_some() {
            return;
        }
        self.abandon_reload();
        self.abandon_starts();
        let longest = self.measure_paths(now);
        self.plain_deadline = self.settings.deadline;
        self.settings.deadline = self.extended_deadline(longest, now);
        let budget = self.settings.deadline.map(|deadline| Budget::new(deadline, now, longest.levels));
        let mut stop = Stop::new(cause, now, budget, self.settings.services.len());
        stop.received = received;
        self.stop = Some(stop);
        if let Some(budget) = budget {
            self.timers.set(Timer::BudgetEnd, budget.stop_by);
        }
        let granted = self.settings.deadline.map(Deadline::budget);
        self.tell(Notice::StopRequested { cause, budget: granted });
        self.tell_platform(PlatformMessage::Stopping);
        self.ask_for_time(now);
        for index in 0..self.settings.services.len() {
            let id = ServiceId::new(index);
            let dependents = self.settings.order.dependents(id).len();
            let hold_is_over = self.timers.get(Timer::Wait(id)).is_some_and(|at| at <= now);
            let service = &mut self.services[index];
            service.awaited = dependents;
            if service.state == State::Waiting {
                service.state = State::Down;
            } else if service.state == State::BackOff {
                service.state = State::Down;
                self.active -= 1;
                self.timers.clear(Timer::Wait(id));
            }
            self.stop_watching(id);
            let service = &mut self.services[index];
            if dependents == 0 {
                self.turns.push(id);
            }
            match (service.state, service.outcome.end) {
                // A request explains this death; the failure of another does not, once its hold is over.
                (State::Held, Some(end)) => {
                    let was_asked = matches!(cause, Cause::Signal { .. } | Cause::Request { .. });
                    self.conclude_end(id, end, hold_is_over && !was_asked, now);
                }
                // It will not be started again.
                (State::Stopping(Phase::Lingering), _) => self.timers.clear(Timer::Wait(id)),
                (State::Stopping(_), _) => self.fit_to_budget(id, now),
                _ => {}
            }
        }
        self.waiting = 0;
        // It may have changed since the start, and counts as it is now.
        self.ask_deadline();
    }

    /// Notes for each service what is to be stopped after it, and returns the longest way through the whole order.
    pub(super) fn measure_paths(&mut self, now: Timestamp) -> Path {
        let end = self.path_of_the_end();
        self.services[self.settings.stray_id().index()].behind = self.path_of_cleanup();
        let mut longest = end;
        for position in 0..self.settings.order.start_order().len() {
            let id = self.settings.order.start_order()[position];
            let mut behind = end;
            for dependency in self.settings.order.dependencies(id) {
                behind = behind.longest(self.path_from(*dependency, now));
            }
            self.services[id.index()].behind = behind;
            longest = longest.longest(self.path_from(id, now));
        }
        longest
    }

    /// What comes last: processes that belong to no service, if there are any, for which a level is kept; then the cleanup.
    pub(super) fn path_of_the_end(&self) -> Path {
        Path::of_levels(u32::from(self.settings.mode == Mode::ManyServices)).then(self.path_of_cleanup())
    }

    fn path_of_cleanup(&self) -> Path {
        self.settings.cleanup.map_or(Path::default(), |time| Path::of_service(time, false))
    }

    /// The longest way from the stop of `id` to the end.
    pub(super) fn path_from(&self, id: ServiceId, now: Timestamp) -> Path {
        let (service, settings) = (&self.services[id.index()], self.settings_of(id));
        service.own_path(settings, now).then(service.path_after(settings)).then(service.behind)
    }

    /// Works off the services whose turn has come.
    pub(super) fn take_turns(&mut self, now: Timestamp) {
        while let Some(id) = self.turns.pop() {
            let service = &mut self.services[id.index()];
            service.turn_has_come = true;
            match service.state {
                State::Down | State::Stopping(Phase::Lingering) => self.settle(id),
                State::Preparing | State::Starting | State::Unready | State::Up => self.begin_stop(id, now),
                // It is on its way already, and is settled when it is down.
                State::Held | State::Ended | State::Stopping(_) => {}
                State::Waiting | State::BackOff => unreachable!("nothing waits to be started in a stop"),
            }
        }
        if self.stop.as_ref().is_some_and(|stop| stop.unsettled == 0) {
            self.stop_what_belongs_to_none();
        }
    }

    /// What is stopped after `id` need not wait for it any more.
    pub(super) fn settle(&mut self, id: ServiceId) {
        if !self.is_real(id) || std::mem::replace(&mut self.services[id.index()].settled, true) {
            return;
        }
        if let Some(stop) = &mut self.stop {
            stop.unsettled -= 1;
        }
        for dependency in self.settings.order.dependencies(id) {
            let service = &mut self.services[dependency.index()];
            service.awaited -= 1;
            if service.awaited == 0 {
                self.turns.push(*dependency);
            }
        }
    }

    /// Every service is down, or is not waited for any more: what belongs to none comes last.
    pub(super) fn stop_what_belongs_to_none(&mut self) {
        let id = self.settings.stray_id();
        let service = &mut self.services[id.index()];
        if !std::mem::replace(&mut service.turn_has_come, true) {
            service.state = State::Ended;
            self.uncounted.insert(id);
            self.ask_census();
        }
    }

    pub(super) fn hasten(&mut self, level: Level, signal: Signal, now: Timestamp) {
        let Some(stop) = &mut self.stop else { return };
        stop.level = stop.level.max(level);
        self.tell(Notice::StopEscalated { signal, level });
        for index in 0..self.services.len() {
            let id = ServiceId::new(index);
            if self.services[index].awaits_census() {
                continue;
            }
            match (level, self.services[index].state) {
                (
                    Level::KillNow,
                    State::Preparing
                    | State::Starting
                    | State::Unready
                    | State::Up
                    | State::Stopping(Phase::PreStop | Phase::Drain | Phase::Stage(_) | Phase::PostStop),
                )
                | (Level::NextStage, State::Stopping(Phase::PostStop)) => self.kill(id, now),
                (Level::NextStage, State::Stopping(Phase::PreStop | Phase::Drain)) => {
                    self.enter_stage(id, 0, now);
                }
                (Level::NextStage, State::Stopping(Phase::Stage(stage))) => {
                    self.enter_stage(id, stage + 1, now);
                }
                _ => {}
            }
        }
    }

    /// The time is up: KILL for whatever has not had it, and a last look at who is there.
    ///
    /// Somebody is left without a KILL only if curfew was not scheduled in time, or if a process that we cannot kill
    /// goes on making others.
    pub(super) fn on_budget_end(&mut self, now: Timestamp) {
        let Some(stop) = &mut self.stop else { return };
        stop.level = Level::KillNow;
        stop.time_is_up = true;
        for index in 0..self.services.len() {
            let id = ServiceId::new(index);
            match self.services[index].state {
                State::Waiting | State::Down => continue,
                State::Preparing
                | State::Starting
                | State::Unready
                | State::Up
                | State::Stopping(Phase::PreStop | Phase::Drain | Phase::Stage(_) | Phase::PostStop)
                    if !self.services[index].awaits_census() =>
                {
                    self.kill(id, now);
                }
                State::Preparing
                | State::Starting
                | State::Unready
                | State::Up
                | State::Held
                | State::Ended
                | State::BackOff
                | State::Stopping(_) => {}
            }
            self.uncounted.insert(id);
        }
        self.stop_what_belongs_to_none();
        self.ask_census();
    }

    /// The last look was taken.
    pub(super) fn conclude_time_up(&mut self, now: Timestamp) {
        let Some(stop) = &mut self.stop else { return };
        if stop.killed_late && !stop.swept {
            stop.swept = true;
            stop.time_is_up = false;
            let sweep = stop.sweep();
            self.timers.set(Timer::BudgetEnd, now + sweep);
        } else {
            self.name_survivors();
            self.name_hidden_survivors();
            self.finish(now);
        }
    }

    /// Names whoever is left.
    pub(super) fn name_survivors(&mut self) {
        for index in 0..self.services.len() {
            let service = &self.services[index];
            let leader = service.leader.iter().map(|leader| leader.pid);
            let mut pids: Vec<Pid> = leader.chain(service.strays.iter().copied()).collect();
            pids.extend(self.hook_pids(ServiceId::new(index)));
            self.services[index].outcome.survived = !pids.is_empty();
            for pid in pids {
                self.tell(Notice::Survivor { service: ServiceId::new(index), pid });
            }
        }
    }

    /// Without /proc nobody knows who they are.
    fn name_hidden_survivors(&mut self) {
        if self.hidden {
            let id = self.settings.stray_id();
            self.services[id.index()].outcome.survived = true;
            self.tell(Notice::HiddenSurvivors);
        }
    }

    pub(super) fn finish(&mut self, now: Timestamp) {
        let Some(stop) = &self.stop else { return };
        let (cause, after) = (stop.cause, now.since(stop.since));
        let outcomes = self.outcomes();
        let verdict = verdict(&outcomes);
        let status = exit_status(self.settings.mode, self.settings.exit_status, &cause, &outcomes);
        let budget = self.settings.deadline.map(Deadline::budget);
        // What was asked for is just what is needed: how near the end was is seen by what could have been asked for.
        let furthest = self.furthest_deadline().map(Deadline::budget);
        let near_miss = furthest.is_some_and(|budget| after > budget / 100 * defaults::NEAR_MISS_PERCENT);
        let overrun =
            furthest.and_then(|budget| after.checked_sub(budget)).filter(|overrun| !overrun.is_zero());
        if !outcomes.iter().any(|outcome| outcome.survived) {
            self.tell(Notice::AllStopped { after });
        }
        self.tell(Notice::StopComplete { verdict, status, after, budget, near_miss, overrun });
        self.commands.push_back(Command::Finish { status });
        self.timers.clear_all();
        self.finished = true;
    }
}
