use std::time::Duration;

use super::{Cause, End, Failure, Kind, Level, Pid, ServiceId, Signal, Step, Wish};

/// How the whole system is, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemStatus {
    /// Where it is between its start and its end.
    pub phase: SystemPhase,
    /// Since curfew began.
    pub uptime: Duration,
    /// Each service, in the order of the settings; then those pseudo-services that have a process.
    pub services: Vec<ServiceStatus>,
}

/// Where a system is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemPhase {
    /// Something essential has not been ready yet.
    Starting,
    /// Everything essential has been ready.
    Running,
    /// It is being stopped.
    Stopping(StopStatus),
}

/// How far the stop of a system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopStatus {
    /// Why.
    pub cause: Cause,
    /// Since its first cause.
    pub since: Duration,
    /// How urgent it is.
    pub level: Level,
    /// All the time it may take; `None`: no deadline.
    pub budget: Option<Duration>,
    /// How much of that is left.
    pub left: Option<Duration>,
}

/// How one service is, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceStatus {
    /// The service.
    pub id: ServiceId,
    /// Whether it is meant to end.
    pub kind: Kind,
    /// Whether its failure stops the system.
    pub is_essential: bool,
    /// Where it is in its life.
    pub state: ServiceState,
    /// Somebody stopped it, and nobody has started it since.
    pub is_unwanted: bool,
    /// What runs as its process: itself, or a command around it. Only with a pid.
    pub step: Step,
    /// Its process.
    pub pid: Option<Pid>,
    /// How long its process has been there; without one, how long ago the last one ended.
    pub since: Option<Duration>,
    /// How long it has been ready.
    pub ready_for: Option<Duration>,
    /// How often it was started again by itself, since curfew began.
    pub restarts: u64,
    /// What it says of itself (sd_notify).
    pub text: Option<String>,
    /// How its last process ended, in this life or an earlier one.
    pub last_end: Option<End>,
    /// How it failed last, in this life or an earlier one.
    pub last_failure: Option<Failure>,
    /// How many probes failed in a row.
    pub failed_probes: u32,
    /// What the last probe saw, if it failed.
    pub probe_saw: Option<String>,
    /// Living processes that its leader left behind, as far as the last census saw.
    pub strays: usize,
    /// Whom it waits for: to start, those that it comes after; to stop, those that come after it.
    pub awaits: Vec<ServiceId>,
}

/// Where a service is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// It waits for what it comes after.
    Waiting,
    /// What runs before its start runs.
    Preparing,
    /// Its process exists, and has not executed its command.
    Starting,
    /// It runs, and is not ready.
    Unready,
    /// It runs, and is ready; a task just runs.
    Up,
    /// Its process ended; what that means is being found out.
    Ended,
    /// It is being stopped.
    Stopping {
        /// How far that is.
        phase: StopPhase,
        /// How much is left of its current wait; `None`: it has no end.
        left: Option<Duration>,
        /// It is started again when it is down.
        restarts: bool,
    },
    /// It failed or ended, and is started again after this time.
    BackOff {
        /// How much of the wait is left.
        left: Duration,
    },
    /// No process of it is left, and none will come by itself.
    Down(Rest),
}

/// How far the stop of a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopPhase {
    /// The command before its stop runs.
    PreStop,
    /// The wait before the first signal.
    Drain,
    /// A stage of its schedule.
    Stage {
        /// Which, from 1.
        stage: usize,
        /// Of how many, KILL included.
        of: usize,
        /// Its signal; `None`: it runs a command.
        signal: Option<Signal>,
    },
    /// KILL was sent.
    Killed,
    /// KILL was sent, and it is still there: nobody waits for it any more.
    Lingering,
    /// Nothing of it is left; the command after its end runs.
    PostStop,
    /// Nothing of any service is left; the last command of all runs.
    Cleanup,
}

/// Why a service is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It was never started.
    NeverRan,
    /// A task has done its work.
    Done,
    /// It failed.
    Failed,
    /// It was stopped, or ended as it should.
    Stopped,
}

impl SystemStatus {
    /// Whether everything essential is ready, now: for a probe of the whole system.
    pub fn is_ready(&self) -> bool {
        self.phase == SystemPhase::Running
            && self.services.iter().filter(|service| service.is_essential).all(|service| {
                match (service.kind, service.state) {
                    (_, ServiceState::Down(Rest::Done)) => true,
                    (Kind::Service, state) => state == ServiceState::Up,
                    (Kind::Task, _) => false,
                }
            })
    }
}

/// What has become of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet.
    Pending,
    /// It is as was wished.
    Granted,
    /// It will not be: the service is down.
    Down,
    /// Somebody else has wished for the contrary.
    Superseded,
    /// What is left of the service cannot be killed.
    NotGone,
    /// The system is being stopped.
    SystemStops,
}

impl ServiceStatus {
    /// What has become of a wish, in a system that is being stopped or not.
    pub const fn fate(&self, wish: Wish, system_stops: bool) -> Fate {
        let lingers =
            matches!(self.state, ServiceState::Stopping { phase: StopPhase::Lingering, restarts: false, .. });
        match wish {
            Wish::Stop if self.is_down() => Fate::Granted,
            Wish::Stop if !self.is_unwanted && !system_stops => Fate::Superseded,
            Wish::Start | Wish::Restart if self.is_reached() => Fate::Granted,
            Wish::Start | Wish::Restart if system_stops => Fate::SystemStops,
            Wish::Start | Wish::Restart if self.is_unwanted => Fate::Superseded,
            Wish::Start | Wish::Restart if self.is_down() => Fate::Down,
            Wish::Stop | Wish::Start | Wish::Restart if lingers => Fate::NotGone,
            Wish::Stop | Wish::Start | Wish::Restart => Fate::Pending,
        }
    }

    /// Whether it runs and is ready, or is a task that has done its work.
    pub const fn is_reached(&self) -> bool {
        match (self.kind, self.state) {
            (Kind::Service, ServiceState::Up) | (Kind::Task, ServiceState::Down(Rest::Done)) => true,
            (Kind::Service | Kind::Task, _) => false,
        }
    }

    /// Whether no process of it is left and none will come by itself.
    pub const fn is_down(&self) -> bool {
        matches!(self.state, ServiceState::Down(_))
    }
}
