use std::collections::VecDeque;
use std::time::Duration;

use curfew::supervisor::{
    Command, Event, Notice, PlatformMessage, Purpose, Recipients, RestartWhen, ServiceId, Settings, Signal,
    Step, Supervisor, SystemStatus, Target, Timestamp, Verdict,
};

/// The supervisor, or the supervisor with a bug put in on purpose: so that the checkers can be seen to bite.
pub(crate) struct Core {
    supervisor: Supervisor,
    fault: Option<Fault>,
    altered: VecDeque<Command>,
    /// Deaths that it has not heard of yet.
    unheard: Vec<Event>,
    has_extended: bool,
    finished: bool,
}

/// A bug put into the core on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The second stage is a KILL already.
    KillsOneStageEarly,
    /// Services 0 and 1 get each other's signals.
    SwapsTheOrder,
    /// It ends as soon as it has found a stray.
    FinishesBeforeStraysAreGone,
    /// Nobody is continued.
    DropsCont,
    /// The exit status is one more.
    WrongStatus,
    /// The verdict is always clean.
    WrongVerdict,
    /// It wakes up a minute late.
    WakesLate,
    /// A leader is signalled after its death.
    SignalsTheDead,
    /// Service 1 is started when the stop begins.
    StartsAfterTheStop,
    /// Service 0 is started twice.
    StartsTwice,
    /// After KILL comes TERM again.
    LevelFalls,
    /// Survivors are not named.
    ForgetsSurvivors,
    /// Survivors are named that are dead.
    NamesTheDead,
    /// A timer is left at the end.
    LeavesATimer,
    /// Stages are not told.
    IsSilent,
    /// The waits are said to be shortened, though there is time.
    ShrinksForNothing,
    /// Stop signals are not heard.
    IsDeaf,
    /// What comes after another is started at once.
    StartsTooSoon,
    /// Deaths are learnt of with the next timer only.
    HearsDeathsLate,
    /// The first stage is left out.
    SkipsTheFirstSignal,
    /// The end is never said.
    NeverFinishes,
    /// Restarts are not limited.
    KeepsNoLimit,
    /// Nothing is started again.
    NeverRestarts,
    /// The delay is said to be longer than it is.
    HurriesRestarts,
    /// What a leader leaves behind is not seen.
    OverlooksStrays,
    /// What runs before a start does not.
    SkipsPreStart,
    /// What runs before a stop does not.
    SkipsPreStop,
    /// What runs after an end does not.
    SkipsPostStop,
    /// Commands around a service have all the time in the world.
    WaitsForHooks,
    /// There is no cleanup.
    SkipsCleanup,
    /// The cleanup runs when the stop begins.
    CleansUpEarly,
    /// Each probe is made twice.
    ProbesTwice,
    /// A service is probed when the stop begins.
    ProbesInAStop,
    /// Nobody is asked whether it is well.
    NeverProbes,
    /// One failure more than is allowed is suffered.
    SuffersOneFailure,
    /// It waits twice as long for a service to be ready.
    WaitsForTheUnready,
    /// Watchdogs bite at half their time.
    BitesTooSoon,
    /// Watchdogs do not bite.
    NeverBites,
    /// More time is said to be granted than was asked for.
    GrantsTooMuch,
    /// READY is said twice.
    SaysReadyTwice,
    /// READY is said at the first start.
    SaysReadyTooSoon,
    /// STOPPING is not said.
    ForgetsStopping,
    /// The platform hears of us at twice its interval.
    PingsTooLate,
    /// The platform is asked for time but once.
    ForgetsToExtend,
    /// The platform is asked for twice as much.
    ExtendsTooMuch,
    /// Wishes are not heard.
    IsDeafToWishes,
    /// Who asks for something in a stop is not answered.
    IsSilentInAStop,
    /// Whoever asks is told that nothing has a process.
    HidesProcesses,
    /// A service is told to end that nobody has asked to.
    StopsForNothing,
    /// That a reload is complete is not said.
    LeavesReloadsOpen,
    /// Service 0 is told to end when a configuration was read anew.
    DisturbsWhatIsKept,
    /// What a configuration read anew says of a service is not taken over.
    AdoptsNothing,
    /// It is taken over at once, for service 0.
    AdoptsAtOnce,
    /// Service 0 begins to stop as soon as it is removed.
    RemovesAtOnce,
    /// The configuration is read when the stop begins.
    ReadsInAStop,
}

impl Core {
    pub(crate) fn new(settings: Settings, fault: Option<Fault>) -> Self {
        let settings = fault.map_or(settings.clone(), |fault| fault.alter_settings(settings));
        Self {
            supervisor: Supervisor::new(settings),
            fault,
            altered: VecDeque::new(),
            unheard: Vec::new(),
            has_extended: false,
            finished: false,
        }
    }

    /// How everything is now.
    pub(crate) fn status(&self, now: Timestamp) -> SystemStatus {
        let mut status = self.supervisor.status(now);
        if self.fault == Some(Fault::HidesProcesses) {
            status.services.iter_mut().for_each(|service| service.pid = None);
        }
        status
    }

    pub(crate) fn stopped_with(&self, service: Option<ServiceId>) -> ServiceId {
        self.supervisor.stopped_with(service)
    }

    pub(crate) fn handle(&mut self, mut event: Event, now: Timestamp) {
        if let (Some(Fault::OverlooksStrays), Event::Census { strays, .. }) = (self.fault, &mut event) {
            strays.clear();
        }
        let cleanup = self.supervisor.settings().cleanup_id();
        match (self.fault, &event) {
            (Some(Fault::IsDeafToWishes), Event::Requested(_)) => return,
            (Some(Fault::IsSilentInAStop), Event::Requested(_)) if self.supervisor.is_stopping() => return,
            (
                Some(Fault::CleansUpEarly),
                Event::Forked { service, .. }
                | Event::Executed { service }
                | Event::LeaderEnded { service, .. },
            ) if *service == cleanup => return,
            (Some(Fault::IsDeaf), Event::SignalReceived { .. }) => return,
            (
                Some(Fault::StartsAfterTheStop | Fault::StartsTooSoon),
                Event::Forked { service, .. }
                | Event::Executed { service }
                | Event::LeaderEnded { service, .. },
            ) if service.index() == 1 => return,
            (Some(Fault::HearsDeathsLate), Event::LeaderEnded { .. }) => return self.unheard.push(event),
            (Some(Fault::HearsDeathsLate), Event::TimePassed)
                if self.supervisor.next_deadline() <= Some(now) =>
            {
                for death in std::mem::take(&mut self.unheard) {
                    self.supervisor.handle(death, now);
                }
            }
            (Some(Fault::StartsTwice), Event::Forked { pid, .. }) if pid.number() > 100 => return,
            _ => {}
        }
        self.supervisor.handle(event, now);
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let deadline = self.supervisor.next_deadline();
        match self.fault {
            Some(Fault::WakesLate) => deadline.map(|at| at + Duration::from_secs(60)),
            Some(Fault::LeavesATimer) if self.finished => Some(Timestamp::ZERO),
            _ => deadline,
        }
    }

    pub(crate) fn next_command(&mut self) -> Option<Command> {
        let Some(fault) = self.fault else { return self.supervisor.next_command() };
        while self.altered.is_empty() {
            let command = self.supervisor.next_command()?;
            self.finished |= matches!(command, Command::Finish { .. });
            self.alter(fault, command);
        }
        self.altered.pop_front()
    }

    fn alter(&mut self, fault: Fault, mut command: Command) {
        let other = |service: ServiceId| match service.index() {
            0 => ServiceId::new(1),
            1 => ServiceId::new(0),
            _ => service,
        };
        let mut behind = None;
        match (fault, &mut command) {
            (Fault::KillsOneStageEarly, Command::Signal { signal, .. }) if *signal == Signal::INT => {
                *signal = Signal::KILL;
            }
            (
                Fault::SwapsTheOrder,
                Command::Signal { service, .. } | Command::Tell(Notice::StageSent { service, .. }),
            ) => *service = other(*service),
            (Fault::FinishesBeforeStraysAreGone, Command::Tell(Notice::StrayFound { .. })) => {
                behind = Some(Command::Finish { status: 0 });
            }
            (Fault::DropsCont, Command::Signal { signal, .. }) if *signal == Signal::CONT => return,
            (
                Fault::WrongStatus,
                Command::Finish { status } | Command::Tell(Notice::StopComplete { status, .. }),
            ) => *status += 1,
            (Fault::WrongVerdict, Command::Tell(Notice::StopComplete { verdict, .. })) => {
                *verdict = Verdict::Clean;
            }
            (Fault::SignalsTheDead, Command::Tell(Notice::ServiceEnded { service, .. })) => {
                let (service, recipients) = (*service, Recipients::Leader(Target::Leader));
                behind = Some(Command::Signal { service, recipients, signal: Signal::TERM });
            }
            (Fault::StartsAfterTheStop, Command::Tell(Notice::StopRequested { .. })) => {
                behind = Some(Command::Start { service: ServiceId::new(1), step: Step::Main });
            }
            (Fault::StartsTooSoon, Command::Start { service, .. }) if service.index() == 0 => {
                behind = Some(Command::Start { service: ServiceId::new(1), step: Step::Main });
            }
            (Fault::StartsTwice, Command::Tell(Notice::ServiceReady { service, .. })) => {
                behind = Some(Command::Start { service: *service, step: Step::Main });
            }
            (Fault::LevelFalls, Command::Signal { service, recipients, signal })
                if *signal == Signal::KILL =>
            {
                let (service, recipients) = (*service, *recipients);
                behind = Some(Command::Signal { service, recipients, signal: Signal::TERM });
            }
            (Fault::ForgetsSurvivors, Command::Tell(Notice::Survivor { .. })) => return,
            (Fault::NamesTheDead, Command::Tell(Notice::ServiceEnded { service, pid, .. })) => {
                behind = Some(Command::Tell(Notice::Survivor { service: *service, pid: *pid }));
            }
            (Fault::NeverFinishes, Command::Finish { .. }) => return,
            (Fault::IsSilent, Command::Tell(Notice::StageSent { .. })) => return,
            (Fault::ShrinksForNothing, Command::Tell(Notice::StageSent { service, .. })) => {
                let scale = curfew::supervisor::Scale::FULL;
                let (from, to) = (Duration::from_secs(8), Duration::from_secs(8));
                behind = Some(Command::Tell(Notice::BudgetShrunk { service: *service, scale, from, to }));
            }
            (Fault::HurriesRestarts, Command::Tell(Notice::RestartPlanned { delay, .. })) => {
                // Up to a quarter is taken from it.
                *delay = Duration::from_millis(200);
            }
            (Fault::CleansUpEarly, Command::Tell(Notice::StopRequested { .. })) => {
                let service = self.supervisor.settings().cleanup_id();
                behind = Some(Command::Start { service, step: Step::PostStop });
            }
            (Fault::ProbesTwice, Command::Probe { service, purpose }) => {
                behind = Some(Command::Probe { service: *service, purpose: *purpose });
            }
            (Fault::ProbesInAStop, Command::Tell(Notice::StopRequested { .. })) => {
                behind = Some(Command::Probe { service: ServiceId::new(0), purpose: Purpose::Health });
            }
            (Fault::GrantsTooMuch, Command::Tell(Notice::WaitExtended { granted, .. })) => *granted *= 2,
            (Fault::SaysReadyTwice, Command::TellPlatform(PlatformMessage::Ready)) => {
                behind = Some(Command::TellPlatform(PlatformMessage::Ready));
            }
            (Fault::SaysReadyTooSoon, Command::TellPlatform(PlatformMessage::Ready)) => return,
            (Fault::SaysReadyTooSoon, Command::Tell(Notice::ServiceStarted { service, .. }))
                if service.index() == 0 =>
            {
                behind = Some(Command::TellPlatform(PlatformMessage::Ready));
            }
            (Fault::ForgetsStopping, Command::TellPlatform(PlatformMessage::Stopping)) => return,
            (Fault::ForgetsToExtend, Command::TellPlatform(PlatformMessage::Extend(_)))
                if std::mem::replace(&mut self.has_extended, true) =>
            {
                return;
            }
            (Fault::StopsForNothing, Command::Tell(Notice::SystemReady { .. })) => {
                let (service, recipients) = (ServiceId::new(0), Recipients::Leader(Target::Leader));
                let (stage, of, wait) = (0, 2, Some(Duration::from_secs(8)));
                let signal = Signal::TERM;
                self.altered.push_back(Command::Tell(Notice::StageSent {
                    service,
                    stage,
                    of,
                    signal,
                    recipients,
                    wait,
                }));
                self.altered.push_back(Command::Signal { service, recipients, signal });
                behind = Some(Command::Signal { service, recipients, signal: Signal::CONT });
            }
            (Fault::LeavesReloadsOpen, Command::Tell(Notice::ReloadComplete { .. })) => return,
            (Fault::DisturbsWhatIsKept, Command::Tell(Notice::ReloadApplied { .. })) => {
                let (service, recipients) = (ServiceId::new(0), Recipients::Leader(Target::Leader));
                behind = Some(Command::Signal { service, recipients, signal: Signal::USR1 });
            }
            (Fault::AdoptsNothing, Command::Adopt { .. }) => return,
            (Fault::AdoptsAtOnce, Command::Tell(Notice::ReloadApplied { .. })) => {
                behind = Some(Command::Adopt { service: ServiceId::new(0) });
            }
            (Fault::RemovesAtOnce, Command::Tell(Notice::ReloadApplied { .. })) => {
                behind = Some(Command::Measure { service: ServiceId::new(0) });
            }
            (Fault::ReadsInAStop, Command::Tell(Notice::StopRequested { .. })) => {
                behind = Some(Command::ReadConfiguration);
            }
            (Fault::SkipsTheFirstSignal, Command::Signal { signal, .. })
                if matches!(*signal, Signal::TERM | Signal::CONT) =>
            {
                return;
            }
            _ => {}
        }
        self.altered.push_back(command);
        self.altered.extend(behind);
    }
}

impl Fault {
    /// Some bugs are as if other things had been configured.
    fn alter_settings(self, mut settings: Settings) -> Settings {
        match self {
            Self::SkipsCleanup | Self::CleansUpEarly => settings.cleanup = None,
            Self::PingsTooLate => {
                settings.platform_watchdog = settings.platform_watchdog.map(|time| time * 4);
            }
            Self::ExtendsTooMuch => settings.extend = settings.extend.map(|most| most * 2),
            _ => {}
        }
        for service in &mut settings.services {
            let hooks = &mut service.hooks;
            match self {
                Self::KeepsNoLimit => service.restart.limit += 3,
                Self::NeverRestarts => service.restart.when = RestartWhen::Never,
                Self::SkipsPreStart => hooks.pre_start = None,
                Self::SkipsPreStop => hooks.pre_stop = None,
                Self::SkipsPostStop => hooks.post_stop = None,
                Self::WaitsForHooks => {
                    for time in [&mut hooks.pre_start, &mut hooks.pre_stop, &mut hooks.post_stop] {
                        *time = time.map(|time| time * 5);
                    }
                }
                Self::NeverProbes => service.health = None,
                Self::SuffersOneFailure => {
                    if let Some(health) = &mut service.health {
                        health.failures += 1;
                    }
                }
                Self::WaitsForTheUnready => service.ready.timeout *= 2,
                Self::BitesTooSoon => service.watchdog = service.watchdog.map(|time| time / 2),
                Self::NeverBites => service.watchdog = None,
                _ => {}
            }
        }
        settings
    }
}
