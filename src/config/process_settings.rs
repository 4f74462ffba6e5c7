use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;

use super::output_choice::OutputChoice;
use super::resource_limit::ResourceLimit;
use crate::protocol::ProbeTarget;
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
    /// Whether the configuration says its `CURFEW_DEADLINE`: then nothing that is learnt later changes it.
    pub is_told_deadline: bool,
    /// The signal that the process gets when curfew dies. Default: none.
    ///
    /// Source: prctl(2), `PR_SET_PDEATHSIG`.
    pub parent_death: Option<Signal>,
    /// The sockets that it gets of those that the service manager above has passed to curfew, by name and in this order.
    ///
    /// Source: systemd.socket(5), sd_listen_fds(3).
    pub sockets: Vec<String>,
    /// What tells that it is ready, if that is a probe.
    pub ready_probe: Option<ProbeTarget>,
    /// The number of the descriptor on which it says that it is ready, if it does so.
    ///
    /// Source: s6's notification-fd.
    pub ready_descriptor: Option<i32>,
    /// What tells that it is well.
    pub health_probe: Option<ProbeTarget>,
    /// Whether it gets a `NOTIFY_SOCKET` of its own.
    pub notify: bool,
    /// The user it runs as: a name or a number. Default: the one that curfew is.
    ///
    /// Source: systemd.exec(5), `User=`.
    pub user: Option<String>,
    /// Its group: a name or a number. Default: the first group of its user.
    pub group: Option<String>,
    /// The groups it is in besides, and besides those that its user is a member of.
    ///
    /// Source: systemd.exec(5), `SupplementaryGroups=`.
    pub supplementary_groups: Vec<String>,
    /// Which of HOME, LOGNAME, SHELL and USER it has from its user, if it has one: those that are nowhere configured.
    pub login_variables: Vec<&'static str>,
    /// The permissions that files it makes do not get. Default: as curfew has it.
    pub umask: Option<u32>,
    /// From -20 to 19. Default: as curfew has it.
    pub nice: Option<i32>,
    /// From -1000 to 1000. Default: as curfew has it.
    ///
    /// Source: proc_pid_oom_score_adj(5).
    pub oom_score_adjust: Option<i32>,
    /// Its resource limits. Default: those that curfew was given.
    pub limits: Vec<ResourceLimit>,
    /// Whether no program it executes may give it rights. Default: no.
    ///
    /// Source: prctl(2), `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: bool,
    /// What runs before its start, before its stop and after its end.
    pub hooks: HookCommands,
    /// Where its output leads; a file's path is absolute. `None`: it was not said, and depends on where curfew's own
    /// leads.
    pub output: Option<OutputChoice>,
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

/// The variables that say who a user is.
///
/// Source: systemd.exec(5), "Environment variables in spawned processes".
pub(crate) const LOGIN_VARIABLES: [&str; 4] = ["HOME", "LOGNAME", "SHELL", "USER"];

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
