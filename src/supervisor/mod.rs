//! The pure core: it decides, and does nothing itself.
//!
//! Events and the time go in, commands come out. Nothing here makes a system call, reads a clock, rolls dice or
//! writes a log; so every decision can be tested with a fake kernel and a virtual clock.

mod budget;
mod cause;
mod command;
pub mod defaults;
mod end;
mod event;
mod grace_schedule;
mod hook;
mod notice;
mod pid;
mod reload;
mod service;
mod service_id;
mod settings;
mod signal;
mod signal_set;
mod start_failure;
mod status;
mod stop;
mod stop_order;
#[expect(clippy::module_inception, reason = "the type that the module is named after")]
mod supervisor;
mod timers;
mod timestamp;
mod verdict;

pub use budget::Scale;
pub use cause::{Cause, Failure};
pub use command::{Command, PlatformMessage, Recipients};
pub use end::{End, SuccessStatuses};
pub use event::{Event, Request, Sender, ServiceMessage, Stray};
pub use grace_schedule::{Act, GraceSchedule, ScheduleError, Stage, StageAction, Target, Wait};
pub use hook::{HookId, HookKind, Purpose, Step};
pub use notice::{
    EndMeaning, IgnoredBecause, Level, Limit, Notice, RefusedBecause, Told, UseOfExtension, Wish,
};
pub use pid::Pid;
pub use reload::{Change, NewConfiguration, ProgramChange};
pub use service_id::ServiceId;
pub use settings::{
    Deadline, DeadlineBasis, ExitStatusPolicy, Health, HookTimes, Kind, Mode, Readiness, ReadyBy, Restart,
    RestartWhen, Seat, ServiceSettings, Settings,
};
pub use signal::Signal;
pub use signal_set::SignalSet;
pub use start_failure::{StartFailure, StartStep};
pub use status::{Fate, Rest, ServiceState, ServiceStatus, StopPhase, StopStatus, SystemPhase, SystemStatus};
pub use stop_order::{Cycle, StopOrder};
pub use supervisor::Supervisor;
pub use timestamp::Timestamp;
pub use verdict::{
    Outcome, STATUS_FAILURE, STATUS_KILLED, STATUS_REFUSED, STATUS_SURVIVORS, Verdict, exit_status, verdict,
};
