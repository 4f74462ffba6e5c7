use std::collections::BTreeSet;
use std::time::Duration;

use super::budget::{Path, Share};
use super::{End, Outcome, Pid, ServiceSettings, Timestamp};

/// Where a service is in its life. Why it came to its end is in its [`Outcome`]; what is wanted of it follows from
/// whether a stop is under way.
///
/// | state | leader | what it waits for | then |
/// |---|---|---|---|
/// | `Waiting` | none | its dependencies | `Starting` |
/// | `Starting` | yes | the execution of its command | `Up` |
/// | `Up` | yes | its end, or a stop | `Held`, `Ended`, `Stopping` |
/// | `Held` | none | a stop request that explains its death | `Ended` |
/// | `Ended` | none | the census: did it leave strays? | `Down`, `Stopping` |
/// | `Stopping` | maybe | what its [`Phase`] says | `Down` |
/// | `Down` | none | nothing | |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its process was not started yet.
    Waiting,
    /// Its process exists, but has not executed its command.
    Starting,
    /// It runs.
    Up,
    /// Its leader died, unasked, by a stop signal.
    Held,
    /// Its leader ended.
    Ended,
    /// It, or what its leader left behind, is being stopped.
    Stopping(Phase),
    /// No process of it is left.
    Down,
}

/// How far the stop of one service is. It only goes forward, but for strays that outlive their leader: they have
/// heard nothing yet, and begin at the first stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It was told nothing yet.
    Drain,
    /// The signal of this stage was sent.
    Stage(usize),
    /// KILL was sent, and its reserve runs.
    Killed,
    /// KILL was sent, and its reserve is over: what waited for it waits no longer.
    Lingering,
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
    pub(crate) leader: Option<Leader>,
    /// When its current process was forked; kept after its end.
    pub(crate) forked: Timestamp,
    /// The strays that the last census found. Empty while the leader lives: nobody looked.
    pub(crate) strays: BTreeSet<Pid>,
    /// Whether its strays were given the schedule for themselves.
    pub(crate) strays_stopping: bool,
    /// It ended with success soon after its start. What that means depends on whether it left anybody behind.
    pub(crate) early_end: Option<End>,
    /// Its dependents need not wait for it any more.
    pub(crate) reached: bool,
    /// Before a stop: how many dependencies are not reached. In a stop: how many dependents are not settled.
    pub(crate) awaited: usize,
    /// In a stop: no dependent is in its way.
    pub(crate) turn_has_come: bool,
    /// In a stop: its dependencies need not wait for it any more.
    pub(crate) settled: bool,
    /// When it began to stop.
    pub(crate) stopping_since: Option<Timestamp>,
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
            leader: None,
            forked: Timestamp::ZERO,
            strays: BTreeSet::new(),
            strays_stopping: false,
            early_end: None,
            reached: false,
            awaited: dependency_count,
            turn_has_come: false,
            settled: false,
            stopping_since: None,
            stage_began: Timestamp::ZERO,
            share: Share::UNLIMITED,
            behind: Path::default(),
            outcome: Outcome::default(),
        }
    }

    /// Whether KILL was sent to it.
    pub(crate) const fn is_killed(&self) -> bool {
        matches!(self.state, State::Stopping(Phase::Killed | Phase::Lingering))
    }

    /// Whether its leader ended in the middle of its stop: the census, asked for, tells how it goes on.
    pub(crate) const fn awaits_census(&self) -> bool {
        matches!(self.state, State::Stopping(Phase::Drain | Phase::Stage(_)))
            && self.leader.is_none()
            && !self.strays_stopping
    }

    /// What its stop still needs, if it began or went on at `now`.
    pub(crate) fn own_path(&self, settings: &ServiceSettings, now: Timestamp) -> Path {
        let (bounded, is_open) = (settings.grace.bounded(), settings.grace.is_open());
        match self.state {
            State::Waiting | State::Down => Path::default(),
            State::Starting => Path::of_service(bounded, is_open),
            State::Up => Path::of_service(bounded.saturating_add(settings.drain), is_open),
            // It will be down at once, or its strays share what there is.
            State::Held | State::Ended => Path::of_levels(1),
            State::Stopping(Phase::Drain) => {
                let rest = settings.drain.saturating_sub(now.since(self.stage_began));
                Path::of_service(bounded.saturating_add(rest), is_open)
            }
            State::Stopping(Phase::Stage(stage)) => {
                let mut waits = settings.grace.stages()[stage.min(settings.grace.stages().len())..]
                    .iter()
                    .map(|stage| stage.wait.bounded());
                let rest = waits.next().unwrap_or_default().saturating_sub(now.since(self.stage_began));
                Path::of_service(waits.fold(rest, Duration::saturating_add), is_open)
            }
            State::Stopping(Phase::Killed | Phase::Lingering) => Path::of_levels(1),
        }
    }
}
