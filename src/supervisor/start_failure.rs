use std::fmt;

/// Why a process could not be started: the step that failed, and the system's error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartFailure {
    /// The step that failed.
    pub step: StartStep,
    /// The error number (errno).
    pub errno: i32,
    /// Whether the command itself was not found, as against not executable.
    pub not_found: bool,
}

/// The steps of a start, in their order. The numbers go through the exec pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StartStep {
    /// fork(2): no memory, or too many processes.
    Fork,
    /// setsid(2).
    Session,
    /// The standard streams.
    Streams,
    /// prctl(2) with PR_SET_PDEATHSIG.
    ParentDeath,
    /// chdir(2) into the service's directory.
    Directory,
    /// Resource limits, which curfew raised for itself.
    Limits,
    /// execve(2).
    Execute,
}

impl StartStep {
    /// Every step, in order.
    pub const ALL: [Self; 7] = [
        Self::Fork,
        Self::Session,
        Self::Streams,
        Self::ParentDeath,
        Self::Directory,
        Self::Limits,
        Self::Execute,
    ];
}

impl fmt::Display for StartStep {
    /// Fits after "failed at ".
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::Fork => "creating the process",
            Self::Session => "making its session",
            Self::Streams => "connecting its standard streams",
            Self::ParentDeath => "setting its parent-death signal",
            Self::Directory => "changing to its directory",
            Self::Limits => "restoring its resource limits",
            Self::Execute => "executing its command",
        })
    }
}

impl StartFailure {
    /// The exit status that tells of it: 127 for a command that is not there, 126 for one that cannot be executed.
    /// `None` when the system refused to make a process at all: that says nothing about the command.
    pub const fn status(self) -> Option<u8> {
        match self.step {
            StartStep::Fork => None,
            StartStep::Execute if self.not_found => Some(127),
            _ => Some(126),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_words_of_its_own() {
        let words: std::collections::BTreeSet<String> = StartStep::ALL.map(|step| step.to_string()).into();
        assert_eq!(words.len(), StartStep::ALL.len());
        assert_eq!(StartStep::Directory.to_string(), "changing to its directory");
    }
}
