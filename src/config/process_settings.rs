use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;

use crate::supervisor::Signal;

/// What is executed for a service, and with what around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The command and its arguments; never empty, and its first word neither.
    pub command: Vec<OsString>,
    /// The working directory; absolute. `None`: the one that curfew was started in.
    pub directory: Option<PathBuf>,
    /// The environment that all services share: there can be thousands of them, each with the same hundred variables.
    pub shared_environment: Rc<[(OsString, OsString)]>,
    /// What this one has besides, or instead. Only what is known at the start alone is in neither: `CURFEW_RUN` and
    /// `CURFEW_SERVICE`.
    pub own_environment: Vec<(OsString, OsString)>,
    /// The signal that the process gets when curfew dies. Default: none.
    ///
    /// Source: prctl(2), `PR_SET_PDEATHSIG`.
    pub parent_death: Option<Signal>,
    /// Whether it gets a `NOTIFY_SOCKET` of its own.
    pub notify: bool,
    /// What runs before its start, before its stop and after its end.
    pub hooks: HookCommands,
}

/// The commands around a service's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookCommands {
    /// Before its start.
    pub pre_start: Option<Vec<OsString>>,
    /// Before its stop.
    pub pre_stop: Option<Vec<OsString>>,
    /// After its end.
    pub post_stop: Option<Vec<OsString>>,
}

#[cfg(test)]
impl ProcessSettings {
    /// The whole environment.
    pub(crate) fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut whole = super::environment::Environment::default();
        for (name, value) in self.shared_environment.iter().chain(&self.own_environment) {
            whole.set(name, value);
        }
        whole.into_variables()
    }
}
