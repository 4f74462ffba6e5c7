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
    /// Which of several settings of the step it was, from 0: the third limit, say.
    pub which: u8,
}

/// The steps of a start, in their order. The numbers go through the exec pipe.
///
/// What needs curfew's own rights comes before the user is changed; the directory after it, since only the user may be
/// let into it (systemd does it in this order too); the parent-death signal last, since a change of user clears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StartStep {
    /// fork(2): no memory, or too many processes.
    Fork,
    /// setsid(2).
    Session,
    /// The standard streams.
    Streams,
    /// Writing `/proc/self/oom_score_adj`.
    OomScoreAdjust,
    /// setpriority(2).
    Nice,
    /// setrlimit(2): the limits that were asked for, and the one that curfew raised for itself.
    Limits,
    /// setgroups(2) with the supplementary groups that were asked for.
    SupplementaryGroups,
    /// setresgid(2) to the group that was asked for.
    Group,
    /// setresuid(2), and the groups of the user.
    User,
    /// chdir(2) into the service's directory.
    Directory,
    /// prctl(2) with PR_SET_NO_NEW_PRIVS.
    NoNewPrivileges,
    /// prctl(2) with PR_SET_PDEATHSIG.
    ParentDeath,
    /// execve(2).
    Execute,
}

impl StartStep {
    /// Every step, in order.
    pub const ALL: [Self; 13] = [
        Self::Fork,
        Self::Session,
        Self::Streams,
        Self::OomScoreAdjust,
        Self::Nice,
        Self::Limits,
        Self::SupplementaryGroups,
        Self::Group,
        Self::User,
        Self::Directory,
        Self::NoNewPrivileges,
        Self::ParentDeath,
        Self::Execute,
    ];

    /// The name in log and report: that of the setting, if there is one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Session => "session",
            Self::Streams => "streams",
            Self::OomScoreAdjust => "oom-score-adjust",
            Self::Nice => "nice",
            Self::Limits => "limits",
            Self::SupplementaryGroups => "supplementary-groups",
            Self::Group => "group",
            Self::User => "user",
            Self::Directory => "directory",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::ParentDeath => "parent-death",
            Self::Execute => "execute",
        }
    }
}

impl fmt::Display for StartStep {
    /// Fits before " failed".
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::Fork => "creating the process",
            Self::Session => "making its session",
            Self::Streams => "connecting its standard streams",
            Self::OomScoreAdjust => "setting its oom-score-adjust",
            Self::Nice => "setting its nice value",
            Self::Limits => "setting its resource limits",
            Self::SupplementaryGroups => "setting its supplementary groups",
            Self::Group => "changing to its group",
            Self::User => "changing to its user",
            Self::Directory => "changing to its directory",
            Self::NoNewPrivileges => "setting no-new-privileges",
            Self::ParentDeath => "setting its parent-death signal",
            Self::Execute => "executing its command",
        })
    }
}

impl StartFailure {
    /// The failure of a step of which there is but one, for another reason than a command that is not found.
    pub const fn new(step: StartStep, errno: i32) -> Self {
        Self { step, errno, not_found: false, which: 0 }
    }

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
        let names: std::collections::BTreeSet<&str> = StartStep::ALL.map(StartStep::name).into();
        assert_eq!(names.len(), StartStep::ALL.len());
    }

    #[test]
    fn every_step_is_in_the_list_at_its_number() {
        for (number, step) in StartStep::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, number);
        }
    }
}
