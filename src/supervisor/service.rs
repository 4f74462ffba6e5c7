use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::budget::{Path, Share};
use super::{End, Failure, Outcome, Pid, ServiceSettings, Signal, StartFailure, Step, Timestamp};

/// Where a service is in its life. Why it came to its end is in its [`Outcome`]; what is to become of it then is in
/// its [`Next`].
///
/// | state | leader | what it waits for | then |
/// |---|---|---|---|
/// | `Waiting` | none | its dependencies | `Preparing`, `Starting` |
/// | `Preparing` | `pre-start` | the end of `pre-start` | `Starting`, `Ended`, `Stopping` |
/// | `Starting` | yes | the execution of its command | `Unready`, `Up` |
/// | `Unready` | yes | a sign that it is ready | `Up`, `Stopping` |
/// | `Up` | yes | its end, or a stop | `Held`, `Ended`, `Stopping` |
/// | `Held` | none | a stop request that explains its death | `Ended` |
/// | `Ended` | none | the census: did it leave strays? | `Stopping`, `BackOff`, `Down` |
/// | `Stopping` | maybe | what its [`Phase`] says | `BackOff`, `Down` |
/// | `BackOff` | none | the time of its restart | `Preparing`, `Starting` |
/// | `Down` | none | nothing | `Waiting`, if somebody starts it |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its process was not started yet.
    Waiting,
    /// What runs before its start runs.
    Preparing,
    /// Its process exists, but has not executed its command.
    Starting,
    /// It runs, and is not ready.
    Unready,
    /// It runs, and is ready.
    Up,
    /// Its leader died, unasked, by a stop signal.
    Held,
    /// Its leader ended.
    Ended,
    /// It, or what its leader left behind, is being stopped.
    Stopping(Phase),
    /// It will be started again.
    BackOff,
    /// No process of it is left.
    Down,
}

/// How far the stop of one service is. It only goes forward, but for strays that outlive their leader: they have
/// heard nothing yet, and begin at the first stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The command before its stop runs.
    PreStop,
    /// It was told nothing yet.
    Drain,
    /// The signal of this stage was sent.
    Stage(usize),
    /// KILL was sent, and its reserve runs.
    Killed,
    /// KILL was sent, and its reserve is over: what waited for it waits no longer, unless it is to be started again.
    Lingering,
    /// Nothing of it is left; the command after its end runs, as its leader.
    PostStop,
}

/// What becomes of a service when no process of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It stays down.
    Down,
    /// It is started again, after this wait.
    Restart(Duration),
}

/// The process that curfew forked for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) pid: Pid,
    pub(crate) forked: Timestamp,
}

/// What the supervisor keeps of one service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) state: State,
    /// What its leader is.
    pub(crate) step: Step,
    pub(crate) next: Next,
    /// Somebody stopped it, and nobody started it since.
    pub(crate) is_unwanted: bool,
    /// It was removed from the configuration.
    pub(crate) is_retired: bool,
    /// What it is to be when nothing of it is left.
    pub(crate) pending: Option<Box<ServiceSettings>>,
    pub(crate) leader: Option<Leader>,
    /// When its current process was forked; kept after its end. `None`: there was none in this life.
    pub(crate) forked: Option<Timestamp>,
    /// When it was ready; `None`: it has not been, since it was started.
    pub(crate) ready: Option<Timestamp>,
    /// How many probes failed in a row.
    pub(crate) failed_probes: u32,
    /// What the last probe saw, if it failed.
    pub(crate) last_seen: Option<String>,
    /// A probe is under way.
    pub(crate) is_probed: bool,
    /// How often it must say that it is well, in this life; it may choose otherwise than its settings.
    pub(crate) watchdog: Option<Duration>,
    /// When it was restarted, the latest last: those that still count.
    pub(crate) restarts: VecDeque<Timestamp>,
    /// How many restarts came one after another, without a stable run in between.
    pub(crate) restarts_in_a_row: u32,
    /// How often it was started again by itself, ever.
    pub(crate) restart_count: u64,
    /// How its last process ended, and when; kept over its lives.
    pub(crate) last_end: Option<(End, Timestamp)>,
    /// How it failed last; kept over its lives.
    pub(crate) last_failure: Option<Failure>,
    /// It failed in this life.
    pub(crate) is_failed: bool,
    /// The strays that the last census found. Empty while the leader lives: nobody looked.
    pub(crate) strays: BTreeSet<Pid>,
    /// Whether its strays were given the schedule for themselves.
    pub(crate) strays_stopping: bool,
    /// Why its current step could not be started.
    pub(crate) step_failure: Option<StartFailure>,
    /// It cannot say any more that it is ready.
    pub(crate) is_never_ready: bool,
    /// It reads its configuration anew.
    pub(crate) is_reloading: bool,
    /// What it says of its state.
    pub(crate) status: String,
    /// It ended with success soon after its start. What that means depends on whether it left anybody behind.
    pub(crate) early_end: Option<End>,
    /// It has failed while it ran, and is stopped for it.
    pub(crate) has_failed: bool,
    /// A task has done its work.
    pub(crate) is_done: bool,
    /// The command after its end has run, or is not to run.
    pub(crate) is_cleaned: bool,
    /// Its dependents need not wait for it any more.
    pub(crate) reached: bool,
    /// Before a stop: how many dependencies are not reached. In a stop: how many dependents are not settled.
    pub(crate) awaited: usize,
    /// In a stop: no dependent is in its way.
    pub(crate) turn_has_come: bool,
    /// In a stop: its dependencies need not wait for it any more.
    pub(crate) settled: bool,
    /// A wait of its stop was extended: its further ones end where its share does.
    pub(crate) is_extended: bool,
    /// When it began to stop.
    pub(crate) stopping_since: Option<Timestamp>,
    /// The signal of its stage; `None`: it runs a command.
    pub(crate) stage_signal: Option<Signal>,
    /// When the signal of its stage was sent.
    pub(crate) stage_began: Timestamp,
    /// What it gets of the budget.
    pub(crate) share: Share,
    /// What is to be stopped after it.
    pub(crate) behind: Path,
    pub(crate) outcome: Outcome,
}

impl Service {
    pub(crate) fn new(dependency_count: usize) -> Self {
        Self {
            state: State::Waiting,
            step: Step::Main,
            next: Next::Down,
            is_unwanted: false,
            is_retired: false,
            pending: None,
            leader: None,
            forked: None,
            ready: None,
            failed_probes: 0,
            last_seen: None,
            is_probed: false,
            watchdog: None,
            restarts: VecDeque::new(),
            restarts_in_a_row: 0,
            restart_count: 0,
            last_end: None,
            last_failure: None,
            is_failed: false,
            strays: BTreeSet::new(),
            strays_stopping: false,
            step_failure: None,
            is_never_ready: false,
            is_reloading: false,
            status: String::new(),
            early_end: None,
            has_failed: false,
            is_done: false,
            is_cleaned: false,
            reached: false,
            awaited: dependency_count,
            turn_has_come: false,
            settled: false,
            is_extended: false,
            stopping_since: None,
            stage_signal: None,
            stage_began: Timestamp::ZERO,
            share: Share::UNLIMITED,
            behind: Path::default(),
            outcome: Outcome::default(),
        }
    }

    /// It is started, perhaps not for the first time: nothing of an earlier life counts any more.
    pub(crate) fn begin_life(&mut self) {
        self.next = Next::Down;
        self.forked = None;
        self.ready = None;
        self.failed_probes = 0;
        self.last_seen = None;
        self.strays_stopping = false;
        self.step_failure = None;
        self.is_never_ready = false;
        self.is_reloading = false;
        self.status.clear();
        self.early_end = None;
        self.has_failed = false;
        self.is_failed = false;
        self.is_done = false;
        self.is_cleaned = false;
        self.is_extended = false;
        self.stopping_since = None;
        self.share = Share::UNLIMITED;
    }

    /// How it went is no part of a stop that may come in months.
    pub(crate) fn forget_outcome(&mut self) {
        self.outcome = Outcome { has_run: self.outcome.has_run, ..Outcome::default() };
    }

    /// Whether it has a process that nobody has asked to end.
    pub(crate) const fn runs(&self) -> bool {
        matches!(self.state, State::Preparing | State::Starting | State::Unready | State::Up)
    }

    /// Whether nobody waits for it any more: it is killed but not gone, and will not be started again.
    pub(crate) fn is_given_up(&self) -> bool {
        self.state == State::Stopping(Phase::Lingering) && (self.next == Next::Down || self.is_unwanted)
    }

    /// Whether KILL was sent to it.
    pub(crate) const fn is_killed(&self) -> bool {
        matches!(self.state, State::Stopping(Phase::Killed | Phase::Lingering))
    }

    /// Whether its leader ended in the middle of its stop: the census, asked for, tells how it goes on.
    pub(crate) const fn awaits_census(&self) -> bool {
        matches!(
            self.state,
            State::Stopping(Phase::PreStop | Phase::Drain | Phase::Stage(_) | Phase::PostStop)
        ) && self.leader.is_none()
            && !self.strays_stopping
    }

    /// What it gets of a wait that begins now.
    pub(crate) fn granted(&self, wait: Duration, now: Timestamp) -> Duration {
        let wait = self.share.scale.of(wait);
        // What an extension took is not there any more.
        if self.is_extended { self.share.until_end(wait, now) } else { wait }
    }

    /// What its stop still needs, if it began or went on at `now`; without what runs after its end.
    pub(crate) fn own_path(&self, settings: &ServiceSettings, now: Timestamp) -> Path {
        let (bounded, is_open) = (settings.grace.bounded(), settings.grace.is_open());
        let pre_stop = settings.hooks.pre_stop.unwrap_or_default();
        let stop = |waits: Duration| Path::of_service(waits, is_open);
        let rest_of = |wait: Duration| wait.saturating_sub(now.since(self.stage_began));
        match self.state {
            State::Waiting | State::BackOff | State::Down => Path::default(),
            State::Preparing | State::Starting | State::Unready => stop(bounded),
            State::Up => stop(bounded.saturating_add(settings.drain).saturating_add(pre_stop)),
            // It will be down at once, or its strays share what there is.
            State::Held | State::Ended => Path::of_levels(1),
            State::Stopping(Phase::PreStop) => {
                stop(bounded.saturating_add(settings.drain).saturating_add(rest_of(pre_stop)))
            }
            State::Stopping(Phase::Drain) => stop(bounded.saturating_add(rest_of(settings.drain))),
            State::Stopping(Phase::Stage(stage)) => {
                let mut waits = settings.grace.stages()[stage.min(settings.grace.stages().len())..]
                    .iter()
                    .map(|stage| stage.wait.bounded());
                let rest = rest_of(waits.next().unwrap_or_default());
                stop(waits.fold(rest, Duration::saturating_add))
            }
            State::Stopping(Phase::Killed | Phase::Lingering) => Path::of_levels(1),
            State::Stopping(Phase::PostStop) => {
                Path::of_service(rest_of(settings.hooks.post_stop.unwrap_or_default()), false)
            }
        }
    }

    /// What runs when nothing else of it is left: a wait, and a level to kill it.
    pub(crate) fn path_after(&self, settings: &ServiceSettings) -> Path {
        match (self.state, settings.hooks.post_stop) {
            (State::Waiting | State::BackOff | State::Down, _) | (_, None) => Path::default(),
            (_, Some(_)) if self.is_cleaned => Path::default(),
            (_, Some(time)) => Path::of_service(time, false),
        }
    }
}
