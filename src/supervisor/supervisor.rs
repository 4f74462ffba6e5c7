mod deadline;
mod ends;
mod foresight;
mod hooks;
mod platform;
mod readiness;
mod reload;
mod requests;
mod restarts;
mod service_stop;
mod starting;
mod status;
mod strays;
mod system_stop;
mod wishes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use self::hooks::Hook;
use self::reload::Reload;
use super::service::{Phase, Service, State};
use super::stop::Stop;
use super::timers::{Timer, Timers};
use super::{
    Command, Deadline, End, Event, GraceSchedule, HookId, HookTimes, Kind, Notice, Outcome, Pid, ServiceId,
    ServiceSettings, Settings, Signal, Timestamp, Verdict, exit_status, verdict,
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
    /// Those of the pseudo-service `(cleanup)`.
    cleanup_settings: ServiceSettings,
    /// The services, then `(stray)` and `(cleanup)`.
    services: Vec<Service>,
    /// How many services are neither waiting nor down, the pseudo-services aside.
    active: usize,
    /// How many of these were killed, but are not gone: nobody waits for them.
    lingering: usize,
    /// How many services still wait for their dependencies.
    waiting: usize,
    /// Services without a leader that are not proved empty.
    uncounted: BTreeSet<ServiceId>,
    census_asked: bool,
    strays: BTreeMap<Pid, KnownStray>,
    /// Without /proc: there are processes that belong to nobody, and cannot be listed.
    hidden: bool,
    /// The last signal that they were sent.
    hidden_signal: Option<Signal>,
    hooks: BTreeMap<HookId, Hook>,
    next_hook: HookId,
    /// Services whose turn to stop has come: a list to work off, since a chain of thousands would be too deep to recurse.
    turns: Vec<ServiceId>,
    /// One command: somebody asked for a pause, and not yet for its end.
    suspending: bool,
    /// The platform was told that all is ready.
    is_ready: bool,
    /// The deadline of the stop if nobody asks for more; set when it begins.
    plain_deadline: Option<Deadline>,
    /// Whether the platform hears what it is told.
    is_heard: bool,
    /// For the delays of restarts.
    random: u64,
    reload: Option<Reload>,
    stop: Option<Stop>,
    /// What the platform told last: after what time it kills us, or that it never does.
    learnt: Option<Option<Duration>>,
    /// What was told of schedules that are too long.
    too_long: Option<Notice>,
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
        for _ in [settings.stray_id(), settings.cleanup_id()] {
            services.push(Service { state: State::Down, ..Service::new(0) });
        }
        let stray_settings = ServiceSettings {
            grace: settings.stray_grace.clone(),
            ..ServiceSettings::new(settings.name(settings.stray_id()))
        };
        let cleanup_settings = ServiceSettings {
            grace: GraceSchedule::kill_alone(),
            hooks: HookTimes { post_stop: settings.cleanup, ..HookTimes::default() },
            ..ServiceSettings::new(settings.name(settings.cleanup_id()))
        };
        // Zero would stay zero.
        let random = settings.seed | 1;
        Self {
            settings,
            stray_settings,
            cleanup_settings,
            services,
            active: 0,
            lingering: 0,
            waiting,
            uncounted: BTreeSet::new(),
            census_asked: false,
            strays: BTreeMap::new(),
            hidden: false,
            hidden_signal: None,
            hooks: BTreeMap::new(),
            next_hook: HookId::FIRST,
            turns: Vec::new(),
            suspending: false,
            is_ready: false,
            plain_deadline: None,
            is_heard: true,
            random,
            reload: None,
            stop: None,
            learnt: None,
            too_long: None,
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
            Event::Probed { service, purpose, result } => self.on_probed(service, purpose, result, now),
            Event::Notified { service, message } => self.on_notified(service, message, now),
            Event::LeaderMoved { service, pid } => self.on_leader_moved(service, pid, now),
            Event::Requested(request) => self.on_request(request, now),
            Event::ConfigurationRead(result) => self.on_configuration_read(result, now),
            Event::LeaderStopped { service, signal, has_shell } => {
                self.on_leader_stopped(service, signal, has_shell);
            }
            Event::StrayEnded { pid, end } => self.on_stray_ended(pid, end),
            Event::KilledWithLeader { service, processes } => self.on_killed_with_leader(service, processes),
            Event::Census { strays, hidden } => self.on_census(strays, hidden, now),
            Event::HookForked { hook, pid } => self.on_hook_forked(hook, pid),
            Event::HookEnded { hook, result } => self.on_hook_ended(hook, result, now),
            Event::SignalRefused { service, pid, errno } => {
                self.tell(Notice::SignalRefused { service, pid, errno });
            }
            Event::DeadlineLearnt { deadline } => self.on_deadline_learnt(deadline, now),
            Event::PlatformHears(hears) => self.on_platform_hears(hears, now),
            Event::PlatformStopsWith(signal) => self.on_platform_stops_with(signal),
            Event::TimePassed => self.on_time_passed(now),
        }
        if !self.finished {
            self.take_turns(now);
            self.check_reloaded(now);
        }
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

    /// How a service, or for `(cleanup)` the whole stop, went so far, and the exit status of it.
    pub fn so_far(&self, id: ServiceId) -> (Verdict, Option<u8>) {
        if id != self.settings.cleanup_id() {
            let outcome = self.services[id.index()].outcome;
            return (outcome.verdict(), outcome.end.map(End::status));
        }
        let outcomes = self.outcomes();
        let status = self
            .stop
            .as_ref()
            .map(|stop| exit_status(self.settings.mode, self.settings.exit_status, &stop.cause, &outcomes));
        (verdict(&outcomes), status)
    }

    /// How much of the time for stopping is left; the report has its own. `None`: there is no deadline.
    pub fn time_left(&self, now: Timestamp) -> Option<Duration> {
        let budget = self.stop.as_ref()?.budget?;
        Some(budget.stop_by.since(now))
    }

    /// Whether the time of the stop is up: what is left now is looked at for the last time.
    pub fn is_time_up(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.time_is_up)
    }

    /// Whether the end of the budget, or of what follows it, has come and was not heeded yet: what takes long is broken off.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.timers.get(Timer::BudgetEnd).is_some_and(|at| at <= now)
    }

    /// Whether a process is known as a stray, so that its end is told.
    pub fn knows_stray(&self, pid: Pid) -> bool {
        self.strays.contains_key(&pid)
    }

    /// With whom a stray of this service is stopped: its own, or the pseudo-service, if it comes from none, or comes to
    /// light of one that was found empty.
    pub fn stopped_with(&self, service: Option<ServiceId>) -> ServiceId {
        let own = service.filter(|service| self.services[service.index()].state != State::Down);
        own.unwrap_or_else(|| self.settings.stray_id())
    }

    /// When whoever looks at processes comes to an end, however many there are: before the next thing is due. `None`: at
    /// leisure.
    pub fn look_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.timers.get(Timer::BudgetEnd) {
            Some(at) if at > now => Some(at),
            // The last look leaves time for what comes after it.
            _ => self.latest_end().map(|end| now + end.since(now) / 4),
        }
    }

    /// When curfew must be gone, whatever holds it up: before the deadline of the stop that is under way, behind all that is
    /// to be done by then.
    pub fn latest_end(&self) -> Option<Timestamp> {
        let (stop, deadline) = (self.stop.as_ref()?, self.settings.deadline?);
        Some(stop.since + (deadline.deadline - deadline.margin / 4))
    }

    /// Until when whoever ends curfew at [`Self::latest_end`] looks for somebody to be killed.
    pub fn sweep_end(&self) -> Option<Timestamp> {
        let (stop, deadline) = (self.stop.as_ref()?, self.settings.deadline?);
        Some(stop.since + (deadline.deadline - deadline.margin / 8))
    }

    /// What became of each service so far, and of the pseudo-services behind them.
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.services.iter().map(|service| service.outcome).collect()
    }
}

/// Time, and small helpers.
impl Supervisor {
    fn on_time_passed(&mut self, now: Timestamp) {
        while let Some(timer) = self.timers.take_expired(now) {
            match timer {
                Timer::Wait(id) => self.on_wait_over(id, now),
                Timer::Look(id) => self.commands.push_back(Command::Look { service: id }),
                Timer::Start(id) => self.on_start_timeout(id, now),
                Timer::Probe(id) => self.on_probe_due(id, now),
                Timer::ProbeTimeout(id) => self.on_probe_timeout(id, now),
                Timer::Watchdog(id) => self.on_watchdog(id, now),
                Timer::Reading => self.on_reading_over(now),
                Timer::Ping => self.on_ping_due(now),
                Timer::Extend => self.ask_for_time(now),
                Timer::BudgetEnd => self.on_budget_end(now),
            }
        }
    }

    fn on_wait_over(&mut self, id: ServiceId, now: Timestamp) {
        let service = &self.services[id.index()];
        let waited = now.since(service.stage_began);
        match (service.state, service.outcome.end) {
            (State::Held, Some(end)) => self.conclude_end(id, end, true, now),
            (State::BackOff, _) => self.launch(id),
            (State::Stopping(Phase::Lingering), _) => self.abandon_restart(id, now),
            (State::Stopping(Phase::PreStop), _) => self.begin_drain(id, now),
            (State::Stopping(Phase::Drain), _) => self.enter_stage(id, 0, now),
            // What runs after the end has had its time.
            (State::Stopping(Phase::PostStop), _) => self.kill(id, now),
            (State::Stopping(Phase::Stage(stage)), _) => {
                // Only who was asked to end can be blamed for still being there.
                if let Some(signal) = self.services[id.index()].stage_signal {
                    self.tell(Notice::StageExpired { service: id, stage, signal, waited });
                    if self.services[id.index()].leader.is_some() {
                        self.commands.push_back(Command::Blame { service: id });
                    }
                }
                self.enter_stage(id, stage + 1, now);
            }
            (State::Stopping(Phase::Killed), _) => {
                let service = &mut self.services[id.index()];
                service.state = State::Stopping(Phase::Lingering);
                if service.leader.is_some() {
                    // What it left to us before is not under it, and was not killed with it.
                    self.uncounted.insert(id);
                    self.ask_census();
                }
                self.lingering += usize::from(self.is_real(id));
                self.tell(Notice::ServiceLingers { service: id, waited });
                if self.stop.is_none() {
                    self.bound_wait_for_restart(id, now);
                    self.give_up(id, now);
                } else if self.services[id.index()].turn_has_come {
                    self.settle(id);
                }
                self.check_finished(now);
            }
            (
                State::Waiting
                | State::Preparing
                | State::Starting
                | State::Unready
                | State::Up
                | State::Held
                | State::Ended
                | State::Down,
                _,
            ) => debug_assert!(false, "{id:?} has no wait in state {:?}", service.state),
        }
    }

    fn kind(&self, id: ServiceId) -> Kind {
        self.settings_of(id).kind
    }

    fn settings_of(&self, id: ServiceId) -> &ServiceSettings {
        match self.settings.services.get(id.index()) {
            Some(settings) => settings,
            None if id == self.settings.stray_id() => &self.stray_settings,
            None => &self.cleanup_settings,
        }
    }

    /// Whether it is a service that was configured, and no pseudo-service.
    fn is_real(&self, id: ServiceId) -> bool {
        id.index() < self.settings.services.len()
    }

    fn tell(&mut self, notice: Notice) {
        self.commands.push_back(Command::Tell(notice));
    }
}
