use std::ffi::OsString;
use std::os::fd::RawFd;

use super::census::DEADLINE_VARIABLE;
use super::spawn::Program;
use crate::protocol::ProbeTarget;
use crate::supervisor::{HookKind, ProgramChange, Purpose, Step};

/// What is executed for a service: its own command, and those around it.
#[derive(Clone, Debug)]
pub struct ServicePrograms {
    /// Its own command.
    pub main: Program,
    /// Whether it gets a socket on which it can say things of itself.
    pub notify: bool,
    /// Whether the configuration says its `CURFEW_DEADLINE`: then nothing that is learnt later changes it.
    pub is_told_deadline: bool,
    /// What tells that it is ready.
    pub ready_probe: Option<ProbeTarget>,
    /// The number of the descriptor on which it says that it is ready.
    pub ready_descriptor: Option<RawFd>,
    /// What tells that it is well.
    pub health_probe: Option<ProbeTarget>,
    /// Before its start.
    pub pre_start: Option<Vec<OsString>>,
    /// Before its stop.
    pub pre_stop: Option<Vec<OsString>>,
    /// After its end.
    pub post_stop: Option<Vec<OsString>>,
}

impl From<Program> for ServicePrograms {
    /// A command alone.
    fn from(main: Program) -> Self {
        Self {
            main,
            notify: false,
            is_told_deadline: false,
            ready_probe: None,
            ready_descriptor: None,
            health_probe: None,
            pre_start: None,
            pre_stop: None,
            post_stop: None,
        }
    }
}

impl ServicePrograms {
    /// How `other` differs.
    pub(crate) fn change_to(&self, other: &Self) -> ProgramChange {
        let beside = |of: &Self| {
            let Self { ready_probe, health_probe, pre_start, pre_stop, post_stop, .. } = of.clone();
            (ready_probe, health_probe, pre_start, pre_stop, post_stop)
        };
        match self.runs_like(other) {
            false => ProgramChange::Process,
            true if beside(self) == beside(other) => ProgramChange::None,
            true => ProgramChange::Beside,
        }
    }

    /// Whether a process of this and one of `other` would be the same: the same command with the same around it. What it is
    /// told of the time it has to stop is not counted, since that follows from settings that hold without a new process;
    /// neither are the commands and probes beside it.
    fn runs_like(&self, other: &Self) -> bool {
        let Self { main, notify, is_told_deadline, ready_probe: _, ready_descriptor, .. } = self;
        let is_told = *is_told_deadline || other.is_told_deadline;
        let ignored = (!is_told).then_some(DEADLINE_VARIABLE);
        main.runs_like(&other.main, ignored)
            && *notify == other.notify
            && *ready_descriptor == other.ready_descriptor
    }

    /// What runs as the service's leader. A step without a command is its own one: the supervisor asks for none such.
    pub(crate) fn of_step(&self, step: Step) -> Program {
        match step {
            Step::PreStart => self.around(self.pre_start.as_ref()),
            Step::Main => self.main.clone(),
            Step::PostStop => self.around(self.post_stop.as_ref()),
        }
    }

    /// What runs beside the leader. `stage` is the command of a stage.
    pub(crate) fn of_hook(&self, kind: &HookKind, stage: Option<&Vec<OsString>>) -> Program {
        match kind {
            HookKind::PreStart => self.around(self.pre_start.as_ref()),
            HookKind::PreStop => self.around(self.pre_stop.as_ref()),
            HookKind::Stage(_) => self.around(stage),
            HookKind::PostStop => self.around(self.post_stop.as_ref()),
        }
    }

    /// What a probe looks at.
    pub(crate) const fn target(&self, purpose: Purpose) -> Option<&ProbeTarget> {
        match purpose {
            Purpose::Ready => self.ready_probe.as_ref(),
            Purpose::Health => self.health_probe.as_ref(),
        }
    }

    /// A command that a probe executes.
    pub(crate) fn of_probe(&self, command: &Vec<OsString>) -> Program {
        self.around(Some(command))
    }

    /// Another command, with all that the service's own has around it.
    fn around(&self, command: Option<&Vec<OsString>>) -> Program {
        let command = command.unwrap_or(&self.main.command).clone();
        Program { command, ..self.main.clone() }
    }
}
