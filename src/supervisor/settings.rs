use std::collections::BTreeMap;
use std::time::Duration;

use super::{GraceSchedule, ServiceId, Signal, SignalSet, StopOrder, SuccessStatuses, Target, defaults};

/// What the supervisor is to do: validated, every duration typed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One command, or many services.
    pub mode: Mode,
    /// The services. The pseudo-service `(stray)` is not among them.
    pub services: Vec<ServiceSettings>,
    /// Who is started after whom.
    pub order: StopOrder,
    /// The time from the first cause of a stop until the platform kills us. `None`: it never does.
    pub deadline: Option<Deadline>,
    /// The schedule of processes that belong to no service.
    pub stray_grace: GraceSchedule,
    /// The signals that ask curfew to stop, besides those that always do.
    pub stop_signals: SignalSet,
    /// What is sent instead of a signal that curfew received; `None` drops the signal wholly.
    pub map: BTreeMap<Signal, Option<Signal>>,
    /// Where the one command runs, as the terminal sees it.
    pub seat: Seat,
    /// Whether a reload of the configuration is possible: there is a file.
    pub reloadable: bool,
    /// Where the exit status comes from.
    pub exit_status: ExitStatusPolicy,
}

/// One command, or many services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A wrapper around one command.
    OneCommand,
    /// A system of services.
    ManyServices,
}

/// Where the one command runs, as the terminal that controls us sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seat {
    /// There is no terminal: it has a session of its own.
    #[default]
    NoTerminal,
    /// In a group of its own, which has the foreground when we would have it. The terminal's keys reach it alone.
    OwnGroup,
    /// In our group: others are in it (`curfew -- yes | less`), or a stream goes elsewhere, and taking the foreground
    /// would stop them. The terminal's keys reach it as well as us.
    SharedGroup,
}

/// When the platform kills us, and what is kept free before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// From the first cause of the stop to the platform's SIGKILL.
    pub deadline: Duration,
    /// Kept free before it; less than the deadline.
    pub margin: Duration,
}

impl Deadline {
    /// A deadline with the default margin.
    pub fn with_default_margin(deadline: Duration) -> Self {
        Self { deadline, margin: defaults::margin(deadline) }
    }

    /// All the time that a stop may take.
    pub const fn budget(self) -> Duration {
        self.deadline.saturating_sub(self.margin)
    }
}

/// Where curfew's exit status comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExitStatusPolicy {
    /// From how the stop went: a clean stop is 0.
    #[default]
    Verdict,
    /// The one command's own, whatever happened: 143 after TERM, as tini does.
    Mirror,
}

/// One service.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// Its name.
    pub name: String,
    /// Whether it is meant to end.
    pub kind: Kind,
    /// How it is stopped.
    pub grace: GraceSchedule,
    /// Who gets a signal if the stage does not say.
    pub signal_target: Target,
    /// The wait before the first signal, for a service that had been ready. Default: none.
    pub drain: Duration,
    /// Whether its end or failure stops the whole system. Default: yes.
    pub essential: bool,
    /// Which ends count as success.
    pub success: SuccessStatuses,
    /// The signals that are passed on to it.
    pub forward: SignalSet,
}

impl ServiceSettings {
    /// A service with defaults for everything but its name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: Kind::Service,
            grace: defaults::grace_for_services(),
            signal_target: Target::Leader,
            drain: Duration::ZERO,
            essential: true,
            success: SuccessStatuses::default(),
            forward: SignalSet::EMPTY,
        }
    }
}

/// Whether a service is meant to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It runs until it is stopped.
    Service,
    /// It ends by itself; what comes after it waits for its success.
    Task,
}

impl Settings {
    /// Settings for these services, without a deadline; the rest are defaults.
    ///
    /// # Panics
    /// If `order` is of another number of services.
    pub fn new(mode: Mode, services: Vec<ServiceSettings>, order: StopOrder) -> Self {
        assert_eq!(services.len(), order.start_order().len(), "the order is of these services");
        let stray_grace = match mode {
            Mode::OneCommand => defaults::grace_for_one_command(),
            Mode::ManyServices => defaults::grace_for_services(),
        };
        Self {
            mode,
            services,
            order,
            deadline: None,
            stray_grace,
            stop_signals: defaults::stop_signals(),
            map: BTreeMap::new(),
            seat: Seat::NoTerminal,
            reloadable: false,
            exit_status: ExitStatusPolicy::Verdict,
        }
    }

    /// The pseudo-service of the processes that belong to none: one behind the last.
    pub fn stray_id(&self) -> ServiceId {
        ServiceId::new(self.services.len())
    }

    /// A service's name; `(stray)` for the pseudo-service.
    pub fn name(&self, service: ServiceId) -> &str {
        self.services.get(service.index()).map_or("(stray)", |settings| &settings.name)
    }
}
