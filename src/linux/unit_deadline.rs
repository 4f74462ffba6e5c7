use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::parent_id;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use super::census::RUN_VARIABLE;
use super::delivery::to_child;
use super::unit_inquiry::{Progress, UnitInquiry};
use crate::protocol::{OwnUnit, UnitProperties};
use crate::supervisor::{Pid, Signal};

/// When systemd kills us, if it has started us in a unit of its: as its main process or another one, or by way of a
/// shell.
///
/// Source: systemd.exec(5), `SYSTEMD_EXEC_PID`; systemd.service(5), `TimeoutStopSec=`.
#[derive(Debug)]
pub(crate) struct UnitDeadline {
    /// Who started us. In a stop it may be gone before we ask.
    parent: i32,
    inquiry: Option<UnitInquiry>,
    /// It is known that the answer is not for us: nobody is asked again.
    is_hopeless: bool,
}

/// What came of asking.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is ours.
    Ours {
        /// This long after a stop began; `None`: never.
        deadline: Option<Duration>,
        /// What it asks to stop with.
        signal: Option<Signal>,
        /// Whether it listens to us.
        heard: Heard,
    },
    /// Neither we nor who started us is what systemd runs: its timeout is somebody else's.
    NotOurs,
    /// We are started by what it runs, and it stops only that one. This is the unit's KillMode=.
    NotStopped(String),
    /// systemd did not answer.
    Nothing,
}

/// Whether systemd listens to what we tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Yes,
    No,
}

impl UnitDeadline {
    pub(crate) fn new() -> Self {
        Self { parent: parent_id() as i32, inquiry: None, is_hopeless: false }
    }

    /// Asks, unless that is under way or hopeless. Returns the helper that asks: a child of ours that is no stray.
    ///
    /// # Errors
    /// There is no process, no memory, no descriptor or no /proc for it. The next time there may be.
    pub(crate) fn ask(&mut self) -> nix::Result<Option<Pid>> {
        if self.is_hopeless || self.inquiry.is_some() {
            return Ok(None);
        }
        self.is_hopeless = !is_started_by_systemd(self.parent);
        if self.is_hopeless {
            return Ok(None);
        }
        let groups = std::fs::read_to_string("/proc/self/cgroup").map_err(|_| Errno::ENOENT)?;
        let Some(unit) = OwnUnit::of_cgroup(&groups) else {
            self.is_hopeless = true;
            return Ok(None);
        };
        let inquiry = UnitInquiry::start(&unit)?;
        let helper = inquiry.pid();
        self.inquiry = Some(inquiry);
        Ok(Some(helper))
    }

    /// The answer, if it has come.
    pub(crate) fn take_answer(&mut self) -> Option<Answer> {
        let answer = match self.inquiry.as_mut()?.read() {
            Progress::Pending => return None,
            Progress::Nothing => Answer::Nothing,
            Progress::Answered(properties) => self.judge(properties),
        };
        self.end();
        Some(answer)
    }

    fn judge(&mut self, properties: UnitProperties) -> Answer {
        let own = std::process::id() as i32;
        let is_ours =
            [own, self.parent].into_iter().any(|pid| properties.runs(pid)) || properties.main_pid == 0;
        if is_ours && properties.stops(own) {
            let heard = if properties.hears(own) { Heard::Yes } else { Heard::No };
            let signal = Signal::from_number(properties.kill_signal);
            return Answer::Ours { deadline: properties.deadline(), signal, heard };
        }
        self.is_hopeless = true;
        if is_ours { Answer::NotStopped(properties.kill_mode) } else { Answer::NotOurs }
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

/// Whether systemd says that it has started us, or who started us.
pub fn is_started_by_systemd(parent: i32) -> bool {
    let variable = |name: &str| std::env::var(name).ok();
    // What a curfew above us tells in CURFEW_DEADLINE is the time that we have.
    if variable(RUN_VARIABLE).is_some() {
        return false;
    }
    match variable("SYSTEMD_EXEC_PID") {
        // Whoever is gone may have left us to be the main process (`Type=forking`).
        Some(pid) => pid.parse().is_ok_and(|pid: i32| {
            [std::process::id() as i32, parent].contains(&pid) || !Path::new(&format!("/proc/{pid}")).exists()
        }),
        // systemd before version 248 does not say.
        None => variable("INVOCATION_ID").is_some(),
    }
}
