use std::sync::Arc;
use std::time::Duration;

use super::{
    Cause, Change, Deadline, End, Failure, HookKind, Pid, Purpose, Recipients, Request, Scale, Sender,
    ServiceId, Signal, StartFailure, Step, Verdict,
};

/// What was decided or seen: each becomes one log event with fields, and a line in the report.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The schedules do not fit the time that a stop has: its waits will be shortened.
    SchedulesTooLong {
        /// Who is stopped one after another for longest, the first one first.
        chain: Vec<ServiceId>,
        /// How long that takes.
        length: Duration,
        /// All the time there is.
        budget: Duration,
        /// What the waits will be multiplied by.
        scale: Scale,
    },
    /// The platform is to be asked for more time: whether that is of any use, if it is not or was not.
    Extension {
        /// Whether it is.
        use_of_it: UseOfExtension,
        /// The deadline that holds if nobody grants more.
        deadline: Option<Deadline>,
    },
    /// The platform will ask for a stop with a signal that asks for none here.
    StopUnheard {
        /// The signal.
        signal: Signal,
    },
    /// The service's process was forked.
    ServiceStarted {
        /// The service.
        service: ServiceId,
        /// Its leader.
        pid: Pid,
    },
    /// What runs before a service's start, or after its end, was forked.
    StepStarted {
        /// The service.
        service: ServiceId,
        /// What of it.
        step: Step,
        /// Its process.
        pid: Pid,
    },
    /// Every essential service is ready, every essential task is done.
    SystemReady {
        /// Since curfew began.
        after: Duration,
    },
    /// A probe of a service failed.
    ProbeFailed {
        /// The service.
        service: ServiceId,
        /// What it was to find out.
        purpose: Purpose,
        /// How many failed in a row.
        failures: u32,
        /// What it saw.
        reason: String,
    },
    /// The health probe of a service succeeds again.
    ProbeRecovered {
        /// The service.
        service: ServiceId,
        /// How many had failed.
        failures: u32,
    },
    /// A service runs, but has failed all the same: it is stopped.
    ServiceFailing {
        /// The service.
        service: ServiceId,
        /// How.
        failure: Failure,
        /// What its last probe saw.
        last_seen: Option<String>,
        /// How long it had, or how many probes failed: what was exceeded.
        limit: Limit,
    },
    /// A service that ended is started again.
    RestartPlanned {
        /// The service.
        service: ServiceId,
        /// After this wait.
        delay: Duration,
        /// The how manieth in the window.
        attempt: u32,
        /// How many the window allows.
        limit: u32,
    },
    /// A service ended too often to be started again.
    RestartLimit {
        /// The service.
        service: ServiceId,
        /// How often it was restarted.
        limit: u32,
        /// In this time.
        within: Duration,
    },
    /// What a service says of its state.
    StatusSaid {
        /// The service.
        service: ServiceId,
        /// Its words.
        text: String,
    },
    /// A service reads its configuration anew, or has done so.
    Reloading {
        /// The service.
        service: ServiceId,
        /// It has done so.
        done: bool,
    },
    /// A service says that it stops by itself.
    StopsByItself {
        /// The service.
        service: ServiceId,
    },
    /// A service's current wait was made longer, as it asked.
    WaitExtended {
        /// The service.
        service: ServiceId,
        /// What it asked for.
        asked: Duration,
        /// How long the wait lasts from now.
        granted: Duration,
    },
    /// A service has another leader now.
    LeaderMoved {
        /// The service.
        service: ServiceId,
        /// Its new leader.
        pid: Pid,
    },
    /// The configuration is read anew.
    ReloadRequested {
        /// Who asked.
        sender: Sender,
    },
    /// The configuration could not be read, or is wrong: nothing changes.
    ReloadRefused {
        /// Everything that is wrong, each with its place and cure.
        reasons: Vec<String>,
    },
    /// The configuration was read, and holds from now on.
    ReloadApplied {
        /// What becomes of each service that does not just go on as it was.
        changes: Vec<(ServiceId, Change)>,
        /// How many go on as they were.
        kept: usize,
        /// Keys of the whole system that changed, and hold now.
        system: Vec<&'static str>,
        /// The deadline that holds now, if it or its margin is among them.
        deadline: Option<Option<Deadline>>,
        /// Keys that changed, and hold from curfew's next start only.
        later: Vec<&'static str>,
    },
    /// Whatever a reload started or stopped is up or down.
    ReloadComplete {
        /// Since it was asked for.
        after: Duration,
        /// Those that did not come up.
        failed: Vec<ServiceId>,
    },
    /// Somebody asked for a change to a service.
    Asked {
        /// The service.
        service: ServiceId,
        /// To what end.
        wish: Wish,
    },
    /// A request is not granted.
    RequestRefused {
        /// What was asked for.
        request: Request,
        /// Why not.
        because: RefusedBecause,
    },
    /// The service is up: a start that went well.
    ServiceReady {
        /// The service.
        service: ServiceId,
        /// Its leader.
        pid: Pid,
        /// Since its process was forked.
        after: Duration,
    },
    /// The service could not be started.
    StartFailed {
        /// The service.
        service: ServiceId,
        /// What could not: its own command, or what runs before it.
        step: Step,
        /// What failed.
        failure: StartFailure,
    },
    /// The service's leader ended.
    ServiceEnded {
        /// The service.
        service: ServiceId,
        /// The leader.
        pid: Pid,
        /// How it ended.
        end: End,
        /// What that means.
        meaning: EndMeaning,
        /// Since its process was forked.
        after: Duration,
    },
    /// A death that a stop request may explain is held back.
    EndHeld {
        /// The service.
        service: ServiceId,
        /// For how long at most.
        hold: Duration,
    },
    /// The service is gone, its leader and all its strays, in the course of a stop.
    ServiceDown {
        /// The service.
        service: ServiceId,
        /// Since it began to stop; `None` if it never had to.
        after: Option<Duration>,
    },
    /// A dependency failed for good but is not essential: it counts as reached.
    DependencyFailed {
        /// The dependency.
        service: ServiceId,
    },
    /// The platform told when it kills us, and what counts is not what counted before.
    DeadlineLearnt {
        /// What counts now, and what is kept free before it; `None`: nobody ever kills us.
        deadline: Option<Deadline>,
        /// Whether the margin is the one that was asked for; that one may leave nothing of such a deadline.
        margin_kept: bool,
        /// Whose deadline it is.
        told: Told,
    },
    /// A stop begins.
    StopRequested {
        /// Why.
        cause: Cause,
        /// All the time it may take; `None`: no deadline.
        budget: Option<Duration>,
    },
    /// A signal to curfew changes nothing.
    SignalIgnored {
        /// The signal.
        signal: Signal,
        /// From whom.
        sender: Sender,
        /// Why.
        reason: IgnoredBecause,
    },
    /// A signal to curfew is passed on.
    SignalForwarded {
        /// The service it goes to.
        service: ServiceId,
        /// What curfew received.
        received: Signal,
        /// What is sent.
        sent: Signal,
    },
    /// A person asked for more haste.
    StopEscalated {
        /// The signal that asked.
        signal: Signal,
        /// What it leads to.
        level: Level,
    },
    /// The waits of a service are shortened to fit the budget.
    BudgetShrunk {
        /// The service.
        service: ServiceId,
        /// By which factor.
        scale: Scale,
        /// The sum of its waits as written.
        from: Duration,
        /// The sum of its waits as granted.
        to: Duration,
    },
    /// A service waits before its first signal.
    DrainBegun {
        /// The service.
        service: ServiceId,
        /// For how long.
        wait: Duration,
    },
    /// What runs before a service's stop begins.
    PreStopBegun {
        /// The service.
        service: ServiceId,
        /// How long it may take.
        wait: Duration,
    },
    /// A stage of a service begins: its signal is sent.
    StageSent {
        /// The service.
        service: ServiceId,
        /// The stage, from 0; KILL is one more than the last.
        stage: usize,
        /// How many stages there are, KILL included.
        of: usize,
        /// What is sent.
        signal: Signal,
        /// To whom.
        recipients: Recipients,
        /// How long the service may take; `None`: no limit.
        wait: Option<Duration>,
    },
    /// A stage of a service begins that runs a command.
    StageRun {
        /// The service.
        service: ServiceId,
        /// The stage, from 0.
        stage: usize,
        /// How many stages there are, KILL included.
        of: usize,
        /// The name of the command.
        command: Arc<str>,
        /// How long the stage lasts; `None`: no limit.
        wait: Option<Duration>,
    },
    /// A command that ran beside a service ended.
    HookEnded {
        /// The service.
        service: ServiceId,
        /// What it was for.
        kind: HookKind,
        /// How it ended, or why it could not be started.
        result: Result<End, StartFailure>,
        /// It had to be killed: what it was for was over.
        dismissed: bool,
    },
    /// A service's wait ran out.
    StageExpired {
        /// The service.
        service: ServiceId,
        /// The stage.
        stage: usize,
        /// Its signal.
        signal: Signal,
        /// How long it lasted.
        waited: Duration,
    },
    /// A process outlived its service's leader, or its parent's ties to any service.
    StrayFound {
        /// The service it came from, or `(stray)`.
        service: ServiceId,
        /// The process.
        pid: Pid,
        /// Its name.
        name: String,
    },
    /// A leader ended with success soon after its start, and left processes behind: it has daemonised.
    Daemonised {
        /// The service.
        service: ServiceId,
        /// How many processes it left.
        processes: usize,
    },
    /// Processes are left that cannot be listed: there is no /proc.
    StraysHidden,
    /// A process was killed together with its service's leader.
    KilledWithLeader {
        /// The service.
        service: ServiceId,
        /// The process.
        pid: Pid,
        /// Its name.
        name: String,
    },
    /// A stray ended, or what was killed with its leader.
    StrayEnded {
        /// The service it came from, or `(stray)`.
        service: ServiceId,
        /// The process.
        pid: Pid,
        /// How; `None` if its own parent reaped it.
        end: Option<End>,
        /// The last signal that it was sent.
        signal: Option<Signal>,
    },
    /// A process may not be signalled by us.
    SignalRefused {
        /// Its service.
        service: ServiceId,
        /// The process.
        pid: Pid,
        /// The error number.
        errno: i32,
    },
    /// A killed service is not gone yet; what waits for it no longer does.
    ServiceLingers {
        /// The service.
        service: ServiceId,
        /// Since KILL.
        waited: Duration,
    },
    /// A process is left at the end: it could not be killed.
    Survivor {
        /// Its service.
        service: ServiceId,
        /// The process.
        pid: Pid,
    },
    /// Processes that cannot be listed are left at the end.
    HiddenSurvivors,
    /// Every service is down and no process is left.
    AllStopped {
        /// Since the first cause.
        after: Duration,
    },
    /// The stop is complete.
    StopComplete {
        /// How it went.
        verdict: Verdict,
        /// curfew's exit status.
        status: u8,
        /// Since the first cause.
        after: Duration,
        /// All the time it had; `None`: no deadline.
        budget: Option<Duration>,
        /// More than 80 % of the budget went.
        near_miss: bool,
        /// How far it went past all the time it could have had; `None`: it did not.
        overrun: Option<Duration>,
    },
}

/// What a deadline is, after the platform told its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The platform's.
    Platforms,
    /// The platform's, which is shorter than the one that was said outright.
    Shorter {
        /// That one.
        said: Duration,
    },
    /// The one that was said outright: the platform's is not shorter any more.
    AsSaid,
}

/// Whether it is of any use to ask the platform for more time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseOfExtension {
    /// Nobody hears us.
    Unheard,
    /// Whoever hears us is not who ends us: that somebody does is assumed.
    DeadlineAssumed,
    /// We are heard again.
    HeardAgain,
}

/// What a service exceeded that fails while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// This time.
    Time(Duration),
    /// So many failed probes in a row.
    Probes(u32),
    /// It closed the descriptor on which it was to say that it is ready.
    Closed,
    /// None: it said so itself.
    None,
}

/// What somebody asks of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To start it.
    Start,
    /// To stop it.
    Stop,
    /// To stop it and start it again.
    Restart,
}

/// What the end of a leader means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndMeaning {
    /// A task has done its work.
    TaskDone,
    /// It was asked to, and ended as it should.
    Stopped,
    /// It had to be killed.
    Killed,
    /// A task was stopped before its work was done.
    Interrupted,
    /// It failed while it was being stopped.
    FailedStopping,
    /// A service ended unasked, with success.
    Unasked,
    /// It failed unasked.
    Failed(Failure),
}

/// Why a signal to curfew changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoredBecause {
    /// It came right behind another stop signal.
    Duplicate,
    /// A stop is under way; only a person's INT or QUIT hastens it.
    AlreadyStopping,
    /// `--map` drops it.
    Dropped,
    /// Nobody wants it.
    NotForwarded,
}

/// Why a request is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedBecause {
    /// The system is being stopped.
    Stopping,
    /// The service has no process that could be sent a signal.
    NotRunning,
    /// The service is not in the configuration any more.
    Removed,
    /// There is no configuration file to read anew.
    NothingToReload,
}

/// How urgent a stop is. It only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// By the schedule.
    Stop,
    /// Every stopping service goes to its next stage.
    NextStage,
    /// KILL to everything.
    KillNow,
}
