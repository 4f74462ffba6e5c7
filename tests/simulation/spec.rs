use std::collections::BTreeMap;
use std::time::Duration;

use curfew::supervisor::{
    Deadline, End, ExitStatusPolicy, GraceSchedule, Kind, Mode, Seat, Sender, ServiceId, ServiceSettings,
    Settings, Signal, Stage, StageAction, StopOrder, Target, Wait,
};

use super::broken_core::Fault;
use super::process::Behaviour;
use super::world::World;

/// A whole run as data: what is configured, how the processes behave, and what comes from outside.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) mode: Mode,
    pub(crate) services: Vec<ServiceSpec>,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) stray_grace: Option<GraceSchedule>,
    pub(crate) policy: ExitStatusPolicy,
    pub(crate) seat: Seat,
    pub(crate) has_shell: bool,
    pub(crate) reloadable: bool,
    pub(crate) map: BTreeMap<Signal, Option<Signal>>,
    pub(crate) inputs: Vec<(Duration, Input)>,
    /// How late curfew may be scheduled.
    pub(crate) lateness: Duration,
    /// There is no /proc, and curfew is PID 1.
    pub(crate) blind: bool,
    /// Deaths of one wake-up are told in any order.
    pub(crate) shuffles: bool,
    /// The core is told surplus things, to which it must not react.
    pub(crate) surplus: bool,
    pub(crate) seed: u64,
    /// A bug put into the core on purpose.
    pub(crate) fault: Option<Fault>,
}

/// One service: its settings, what it is after, and what its process does.
#[derive(Clone, Debug)]
pub(crate) struct ServiceSpec {
    pub(crate) settings: ServiceSettings,
    pub(crate) after: Vec<usize>,
    pub(crate) behaviour: Behaviour,
    /// What each command does that runs beside it.
    pub(crate) hook: Behaviour,
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
        behaviour: Behaviour::obeys(Duration::ZERO),
        hook: Behaviour::ends(Duration::ZERO, End::Exited(0)),
    }
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
            stray_grace: None,
            policy: ExitStatusPolicy::Verdict,
            seat: Seat::NoTerminal,
            has_shell: true,
            reloadable: false,
            map: BTreeMap::new(),
            inputs: Vec::new(),
            lateness: Duration::ZERO,
            blind: false,
            shuffles: false,
            surplus: false,
            seed: 0,
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

    pub(crate) fn blind(mut self) -> Self {
        self.blind = true;
        self
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

    pub(crate) fn settings(&self) -> Settings {
        let services = self.services.iter().map(|service| service.settings.clone()).collect();
        let after: Vec<Vec<ServiceId>> = self
            .services
            .iter()
            .map(|service| service.after.iter().copied().map(ServiceId::new).collect())
            .collect();
        let order = StopOrder::new(&after).expect("no cycle");
        let mut settings = Settings::new(self.mode, services, order);
        settings.deadline = self.deadline;
        if let Some(grace) = &self.stray_grace {
            settings.stray_grace = grace.clone();
        }
        settings.exit_status = self.policy;
        settings.seat = self.seat;
        settings.has_shell = self.has_shell;
        settings.reloadable = self.reloadable;
        settings.map.clone_from(&self.map);
        settings
    }

    /// Runs to the end, with every checker on.
    #[track_caller]
    pub(crate) fn run(self) -> World {
        World::try_run(self).unwrap_or_else(|failure| panic!("{failure}"))
    }
}
