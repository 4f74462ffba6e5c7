use std::collections::VecDeque;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use curfew::supervisor::{
    Command, End, Event, HookKind, Notice, Pid, Recipients, Request, Seat, Sender, ServiceId, ServiceState,
    ServiceStatus, Signal, StartFailure, Step, StopPhase, StopStatus, SystemPhase, SystemStatus, Target,
    Timestamp,
};

use super::broken_core::Core;
use super::checkers;
use super::configuration::{Adopted, Configuration, Epoch, Held, Reading};
use super::history::{Entry, History, What};
use super::kernel::{Kernel, Reaped};
use super::random::Random;
use super::spec::{Input, Spec};

/// More wake-ups than any run can need.
const WAKE_UPS_MAX: usize = 200_000;
/// Longer than any stop takes that comes to an end.
const LONGEST_STOP: Duration = Duration::from_secs(3600);
/// More wake-ups than can be needed without time passing.
const WAKE_UPS_AT_ONCE_MAX: usize = 5_000;

/// The fake kernel, a virtual clock, and the core. It behaves as the runtime does: in each wake-up signals come
/// before deaths, deaths before timers, and a census after all; time jumps to whatever comes next.
pub(crate) struct World {
    pub(crate) spec: Spec,
    core: Core,
    kernel: Kernel,
    now: Timestamp,
    random: Random,
    inputs: VecDeque<(Timestamp, Input)>,
    signals: Vec<(Signal, Sender)>,
    requests: Vec<Request>,
    held: Held,
    /// How often the configuration was read anew.
    reading_count: usize,
    /// When the reading that is under way is over, and what it comes to.
    reading: Option<(Timestamp, Option<Configuration>)>,
    /// How many lives of each service began.
    lives: Vec<usize>,
    /// How many of them before the program that it executes now.
    lives_before: Vec<usize>,
    /// What each service ran last, in this life.
    last_steps: Vec<Option<Step>>,
    probe_count: u64,
    /// Answers of the platform that curfew has not read yet.
    answers: Vec<Event>,
    is_stopping: bool,
    /// When curfew will be scheduled, if something woke it.
    wake_at: Option<Timestamp>,
    /// How late it will be for this deadline.
    deadline_lateness: Option<(Timestamp, Duration)>,
    suspended_until: Timestamp,
    census_wanted: bool,
    refused: Vec<Pid>,
    pub(crate) finished: bool,
    pub(crate) history: History,
    pub(crate) event_count: usize,
    pub(crate) command_count: usize,
}

impl World {
    pub(crate) fn new(spec: Spec) -> Self {
        let settings = spec.settings();
        let mut inputs: Vec<(Timestamp, Input)> =
            spec.inputs.iter().map(|(at, input)| (Timestamp::new(*at), *input)).collect();
        // Stable: what comes at the same time comes in the order it was written.
        inputs.sort_by_key(|(at, _)| *at);
        Self {
            core: Core::new(settings.clone(), spec.fault),
            kernel: Kernel::new(spec.mode, spec.services.len(), spec.blind),
            now: Timestamp::ZERO,
            random: Random::new(spec.seed),
            inputs: inputs.into(),
            signals: Vec::new(),
            requests: Vec::new(),
            held: Held::new(&spec),
            reading_count: 0,
            reading: None,
            lives: vec![0; spec.services.len() + 2],
            lives_before: vec![0; spec.services.len() + 2],
            last_steps: vec![None; spec.services.len() + 2],
            probe_count: 0,
            answers: Vec::new(),
            is_stopping: false,
            wake_at: None,
            deadline_lateness: None,
            suspended_until: Timestamp::ZERO,
            census_wanted: false,
            refused: Vec::new(),
            finished: false,
            history: History {
                adopted: spec.services.iter().map(|service| vec![Adopted::new(0, service)]).collect(),
                epochs: vec![Epoch::first(&spec)],
                settings,
                lateness: spec.lateness,
                suspensions: Vec::new(),
                entries: Vec::new(),
                milestones: Vec::new(),
                lives: Vec::new(),
                processes: Vec::new(),
                over: Timestamp::ZERO,
                armed: None,
                untrue_status: None,
                is_cut: false,
            },
            event_count: 0,
            command_count: 0,
            spec,
        }
    }

    /// Runs until the core finishes, or until nothing can ever happen any more.
    #[track_caller]
    pub(crate) fn run_to_the_end(&mut self) {
        self.handle(Event::Begin);
        self.count();
        let (mut wake_ups, mut at_once) = (0, 0);
        while !self.finished {
            let wake_at = self.next_wake_up();
            let happens_at = [
                self.kernel.next_happening(),
                self.inputs.front().map(|(at, _)| *at),
                self.reading.as_ref().map(|(at, _)| *at).filter(|at| *at > self.now),
            ];
            match (happens_at.into_iter().flatten().min(), wake_at) {
                (None, None) => break,
                (happens_at, wake_at)
                    if happens_at.into_iter().chain(wake_at).min() > Some(self.horizon()) =>
                {
                    self.history.is_cut = true;
                    break;
                }
                // What happens at the moment of a wake-up is seen by it.
                (Some(at), wake_at) if wake_at.is_none_or(|wake_at| at <= wake_at) => self.let_happen(at),
                (_, Some(at)) => {
                    at_once = if at > self.now { 0 } else { at_once + 1 };
                    wake_ups += 1;
                    self.now = self.now.max(at);
                    if wake_ups > WAKE_UPS_MAX || at_once > WAKE_UPS_AT_ONCE_MAX {
                        self.close();
                        panic!("curfew wakes up again and again\n{self}");
                    }
                    self.wake_up();
                }
                (Some(_), None) => unreachable!("taken above"),
            }
        }
        self.close();
    }

    /// Runs to the end with every checker on; a failure comes with all that happened.
    pub(crate) fn try_run(spec: Spec) -> Result<Self, String> {
        let mut world = Self::new(spec);
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            world.run_to_the_end();
            world.check();
        }));
        let Err(panic) = result else { return Ok(world) };
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_else(|| "a panic without words".to_owned());
        // A panic of the core itself knows nothing of the world.
        let trace = world.to_string();
        Err(if text.ends_with(&trace) { text } else { format!("{text}\n{trace}") })
    }

    /// Has every checker look at what happened.
    #[track_caller]
    pub(crate) fn check(&self) {
        let complaints = checkers::complaints(&self.history);
        if !complaints.is_empty() {
            let complaints: Vec<String> =
                complaints.iter().map(|(checker, complaint)| format!("{checker}: {complaint}")).collect();
            panic!("{}\n{self}", complaints.join("\n"));
        }
    }

    /// The exit status.
    #[track_caller]
    pub(crate) fn status(&self) -> u8 {
        match self.history.finish() {
            Some((_, _, status)) => status,
            None => panic!("it never came to an end\n{self}"),
        }
    }

    /// When the run was over.
    #[track_caller]
    pub(crate) fn finished_at(&self) -> Duration {
        assert!(self.finished, "it never came to an end\n{self}");
        self.history.over.since_start()
    }

    /// Asserts every signal sent, in order, CONT aside: `12.000s api TERM → leader 102`, a line each.
    #[track_caller]
    pub(crate) fn sent(&self, expected: &str) -> &Self {
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let sent = self.history.signal_lines();
        assert!(sent == expected, "expected\n{}\nbut sent\n{}\n{self}", expected.join("\n"), sent.join("\n"));
        self
    }

    /// Asserts the exit status and when it came.
    #[track_caller]
    pub(crate) fn ends(&self, status: u8, at: Duration) -> &Self {
        assert!(
            (self.status(), self.finished_at()) == (status, at),
            "expected {status} at {at:?}, got {} at {:?}\n{self}",
            self.status(),
            self.finished_at()
        );
        self
    }

    /// Whether anything told fits.
    pub(crate) fn told(&self, fits: impl Fn(&Notice) -> bool) -> bool {
        self.times_told(fits) > 0
    }

    /// How often something that fits was told.
    pub(crate) fn times_told(&self, fits: impl Fn(&Notice) -> bool) -> usize {
        self.history.notices().filter(|(_, _, notice)| fits(notice)).count()
    }

    /// When each service was started.
    pub(crate) fn starts(&self) -> Vec<(Duration, String)> {
        let start = |entry: &Entry| match &entry.what {
            What::Command(Command::Start { service, step: Step::Main }, _) => {
                Some((entry.at.since_start(), self.history.settings.name(*service).to_owned()))
            }
            _ => None,
        };
        self.history.entries.iter().filter_map(start).collect()
    }

    /// When the run is cut off: a stop may take its time, but one that never ends must not run for ever.
    fn horizon(&self) -> Timestamp {
        let more = if self.is_stopping { LONGEST_STOP } else { Duration::ZERO };
        Timestamp::new(self.spec.horizon + more)
    }

    /// What was started, step by step: `200 api command`.
    pub(crate) fn steps(&self) -> Vec<String> {
        let start = |entry: &Entry| match &entry.what {
            What::Command(Command::Start { service, step }, _) => {
                let name = self.history.settings.name(*service);
                Some(format!("{} {name} {step}", entry.at.since_start().as_millis()))
            }
            _ => None,
        };
        self.history.entries.iter().filter_map(start).collect()
    }

    /// When such a command was given, as the trace has it.
    pub(crate) fn commands_of(&self, line: &str) -> Vec<Duration> {
        let trace = self.history.command_lines();
        trace.into_iter().filter(|(_, command)| command == line).map(|(at, _)| at.since_start()).collect()
    }

    fn close(&mut self) {
        self.history.over = self.now;
        self.history.armed = self.core.next_deadline();
        self.history.processes.clone_from(&self.kernel.processes);
        self.history.note_milestones();
    }

    fn next_wake_up(&mut self) -> Option<Timestamp> {
        let deadline = self.core.next_deadline().map(|deadline| {
            let lateness = match self.deadline_lateness {
                Some((of, lateness)) if of == deadline => lateness,
                _ => self.random.up_to(self.spec.lateness),
            };
            self.deadline_lateness = Some((deadline, lateness));
            deadline + lateness
        });
        let wake_at = deadline.into_iter().chain(self.wake_at).min()?;
        Some(wake_at.max(self.suspended_until).max(self.now))
    }

    fn let_happen(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        if self.kernel.next_happening() == Some(at) {
            self.kernel.happen();
        } else if let Some((_, input)) = self.inputs.pop_front_if(|(due, _)| *due <= at) {
            match input {
                Input::Signal(signal, sender) => {
                    self.signals.push((signal, sender));
                    // A hang-up is told to the session's leader alone; and the kernel discards TSTP where no shell waits.
                    let is_told = match signal {
                        Signal::HUP => false,
                        Signal::TSTP => self.spec.has_shell,
                        _ => true,
                    };
                    if self.spec.seat == Seat::SharedGroup && sender == Sender::Terminal && is_told {
                        self.kernel.deliver_to_group(ServiceId::new(0), signal, self.now);
                    }
                }
                Input::ToLeader(service, signal) => {
                    if let Some(leader) = self.kernel.leader(ServiceId::new(service)) {
                        self.kernel.processes[leader].is_disturbed = true;
                        self.kernel.deliver(leader, signal, self.now);
                    }
                }
                Input::Learn(deadline) => self.answers.push(Event::DeadlineLearnt { deadline }),
                Input::Hears(hears) => self.answers.push(Event::PlatformHears(hears)),
                Input::Suspend(time) => {
                    self.suspended_until = self.suspended_until.max(self.now + time);
                    self.history.suspensions.push((self.now, self.suspended_until));
                }
                Input::Request(request) => self.requests.push(request),
            }
        }
        let is_read = self.reading.as_ref().is_some_and(|(over, _)| *over <= self.now);
        let was_told =
            is_read || !self.signals.is_empty() || !self.requests.is_empty() || !self.answers.is_empty();
        let has_news = self.kernel.has_news() || was_told;
        if self.wake_at.is_none() && has_news {
            self.wake_at = Some(self.now + self.random.up_to(self.spec.lateness));
        }
    }

    fn wake_up(&mut self) {
        self.wake_at = None;
        self.take_signals();
        self.reap_all();
        // What comes by descriptors comes in the order in which epoll(7) names them.
        let first = if self.spec.shuffles { self.random.below(5) } else { 0 };
        for kind in 0..5 {
            match (first + kind) % 5 {
                0 => {
                    for (service, result) in std::mem::take(&mut self.kernel.exec_results) {
                        self.tell_exec_result(service, result);
                    }
                }
                1 => self.tell_messages(),
                2 => self.tell_answers(),
                3 => self.tell_configuration(),
                _ => {
                    for request in std::mem::take(&mut self.requests) {
                        self.handle(Event::Requested(request));
                    }
                }
            }
        }
        for answer in std::mem::take(&mut self.answers) {
            self.handle(answer);
        }
        self.handle(Event::TimePassed);
        self.count();
        self.compare_status();
    }

    /// Whoever asks now is told the truth.
    fn compare_status(&mut self) {
        if self.finished || self.history.untrue_status.is_some() {
            return;
        }
        let complaint = self.untruth(&self.core.status(self.now));
        self.history.untrue_status = complaint.map(|complaint| format!("at {}: {complaint}", self.now));
    }

    fn untruth(&self, status: &SystemStatus) -> Option<String> {
        if matches!(status.phase, SystemPhase::Stopping(_)) != self.is_stopping {
            return Some(format!("the system is {:?}", status.phase));
        }
        if let SystemPhase::Stopping(StopStatus { budget, left, .. }) = status.phase
            && left > budget
        {
            return Some(format!("{left:?} of {budget:?} are left"));
        }
        for service in &status.services {
            let name = self.history.settings.name(service.id);
            let leader = self.kernel.leader(service.id).map(Kernel::pid);
            if service.pid != leader {
                return Some(format!("{name} has process {:?}, but it is {leader:?}", service.pid));
            }
            if service.is_down() && (leader.is_some() || service.strays > 0) {
                return Some(format!("{name} is down, but has processes"));
            }
            let is_cleanup = service.id == self.history.settings.cleanup_id();
            if let ServiceState::Stopping {
                phase: phase @ (StopPhase::PostStop | StopPhase::Cleanup), ..
            } = service.state
                && is_cleanup != (phase == StopPhase::Cleanup)
            {
                return Some(format!("{name} is said to be in {phase:?}"));
            }
            let wakes_by = match service.state {
                ServiceState::Stopping { left, .. } => left,
                ServiceState::BackOff { left } => Some(left),
                _ => None,
            };
            let armed = self.core.next_deadline();
            if wakes_by.is_some_and(|left| armed.is_none_or(|armed| armed > self.now + left)) {
                return Some(format!("{name} waits for {wakes_by:?}, but nothing is armed for it"));
            }
            // What was removed and is gone is not told of.
            let of = |id: &ServiceId| status.services.iter().find(|service| service.id == *id);
            let is_down = |id: &ServiceId| of(id).is_none_or(ServiceStatus::is_down);
            if let (true, Some(other)) = (self.is_stopping, service.awaits.iter().find(|id| is_down(id))) {
                return Some(format!("{name} waits for {other:?}, which is down"));
            }
        }
        None
    }

    /// What services say of themselves; who has ended speaks for nobody any more.
    fn tell_messages(&mut self) {
        for (index, message) in std::mem::take(&mut self.kernel.said) {
            let service = self.kernel.processes[index].service;
            if self.kernel.leader(service) == Some(index) {
                self.handle(Event::Notified { service, message });
            }
        }
    }

    fn tell_answers(&mut self) {
        while let Some((service, purpose, result)) = self.kernel.answers.pop() {
            let event = Event::Probed { service, purpose, result };
            self.handle(event.clone());
            self.surplus(event);
        }
    }

    /// The helper that reads has ended, or has not.
    fn tell_configuration(&mut self) {
        let Some((_, configuration)) = self.reading.take_if(|(over, _)| *over <= self.now) else { return };
        let result = match configuration {
            Some(configuration) => {
                let told = configuration.told(&self.spec, &self.held.programs);
                self.held.incoming = Some(configuration);
                Ok(Box::new(told))
            }
            None => Err(vec!["it is wrong".to_owned()]),
        };
        let count = self.reading_count;
        self.handle(Event::ConfigurationRead(result.clone()));
        // Another answer may be waited for by now.
        if count == self.reading_count {
            self.surplus(Event::ConfigurationRead(result));
        }
    }

    fn read_configuration(&mut self) {
        let reading = match &*self.spec.readings {
            [] => Reading::of(self.spec.configuration()),
            readings => readings[self.reading_count.min(readings.len() - 1)].clone(),
        };
        self.reading_count += 1;
        if self.reading.is_some() {
            self.close();
            panic!("the configuration is read twice at once\n{self}");
        }
        self.reading = reading.takes.map(|time| (self.now + time, reading.configuration));
        if self.reading.as_ref().is_some_and(|(over, _)| *over <= self.now) && self.wake_at.is_none() {
            self.wake_at = Some(self.now);
        }
    }

    /// Makes room for services that are new.
    fn reconfigure(&mut self, places: &[Option<usize>], entry: usize) {
        let before = self.held.programs.len();
        let settings = &mut self.history.settings;
        let (new, epoch) = self.held.take_over(places, &self.spec, entry, settings);
        self.history.epochs.push(epoch);
        for index in before..before + new {
            self.history.adopted.push(vec![Adopted::new(entry, &self.held.programs[index])]);
            self.lives.insert(index, 0);
            self.lives_before.insert(index, 0);
            self.last_steps.insert(index, None);
        }
        self.kernel.make_room(new);
    }

    fn adopt(&mut self, service: ServiceId, entry: usize) {
        if self.held.adopt(service) {
            self.lives_before[service.index()] = self.lives[service.index()];
        }
        // Nothing is left of its life, if nothing leads it.
        if self.kernel.leader(service).is_none() {
            self.last_steps[service.index()] = None;
        }
        let adopted = Adopted::new(entry, &self.held.programs[service.index()]);
        self.history.settings.services[service.index()] = adopted.settings.clone();
        self.history.adopted[service.index()].push(adopted);
    }

    fn take_signals(&mut self) {
        for (signal, sender) in std::mem::take(&mut self.signals) {
            self.handle(Event::SignalReceived { signal, sender });
        }
    }

    fn reap_all(&mut self) {
        for (service, signal) in std::mem::take(&mut self.kernel.stopped_leaders) {
            self.handle(Event::LeaderStopped { service, signal, has_shell: self.spec.has_shell });
        }
        while !self.kernel.reapable.is_empty() {
            let which = if self.spec.shuffles { self.random.below(self.kernel.reapable.len()) } else { 0 };
            let index = self.kernel.reapable[which];
            if let Some(hook) = self.kernel.processes[index].hook {
                self.kernel.end_group(index, self.now);
                let Reaped::Stray(end) = self.kernel.reap(index) else { unreachable!("a hook leads nobody") };
                self.handle(Event::HookEnded { hook, result: Ok(end) });
                self.surplus(Event::HookEnded { hook, result: Ok(end) });
                continue;
            }
            match self.kernel.reap(index) {
                Reaped::Leader(service, end) => {
                    // How far it came is told before its death.
                    let results = std::mem::take(&mut self.kernel.exec_results);
                    let (of_it, others) = results.into_iter().partition(|(of, _)| *of == service);
                    self.kernel.exec_results = others;
                    for (service, result) in of_it {
                        self.tell_exec_result(service, result);
                    }
                    if end != End::Exited(0) {
                        self.last_steps[service.index()] = None;
                    }
                    self.handle(Event::LeaderEnded { service, end });
                    if self.kernel.leader(service).is_none() {
                        self.surplus(Event::LeaderEnded { service, end });
                    }
                }
                Reaped::Predecessor(service, pid) => self.handle(Event::LeaderMoved { service, pid }),
                Reaped::Stray(end) => {
                    self.handle(Event::StrayEnded { pid: Kernel::pid(index), end });
                    self.surplus(Event::StrayEnded { pid: Kernel::pid(index), end });
                }
            }
        }
    }

    fn tell_exec_result(&mut self, service: ServiceId, result: Result<(), StartFailure>) {
        let event = match result {
            Ok(()) => Event::Executed { service },
            Err(failure) => Event::StartFailed { service, failure },
        };
        self.handle(event.clone());
        if result.is_ok() {
            self.surplus(event);
        }
    }

    fn count(&mut self) {
        while self.census_wanted && !self.finished {
            // What dies at once is dead by now.
            while self.kernel.next_happening().is_some_and(|at| at <= self.now) {
                self.kernel.happen();
            }
            self.take_signals();
            self.reap_all();
            self.census_wanted = false;
            let (strays, hidden) = self.kernel.census();
            self.handle(Event::Census { strays, hidden });
        }
        if self.kernel.has_news() && self.wake_at.is_none() {
            self.wake_at = Some(self.now);
        }
    }

    /// Tells the core, and performs what it commands: one by one, as some are answered at once.
    fn handle(&mut self, event: Event) {
        self.feed(event);
        while let Some(command) = self.core.next_command() {
            self.perform(&command);
        }
    }

    fn feed(&mut self, event: Event) {
        self.event_count += 1;
        self.history.entries.push(Entry { at: self.now, what: What::Event(event.clone()), is_answer: false });
        self.core.handle(event, self.now);
    }

    /// Tells the core what came of a command, while others still wait to be performed.
    fn answer(&mut self, event: Event) {
        let place = self.history.entries.len();
        self.feed(event);
        self.history.entries[place].is_answer = true;
    }

    fn perform(&mut self, command: &Command) {
        self.command_count += 1;
        let place = self.history.entries.len();
        let what = What::Command(command.clone(), Vec::new());
        self.history.entries.push(Entry { at: self.now, what, is_answer: false });
        match *command {
            Command::Start { service, step } => {
                let life = self.begin(service, step);
                let of_version = life.saturating_sub(self.lives_before[service.index()]);
                let behaviour = match (self.held.programs.get(service.index()), &self.held.cleanup) {
                    (Some(spec), _) => spec.leader(step, of_version).clone(),
                    (None, Some(behaviour)) => behaviour.clone(),
                    (None, None) => panic!("a cleanup is started, but there is none\n{self}"),
                };
                match self.kernel.start(service, step, life, &behaviour, self.now) {
                    Ok(pid) => self.answer(Event::Forked { service, pid }),
                    Err(failure) => self.answer(Event::StartFailed { service, failure }),
                }
            }
            Command::Signal { service, recipients, signal } => {
                let (hit, refused) = self.kernel.signal(&self.core, service, recipients, signal, self.now);
                if recipients == Recipients::Leader(Target::All) && signal == Signal::KILL {
                    let leader = self.kernel.leader(service).map(Kernel::pid);
                    let below: Vec<Pid> = hit.iter().copied().filter(|pid| Some(*pid) != leader).collect();
                    self.kernel.remember(&below);
                    let processes = below.into_iter().map(|pid| (pid, "process".to_owned())).collect();
                    self.answer(Event::KilledWithLeader { service, processes });
                }
                self.history.entries[place].what =
                    What::Command(Command::Signal { service, recipients, signal }, hit);
                for pid in refused {
                    if !self.refused.contains(&pid) {
                        self.refused.push(pid);
                        self.answer(Event::SignalRefused { service, pid, errno: 1 });
                    }
                }
            }
            Command::Resume { service } => {
                let group = Recipients::Leader(Target::Group);
                self.kernel.signal(&self.core, service, group, Signal::CONT, self.now);
            }
            Command::RunHook { hook, service, ref kind } => {
                let spec = &self.held.programs[service.index()];
                let behaviour = match kind {
                    HookKind::PreStop => spec.pre_stop.clone(),
                    HookKind::Stage(_) => spec.hook.clone(),
                    HookKind::PreStart | HookKind::PostStop => panic!("{kind} runs as a leader\n{self}"),
                };
                let life = self.lives[service.index()].saturating_sub(1);
                match self.kernel.start_hook(hook, service, life, &behaviour, self.now) {
                    Ok(pid) => self.answer(Event::HookForked { hook, pid }),
                    Err(failure) => self.answer(Event::HookEnded { hook, result: Err(failure) }),
                }
            }
            Command::ReadConfiguration => self.read_configuration(),
            Command::AbandonReading => self.reading = None,
            Command::Reconfigure { ref places } => self.reconfigure(places, place),
            Command::Adopt { service } => self.adopt(service, place),
            // Its stop begins: what would come next in its life does not.
            Command::Measure { service } => self.last_steps[service.index()] = None,
            Command::EndHook { hook } => self.kernel.end_hook(hook, self.now),
            Command::TakeCensus => self.census_wanted = true,
            Command::Finish { .. } => self.finished = true,
            // Whoever stopped us continues us before anything else happens.
            Command::StopSelf => {}
            Command::Tell(Notice::StopRequested { .. }) => self.is_stopping = true,
            // What is told or looked at changes no process.
            Command::Tell(_)
            | Command::Look { .. }
            | Command::Blame { .. }
            | Command::ReopenOutput
            | Command::LearnDeadline
            | Command::TellPlatform(_) => {}
            Command::Probe { service, purpose } => {
                self.probe_count += 1;
                self.kernel.probe(service, purpose, self.probe_count, self.now);
            }
            Command::AbandonProbe { service } => self.kernel.abandon_probe(service),
        }
    }

    /// Which life of the service this step belongs to, from 0.
    fn begin(&mut self, service: ServiceId, step: Step) -> usize {
        let before = self.last_steps[service.index()].replace(step);
        let begins = match step {
            Step::PreStart => true,
            Step::Main => before != Some(Step::PreStart),
            Step::PostStop => false,
        };
        let lives = &mut self.lives[service.index()];
        *lives += usize::from(begins);
        lives.saturating_sub(1)
    }

    /// Tells the core something it knows or need not know: nothing may come of it but a look around.
    fn surplus(&mut self, event: Event) {
        if !self.spec.surplus || !self.random.one_in(4) {
            return;
        }
        let before = self.core.next_deadline();
        for event in [event, Event::StrayEnded { pid: Kernel::pid(1_000_000), end: End::Exited(0) }] {
            self.feed(event.clone());
            while let Some(command) = self.core.next_command() {
                if command == Command::TakeCensus {
                    self.perform(&command);
                } else {
                    self.close();
                    panic!("a surplus {event:?} led to {command:?}\n{self}");
                }
            }
        }
        if self.core.next_deadline() != before {
            self.close();
            panic!("a surplus event moved a timer\n{self}");
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        writeln!(formatter, "{}", self.history.trace())?;
        write!(formatter, "seed {}, inputs {:?}", self.spec.seed, self.spec.inputs)
    }
}
