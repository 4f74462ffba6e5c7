use super::{End, Sender, ServiceId, Signal, StartFailure};

/// Why the system stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A signal asked for it.
    Signal {
        /// Which one.
        signal: Signal,
        /// From whom.
        sender: Sender,
    },
    /// A service that was meant to stay ended with success, unasked.
    ServiceEnded {
        /// The service.
        service: ServiceId,
        /// How it ended.
        end: End,
    },
    /// A service failed.
    ServiceFailed {
        /// The service.
        service: ServiceId,
        /// How.
        failure: Failure,
    },
    /// Somebody asked for it by way of the control socket.
    Request {
        /// Who.
        sender: Sender,
    },
    /// Nothing is left to run: all tasks are done, or all that was not essential has ended.
    NothingLeft,
}

/// How a service failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It ended, and not with success.
    Ended(End),
    /// It could not be started.
    Start(StartFailure),
    /// It ended with success soon after its start, and left processes behind: curfew cannot tell how they fare.
    Daemonised,
    /// What runs before its start failed.
    PreStart(End),
    /// It was not ready in time.
    NotReady,
    /// Too many probes of its health failed.
    Unhealthy,
    /// It did not say in time that it is well.
    Watchdog,
    /// A task took too long.
    TimedOut,
    /// It ended with success again and again.
    RestartLimit,
    /// It was to be started again, but what is left of it cannot be killed.
    NotGone,
}

impl Failure {
    /// One word for it, in log, report and status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ended(_) => "ended",
            Self::PreStart(_) => "pre-start",
            Self::Start(_) => "start",
            Self::Daemonised => "daemonised",
            Self::NotReady => "not-ready",
            Self::Unhealthy => "unhealthy",
            Self::Watchdog => "watchdog",
            Self::TimedOut => "timed-out",
            Self::RestartLimit => "restart-limit",
            Self::NotGone => "not-gone",
        }
    }

    /// The exit status that tells of the failure; `None` where there is no such status.
    pub const fn status(self) -> Option<u8> {
        match self {
            Self::Ended(end) | Self::PreStart(end) => Some(end.status()),
            Self::Start(failure) => failure.status(),
            Self::Daemonised
            | Self::NotReady
            | Self::Unhealthy
            | Self::Watchdog
            | Self::TimedOut
            | Self::RestartLimit
            | Self::NotGone => None,
        }
    }
}
