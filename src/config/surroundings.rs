use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::files::Files;

/// What a configuration depends on besides the arguments and the file.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Whether curfew is the first process of its pid namespace: of a container, most likely.
    pub is_pid_1: bool,
    /// The environment that curfew was given.
    pub environment: Vec<(OsString, OsString)>,
    /// The names of the sockets that the service manager above has passed to us.
    pub sockets: Vec<String>,
    /// The directory that curfew was started in; absolute.
    pub directory: PathBuf,
    /// Where files are read from.
    pub files: Files,
}

impl Surroundings {
    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }
}
