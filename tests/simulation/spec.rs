use std::collections::BTreeMap;
use std::time::Duration;

use curfew::supervisor::{
    Deadline, DeadlineBasis, End, ExitStatusPolicy, GraceSchedule, Health, Kind, Mode, Readiness, ReadyBy,
    Request, Restart, RestartWhen, Seat, Sender, ServiceId, ServiceSettings, Settings, Signal, Stage,
    StageAction, Step, Target, Wait,
};

use super::broken_core::Fault;
use super::configuration::{Configuration, Reading};
use super::process::Behaviour;
use super::world::World;

/// A whole run as data: what is configured, how the processes behave, and what comes from outside.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) mode: Mode,
    pub(crate) services: Vec<ServiceSpec>,
    pub(crate) deadline: Option<Deadline>,
    /// The margin that was asked for, whatever the deadline will be.
    pub(crate) margin: Option<Duration>,
    pub(crate) stray_grace: Option<GraceSchedule>,
    pub(crate) policy: ExitStatusPolicy,
    pub(crate) seat: Seat,
    pub(crate) has_shell: bool,
    pub(crate) reloadable: bool,
    pub(crate) has_output_files: bool,
    pub(crate) map: BTreeMap<Signal, Option<Signal>>,
    pub(crate) inputs: Vec<(Duration, Input)>,
    /// What there is to be read, each time that the configuration is read anew; the last again and again. None: the same
    /// as at the start.
    pub(crate) readings: Vec<Reading>,
    /// The last command of all: how long it may take, and what it does.
    pub(crate) cleanup: Option<(Duration, Behaviour)>,
    /// The platform is asked for more time, at most so much.
    pub(crate) extend: Option<Duration>,
    /// What the deadline was known by.
    pub(crate) deadline_basis: DeadlineBasis,
    /// How often the platform wants to hear of us.
    pub(crate) platform_watchdog: Option<Duration>,
    /// The run is cut off then, if nothing stops it.
    pub(crate) horizon: Duration,
    /// How late curfew may be scheduled.
    pub(crate) lateness: Duration,
    /// There is no /proc, and curfew is PID 1.
    pub(crate) blind: bool,
    /// Deaths of one wake-up are told in any order.
    pub(crate) shuffles: bool,
    /// The core is told surplus things, to which it must not react.
    pub(crate) surplus: bool,
    pub(crate) seed: u64,
    /// For the delays of restarts.
    pub(crate) jitter: u64,
    /// A bug put into the core on purpose.
    pub(crate) fault: Option<Fault>,
}

/// One service: its settings, what it is after, and what its process does.
#[derive(Clone, Debug)]
pub(crate) struct ServiceSpec {
    pub(crate) settings: ServiceSettings,
    pub(crate) after: Vec<usize>,
    /// Which version of its program is executed. Each begins with its first life.
    pub(crate) version: u32,
    /// Which version of the commands beside it.
    pub(crate) version_beside: u32,
    /// What its process does in its first life.
    pub(crate) behaviour: Behaviour,
    /// And in the further ones; the last of these in all that follow. None: the same again.
    pub(crate) later: Vec<Behaviour>,
    /// What the command before its start does, life by life; the last in all that follow.
    pub(crate) pre_start: Vec<Behaviour>,
    /// What the command before its stop does.
    pub(crate) pre_stop: Behaviour,
    /// What each command does that a stage runs.
    pub(crate) hook: Behaviour,
    /// What the command after its end does.
    pub(crate) post_stop: Behaviour,
}

/// What comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// curfew gets a signal.
    Signal(Signal, Sender),
    /// Somebody signals the leader of a service.
    ToLeader(usize, Signal),
    /// curfew itself is stopped (SIGSTOP) for so long.
    Suspend(Duration),
    /// Somebody asks for something by way of the control socket.
    Request(Request),
    /// The platform answers when it kills us; `None`: never.
    Learn(Option<Duration>),
    /// The platform begins, or ceases, to hear us.
    Hears(bool),
}

/// A process somewhere.
pub(crate) const SOMEBODY: Sender = Sender::Process { pid: 7, uid: 0 };

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A service that obeys at once.
pub(crate) fn service(name: &str) -> ServiceSpec {
    ServiceSpec {
        settings: ServiceSettings::new(name),
        after: Vec::new(),
        version: 0,
        version_beside: 0,
        behaviour: Behaviour::obeys(Duration::ZERO),
        later: Vec::new(),
        pre_start: vec![done_after(Duration::ZERO)],
        pre_stop: done_after(Duration::ZERO),
        hook: done_after(Duration::ZERO),
        post_stop: done_after(Duration::ZERO),
    }
}

/// A command that succeeds after so long.
pub(crate) fn done_after(after: Duration) -> Behaviour {
    Behaviour::ends(after, End::Exited(0))
}

/// A command that fails with status 3 after so long.
pub(crate) fn fails_after(after: Duration) -> Behaviour {
    Behaviour::ends(after, End::Exited(3))
}

/// A service that is meant to end.
pub(crate) fn task(name: &str) -> ServiceSpec {
    let mut spec = service(name);
    spec.settings.kind = Kind::Task;
    spec
}

/// Reads a schedule as the configuration would: `TERM 8s, INT@group 500ms, QUIT`. `*` stands for the signal received.
pub(crate) fn grace(text: &str) -> GraceSchedule {
    let duration = |text: &str| {
        let split = text.find(|digit: char| !digit.is_ascii_digit()).expect("a unit");
        let number: u64 = text[..split].parse().expect("a number");
        if &text[split..] == "ms" { ms(number) } else { ms(number * 1000) }
    };
    let stage = |text: &str| {
        let mut words = text.split_whitespace();
        let (signal, target) =
            words.next().map(|word| word.split_once('@').unwrap_or((word, ""))).expect("a signal");
        let action = match signal {
            "*" => StageAction::Received,
            name => match name.strip_prefix("run:") {
                Some(command) => StageAction::Run(command.into()),
                None => StageAction::Fixed(Signal::parse(name).expect("a signal")),
            },
        };
        let target = match target {
            "leader" => Some(Target::Leader),
            "group" => Some(Target::Group),
            "all" => Some(Target::All),
            _ => None,
        };
        Stage { action, target, wait: words.next().map_or(Wait::Open, |text| Wait::For(duration(text))) }
    };
    let stages = text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(stage).collect();
    GraceSchedule::new(stages).expect("a schedule")
}

impl ServiceSpec {
    pub(crate) fn grace(mut self, text: &str) -> Self {
        self.settings.grace = grace(text);
        self
    }

    pub(crate) fn after<const N: usize>(mut self, after: [usize; N]) -> Self {
        self.after = after.to_vec();
        self
    }

    pub(crate) fn drain(mut self, drain: Duration) -> Self {
        self.settings.drain = drain;
        self
    }

    pub(crate) fn not_essential(mut self) -> Self {
        self.settings.essential = false;
        self
    }

    pub(crate) fn forwards(mut self, signal: Signal) -> Self {
        self.settings.forward.insert(signal);
        self
    }

    pub(crate) fn target(mut self, target: Target) -> Self {
        self.settings.signal_target = target;
        self
    }

    pub(crate) fn hook(mut self, hook: Behaviour) -> Self {
        self.hook = hook;
        self
    }

    /// Runs this before its start.
    pub(crate) fn pre_start(mut self, time: Duration, behaviour: Behaviour) -> Self {
        (self.settings.hooks.pre_start, self.pre_start) = (Some(time), vec![behaviour]);
        self
    }

    /// Runs this before its stop.
    pub(crate) fn pre_stop(mut self, time: Duration, behaviour: Behaviour) -> Self {
        (self.settings.hooks.pre_stop, self.pre_stop) = (Some(time), behaviour);
        self
    }

    /// Runs this after its end.
    pub(crate) fn post_stop(mut self, time: Duration, behaviour: Behaviour) -> Self {
        (self.settings.hooks.post_stop, self.post_stop) = (Some(time), behaviour);
        self
    }

    /// Counts as ready when this tells it, which may take so long.
    pub(crate) fn ready(mut self, by: ReadyBy, timeout: Duration) -> Self {
        self.settings.ready = Readiness { by, timeout, ..Readiness::default() };
        self
    }

    /// Is probed once it is ready: so often, for so long, and so many failures are too many.
    pub(crate) fn health(mut self, every: Duration, timeout: Duration, failures: u32) -> Self {
        self.settings.health = Some(Health { every, timeout, failures, ..Health::default() });
        self
    }

    pub(crate) fn watchdog(mut self, time: Duration) -> Self {
        self.settings.watchdog = Some(time);
        self
    }

    /// Is started again after such ends, with the default delays and limit.
    pub(crate) fn restart(mut self, when: RestartWhen) -> Self {
        self.settings.restart = Restart { when, ..Restart::default() };
        self
    }

    pub(crate) fn restart_limit(mut self, limit: u32, within: Duration) -> Self {
        (self.settings.restart.limit, self.settings.restart.within) = (limit, within);
        self
    }

    /// Has so long to do its work.
    pub(crate) fn within(mut self, time: Duration) -> Self {
        self.settings.task_timeout = Some(time);
        self
    }

    /// Does this in its next life, and in all that follow, unless it is told otherwise.
    pub(crate) fn then(mut self, behaviour: Behaviour) -> Self {
        self.later.push(behaviour);
        self
    }

    /// What its leader does in this life, from 0.
    pub(crate) fn leader(&self, step: Step, life: usize) -> &Behaviour {
        let main: Vec<&Behaviour> = std::iter::once(&self.behaviour).chain(&self.later).collect();
        match step {
            Step::Main => main[life.min(main.len() - 1)],
            Step::PreStart => &self.pre_start[life.min(self.pre_start.len() - 1)],
            Step::PostStop => &self.post_stop,
        }
    }

    /// Executes another version of its program.
    pub(crate) fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Executes another version of the commands beside it.
    pub(crate) fn version_beside(mut self, version: u32) -> Self {
        self.version_beside = version;
        self
    }

    /// Is sent this when the configuration was read anew and it goes on.
    pub(crate) fn reload_signal(mut self, signal: Signal) -> Self {
        self.settings.reload_signal = Some(signal);
        self
    }

    pub(crate) fn that(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }
}

impl Spec {
    fn new(mode: Mode, services: Vec<ServiceSpec>) -> Self {
        Self {
            mode,
            services,
            deadline: None,
            margin: None,
            stray_grace: None,
            policy: ExitStatusPolicy::Verdict,
            seat: Seat::NoTerminal,
            has_shell: true,
            reloadable: false,
            has_output_files: false,
            map: BTreeMap::new(),
            inputs: Vec::new(),
            readings: Vec::new(),
            cleanup: None,
            extend: None,
            deadline_basis: DeadlineBasis::Unknown,
            platform_watchdog: None,
            horizon: Duration::from_secs(3600),
            lateness: Duration::ZERO,
            blind: false,
            shuffles: false,
            surplus: false,
            seed: 0,
            jitter: 0,
            fault: None,
        }
    }

    pub(crate) fn many<const N: usize>(services: [ServiceSpec; N]) -> Self {
        Self::new(Mode::ManyServices, services.into())
    }

    pub(crate) fn many_of(services: Vec<ServiceSpec>) -> Self {
        Self::new(Mode::ManyServices, services)
    }

    /// One command, with the schedule that passes on the signal received unless it was given another.
    pub(crate) fn one(mut command: ServiceSpec) -> Self {
        if command.settings.grace == ServiceSettings::new("").grace {
            command.settings.grace = grace("* 8s");
        }
        Self::new(Mode::OneCommand, vec![command])
    }

    pub(crate) fn deadline(mut self, deadline: Duration, margin: Duration) -> Self {
        self.deadline = Some(Deadline { deadline, margin });
        self
    }

    pub(crate) fn cleanup(mut self, time: Duration, behaviour: Behaviour) -> Self {
        self.cleanup = Some((time, behaviour));
        self
    }

    pub(crate) fn extend(mut self, most: Duration) -> Self {
        self.extend = Some(most);
        self
    }

    pub(crate) fn platform_watchdog(mut self, interval: Duration) -> Self {
        self.platform_watchdog = Some(interval);
        self
    }

    pub(crate) fn request(self, at: Duration, request: Request) -> Self {
        self.at(at, Input::Request(request))
    }

    pub(crate) fn stop(self, at: Duration, service: usize) -> Self {
        self.request(at, Request::Stop(ServiceId::new(service)))
    }

    pub(crate) fn start(self, at: Duration, service: usize) -> Self {
        self.request(at, Request::Start(ServiceId::new(service)))
    }

    pub(crate) fn restart(self, at: Duration, service: usize) -> Self {
        self.request(at, Request::Restart(ServiceId::new(service)))
    }

    pub(crate) fn blind(mut self) -> Self {
        self.blind = true;
        self
    }

    /// The platform answers when it kills us.
    pub(crate) fn learns(self, at: Duration, deadline: impl Into<Option<Duration>>) -> Self {
        self.at(at, Input::Learn(deadline.into()))
    }

    /// The platform begins, or ceases, to hear us.
    pub(crate) fn hears(self, at: Duration, hears: bool) -> Self {
        self.at(at, Input::Hears(hears))
    }

    pub(crate) fn at(mut self, at: Duration, input: Input) -> Self {
        self.inputs.push((at, input));
        self
    }

    pub(crate) fn signal(self, at: Duration, signal: Signal) -> Self {
        self.at(at, Input::Signal(signal, SOMEBODY))
    }

    pub(crate) fn key(self, at: Duration, signal: Signal) -> Self {
        self.at(at, Input::Signal(signal, Sender::Terminal))
    }

    pub(crate) fn term(self, at: Duration) -> Self {
        self.signal(at, Signal::TERM)
    }

    /// There is a file, which is read anew on HUP.
    pub(crate) fn hup(mut self, at: Duration) -> Self {
        self.reloadable = true;
        self.signal(at, Signal::HUP)
    }

    /// On HUP this is there to be read.
    pub(crate) fn reads(mut self, at: Duration, reading: Reading) -> Self {
        self.readings.push(reading);
        self.hup(at)
    }

    /// On HUP there are these services; the rest is as it was at the start.
    pub(crate) fn reload<const N: usize>(self, at: Duration, services: [ServiceSpec; N]) -> Self {
        let configuration = self.with(services);
        self.reads(at, Reading::of(configuration))
    }

    /// The configuration at the start, with these services in the place of its own.
    pub(crate) fn with<const N: usize>(&self, services: [ServiceSpec; N]) -> Configuration {
        Configuration { services: services.into(), ..self.configuration() }
    }

    /// The configuration at the start.
    pub(crate) fn configuration(&self) -> Configuration {
        Configuration {
            services: self.services.clone(),
            deadline: self.deadline,
            margin: self.margin,
            asks_platform: self.inputs.iter().any(|(_, input)| matches!(input, Input::Learn(_))),
            stray_grace: self.stray_grace.clone(),
            cleanup: self.cleanup.clone(),
            extend: self.extend,
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        self.configuration().settings(self)
    }

    /// Runs to the end, with every checker on.
    #[track_caller]
    pub(crate) fn run(self) -> World {
        World::try_run(self).unwrap_or_else(|failure| panic!("{failure}"))
    }
}
