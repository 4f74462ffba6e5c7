use std::sync::Arc;
use std::time::Duration;

use super::Signal;

/// How one service is stopped: stages in order, then SIGKILL.
///
/// KILL is not written down: it always comes last, takes no wait, and always goes to the leader and its strays.
/// A schedule without stages is `KILL` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraceSchedule {
    stages: Vec<Stage>,
}

/// One stage of a [`GraceSchedule`]: what is done, and how long the service may take after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What is done.
    pub action: StageAction,
    /// Who gets the signal. `None`: the service's own `signal-target`.
    pub target: Option<Target>,
    /// How long to wait. It ends early when the service is gone.
    pub wait: Wait,
}

/// What a stage does, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageAction {
    /// Sends this signal.
    Fixed(Signal),
    /// Sends the signal that asked curfew to stop; TERM if something else was the cause. The default for one command, so
    /// that a wrapper in front of a program does not change what the program gets.
    Received,
    /// Runs the command of this name: a dump before the kill, say. It has as long as the stage lasts. Only a living
    /// leader can be told of to it, so strays skip such a stage.
    Run(Arc<str>),
}

/// What a stage does in one stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A signal is sent.
    Signal(Signal),
    /// The command of this name is run.
    Run(Arc<str>),
}

/// Who of a service gets a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The leader alone: most programs stop their own workers.
    #[default]
    Leader,
    /// The leader's process group.
    Group,
    /// The leader and every stray.
    All,
}

/// How long a stage lasts if the service does not obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// This long, never zero.
    For(Duration),
    /// To the end of the budget; for ever without a deadline. Only the last stage may say so.
    Open,
}

impl Wait {
    /// The wait as written down; an open one counts for nothing.
    pub(crate) const fn bounded(self) -> Duration {
        match self {
            Self::For(wait) => wait,
            Self::Open => Duration::ZERO,
        }
    }
}

/// Why a list of stages is no schedule. The number is the index of the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A stage with a wait of zero would be skipped before the service could act.
    #[error("stage {} has a wait of zero", .0 + 1)]
    ZeroWait(usize),
    /// Only the last stage before KILL may go without a wait.
    #[error("stage {} has no wait, but another stage follows", .0 + 1)]
    OpenWaitBeforeEnd(usize),
    /// A command alone ends no service.
    #[error("stage {} runs a command, but has no wait", .0 + 1)]
    OpenRun(usize),
    /// STOP and CONT end nothing; KILL comes by itself.
    #[error("stage {} sends a signal that no stage may send", .0 + 1)]
    UselessSignal(usize),
}

impl GraceSchedule {
    /// Checks the stages and makes a schedule of them; KILL is added by itself.
    ///
    /// # Errors
    /// A zero wait, a missing wait of a command or before the last stage, or STOP, CONT or KILL as a stage.
    pub fn new(stages: Vec<Stage>) -> Result<Self, ScheduleError> {
        for (index, stage) in stages.iter().enumerate() {
            match stage.wait {
                Wait::For(Duration::ZERO) => return Err(ScheduleError::ZeroWait(index)),
                Wait::Open if index + 1 < stages.len() => {
                    return Err(ScheduleError::OpenWaitBeforeEnd(index));
                }
                Wait::Open if matches!(stage.action, StageAction::Run(_)) => {
                    return Err(ScheduleError::OpenRun(index));
                }
                Wait::For(_) | Wait::Open => {}
            }
            if matches!(stage.action, StageAction::Fixed(Signal::STOP | Signal::CONT | Signal::KILL)) {
                return Err(ScheduleError::UselessSignal(index));
            }
        }
        Ok(Self { stages })
    }

    /// KILL alone.
    pub(crate) const fn kill_alone() -> Self {
        Self { stages: Vec::new() }
    }

    /// A schedule of one signal and one wait, then KILL.
    pub(crate) fn single(action: StageAction, wait: Duration) -> Self {
        Self { stages: vec![Stage { action, target: None, wait: Wait::For(wait) }] }
    }

    /// The stages before KILL.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The names of the commands that it runs.
    pub fn runs(&self) -> impl Iterator<Item = &Arc<str>> {
        self.stages.iter().filter_map(|stage| match &stage.action {
            StageAction::Run(name) => Some(name),
            StageAction::Fixed(_) | StageAction::Received => None,
        })
    }

    /// Whether no stage before this one sends a signal.
    pub fn is_first_signal(&self, index: usize) -> bool {
        self.stages.iter().take(index).all(|stage| matches!(stage.action, StageAction::Run(_)))
    }

    /// The sum of the waits that are written down.
    pub fn bounded(&self) -> Duration {
        self.stages.iter().fold(Duration::ZERO, |sum, stage| sum.saturating_add(stage.wait.bounded()))
    }

    /// Whether the last stage lasts to the end of the budget.
    pub fn is_open(&self) -> bool {
        matches!(self.stages.last(), Some(Stage { wait: Wait::Open, .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(signal: Signal, wait: Wait) -> Stage {
        Stage { action: StageAction::Fixed(signal), target: None, wait }
    }

    #[test]
    fn only_the_last_stage_may_be_open() {
        let second = Duration::from_secs(1);
        let open_first = vec![stage(Signal::TERM, Wait::Open), stage(Signal::INT, Wait::For(second))];
        assert_eq!(GraceSchedule::new(open_first), Err(ScheduleError::OpenWaitBeforeEnd(0)));
        let open_last = vec![stage(Signal::TERM, Wait::For(second)), stage(Signal::INT, Wait::Open)];
        let schedule = GraceSchedule::new(open_last).unwrap();
        assert_eq!((schedule.bounded(), schedule.is_open()), (second, true));
    }

    #[test]
    fn a_zero_wait_and_a_useless_signal_are_refused() {
        let second = Wait::For(Duration::from_secs(1));
        let zero = vec![stage(Signal::INT, second), stage(Signal::TERM, Wait::For(Duration::ZERO))];
        assert_eq!(GraceSchedule::new(zero), Err(ScheduleError::ZeroWait(1)));
        for signal in [Signal::KILL, Signal::STOP, Signal::CONT] {
            assert_eq!(GraceSchedule::new(vec![stage(signal, second)]), Err(ScheduleError::UselessSignal(0)));
        }
    }

    #[test]
    fn a_command_needs_a_wait() {
        let run = |wait| vec![Stage { action: StageAction::Run("dump".into()), target: None, wait }];
        assert_eq!(GraceSchedule::new(run(Wait::Open)), Err(ScheduleError::OpenRun(0)));
        let schedule = GraceSchedule::new(run(Wait::For(Duration::from_secs(1)))).unwrap();
        assert_eq!(schedule.runs().map(|name| &**name).collect::<Vec<_>>(), ["dump"]);
        assert!(schedule.is_first_signal(1));
    }

    #[test]
    fn no_stage_at_all_is_kill_alone() {
        let schedule = GraceSchedule::new(Vec::new()).unwrap();
        assert_eq!((schedule.bounded(), schedule.is_open()), (Duration::ZERO, false));
    }
}
