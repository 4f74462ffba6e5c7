use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::census::RUN_VARIABLE;
use super::delivery::to_child;
use super::unit_inquiry::{Progress, UnitInquiry};
use crate::protocol::OwnUnit;
use crate::supervisor::{Pid, Signal};

/// When systemd kills us, if we are the main process of a unit of its.
///
/// Source: systemd.exec(5), `SYSTEMD_EXEC_PID`; systemd.service(5), `TimeoutStopSec=`.
#[derive(Debug, Default)]
pub(crate) struct UnitDeadline {
    inquiry: Option<UnitInquiry>,
    /// It is known that the answer is not for us: nobody is asked again.
    is_hopeless: bool,
}

/// What came of asking.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This long after a stop began; `None`: never.
    Deadline(Option<Duration>),
    /// We are not the unit's main process: its timeout is somebody else's.
    NotOurs,
    /// systemd did not answer.
    Nothing,
}

impl UnitDeadline {
    /// Asks, unless that is under way or hopeless. Returns the helper that asks: a child of ours that is no stray.
    pub(crate) fn ask(&mut self) -> Option<Pid> {
        if self.is_hopeless || self.inquiry.is_some() {
            return None;
        }
        let unit = own_unit();
        self.is_hopeless = unit.is_none();
        // No process, no memory, no descriptor: then it is not known, and may be the next time.
        let inquiry = UnitInquiry::start(&unit?).ok()?;
        let helper = inquiry.pid();
        self.inquiry = Some(inquiry);
        Some(helper)
    }

    /// The answer, if it has come.
    pub(crate) fn take_answer(&mut self) -> Option<Answer> {
        let answer = match self.inquiry.as_mut()?.read() {
            Progress::Pending => return None,
            Progress::Nothing => Answer::Nothing,
            Progress::Answered(properties) if properties.main_pid != std::process::id() as i32 => {
                self.is_hopeless = true;
                Answer::NotOurs
            }
            Progress::Answered(properties) => Answer::Deadline(properties.deadline()),
        };
        self.end();
        Some(answer)
    }

    /// What to wait on for the answer.
    pub(crate) fn waiting_on(&self) -> Option<BorrowedFd<'_>> {
        self.inquiry.as_ref().map(AsFd::as_fd)
    }

    /// Whatever is still to be answered comes too late.
    pub(crate) fn end(&mut self) {
        if let Some(inquiry) = self.inquiry.take() {
            // ESRCH: it has ended, and was reaped.
            let _ = to_child(inquiry.pid(), Signal::KILL);
        }
    }
}

/// The unit that we may be the main process of.
fn own_unit() -> Option<OwnUnit> {
    let variable = |name: &str| std::env::var(name).ok();
    // What a curfew above us tells in CURFEW_DEADLINE is the time that we have.
    if variable(RUN_VARIABLE).is_some() {
        return None;
    }
    let is_main = match variable("SYSTEMD_EXEC_PID") {
        Some(pid) => pid.parse() == Ok(std::process::id()),
        // systemd before version 248 does not say.
        None => variable("INVOCATION_ID").is_some(),
    };
    if !is_main {
        return None;
    }
    OwnUnit::of_cgroup(&std::fs::read_to_string("/proc/self/cgroup").ok()?)
}
