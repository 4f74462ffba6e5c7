use std::time::Duration;

use crate::supervisor::Pid;

/// One thing that a service says by sd_notify(3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifyField {
    /// `READY=1`: it has started, or its reload is done.
    Ready,
    /// `RELOADING=1`: it reads its configuration again, and says `READY=1` when that is done.
    Reloading,
    /// `STOPPING=1`: it begins to stop.
    Stopping,
    /// `MONOTONIC_USEC=`: when the reload began, by `CLOCK_MONOTONIC`.
    Monotonic(Duration),
    /// `STATUS=`: how it is, in words of its own. Empty: it takes back what it said before.
    Status(String),
    /// `ERRNO=`: the error number of its failure.
    Errno(i32),
    /// `EXIT_STATUS=`: the exit status of what it supervises.
    ExitStatus(u8),
    /// `MAINPID=`: another process speaks for it from now on. Whether that is one of its own is for the reader to check.
    MainPid(Pid),
    /// `WATCHDOG=1`: it is alive.
    WatchdogAlive,
    /// `WATCHDOG=trigger`: treat it as if its watchdog had run out.
    WatchdogTrigger,
    /// `WATCHDOG_USEC=`: its watchdog's interval from now on; `None` (0, or infinity): it has none any more.
    WatchdogInterval(Option<Duration>),
    /// `EXTEND_TIMEOUT_USEC=`: its current wait should last this long from now, at least.
    ExtendTimeout(Duration),
    /// `BARRIER=1`: whoever sent it waits until everything before it was handled. It is alone in its message.
    Barrier,
    /// `FDSTORE=1`: it wants a descriptor to be kept over a restart.
    StoreDescriptors,
}
