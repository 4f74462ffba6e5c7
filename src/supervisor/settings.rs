use std::collections::BTreeMap;
use std::time::Duration;

use super::{GraceSchedule, ServiceId, Signal, SignalSet, StopOrder, SuccessStatuses, Target, defaults};

/// What the supervisor is to do: validated, every duration typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// One command, or many services.
    pub mode: Mode,
    /// The services. The pseudo-service `(stray)` is not among them.
    pub services: Vec<ServiceSettings>,
    /// Who is started after whom.
    pub order: StopOrder,
    /// The time from the first cause of a stop until the platform kills us. `None`: it never does.
    pub deadline: Option<Deadline>,
    /// The margin that was asked for, for a deadline that the platform tells; `None`: the default one.
    pub margin: Option<Duration>,
    /// What this deadline was known by, before the platform tells its own.
    pub deadline_basis: DeadlineBasis,
    /// Whether the platform is asked for its deadline.
    pub asks_platform: bool,
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
    /// Whether services' output goes to files of curfew's, which USR1 asks to reopen.
    pub has_output_files: bool,
    /// Where the exit status comes from.
    pub exit_status: ExitStatusPolicy,
    /// How long the last command of all may take, which runs when every service is down; `None`: there is none.
    pub cleanup: Option<Duration>,
    /// The platform is asked for more time while a start or a stop makes progress, at most so long, as long as it hears us.
    /// `None`: it is not.
    pub extend: Option<Duration>,
    /// How often the platform wants to hear that we are well; half of it is how often it does. `None`: never.
    pub platform_watchdog: Option<Duration>,
    /// Makes the delays of restarts differ from run to run, so that what failed together does not come back together.
    pub seed: u64,
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

/// What is known of the deadline before the platform tells its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeadlineBasis {
    /// Nothing: the platform's own word counts.
    #[default]
    Unknown,
    /// A guess of what whoever started us does, and grants no more. The platform's own word takes its place.
    Assumed,
    /// It was said outright. The platform's own word counts if it comes to a shorter one: it kills us first.
    Said(Duration),
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

    /// A deadline with this margin, if one is asked for and leaves any time at all; else with the default one.
    pub fn with_margin(deadline: Duration, margin: Option<Duration>) -> Self {
        match margin {
            Some(margin) if margin < deadline => Self { deadline, margin },
            Some(_) | None => Self::with_default_margin(deadline),
        }
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// When it counts as ready. A task is never ready, but done.
    pub ready: Readiness,
    /// How it is looked after once it is ready. Default: not at all.
    pub health: Option<Health>,
    /// How often it must say that it is well, once it is ready. Default: never.
    ///
    /// Source: systemd.service(5), `WatchdogSec=`.
    pub watchdog: Option<Duration>,
    /// When it is started again. Default: never.
    pub restart: Restart,
    /// How long a task may take. Default: as long as it likes.
    pub task_timeout: Option<Duration>,
    /// How long the commands may take that run before its start, before its stop and after it; `None`: there is none.
    pub hooks: HookTimes,
    /// The signals that are passed on to it.
    pub forward: SignalSet,
    /// What it is sent when curfew's own configuration was read anew and it goes on as it is, so that it reads its own,
    /// too. Default: nothing.
    pub reload_signal: Option<Signal>,
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
            ready: Readiness::default(),
            health: None,
            watchdog: None,
            restart: Restart::default(),
            task_timeout: None,
            hooks: HookTimes::default(),
            forward: SignalSet::EMPTY,
            reload_signal: None,
        }
    }
}

/// When a service that was started counts as ready: what comes after it is started then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// What tells it.
    pub by: ReadyBy,
    /// How long it may take, from the fork. Default: 60 s. Nothing is too long; what is not ready by then has failed.
    pub timeout: Duration,
    /// How long to wait from one probe's end to the next. Default: 250 ms.
    pub every: Duration,
}

/// What tells that a service is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadyBy {
    /// The execution of its command.
    #[default]
    Execution,
    /// A probe that succeeds: HTTP, TCP, a file, a command.
    Probe,
    /// Its own word: `READY=1` (sd_notify(3)).
    Notify,
    /// A newline on a descriptor (s6's `notification-fd`).
    Descriptor,
}

impl Default for Readiness {
    fn default() -> Self {
        Self { by: ReadyBy::Execution, timeout: defaults::READY_TIMEOUT, every: defaults::READY_PROBE_EVERY }
    }
}

/// How a service is looked after once it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// From one probe's end to the next. Default: 10 s.
    pub every: Duration,
    /// How long a probe may take. Default: 3 s.
    pub timeout: Duration,
    /// So many failures in a row make it unhealthy. Default: 3; 1 is the first one.
    pub failures: u32,
    /// So long after it was ready failures do not count. Default: 0.
    pub start_period: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            every: defaults::PROBE_EVERY,
            timeout: defaults::PROBE_TIMEOUT,
            failures: defaults::PROBE_FAILURES,
            start_period: Duration::ZERO,
        }
    }
}

/// When a service that ended unasked is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// After which ends. Default: none.
    pub when: RestartWhen,
    /// The wait before the first restart; each further one doubles it. Default: 200 ms.
    pub delay: Duration,
    /// The longest wait. Default: 30 s.
    pub delay_max: Duration,
    /// So many restarts within `within`; the next end has its consequences. Default: 5; 0: none at all.
    pub limit: u32,
    /// Default: 1 min. For a task there is no such window: its retries are counted from its start.
    pub within: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            when: RestartWhen::Never,
            delay: defaults::RESTART_DELAY,
            delay_max: defaults::RESTART_DELAY_MAX,
            limit: defaults::RESTART_LIMIT,
            within: defaults::RESTART_WITHIN,
        }
    }
}

/// After which ends a service is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartWhen {
    /// After none: the platform's own restart sees the truth.
    #[default]
    Never,
    /// After a failure.
    OnFailure,
    /// After every end that nobody asked for.
    Always,
}

/// How long the commands around a service may take; `None`: there is none. Default of each: 5 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookTimes {
    /// Before its start, which waits for it.
    pub pre_start: Option<Duration>,
    /// Before its drain and its first signal, if it had been ready.
    pub pre_stop: Option<Duration>,
    /// After its end, however it came to it.
    pub post_stop: Option<Duration>,
}

impl ServiceSettings {
    /// How long it may take from its drain to its KILL; `None`: as long as it likes, or no time at all.
    pub fn length_of_stop(&self, deadline: Option<Deadline>) -> Option<Duration> {
        let budget = deadline.map(Deadline::budget);
        let length = self.drain.saturating_add(self.grace.bounded());
        let length = match (self.grace.is_open(), budget) {
            (true, budget) => budget?,
            (false, None) => length,
            (false, Some(budget)) => length.min(budget),
        };
        // A deadline of zero would be refused.
        (!length.is_zero()).then_some(length)
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
            margin: None,
            deadline_basis: DeadlineBasis::Unknown,
            asks_platform: false,
            stray_grace,
            stop_signals: defaults::stop_signals(),
            map: BTreeMap::new(),
            seat: Seat::NoTerminal,
            reloadable: false,
            has_output_files: false,
            exit_status: ExitStatusPolicy::Verdict,
            cleanup: None,
            extend: None,
            platform_watchdog: None,
            seed: 0,
        }
    }

    /// The pseudo-service of the processes that belong to none: one behind the last.
    pub fn stray_id(&self) -> ServiceId {
        ServiceId::new(self.services.len())
    }

    /// The pseudo-service of the last command of all: behind that of the strays.
    pub fn cleanup_id(&self) -> ServiceId {
        ServiceId::new(self.services.len() + 1)
    }

    /// A service's name; `(stray)` and `(cleanup)` for the pseudo-services.
    pub fn name(&self, service: ServiceId) -> &str {
        match self.services.get(service.index()) {
            Some(settings) => &settings.name,
            None if service == self.stray_id() => "(stray)",
            None => "(cleanup)",
        }
    }
}
