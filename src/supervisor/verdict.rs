use std::fmt;

use super::{Cause, End, ExitStatusPolicy, Failure, Mode, Timestamp};

/// How a stop went; the later, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything ended at its first stage.
    Clean,
    /// More than the first stage was needed.
    Escalated,
    /// A task was stopped before it ended.
    Interrupted,
    /// Something had to be killed.
    Killed,
    /// Something could not even be killed.
    Survivors,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::Clean => "clean",
            Self::Escalated => "escalated",
            Self::Interrupted => "interrupted",
            Self::Killed => "killed",
            Self::Survivors => "survivors",
        })
    }
}

/// What became of one service, as far as the verdict and the exit status depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How its last process ended; `None` if none ran, or if it is still there.
    pub end: Option<End>,
    /// A process of it was made, in this life or in an earlier one.
    pub has_run: bool,
    /// Why it could not be started.
    pub start_failure: Option<super::StartFailure>,
    /// The status of a failure while it was being stopped, and when.
    pub failed_stopping: Option<(Timestamp, u8)>,
    /// The status of a task that was stopped before it ended.
    pub interrupted: Option<u8>,
    /// More than its first stage was needed.
    pub escalated: bool,
    /// It, or a stray of it, had to be killed.
    pub killed: bool,
    /// It, or a stray of it, is still there.
    pub survived: bool,
}

impl Outcome {
    /// The verdict on this service alone.
    pub fn verdict(&self) -> Verdict {
        if self.survived {
            Verdict::Survivors
        } else if self.killed {
            Verdict::Killed
        } else if self.interrupted.is_some() {
            Verdict::Interrupted
        } else if self.escalated {
            Verdict::Escalated
        } else {
            Verdict::Clean
        }
    }
}

/// The verdict on the whole stop: the worst of all.
pub fn verdict(outcomes: &[Outcome]) -> Verdict {
    outcomes.iter().map(Outcome::verdict).max().unwrap_or(Verdict::Clean)
}

/// Survivors are left.
pub const STATUS_SURVIVORS: u8 = 81;
/// The cause of the stop is a failure that has no status of its own.
pub const STATUS_FAILURE: u8 = 82;
/// Something had to be killed.
pub const STATUS_KILLED: u8 = 80;
/// The system refused to make a process before anything ran.
pub const STATUS_REFUSED: u8 = 71;

/// curfew's exit status: the first line of the table that applies. Statuses 64 (usage), 78 (config) and 70 (a bug)
/// are not decided here: no run comes to an end with them.
///
/// It depends on the outcomes alone, not on the order in which they became known.
pub fn exit_status(mode: Mode, policy: ExitStatusPolicy, cause: &Cause, outcomes: &[Outcome]) -> u8 {
    if policy == ExitStatusPolicy::Mirror
        && let Some(own) = outcomes.first().and_then(own_status)
    {
        return own;
    }
    if outcomes.iter().any(|outcome| outcome.survived) {
        return STATUS_SURVIVORS;
    }
    match *cause {
        Cause::ServiceFailed { failure: Failure::Start(failure), .. } if failure.status().is_none() => {
            let anything_ran = outcomes.iter().any(|outcome| outcome.has_run);
            return if anything_ran { STATUS_FAILURE } else { STATUS_REFUSED };
        }
        Cause::ServiceFailed { failure, .. } => {
            // A failure with status 0 can be: a death that `success` does not cover always has another.
            return failure.status().filter(|status| *status != 0).unwrap_or(STATUS_FAILURE);
        }
        // One command that ends by itself: its own status, always.
        Cause::ServiceEnded { end, .. } if mode == Mode::OneCommand => return end.status(),
        Cause::ServiceEnded { .. } | Cause::Signal { .. } | Cause::Request { .. } | Cause::NothingLeft => {}
    }
    if let Some((_, status)) = outcomes.iter().filter_map(|outcome| outcome.failed_stopping).min() {
        return status;
    }
    if let Some(status) = outcomes.iter().find_map(|outcome| outcome.interrupted) {
        return status;
    }
    if outcomes.iter().any(|outcome| outcome.killed) {
        return STATUS_KILLED;
    }
    0
}

fn own_status(outcome: &Outcome) -> Option<u8> {
    match (outcome.end, outcome.start_failure) {
        (_, Some(failure)) => failure.status(),
        (Some(end), None) => Some(end.status()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Sender, ServiceId, Signal, StartFailure, StartStep};
    use super::*;

    const TERM: Cause = Cause::Signal { signal: Signal::TERM, sender: Sender::Unknown };
    const CLEAN: Outcome = Outcome {
        end: Some(End::Exited(0)),
        has_run: true,
        start_failure: None,
        failed_stopping: None,
        interrupted: None,
        escalated: false,
        killed: false,
        survived: false,
    };

    fn status(cause: Cause, outcomes: &[Outcome]) -> u8 {
        exit_status(Mode::ManyServices, ExitStatusPolicy::Verdict, &cause, outcomes)
    }

    fn failed(failure: Failure) -> Cause {
        Cause::ServiceFailed { service: ServiceId::new(0), failure }
    }

    fn start_failure(step: StartStep, not_found: bool) -> StartFailure {
        StartFailure { not_found, ..StartFailure::new(step, 2) }
    }

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::new(Duration::from_millis(milliseconds))
    }

    /// Each row of the table, with everything that stands below it true as well.
    #[test]
    fn the_first_row_that_applies_wins() {
        let mut outcome = Outcome { killed: true, escalated: true, ..CLEAN };
        assert_eq!(status(TERM, &[CLEAN, outcome]), 80);
        outcome.interrupted = Some(143);
        assert_eq!(status(TERM, &[CLEAN, outcome]), 143);
        outcome.failed_stopping = Some((at(5), 3));
        assert_eq!(status(TERM, &[CLEAN, outcome]), 3);
        assert_eq!(status(failed(Failure::Ended(End::Exited(9))), &[CLEAN, outcome]), 9);
        assert_eq!(status(failed(Failure::Start(start_failure(StartStep::Execute, true))), &[outcome]), 127);
        assert_eq!(status(failed(Failure::Start(start_failure(StartStep::Execute, false))), &[outcome]), 126);
        assert_eq!(
            status(failed(Failure::Start(start_failure(StartStep::Directory, false))), &[outcome]),
            126
        );
        let survived = Outcome { survived: true, ..outcome };
        assert_eq!(status(failed(Failure::Ended(End::Exited(9))), &[survived]), 81);
        assert_eq!(status(TERM, &[CLEAN, CLEAN]), 0);
        assert_eq!(status(TERM, &[Outcome { escalated: true, ..CLEAN }]), 0);
        assert_eq!(status(Cause::NothingLeft, &[CLEAN]), 0);
    }

    #[test]
    fn a_death_by_signal_as_the_cause_is_128_plus_n() {
        let end = End::Signaled { number: 11, core_dumped: false };
        assert_eq!(status(failed(Failure::Ended(end)), &[CLEAN]), 139);
    }

    #[test]
    fn a_failure_without_a_bad_status_is_82() {
        assert_eq!(status(failed(Failure::Ended(End::Exited(0))), &[CLEAN]), 82);
    }

    #[test]
    fn a_refused_fork_is_71_only_if_nothing_ran() {
        let refused = failed(Failure::Start(start_failure(StartStep::Fork, false)));
        assert_eq!(status(refused, &[Outcome::default(), Outcome::default()]), 71);
        assert_eq!(status(refused, &[CLEAN, Outcome::default()]), 82);
    }

    #[test]
    fn the_first_bad_status_is_the_earliest_then_the_smallest() {
        let bad =
            |milliseconds, status| Outcome { failed_stopping: Some((at(milliseconds), status)), ..CLEAN };
        assert_eq!(status(TERM, &[bad(9, 4), bad(7, 6)]), 6);
        assert_eq!(status(TERM, &[bad(7, 4), bad(7, 2)]), 2);
    }

    #[test]
    fn one_command_that_ends_by_itself_gives_its_own_status() {
        let ended = |code| Cause::ServiceEnded { service: ServiceId::new(0), end: End::Exited(code) };
        let killed_stray = Outcome { killed: true, ..Outcome::default() };
        let one =
            |cause| exit_status(Mode::OneCommand, ExitStatusPolicy::Verdict, &cause, &[CLEAN, killed_stray]);
        assert_eq!(one(ended(0)), 0);
        assert_eq!(one(ended(7)), 7);
        // Among many services it is a success that stops the system.
        assert_eq!(status(ended(7), &[CLEAN]), 0);
    }

    #[test]
    fn mirror_is_the_commands_own_status_whatever_happened() {
        let mirror = |outcome| exit_status(Mode::OneCommand, ExitStatusPolicy::Mirror, &TERM, &[outcome]);
        let by = |number| Some(End::Signaled { number, core_dumped: false });
        assert_eq!(mirror(Outcome { end: by(15), ..CLEAN }), 143);
        assert_eq!(mirror(Outcome { end: by(9), killed: true, ..CLEAN }), 137);
        assert_eq!(mirror(CLEAN), 0);
        let failure = Some(start_failure(StartStep::Execute, true));
        assert_eq!(mirror(Outcome { end: Some(End::Exited(1)), start_failure: failure, ..CLEAN }), 127);
        assert_eq!(mirror(Outcome { end: None, survived: true, ..CLEAN }), 81);
    }

    #[test]
    fn the_verdict_is_the_worst_of_all() {
        let escalated = Outcome { escalated: true, ..CLEAN };
        let interrupted = Outcome { interrupted: Some(143), ..escalated };
        let killed = Outcome { killed: true, ..interrupted };
        let survived = Outcome { survived: true, ..killed };
        assert_eq!(verdict(&[]), Verdict::Clean);
        assert_eq!(verdict(&[CLEAN, CLEAN]), Verdict::Clean);
        assert_eq!(verdict(&[escalated, CLEAN]), Verdict::Escalated);
        assert_eq!(verdict(&[escalated, interrupted]), Verdict::Interrupted);
        assert_eq!(verdict(&[killed, interrupted]), Verdict::Killed);
        assert_eq!(verdict(&[CLEAN, survived, killed]), Verdict::Survivors);
        // The words of the log and of the report.
        let all =
            [CLEAN, escalated, interrupted, killed, survived].map(|outcome| outcome.verdict().to_string());
        assert_eq!(all, ["clean", "escalated", "interrupted", "killed", "survivors"]);
    }
}
