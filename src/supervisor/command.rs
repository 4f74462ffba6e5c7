use std::time::Duration;

use super::{HookId, HookKind, Notice, Pid, Purpose, ServiceId, Signal, Step, Target};

/// Everything we may ask the system to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Start a process of the service, as its leader. Answered by [`Event::Forked`](super::Event::Forked) or
    /// [`Event::StartFailed`](super::Event::StartFailed), then [`Event::Executed`](super::Event::Executed).
    Start {
        /// The service.
        service: ServiceId,
        /// What of it.
        step: Step,
    },
    /// Send a signal to processes of the service. Those that are gone are no error.
    Signal {
        /// The service.
        service: ServiceId,
        /// Who of it.
        recipients: Recipients,
        /// What to send.
        signal: Signal,
    },
    /// Give the terminal's foreground to the service's group, if it is ours, and continue the group: the shell's `fg`.
    Resume {
        /// The service.
        service: ServiceId,
    },
    /// Stop ourselves, as Ctrl-Z stops the command: the shell that waits for us takes the terminal back.
    StopSelf,
    /// A service begins to stop: note how much CPU its leader has used so far, to tell later whether it is busy.
    Measure {
        /// The service.
        service: ServiceId,
    },
    /// The wait of a stage is nearly over: find out what the leader does, without taking long.
    Look {
        /// The service.
        service: ServiceId,
    },
    /// The wait ran out: say what was found.
    Blame {
        /// The service.
        service: ServiceId,
    },
    /// Run a command beside the service's leader, which lives. Answered by
    /// [`Event::HookForked`](super::Event::HookForked) and, in any case, by
    /// [`Event::HookEnded`](super::Event::HookEnded).
    RunHook {
        /// This run of it.
        hook: HookId,
        /// The service.
        service: ServiceId,
        /// What it is for.
        kind: HookKind,
    },
    /// Kill this run of a hook, and all that descends from it.
    EndHook {
        /// Which.
        hook: HookId,
    },
    /// Probe the service. Answered by [`Event::Probed`](super::Event::Probed), unless it is abandoned.
    Probe {
        /// The service.
        service: ServiceId,
        /// What to find out.
        purpose: Purpose,
    },
    /// The answer to the probe of the service is not wanted any more.
    AbandonProbe {
        /// The service.
        service: ServiceId,
    },
    /// Tell the platform above, if it listens.
    TellPlatform(PlatformMessage),
    /// Read the configuration anew, without waiting for it. Answered by
    /// [`Event::ConfigurationRead`](super::Event::ConfigurationRead), unless it is abandoned.
    ReadConfiguration,
    /// The answer is not wanted any more.
    AbandonReading,
    /// The settings are those of the configuration read last. Every service has a place in it, by which its programs are
    /// found; `None`: it was removed. Those behind the last one known are new.
    Reconfigure {
        /// For each service, its place in the configuration read last.
        places: Vec<Option<usize>>,
    },
    /// From now on the service is executed as the configuration read last says.
    Adopt {
        /// The service.
        service: ServiceId,
    },
    /// Open the files that services' output goes to anew: they were moved away.
    ReopenOutput,
    /// Find out from the platform when it kills us, without waiting for it. Answered by
    /// [`Event::DeadlineLearnt`](super::Event::DeadlineLearnt), or not at all.
    LearnDeadline,
    /// Look for strays. Answered by [`Event::Census`](super::Event::Census).
    TakeCensus,
    /// Say what was decided: a line of the log and of the report.
    Tell(Notice),
    /// The end: write the report and exit with this status.
    Finish {
        /// The exit status.
        status: u8,
    },
}

/// What the platform above is told.
///
/// Source: sd_notify(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformMessage {
    /// Every essential service is ready, every essential task is done.
    Ready,
    /// A stop has begun.
    Stopping,
    /// A reload begins.
    Reloading,
    /// The reload is over.
    Reloaded,
    /// The loop is well.
    Ping,
    /// More time is needed: this much from now.
    Extend(Duration),
    /// The start failed with this error number.
    Failed(i32),
}

/// Who of a service gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// The living leader and, as the target says, its group or all that descends from it.
    Leader(Target),
    /// Everything that the leader left behind.
    Strays,
    /// One process that the leader left behind.
    Stray(Pid),
}
