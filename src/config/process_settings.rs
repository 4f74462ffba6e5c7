use std::ffi::OsString;
use std::path::PathBuf;

use crate::supervisor::Signal;

/// What is executed for a service, and with what around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The command and its arguments; never empty, and its first word neither.
    pub command: Vec<OsString>,
    /// The working directory; absolute. `None`: the one that curfew was started in.
    pub directory: Option<PathBuf>,
    /// The whole environment. It lacks only what is known at the start alone: `CURFEW_RUN` and `CURFEW_SERVICE`.
    pub environment: Vec<(OsString, OsString)>,
    /// The signal that the process gets when curfew dies. Default: none.
    ///
    /// Source: prctl(2), `PR_SET_PDEATHSIG`.
    pub parent_death: Option<Signal>,
}
