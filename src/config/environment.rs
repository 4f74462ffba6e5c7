use std::ffi::{OsStr, OsString};

/// What the service manager above tells its own child, which is curfew: a service that believed it would speak to that
/// manager over curfew's head, or take curfew's watchdog for its own.
///
/// Source: systemd.exec(5), sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).
pub(crate) const MEANT_FOR_CURFEW: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "FDSTORE",
    "SYSTEMD_EXEC_PID",
    // Passed on with the right pid to whoever asks for the sockets.
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// Variables in the order they were first set, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    variables: Vec<(OsString, OsString)>,
    /// Where they are, in the order of their names.
    by_name: Vec<usize>,
}

impl Environment {
    /// Sets a variable, or changes it.
    pub(crate) fn set(&mut self, name: &OsStr, value: &OsStr) {
        match self.place_of(name) {
            Ok(place) => self.variables[self.by_name[place]].1 = value.to_owned(),
            Err(place) => {
                self.by_name.insert(place, self.variables.len());
                self.variables.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// Where it is in `by_name`, or would be.
    fn place_of(&self, name: &OsStr) -> Result<usize, usize> {
        self.by_name.binary_search_by(|index| self.variables[*index].0.as_os_str().cmp(name))
    }

    /// Sets or changes all of these.
    pub(crate) fn set_all(&mut self, variables: &[(String, String)]) {
        for (name, value) in variables {
            self.set(name.as_ref(), value.as_ref());
        }
    }

    /// Sets or changes all that `other` has.
    pub(crate) fn set_all_of(&mut self, other: &Self) {
        for (name, value) in &other.variables {
            self.set(name, value);
        }
    }

    /// Whether the variable is set.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.place_of(OsStr::new(name)).is_ok()
    }

    /// The variables.
    pub(crate) fn into_variables(self) -> Vec<(OsString, OsString)> {
        self.variables
    }
}
