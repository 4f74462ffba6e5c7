use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::budget::{Budget, Path, Share};
use super::service::{Leader, Phase, Service, State};
use super::stop::{Repeat, Stop};
use super::timers::{Timer, Timers};
use super::{
    Cause, Command, End, EndMeaning, Event, Failure, IgnoredBecause, Kind, Level, Mode, Notice, Outcome, Pid,
    Recipients, Sender, ServiceId, ServiceSettings, Settings, Signal, StageSignal, StartFailure, Stray, Target,
    Timestamp, Wait, defaults, exit_status, verdict,
};

/// The state machine: events and the time go in, commands come out.
///
/// Call [`handle`](Self::handle) with what happened, then take every command with
/// [`next_command`](Self::next_command) and perform it, then wait until something happens or
/// [`next_deadline`](Self::next_deadline) has come ([`Event::TimePassed`]).
///
/// - Time never goes back from call to call.
/// - [`Command::Start`] is answered before any other event is handled; [`Command::TakeCensus`] is answered once all
///   deaths reaped before it were handled.
/// - In each wake-up, signals are handled before deaths, and both before `TimePassed`.
/// - Surplus events are harmless: a timer that is not due, a death nobody waits for.
/// - After [`Command::Finish`] nothing happens any more.
#[derive(Debug)]
pub struct Supervisor {
    settings: Settings,
    /// Those of the pseudo-service `(stray)`.
    stray_settings: ServiceSettings,
    /// The services, then `(stray)`.
    services: Vec<Service>,
    /// How many services are neither waiting nor down, `(stray)` aside.
    active: usize,
    /// How many services still wait for their dependencies.
    waiting: usize,
    /// Services without a leader that are not proved empty.
    uncounted: BTreeSet<ServiceId>,
    census_asked: bool,
    strays: BTreeMap<Pid, KnownStray>,
    /// Services whose turn to stop has come: a list to work off, since a chain of thousands would be too deep to recurse.
    turns: Vec<ServiceId>,
    stop: Option<Stop>,
    timers: Timers,
    commands: VecDeque<Command>,
    finished: bool,
}

/// A process that outlived its leader.
#[derive(Debug)]
struct KnownStray {
    service: ServiceId,
    /// The last signal that it was sent.
    signal: Option<Signal>,
}

impl Supervisor {
    /// A supervisor of these services. Nothing happens before [`Event::Begin`].
    pub fn new(settings: Settings) -> Self {
        let mut services: Vec<Service> = (0..settings.services.len())
            .map(|index| Service::new(settings.order.dependencies(ServiceId::new(index)).len()))
            .collect();
        let waiting = services.len();
        let mut strays = Service::new(0);
        strays.state = State::Down;
        services.push(strays);
        let stray_settings = ServiceSettings {
            grace: settings.stray_grace.clone(),
            ..ServiceSettings::new(settings.name(settings.stray_id()))
        };
        Self {
            settings,
            stray_settings,
            services,
            active: 0,
            waiting,
            uncounted: BTreeSet::new(),
            census_asked: false,
            strays: BTreeMap::new(),
            turns: Vec::new(),
            stop: None,
            timers: Timers::default(),
            commands: VecDeque::new(),
            finished: false,
        }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, event: Event, now: Timestamp) {
        if self.finished {
            return;
        }
        match event {
            Event::Begin => self.on_begin(now),
            Event::SignalReceived { signal, sender } => self.on_signal(signal, sender, now),
            Event::Forked { service, pid } => self.on_forked(service, pid, now),
            Event::Executed { service } => self.on_executed(service, now),
            Event::StartFailed { service, failure } => self.on_start_failed(service, failure, now),
            Event::LeaderEnded { service, end } => self.on_leader_ended(service, end, now),
            Event::StrayEnded { pid, end } => self.on_stray_ended(pid, end),
            Event::Census { strays } => self.on_census(strays, now),
            Event::SignalRefused { service, pid, errno } => {
                self.tell(Notice::SignalRefused { service, pid, errno });
            }
            Event::TimePassed => self.on_time_passed(now),
        }
        self.take_turns(now);
    }

    /// The next command to perform.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When [`Event::TimePassed`] is due; `None`: not before something happens.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// The settings it was made with.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What became of each service so far, and of `(stray)` behind them.
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.services.iter().map(|service| service.outcome).collect()
    }
}

/// Starting.
impl Supervisor {
    fn on_begin(&mut self, now: Timestamp) {
        for index in 0..self.settings.services.len() {
            if self.services[index].awaited == 0 {
                self.start(ServiceId::new(index));
            }
        }
        self.check_nothing_left(now);
    }

    fn start(&mut self, id: ServiceId) {
        let service = &mut self.services[id.index()];
        debug_assert_eq!(service.state, State::Waiting, "a service is started once");
        service.state = State::Starting;
        self.waiting -= 1;
        self.active += 1;
        self.commands.push_back(Command::Start { service: id });
    }

    fn on_forked(&mut self, id: ServiceId, pid: Pid, now: Timestamp) {
        let service = &mut self.services[id.index()];
        service.leader = Some(Leader { pid, forked: now });
        service.forked = now;
        self.tell(Notice::ServiceStarted { service: id, pid });
    }

    fn on_executed(&mut self, id: ServiceId, now: Timestamp) {
        let service = &mut self.services[id.index()];
        match (service.state, service.leader) {
            (State::Starting, Some(Leader { pid, forked })) => {
                service.state = State::Up;
                self.tell(Notice::ServiceReady { service: id, pid, after: now.since(forked) });
                if self.kind(id) == Kind::Service {
                    self.reach(id);
                }
            }
            // A stop overtook the start.
            (State::Stopping(_), _) => {}
            (State::Starting | State::Waiting | State::Up | State::Held | State::Ended | State::Down, _) => {
                debug_assert!(false, "{id:?} executed its command in state {:?}", service.state);
            }
        }
    }

    fn on_start_failed(&mut self, id: ServiceId, failure: StartFailure, now: Timestamp) {
        let service = &mut self.services[id.index()];
        service.outcome.start_failure = Some(failure);
        let was_forked = service.leader.is_some();
        self.tell(Notice::StartFailed { service: id, failure });
        // If it was forked its death is still to come, and with it the consequences.
        if !was_forked {
            self.failed(id, Failure::Start(failure), now);
            self.down(id, now);
        }
    }

    /// `id` is ready, or a task is done, or it failed and that does not matter: what comes after it may start.
    fn reach(&mut self, id: ServiceId) {
        if self.stop.is_some() || std::mem::replace(&mut self.services[id.index()].reached, true) {
            return;
        }
        for position in 0..self.settings.order.dependents(id).len() {
            let dependent = self.settings.order.dependents(id)[position];
            let service = &mut self.services[dependent.index()];
            service.awaited -= 1;
            if service.awaited == 0 {
                self.start(dependent);
            }
        }
    }

    fn check_nothing_left(&mut self, now: Timestamp) {
        if self.stop.is_none() && self.active == 0 && self.waiting == 0 {
            self.request_stop(Cause::NothingLeft, now);
        }
    }
}

/// Ends.
impl Supervisor {
    fn on_leader_ended(&mut self, id: ServiceId, end: End, now: Timestamp) {
        let service = &mut self.services[id.index()];
        service.outcome.end = Some(end);
        let unasked = self.stop.is_none() && matches!(service.state, State::Starting | State::Up);
        let failed_to_start = service.outcome.start_failure.is_some();
        if unasked && !failed_to_start && !self.is_success(id, end) && self.answers_stop_signal(id, end) {
            self.services[id.index()].state = State::Held;
            self.timers.set(Timer::Wait(id), now + defaults::HELD_DEATH);
            self.tell(Notice::EndHeld { service: id, hold: defaults::HELD_DEATH });
        } else {
            self.conclude_end(id, end, unasked, now);
        }
    }

    /// Says what the end of a leader means, and draws the consequences.
    fn conclude_end(&mut self, id: ServiceId, end: End, unasked: bool, now: Timestamp) {
        let meaning = self.meaning(id, end, unasked);
        let service = &mut self.services[id.index()];
        let leader = service.leader.take();
        match meaning {
            EndMeaning::Killed => {
                service.outcome.killed = true;
                if self.kind(id) == Kind::Task {
                    self.services[id.index()].outcome.interrupted = Some(end.status());
                }
            }
            EndMeaning::Interrupted => service.outcome.interrupted = Some(end.status()),
            EndMeaning::FailedStopping => service.outcome.failed_stopping = Some((now, end.status())),
            EndMeaning::TaskDone | EndMeaning::Stopped | EndMeaning::Unasked | EndMeaning::Failed(_) => {}
        }
        let service = &mut self.services[id.index()];
        if !matches!(service.state, State::Stopping(_)) {
            service.state = State::Ended;
            self.timers.clear(Timer::Wait(id));
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
            EndMeaning::Unasked if self.settings.services[id.index()].essential => {
                self.request_stop(Cause::ServiceEnded { service: id, end }, now);
            }
            // One command is the whole system, task or not.
            EndMeaning::TaskDone if unasked && self.settings.mode == Mode::OneCommand => {
                self.request_stop(Cause::ServiceEnded { service: id, end }, now);
            }
            _ => {}
        }
    }

    fn meaning(&self, id: ServiceId, end: End, unasked: bool) -> EndMeaning {
        let service = &self.services[id.index()];
        let is_task = self.kind(id) == Kind::Task;
        if let Some(failure) = service.outcome.start_failure {
            return if unasked { EndMeaning::Failed(Failure::Start(failure)) } else { EndMeaning::Stopped };
        }
        if self.is_success(id, end) {
            return match (is_task, unasked) {
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
    fn failed(&mut self, id: ServiceId, failure: Failure, now: Timestamp) {
        if self.settings.services[id.index()].essential {
            self.request_stop(Cause::ServiceFailed { service: id, failure }, now);
        } else if self.stop.is_none()
            && !self.services[id.index()].reached
            && !self.settings.order.dependents(id).is_empty()
        {
            self.tell(Notice::DependencyFailed { service: id });
        }
    }

    /// No process of `id` is left.
    fn down(&mut self, id: ServiceId, now: Timestamp) {
        let is_stray = id == self.settings.stray_id();
        let service = &mut self.services[id.index()];
        let stopped_after = service.stopping_since.map(|since| now.since(since));
        service.state = State::Down;
        self.timers.clear(Timer::Wait(id));
        self.uncounted.remove(&id);
        if !is_stray {
            self.active -= 1;
        }
        if stopped_after.is_some() || (self.stop.is_some() && !is_stray) {
            self.tell(Notice::ServiceDown { service: id, after: stopped_after });
        }
        if self.stop.is_none() {
            self.reach(id);
            self.check_nothing_left(now);
        } else if self.services[id.index()].turn_has_come {
            self.settle(id);
        }
    }

    fn is_success(&self, id: ServiceId, end: End) -> bool {
        self.settings.services[id.index()].success.contains(end)
    }

    /// Whether this end is the usual answer to a signal that stops things.
    fn answers_stop_signal(&self, id: ServiceId, end: End) -> bool {
        let Some(signal) = end.answered_signal() else { return false };
        let in_schedule = || {
            let stages = self.settings.services[id.index()].grace.stages();
            stages.iter().any(|stage| stage.signal == StageSignal::Fixed(signal))
        };
        matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT | Signal::HUP)
            || self.settings.stop_signals.contains(signal)
            || in_schedule()
    }
}

/// Signals to curfew.
impl Supervisor {
    fn on_signal(&mut self, received: Signal, sender: Sender, now: Timestamp) {
        let sent = match self.settings.map.get(&received) {
            Some(None) => {
                return self.tell(Notice::SignalIgnored {
                    signal: received,
                    sender,
                    reason: IgnoredBecause::Dropped,
                });
            }
            Some(Some(other)) => *other,
            None => received,
        };
        let ignore = |reason| Notice::SignalIgnored { signal: received, sender, reason };
        match self.request(received, sender) {
            Request::Stop => self.on_stop_signal(received, sent, sender, now),
            Request::Abort => {
                self.request_stop(Cause::Signal { signal: received, sender }, now);
                self.hasten(Level::KillNow, received, now);
            }
            Request::Forward => self.forward(received, sent, sender),
            Request::Reload => self.tell(ignore(IgnoredBecause::NoReload)),
            Request::Nothing => {}
        }
    }

    /// What a signal to curfew asks for.
    fn request(&self, signal: Signal, sender: Sender) -> Request {
        if self.settings.stop_signals.contains(signal) {
            return Request::Stop;
        }
        match (signal, self.settings.mode) {
            (Signal::CHLD | Signal::PIPE, _) => Request::Nothing,
            (Signal::ABRT, _) => Request::Abort,
            (Signal::HUP, _) if sender == Sender::Terminal => Request::Stop,
            (Signal::HUP, Mode::ManyServices) if self.settings.reloadable => Request::Reload,
            (Signal::HUP | Signal::QUIT, Mode::ManyServices) => Request::Stop,
            (Signal::TSTP | Signal::TTIN | Signal::TTOU | Signal::ALRM, Mode::ManyServices) => Request::Nothing,
            (_, Mode::OneCommand | Mode::ManyServices) => Request::Forward,
        }
    }

    fn on_stop_signal(&mut self, received: Signal, sent: Signal, sender: Sender, now: Timestamp) {
        let Some(stop) = &mut self.stop else {
            self.request_stop_sending(Cause::Signal { signal: received, sender }, sent, now);
            if received == Signal::QUIT && sender == Sender::Terminal {
                self.hasten(Level::KillNow, received, now);
            }
            return;
        };
        let ignored = |reason| Notice::SignalIgnored { signal: received, sender, reason };
        match stop.repeat(received, sender, now) {
            Repeat::Duplicate => self.tell(ignored(IgnoredBecause::Duplicate)),
            Repeat::Nothing => self.tell(ignored(IgnoredBecause::AlreadyStopping)),
            Repeat::Hasten(level) => self.hasten(level, received, now),
        }
    }

    fn forward(&mut self, received: Signal, sent: Signal, sender: Sender) {
        let mut forwarded = false;
        for index in 0..self.settings.services.len() {
            let settings = &self.settings.services[index];
            let runs = matches!(self.services[index].state, State::Starting | State::Up | State::Stopping(_));
            if !settings.forward.contains(received) || !runs || self.services[index].leader.is_none() {
                continue;
            }
            forwarded = true;
            let service = ServiceId::new(index);
            let recipients = Recipients::Leader(settings.signal_target);
            self.commands.push_back(Command::Signal { service, recipients, signal: sent });
            self.tell(Notice::SignalForwarded { service, received, sent });
        }
        if !forwarded {
            let reason = IgnoredBecause::NotForwarded;
            self.tell(Notice::SignalIgnored { signal: received, sender, reason });
        }
    }
}

/// What a signal to curfew asks for.
enum Request {
    Stop,
    Abort,
    Forward,
    Reload,
    Nothing,
}

/// Stopping the system.
impl Supervisor {
    fn request_stop(&mut self, cause: Cause, now: Timestamp) {
        let sent = match cause {
            Cause::Signal { signal, .. } => signal,
            _ => Signal::TERM,
        };
        self.request_stop_sending(cause, sent, now);
    }

    /// Begins the stop, unless it has begun: the clock starts at the first cause.
    fn request_stop_sending(&mut self, cause: Cause, received: Signal, now: Timestamp) {
        if self.stop.is_some() {
            return;
        }
        let levels = self.measure_paths(now);
        let budget = self.settings.deadline.map(|deadline| Budget::new(deadline, now, levels));
        let mut stop = Stop::new(cause, now, budget, self.settings.services.len());
        stop.received = received;
        self.stop = Some(stop);
        if let Some(budget) = budget {
            self.timers.set(Timer::BudgetEnd, budget.stop_by);
        }
        let granted = self.settings.deadline.map(super::Deadline::budget);
        self.tell(Notice::StopRequested { cause, budget: granted });
        for index in 0..self.settings.services.len() {
            let id = ServiceId::new(index);
            let dependents = self.settings.order.dependents(id).len();
            let service = &mut self.services[index];
            service.awaited = dependents;
            if service.state == State::Waiting {
                service.state = State::Down;
            }
            if dependents == 0 {
                self.turns.push(id);
            }
            match (service.state, service.outcome.end) {
                // The stop request has come that explains this death.
                (State::Held, Some(end)) => self.conclude_end(id, end, false, now),
                (State::Stopping(_), _) => self.fit_to_budget(id, now),
                _ => {}
            }
        }
        self.waiting = 0;
    }

    /// Notes for each service what is to be stopped after it, and returns the levels of the whole order.
    fn measure_paths(&mut self, now: Timestamp) -> u32 {
        // Processes that belong to no service come last, if there are any: a level is kept for them.
        let levels = u32::from(self.settings.mode == Mode::ManyServices);
        let end = Path { levels, ..Path::default() };
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
        longest.levels
    }

    /// The longest way from the stop of `id` to the end.
    fn path_from(&self, id: ServiceId, now: Timestamp) -> Path {
        let service = &self.services[id.index()];
        service.own_path(self.settings_of(id), now).then(service.behind)
    }

    /// Works off the services whose turn has come.
    fn take_turns(&mut self, now: Timestamp) {
        while let Some(id) = self.turns.pop() {
            let service = &mut self.services[id.index()];
            service.turn_has_come = true;
            match service.state {
                State::Down | State::Stopping(Phase::Lingering) => self.settle(id),
                State::Starting | State::Up => self.begin_stop(id, now),
                // It is on its way already, and is settled when it is down.
                State::Held | State::Ended | State::Stopping(_) => {}
                State::Waiting => unreachable!("nothing waits to be started in a stop"),
            }
        }
        if self.stop.as_ref().is_some_and(|stop| stop.unsettled == 0) {
            self.stop_what_belongs_to_none();
        }
    }

    /// What is stopped after `id` need not wait for it any more.
    fn settle(&mut self, id: ServiceId) {
        if id == self.settings.stray_id() || std::mem::replace(&mut self.services[id.index()].settled, true) {
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
    fn stop_what_belongs_to_none(&mut self) {
        let id = self.settings.stray_id();
        let service = &mut self.services[id.index()];
        if !std::mem::replace(&mut service.turn_has_come, true) {
            service.state = State::Ended;
            self.uncounted.insert(id);
            self.ask_census();
        }
    }

    fn hasten(&mut self, level: Level, signal: Signal, now: Timestamp) {
        let Some(stop) = &mut self.stop else { return };
        stop.level = stop.level.max(level);
        self.tell(Notice::StopEscalated { signal, level });
        for index in 0..self.services.len() {
            let id = ServiceId::new(index);
            match (level, self.services[index].state) {
                (Level::KillNow, State::Starting | State::Up | State::Stopping(Phase::Drain | Phase::Stage(_))) => {
                    self.kill(id, now);
                }
                (Level::NextStage, State::Stopping(Phase::Drain)) => self.enter_stage(id, 0, now),
                (Level::NextStage, State::Stopping(Phase::Stage(stage))) => self.enter_stage(id, stage + 1, now),
                _ => {}
            }
        }
    }

    /// The time is up.
    fn on_budget_end(&mut self, now: Timestamp) {
        let Some(stop) = &mut self.stop else { return };
        let sweep = stop.budget.map_or(Duration::ZERO, |budget| budget.sweep);
        let first = !std::mem::replace(&mut stop.swept, true);
        stop.level = Level::KillNow;
        let left: Vec<ServiceId> = (0..self.services.len())
            .map(ServiceId::new)
            .filter(|id| self.services[id.index()].state != State::Down)
            .collect();
        // Only a curfew that was not scheduled in time comes here with somebody unkilled, or uncounted.
        if first && left.iter().any(|id| !self.services[id.index()].is_killed()) {
            for id in left {
                if matches!(
                    self.services[id.index()].state,
                    State::Starting | State::Up | State::Stopping(Phase::Drain | Phase::Stage(_))
                ) {
                    self.kill(id, now);
                }
            }
            self.ask_census();
            self.timers.set(Timer::BudgetEnd, now + sweep);
            return;
        }
        for id in left {
            let service = &mut self.services[id.index()];
            let pids: Vec<Pid> =
                service.leader.iter().map(|leader| leader.pid).chain(service.strays.iter().copied()).collect();
            service.outcome.survived = !pids.is_empty();
            for pid in pids {
                self.tell(Notice::Survivor { service: id, pid });
            }
        }
        self.finish(now);
    }

    fn finish(&mut self, now: Timestamp) {
        let Some(stop) = &self.stop else { return };
        let (cause, after) = (stop.cause, now.since(stop.since));
        let outcomes = self.outcomes();
        let verdict = verdict(&outcomes);
        let status = exit_status(self.settings.mode, self.settings.exit_status, &cause, &outcomes);
        let budget = self.settings.deadline.map(super::Deadline::budget);
        let near_miss = budget.is_some_and(|budget| after > budget / 100 * defaults::NEAR_MISS_PERCENT);
        if !outcomes.iter().any(|outcome| outcome.survived) {
            self.tell(Notice::AllStopped { after });
        }
        self.tell(Notice::StopComplete { verdict, status, after, budget, near_miss });
        self.commands.push_back(Command::Finish { status });
        self.timers.clear_all();
        self.finished = true;
    }
}

/// Stopping one service.
impl Supervisor {
    /// Its turn has come.
    fn begin_stop(&mut self, id: ServiceId, now: Timestamp) {
        let was_up = self.services[id.index()].state == State::Up;
        self.services[id.index()].stopping_since = Some(now);
        self.fit_to_budget(id, now);
        let drain = self.services[id.index()].share.scale.of(self.settings_of(id).drain);
        if self.is_kill_now() {
            self.kill(id, now);
        } else if was_up && !drain.is_zero() {
            let service = &mut self.services[id.index()];
            service.state = State::Stopping(Phase::Drain);
            service.stage_began = now;
            self.timers.set(Timer::Wait(id), now + drain);
            self.tell(Notice::DrainBegun { service: id, wait: drain });
        } else {
            self.enter_stage(id, 0, now);
        }
    }

    /// Its leader is gone, but not what it left behind: that begins the schedule for itself, inside its share.
    fn stop_strays(&mut self, id: ServiceId, now: Timestamp) {
        let is_stray = id == self.settings.stray_id();
        let service = &mut self.services[id.index()];
        service.strays_stopping = true;
        match service.state {
            State::Stopping(_) => {
                let rest = self.settings_of(id).grace.bounded();
                let service = &mut self.services[id.index()];
                let share = service.share.rescaled(now, rest);
                self.grant(id, share, rest);
            }
            _ => {
                service.stopping_since = Some(now);
                if is_stray {
                    service.behind = Path::default();
                }
                service.state = State::Stopping(Phase::Stage(0));
                service.stage_began = now;
                self.fit_to_budget(id, now);
            }
        }
        if self.is_kill_now() {
            self.kill(id, now);
        } else {
            self.enter_stage(id, 0, now);
        }
    }

    /// Gives the service its share of what is left of the budget, from now on.
    fn fit_to_budget(&mut self, id: ServiceId, now: Timestamp) {
        let Some(budget) = self.stop.as_ref().and_then(|stop| stop.budget) else { return };
        let service = &self.services[id.index()];
        let own = service.own_path(self.settings_of(id), now);
        let share = budget.share(now, own, service.behind);
        self.grant(id, share, own.bounded);
        // A wait that runs already shrinks like the others'.
        if matches!(self.services[id.index()].state, State::Stopping(Phase::Drain | Phase::Stage(_)))
            && let Some(at) = self.timers.get(Timer::Wait(id))
        {
            self.timers.set(Timer::Wait(id), now + share.scale.of(at.since(now)));
        }
    }

    fn grant(&mut self, id: ServiceId, share: Share, waits: Duration) {
        self.services[id.index()].share = share;
        if !share.scale.is_full() && !waits.is_zero() {
            let to = share.scale.of(waits);
            self.tell(Notice::BudgetShrunk { service: id, scale: share.scale, from: waits, to });
        }
    }

    fn enter_stage(&mut self, id: ServiceId, index: usize, now: Timestamp) {
        let settings = self.settings_of(id);
        let Some(stage) = settings.grace.stages().get(index) else { return self.kill(id, now) };
        let signal = self.resolve(stage.signal);
        let target = stage.target.unwrap_or(settings.signal_target);
        let of = settings.grace.stages().len() + 1;
        let written = stage.wait;
        let service = &mut self.services[id.index()];
        let wait = match written {
            Wait::For(wait) => Some(service.share.scale.of(wait)),
            Wait::Open => service.share.ends.map(|ends| ends.since(now)),
        };
        service.state = State::Stopping(Phase::Stage(index));
        service.stage_began = now;
        service.outcome.escalated |= index > 0;
        match wait {
            Some(wait) => self.timers.set(Timer::Wait(id), now + wait),
            None => self.timers.clear(Timer::Wait(id)),
        }
        let recipients = self.recipients(id, target);
        self.tell(Notice::StageSent { service: id, stage: index, of, signal, recipients, wait });
        self.send(id, recipients, signal);
        // So that a stopped process can obey.
        self.commands.push_back(Command::Signal { service: id, recipients, signal: Signal::CONT });
    }

    fn kill(&mut self, id: ServiceId, now: Timestamp) {
        let reserve = self.stop.as_ref().map_or(defaults::KILL_RESERVE_MAX, Stop::reserve);
        let of = self.settings_of(id).grace.stages().len() + 1;
        let recipients = self.recipients(id, Target::All);
        let service = &mut self.services[id.index()];
        service.stopping_since.get_or_insert(now);
        service.state = State::Stopping(Phase::Killed);
        service.stage_began = now;
        service.outcome.escalated = true;
        service.outcome.killed |= !service.strays.is_empty();
        self.timers.set(Timer::Wait(id), now + reserve);
        let (stage, signal, wait) = (of - 1, Signal::KILL, Some(reserve));
        self.tell(Notice::StageSent { service: id, stage, of, signal, recipients, wait });
        self.send(id, recipients, Signal::KILL);
    }

    /// The signal that a stage sends in this stop.
    fn resolve(&self, signal: StageSignal) -> Signal {
        match (signal, &self.stop) {
            (StageSignal::Fixed(signal), _) => signal,
            (StageSignal::Received, Some(stop)) => stop.received,
            (StageSignal::Received, None) => Signal::TERM,
        }
    }

    fn recipients(&self, id: ServiceId, target: Target) -> Recipients {
        match self.services[id.index()].leader {
            Some(_) => Recipients::Leader(target),
            None => Recipients::Strays,
        }
    }

    /// Sends a signal, and remembers for each stray which one it got last.
    fn send(&mut self, id: ServiceId, recipients: Recipients, signal: Signal) {
        match recipients {
            Recipients::Leader(_) => {}
            Recipients::Strays => {
                for pid in &self.services[id.index()].strays {
                    if let Some(stray) = self.strays.get_mut(pid) {
                        stray.signal = Some(signal);
                    }
                }
            }
            Recipients::Stray(pid) => {
                if let Some(stray) = self.strays.get_mut(&pid) {
                    stray.signal = Some(signal);
                }
            }
        }
        self.commands.push_back(Command::Signal { service: id, recipients, signal });
    }

    fn is_kill_now(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.level == Level::KillNow)
    }
}

/// Strays.
impl Supervisor {
    fn ask_census(&mut self) {
        if !std::mem::replace(&mut self.census_asked, true) {
            self.commands.push_back(Command::TakeCensus);
        }
    }

    fn on_stray_ended(&mut self, pid: Pid, end: End) {
        if let Some(stray) = self.strays.remove(&pid) {
            let service = &mut self.services[stray.service.index()];
            service.strays.remove(&pid);
            service.outcome.killed |= stray.signal == Some(Signal::KILL) && end.signal() == Some(Signal::KILL);
            let (service, signal) = (stray.service, stray.signal);
            self.tell(Notice::StrayEnded { service, pid, end: Some(end), signal });
        }
        // Its own children, if any, are ours now.
        if !self.uncounted.is_empty() {
            self.ask_census();
        }
    }

    fn on_census(&mut self, strays: Vec<Stray>, now: Timestamp) {
        self.census_asked = false;
        let stray_id = self.settings.stray_id();
        let mut found: BTreeMap<ServiceId, Vec<Stray>> = BTreeMap::new();
        for stray in strays {
            // What comes to light of a service that was found empty is stopped with what belongs to none.
            let service = stray.service.filter(|service| self.services[service.index()].state != State::Down);
            found.entry(service.unwrap_or(stray_id)).or_default().push(stray);
        }
        for id in std::mem::take(&mut self.uncounted) {
            let strays = found.remove(&id).unwrap_or_default();
            let new = self.update_strays(id, strays);
            if self.services[id.index()].strays.is_empty() {
                self.down(id, now);
            } else {
                self.uncounted.insert(id);
                self.on_strays(id, &new, now);
            }
        }
        self.check_finished(now);
    }

    /// Notes what the census found of a service, and returns what was not known before.
    fn update_strays(&mut self, id: ServiceId, strays: Vec<Stray>) -> Vec<Pid> {
        let pids: BTreeSet<Pid> = strays.iter().map(|stray| stray.pid).collect();
        let before = std::mem::replace(&mut self.services[id.index()].strays, pids);
        for pid in &before {
            if !self.services[id.index()].strays.contains(pid)
                && let Some(stray) = self.strays.remove(pid)
            {
                self.tell(Notice::StrayEnded { service: id, pid: *pid, end: None, signal: stray.signal });
            }
        }
        let mut new = Vec::new();
        for Stray { pid, name, .. } in strays {
            if !before.contains(&pid) {
                new.push(pid);
                self.strays.insert(pid, KnownStray { service: id, signal: None });
                self.tell(Notice::StrayFound { service: id, pid, name });
            }
        }
        new
    }

    /// A service without a leader has strays.
    fn on_strays(&mut self, id: ServiceId, new: &[Pid], now: Timestamp) {
        let service = &mut self.services[id.index()];
        match service.state {
            State::Ended => self.stop_strays(id, now),
            State::Stopping(Phase::Drain | Phase::Stage(_)) if !service.strays_stopping => self.stop_strays(id, now),
            // A process that came later joins the stage that the others are in.
            State::Stopping(Phase::Stage(stage)) => {
                let signal = self.resolve(self.settings_of(id).grace.stages()[stage].signal);
                for pid in new {
                    let recipients = Recipients::Stray(*pid);
                    self.send(id, recipients, signal);
                    self.commands.push_back(Command::Signal { service: id, recipients, signal: Signal::CONT });
                }
            }
            State::Stopping(Phase::Killed | Phase::Lingering) => {
                service.outcome.killed = true;
                for pid in new {
                    self.send(id, Recipients::Stray(*pid), Signal::KILL);
                }
            }
            State::Stopping(Phase::Drain) | State::Held => {}
            State::Waiting | State::Starting | State::Up | State::Down => {
                debug_assert!(false, "{id:?} is counted in state {:?}", service.state);
            }
        }
    }

    fn check_finished(&mut self, now: Timestamp) {
        let strays = &self.services[self.settings.stray_id().index()];
        if self.stop.is_none() || !strays.turn_has_come {
            return;
        }
        if self.active == 0 && strays.state == State::Down {
            self.finish(now);
        } else if self.settings.deadline.is_none()
            && self.timers.get(Timer::BudgetEnd).is_none()
            && self.services.iter().all(|service| {
                matches!(service.state, State::Down | State::Stopping(Phase::Lingering))
            })
        {
            // Without a deadline only this wait is bounded: what KILL does not end may never end.
            self.timers.set(Timer::BudgetEnd, now + defaults::KILL_WAIT_WITHOUT_DEADLINE);
        }
    }
}

/// Time, and small helpers.
impl Supervisor {
    fn on_time_passed(&mut self, now: Timestamp) {
        while let Some(timer) = self.timers.take_expired(now) {
            match timer {
                Timer::Wait(id) => self.on_wait_over(id, now),
                Timer::BudgetEnd => self.on_budget_end(now),
            }
        }
    }

    fn on_wait_over(&mut self, id: ServiceId, now: Timestamp) {
        let service = &self.services[id.index()];
        let waited = now.since(service.stage_began);
        match (service.state, service.outcome.end) {
            (State::Held, Some(end)) => self.conclude_end(id, end, true, now),
            (State::Stopping(Phase::Drain), _) => self.enter_stage(id, 0, now),
            (State::Stopping(Phase::Stage(stage)), _) => {
                let signal = self.resolve(self.settings_of(id).grace.stages()[stage].signal);
                self.tell(Notice::StageExpired { service: id, stage, signal, waited });
                self.enter_stage(id, stage + 1, now);
            }
            (State::Stopping(Phase::Killed), _) => {
                self.services[id.index()].state = State::Stopping(Phase::Lingering);
                self.tell(Notice::ServiceLingers { service: id, waited });
                if self.stop.is_none() {
                    self.reach(id);
                } else if self.services[id.index()].turn_has_come {
                    self.settle(id);
                }
                self.check_finished(now);
            }
            (
                State::Waiting
                | State::Starting
                | State::Up
                | State::Held
                | State::Ended
                | State::Stopping(Phase::Lingering)
                | State::Down,
                _,
            ) => debug_assert!(false, "{id:?} has no wait in state {:?}", service.state),
        }
    }

    fn kind(&self, id: ServiceId) -> Kind {
        self.settings_of(id).kind
    }

    fn settings_of(&self, id: ServiceId) -> &ServiceSettings {
        self.settings.services.get(id.index()).unwrap_or(&self.stray_settings)
    }

    fn tell(&mut self, notice: Notice) {
        self.commands.push_back(Command::Tell(notice));
    }
}
