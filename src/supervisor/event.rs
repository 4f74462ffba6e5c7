use std::time::Duration;

use super::{End, HookId, NewConfiguration, Pid, Purpose, ServiceId, Signal, StartFailure};

/// Everything that can happen to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The run begins: start what depends on nothing.
    Begin,
    /// curfew received a signal.
    SignalReceived {
        /// Which one.
        signal: Signal,
        /// From whom.
        sender: Sender,
    },
    /// The service's leader was forked; its command is not executed yet.
    Forked {
        /// The service.
        service: ServiceId,
        /// The leader.
        pid: Pid,
    },
    /// The leader executed its command.
    Executed {
        /// The service.
        service: ServiceId,
    },
    /// The service could not be started. If the process was forked at all, its death is still to come.
    StartFailed {
        /// The service.
        service: ServiceId,
        /// What failed.
        failure: StartFailure,
    },
    /// The service's leader ended and was reaped.
    LeaderEnded {
        /// The service.
        service: ServiceId,
        /// How.
        end: End,
    },
    /// The service's leader was stopped (Ctrl-Z, SIGSTOP) and is not told apart from one that hangs, but by this.
    LeaderStopped {
        /// The service.
        service: ServiceId,
        /// The signal that stopped it.
        signal: Signal,
        /// Whether there is a shell that would continue us, were we stopped. There is none in a container, for example:
        /// there the kernel discards what Ctrl-Z sends.
        has_shell: bool,
    },
    /// Another descendant ended and was reaped: a stray.
    StrayEnded {
        /// The process.
        pid: Pid,
        /// How.
        end: End,
    },
    /// KILL went to a living leader, and with it to these: they descend from it, or are in its process group.
    KilledWithLeader {
        /// The service.
        service: ServiceId,
        /// Each, with its name (`comm`).
        processes: Vec<(Pid, String)>,
    },
    /// The answer to [`Command::TakeCensus`](super::Command::TakeCensus): every living descendant that is not under
    /// a living leader or hook.
    Census {
        /// The strays, each once.
        strays: Vec<Stray>,
        /// There are others, but they cannot be listed: there is no /proc to look into.
        hidden: bool,
    },
    /// A hook was forked.
    HookForked {
        /// Which.
        hook: HookId,
        /// Its process.
        pid: Pid,
    },
    /// A hook ended and was reaped, or could not be started.
    HookEnded {
        /// Which.
        hook: HookId,
        /// How.
        result: Result<End, StartFailure>,
    },
    /// The answer to [`Command::Probe`](super::Command::Probe).
    Probed {
        /// The service.
        service: ServiceId,
        /// What was to be found out.
        purpose: Purpose,
        /// What went wrong, in words.
        result: Result<(), String>,
    },
    /// The service says something of itself.
    Notified {
        /// The service.
        service: ServiceId,
        /// What.
        message: ServiceMessage,
    },
    /// A leader ended, and another process, which had spoken for the service, leads it now.
    LeaderMoved {
        /// The service.
        service: ServiceId,
        /// Its new leader.
        pid: Pid,
    },
    /// Somebody asks for something.
    Requested(Request),
    /// The answer to [`Command::ReadConfiguration`](super::Command::ReadConfiguration): what is to hold from now on, or
    /// everything that is wrong with it, in words.
    ConfigurationRead(Result<Box<NewConfiguration>, Vec<String>>),
    /// The system would not let us signal a process.
    SignalRefused {
        /// The service it belongs to.
        service: ServiceId,
        /// The process.
        pid: Pid,
        /// The error number.
        errno: i32,
    },
    /// The platform told when it kills us, in answer to [`Command::LearnDeadline`](super::Command::LearnDeadline). It may
    /// come at any time, or never.
    DeadlineLearnt {
        /// From the first cause of a stop to the platform's SIGKILL; `None`: it never kills us.
        deadline: Option<Duration>,
    },
    /// Whether the platform hears what it is told, if that is new; at first it is taken to.
    PlatformHears(bool),
    /// The signal that the platform asks to stop with.
    PlatformStopsWith(Signal),
    /// Time has passed. Surplus calls are harmless.
    TimePassed,
}

/// What a service says of itself.
///
/// Source: sd_notify(3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceMessage {
    /// It is ready, or has done its reload.
    Ready,
    /// It has closed the descriptor on which it was to say that it is ready.
    NeverReady,
    /// It reads its configuration anew.
    Reloading,
    /// It begins to stop by itself.
    Stopping,
    /// Its state in words.
    Status(String),
    /// It is well.
    Alive,
    /// It is not well, and says so itself.
    Trouble,
    /// It will say that it is well at least this often; `None`: not any more.
    WatchdogEvery(Option<Duration>),
    /// What it does now may take so much longer, from now.
    Extend(Duration),
}

/// What somebody asks for, by way of the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Stop the whole system.
    StopSystem {
        /// Who asks.
        sender: Sender,
    },
    /// Stop this service, what comes after it first. It stays down until it is started.
    Stop(ServiceId),
    /// Start this service, what it comes after first.
    Start(ServiceId),
    /// Stop this service alone, and start it again.
    Restart(ServiceId),
    /// Send this service a signal.
    Signal(ServiceId, Signal),
    /// Read the configuration anew.
    Reload {
        /// Who asks.
        sender: Sender,
    },
    /// Open the files of services' output anew.
    Reopen,
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A process.
    Process {
        /// Its pid; 0 if it lives outside our pid namespace.
        pid: i32,
        /// Its user.
        uid: u32,
    },
    /// The kernel, for a terminal: a key such as Ctrl-C, or the hang-up.
    Terminal,
    /// It was not told.
    Unknown,
}

/// A living descendant that is not under a living leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// The process.
    pub pid: Pid,
    /// The service it came from, if that can be told.
    pub service: Option<ServiceId>,
    /// The process's name (`comm`).
    pub name: String,
}
